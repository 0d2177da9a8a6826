"""Sampling: an image is a function of model, settings and its own seed."""

import json
import os
import re
import signal
from pathlib import Path

import numpy as np
import pytest
import runs
import torch
from groups import told, torchrun
from runs import Outcome, apart, contents, ddpm, replayed
from torch import Tensor

import ddpm_cli
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.diffusion.steps import State
from ddpm_cli.files.checkpoints import find
from ddpm_cli.files.images.pixels import open_image, read_metadata
from ddpm_cli.models import walks

# Float sums are ordered by the shape of the batch, which moves values by about 1e-6; where one
# lies on the border between two of the 256 levels, its pixel may differ by one.
LEVEL = 1

pytestmark = [pytest.mark.small, pytest.mark.usefixtures("here")]


def sample(*words: object) -> Outcome:
    outcome = ddpm("sample", "--dtype", "float32", *words)
    assert outcome.code == 0, outcome.err
    return outcome


def pixels(*words: object) -> Tensor:
    """Sampled images uint8 [N, C, H, W]."""
    sample(*words, "--force", "-o", "pixels.npy")
    return torch.from_numpy(np.load("pixels.npy"))


def test_a_bundled_name_means_the_same_whatever_was_trained_here(
    finished: Path, tmp_path: Path
) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "mnist").symlink_to(finished)
    assert find.find("mnist").path == find.BUNDLED / "mnist.safetensors"
    assert find.find("runs/mnist").path == Path("runs/mnist/model.safetensors")
    assert find.find(None).name == "runs/mnist"


def test_several_images_never_share_a_name() -> None:
    outcome = ddpm("sample", "-n", 3, "--class", "1", "-o", "{class}.png")
    assert (outcome.code, "add {seed}" in outcome.err) == (2, True)


class TestSettings:
    @pytest.mark.parametrize("change", ["network.width=16", "schedule.steps=500", "train.lr=1.0"])
    def test_what_the_model_was_trained_as_is_fixed(self, change: str) -> None:
        outcome = ddpm("sample", "--set", change, "-o", "x.png")
        assert outcome.code == 2
        assert outcome.err.startswith(f"Error: {change.split('=')[0]}: ")
        assert not Path("x.png").exists()


class TestSeeds:
    def test_noise_is_identical_alone_and_in_any_batch(self) -> None:
        like = torch.empty(64, 1, 8, 8)
        batch = Rng(range(64)).normal(like)
        assert torch.equal(Rng([40]).normal(like[:1])[0], batch[40])
        assert torch.equal(Rng(range(36, 43)).normal(like[:7]), batch[36:43])

    @pytest.mark.parametrize("sampler", [["ddim"], ["ddpm"], ["ddim", "--set", "sampler.eta=1.0"]])
    def test_alone_and_in_any_batch(self, sampler: list[str]) -> None:
        words = ["--sampler", *sampler]
        batch = pixels(*words, "-n", 64, "--batch", 64)
        assert apart(pixels(*words, "-n", 64, "--batch", 7), batch) <= LEVEL
        assert apart(pixels(*words, "--seed", 40), batch[40:41]) <= LEVEL
        assert apart(batch[0], batch[1]) > 20

    def test_fewer_images_are_the_first_of_more(self) -> None:
        assert apart(pixels("-n", 3), pixels("-n", 10)[:3]) <= LEVEL

    def test_order_follows_the_list(self) -> None:
        listed = pixels("--seeds", "9,2-4,0")
        assert apart(listed, pixels("-n", 10)[[9, 2, 3, 4, 0]]) <= LEVEL

    def test_equal_settings_give_equal_bytes(self) -> None:
        for name in ("a.png", "b.png"):
            sample("-n", 4, "-o", name)
        assert Path("a.png").read_bytes() == Path("b.png").read_bytes()


def test_another_schedule_is_refused_by_its_name_alone() -> None:
    outcome = ddpm("sample", "--set", "schedule.name=linear")
    assert outcome.code == 2
    assert "schedule.name: 'linear' asked for" in outcome.err
    assert "None" not in outcome.err


class TestClasses:
    def test_the_class_of_a_seed_is_the_class_of_that_name(self) -> None:
        sample("-n", 6, "-o", "all/")
        for seed in range(6):
            path = Path(f"all/{seed:06d}.png")
            (name,) = read_metadata(path)["classes"]
            sample("--seed", seed, "--class", name, "-o", "one.png", "--force")
            assert apart(open_image(path), open_image("one.png")) <= LEVEL

    def test_classes_come_in_the_frequencies_of_the_data(self) -> None:
        lines = sample("-n", 40, "-o", "all/", "--json", "--steps", 1).out.splitlines()
        classes = [json.loads(line)["class"] for line in lines]
        assert set(classes) == {"0", "1", "2", "3"}  # the data has no others

    @pytest.mark.parametrize("words", [["-o", "all/"], ["--dry-run"]])
    def test_the_chosen_ones_are_said_once(self, words: list[str]) -> None:
        lines = sample("--class", "1-3", "-n", 6, "--batch", 2, *words).err.splitlines()
        assert [line for line in lines if "class" in line] == ["classes: 1, 2, 3"]

    def test_none_is_the_null_class(self) -> None:
        sample("--class", "none", "-o", "none.png")
        assert read_metadata("none.png")["classes"] == ["none"]
        assert read_metadata("none.png")["class"] == "none"

    @pytest.mark.parametrize("name", ["ten", "10", "-1", "1.0", "9" * 5000, ""])
    def test_unknown(self, name: str) -> None:
        outcome = ddpm("sample", "--class", name, "-o", "a.png")
        assert outcome.code == 2
        assert outcome.err.splitlines()[-1].startswith("Error: --class: no class is named")
        assert list(Path().iterdir()) == []


class TestSteps:
    def test_more_than_trained(self) -> None:
        outcome = ddpm("sample", "--steps", 1001)
        assert outcome.code == 2
        assert "1001 steps asked for, but the model was trained with 1000" in outcome.err

    @pytest.mark.parametrize(
        ("sampler", "calls", "steps"), [("ddim", 7, 7), ("heun", 7, 4), ("heun", 8, 4)]
    )
    def test_calls_choose_the_longest_list(self, sampler: str, calls: int, steps: int) -> None:
        words = ["--sampler", sampler, "--calls", calls]
        outcome = sample(*words, "--dry-run")
        used = 2 * steps - 1 if sampler == "heun" else steps
        assert f"1 image, {steps} steps, {used} network calls an image" in outcome.err
        assert f"count = {steps}\n" in outcome.out

    def test_calls_beyond_the_table(self) -> None:
        assert "1000 steps" in sample("--calls", 4000, "--dry-run").err

    def test_calls_and_steps_exclude_each_other(self) -> None:
        outcome = ddpm("sample", "--calls", 4, "--steps", 4)
        assert outcome.code == 2
        assert "give one of them" in outcome.err

    def test_a_solver_that_chooses_its_own_steps_says_how_many_it_took(self) -> None:
        pytest.importorskip("torchdiffeq")
        loose = ("--set", "sampler.rtol=0.1", "--set", "sampler.atol=0.1", "--steps", 2)
        said = sample("--sampler", "ode", *loose, "-n", 2, "-o", "x.png").err
        assert "2 images, 2 steps, network calls as an image needs them" in said
        found = re.search(r"([0-9.]+) network calls an image", said)
        assert found
        assert float(found[1]) >= 7

    def test_a_dry_run_writes_nothing(self) -> None:
        outcome = sample("-n", 10, "-o", "x/", "--dry-run")
        assert "[sampler]" in outcome.out
        assert list(Path().iterdir()) == []


class TestStops:
    @pytest.fixture
    def stopping(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A signal comes in the middle of the third batch."""
        real, count = walks.last, 0

        def last(states: object) -> State | None:
            nonlocal count
            count += 1
            if count == 3:
                os.kill(os.getpid(), signal.SIGTERM)
            return real(states)  # type: ignore[arg-type]

        monkeypatch.setattr(walks, "last", last)

    @pytest.mark.parametrize("place", ["out/", "{seed}-{class}.png"])
    def test_finished_files_are_whole(self, place: str, stopping: None) -> None:
        outcome = ddpm("sample", "-n", 10, "--batch", 2, "-o", place)
        assert outcome.code == 143
        paths = outcome.out.splitlines()
        assert sorted(paths) == sorted(contents(Path()))
        assert len(paths) == 4
        for path in paths:
            open_image(path)

    @pytest.mark.parametrize("place", ["out.png", "out.npz", "-"])
    def test_an_unfinished_file_is_not_there(self, place: str, stopping: None) -> None:
        outcome = ddpm("sample", "-n", 10, "--batch", 2, "-o", place)
        assert (outcome.code, outcome.binary) == (143, b"")
        assert list(Path().iterdir()) == []

    def test_values_that_are_not_finite_are_no_image(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(states: object) -> State:
            x = torch.full((1, 1, 8, 8), float("nan"))
            return State(x, torch.zeros(()), x)

        monkeypatch.setattr(walks, "last", broken)
        outcome = ddpm("sample", "-o", "a.png")
        assert outcome.code == 1
        assert "Error: seeds 0: values that are not finite" in outcome.err
        assert list(Path().iterdir()) == []


class TestReplay:
    """`ddpm info FILE --command` prints what makes the same bytes again."""

    @pytest.mark.parametrize(
        "words",
        [
            ["-n", "9", "-o", "sheet.png"],
            ["--seeds", "4,7-9,2", "--sampler", "ddpm", "--steps", "3", "-o", "a b'c.png"],
            ["-n", "1", "--class", "3", "--set", "sampler.eta=0.5", "-o", "one.png"],
            ["-n", "3", "--batch", "1", "--class", "none", "-o", "dir/"],
            ["-n", "2", "--set", "wrappers=[]", "--sampler", "heun", "-o", "sheet.png"],
        ],
    )
    def test_same_bytes(self, words: list[str]) -> None:
        *_, made = sample(*words).out.splitlines()
        before = Path(made).read_bytes()
        command = replayed(made)
        Path(made).unlink()
        outcome = ddpm(*command)
        assert outcome.code == 0, outcome.err
        assert Path(made).read_bytes() == before

    def test_a_file_out_of_a_batch_is_within_a_level(self) -> None:
        sample("-n", 7, "-o", "dir/")
        made = Path("dir/000003.png")
        before, record = open_image(made), read_metadata(made)
        command = replayed(made)
        made.unlink()
        assert ddpm(*command).code == 0
        assert read_metadata(made) == record
        assert apart(open_image(made), before) <= LEVEL

    def test_metadata_names_no_place_and_no_time(self, finished: Path) -> None:
        sample("-n", 2, "-o", "a.png")
        record = json.dumps(read_metadata("a.png")).replace(str(finished), "")
        assert "/" not in record
        assert set(read_metadata("a.png")) == {
            "batch", "class", "classes", "command", "device", "dtype", "hash", "model", "rng",
            "seeds", "settings", "threads", "version",
        }  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [2, 3])
def test_seeds_are_dealt_to_the_processes_of_a_group(ranks: int) -> None:
    words = ["-n", "5", "--dtype", "float32", "-o"]
    done = torchrun(ranks, "sample", *words, "group/")
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.split()) == [f"group/{seed:06d}.png" for seed in range(5)]
    sample(*words, "alone/")
    for path in Path("alone").iterdir():
        assert apart(open_image(path), open_image(Path("group") / path.name)) <= LEVEL


@pytest.mark.slow
def test_one_file_of_a_group_is_that_of_one_process() -> None:
    """Batches of two, two and one for three processes, and one more batch than two of them."""
    words = ("sample", "-n", 5, "-b", 2, "--dtype", "float32", "-o")
    for ranks, name in ((3, "one.png"), (2, "one.npz"), (2, "-")):
        done = torchrun(ranks, *words, name if name == "-" else f"group-{name}", text=False)
        assert done.returncode == 0, done.stderr
        alone = ddpm(*words, name)
        if name == "-":
            assert done.stdout == alone.binary
        else:
            assert Path(f"group-{name}").read_bytes() == Path(name).read_bytes()
            assert done.stdout.decode() == f"group-{name}\n"
    again = torchrun(2, *words, "one.png")
    assert told(again) == ["Error: one.png: exists already"]
    few = torchrun(2, "sample", "-n", 2, "--dtype", "float32", "-o", "few.png")
    assert "1 of 2 processes have something to do; a smaller --batch shares it out" in few.stderr
    assert Path("few.png").exists()


@pytest.mark.slow
def test_what_is_not_shared_out_is_refused_in_a_group() -> None:
    done = torchrun(2, "selftest")
    why = "2 processes, of which ddpm selftest needs one; leave torchrun out"
    assert told(done) == [f"Error: torchrun: {why}"]


PEOPLE = ",age,income,job\n" + "".join(
    f"{n},{20 + n % 9},{n * 1.5},{'clerk' if n % 2 else 'nurse'}\n" for n in range(40)
)
LEARN = (
    "--set", "data.name=array", "--set", "network.name=mlp", "--set", "wrappers=[]", *runs.PLAIN,
    "--steps", 3, "--batch", 8, "--set", "levels.count=3",
)  # fmt: skip


class TestTables:
    """Samples of a table are a table of the same kind."""

    @pytest.fixture
    def people(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.chdir(tmp_path)
        Path("people.csv").write_text(PEOPLE)
        words = ["--set", 'data.columns=["income", "age"]', "--set", "data.label=job"]
        classes = ["--set", "network.classes=2", "-o", "run", "--set", "data.path=people.csv"]
        runs.done("train", *LEARN, *words, *classes)
        return Path("run")

    def test_names_and_integers_come_back(self, people: Path) -> None:
        runs.done("sample", "-m", people, "-n", 20, "--class", "all", "-o", "a.csv")
        names, *rows = [line.split(",") for line in Path("a.csv").read_text().splitlines()]
        assert names == ["income", "age", "job"]
        assert all(row[1].lstrip("-").isdigit() for row in rows)
        assert all("." in row[0] for row in rows)
        assert [row[2] for row in rows[:2]] == ["clerk", "nurse"]
        runs.done(
            "train", *LEARN, "--set", "data.path=a.csv", "--set", "data.label=job", "-o", "b"
        )
        runs.done("nll", "-m", people, "--set", "data.path=a.csv", "-n", 1)

    def test_other_files_agree(self, people: Path) -> None:
        for name in ("a.npy", "a.npz", "a.safetensors", "a.csv"):
            runs.done("sample", "-m", people, "-n", 4, "-o", name)
        plain = np.load("a.npy")
        assert (plain[:, 1] == plain[:, 1].round()).all()
        with np.load("a.npz") as stored:
            assert stored["columns"].tolist() == ["income", "age"]
            assert (stored["samples"] == plain).all()
        table = np.loadtxt("a.csv", delimiter=",", skiprows=1, usecols=(0, 1), dtype=np.float32)
        assert (table == plain).all()
        model = ddpm_cli.load(str(people), device="cpu", dtype="float32")
        assert (model.sample(range(4)).numpy() == plain).all()

    def test_info_lists_the_columns(self, people: Path) -> None:
        facts = json.loads(runs.done("info", people, "--json").out)
        assert facts["columns"] == ["income", "age"]

    def test_columns_in_another_order_are_not_measured(self, people: Path) -> None:
        words = ["nll", "-m", people, "-n", 1, "--set", "data.columns=[2, 3]"]
        outcome = ddpm(*words)
        assert outcome.code == 2
        assert """--set 'data.columns=["income", "age"]'""" in outcome.err
