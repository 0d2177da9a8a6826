"""`ddpm train`: what it asks of the pipeline, and what it refuses before torch is there."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import runs
from PIL import Image
from processes import ENVIRONMENT
from runs import ddpm

from ddpm_cli.pipelines import journal
from ddpm_cli.pipelines import train as pipeline
from ddpm_cli.settings.config import Layer, resolve
from ddpm_cli.settings.presets import layers
from ddpm_cli.settings.requests import Train

UNLOADED = """
import sys
from ddpm_cli import cli
code = cli.main(sys.argv[1:])
print(code, sorted({"torch", "numpy", "PIL"} & sys.modules.keys()))
"""


@pytest.mark.parametrize(
    "words",
    [
        ("--set", "smpler.eta=1"),
        ("--set", "train.steps=many"),
        ("--preset", "tyni"),
        ("--config", "missing.toml"),
        ("--set", "schedule={name='table', file='missing.txt'}"),
        ("--batch", "0"),
    ],
)
def test_wrong_settings_are_refused_before_torch_is_there(
    words: tuple[str, ...], tmp_path: Path
) -> None:
    call = [sys.executable, "-c", UNLOADED, "train", *words]
    done = subprocess.run(
        call, capture_output=True, text=True, cwd=tmp_path, env=ENVIRONMENT, check=False
    )
    code, loaded = done.stdout.split(" ", 1)
    assert int(code) in (1, 2), done.stderr
    assert loaded.strip() == "[]"
    assert done.stderr.startswith("Error: ")


@pytest.fixture
def request_made(monkeypatch: pytest.MonkeyPatch) -> list[Train]:
    """Where the requests go that commands build."""
    requests: list[Train] = []
    monkeypatch.setattr(pipeline, "run", requests.append)
    return requests


@pytest.mark.parametrize(
    ("words", "folder"),
    [
        (("--preset", "tiny"), "runs/tiny"),
        (("--config", "mine.toml"), "runs/mine"),
        ((), "runs/custom"),
        (("--preset", "tiny", "-o", "elsewhere"), "elsewhere"),
    ],
)
def test_the_folder_bears_the_name_of_what_is_trained(
    words: tuple[str, ...], folder: str, request_made: list[Train], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_text("[train]\nsteps = 3\n")
    assert ddpm("train", *words).code == 0
    assert request_made[0].folder == Path(folder)


@pytest.mark.parametrize(
    ("words", "key", "value"),
    [
        (("--steps", 7), "steps", 7),
        (("--batch", 9), "batch", 9),
        (("--lr", 0.5), "lr", 0.5),
        (("--minutes", 2), "minutes", 2.0),
        (("--seed", 4), "seed", 4),
        (("--set", "train.accumulate=4"), "accumulate", 4),
    ],
)
def test_options_are_settings_of_the_request(
    words: tuple[Any, ...], key: str, value: object, request_made: list[Train]
) -> None:
    assert ddpm("train", "--preset", "tiny", *words, "--force", "--json").code == 0
    (request,) = request_made
    expected = resolve([*layers("tiny"), Layer("a test", {"train": {key: value}})])
    assert request.config == expected
    assert (request.force, request.as_json, request.dry_run) == (True, True, False)


def test_a_request_trains_without_a_command_line(data: Path, tmp_path: Path) -> None:
    settings = {"data": {"name": "mnist", "path": str(data)}, "train": {"steps": 2, "batch": 4}}
    network = {"name": "unet", "width": 8, "blocks": 1, "attention": [], "patch": 2}
    where = {"device": "cpu", "dtype": "float32"}
    config = resolve([Layer("a test", {**settings, "network": network, "compute": where})])
    end = pipeline.trained(Train(config=config, folder=tmp_path / "run"))
    assert (end.step, end.model) == (2, tmp_path / "run" / "model.safetensors")
    assert runs.result(tmp_path / "run").step == 2


class TestGoingOn:
    @pytest.mark.parametrize("flag", ["-o", "--resume"])
    def test_a_run_goes_on_under_its_own_settings(
        self, flag: str, run: Path, finished: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("DDPM_PRESET", "mnist")  # is for new runs
        outcome = runs.ddpm("train", flag, run)
        assert (outcome.code, outcome.out) == (0, f"{run / 'model.safetensors'}\n")
        assert "finished at step 12; nothing left to do" in outcome.err
        (run / "state.safetensors").unlink()
        assert runs.ddpm("train", flag, run).code == 0
        runs.assert_same(runs.result(run), runs.result(finished))

    def test_options_are_laid_over_them(self, run: Path) -> None:
        assert runs.ddpm("train", "-o", run, "--set", "train.steps=14").code == 0
        assert runs.result(run).step == 14
        outcome = runs.ddpm("train", "-o", run, "--lr", 0.5, "--set", "train.warmup=3")
        assert outcome.code == 2
        assert f"train.lr: {run} was trained with 0.004, not 0.5" in outcome.err
        assert "train.warmup: " in outcome.err
        assert "schedule" not in outcome.err

    def test_a_finished_run_says_what_it_does_not_take(self, run: Path) -> None:
        outcome = runs.done("train", "-o", run, "--set", "sampler.eta=0.5")
        assert "sampler.eta stay as they were; give them to ddpm sample -m" in outcome.err
        assert runs.result(run).step == runs.STEPS

    def test_another_preset_is_refused_with_the_way_to_go_on(self, run: Path) -> None:
        for flag in ("-o", "--resume"):
            outcome = runs.ddpm("train", "--preset", "mnist", flag, run)
            assert outcome.code == 2
            assert outcome.err.count(f"ddpm train -o {run} goes on with its own settings") == 1

    def test_a_run_that_was_not_saved_yet_begins_again(
        self, run: Path, request_made: list[Train]
    ) -> None:
        for path in run.glob("*.safetensors"):
            path.unlink()
        assert runs.ddpm("train", "-o", run).code == 0
        assert request_made[0].config["train"]["steps"] == runs.STEPS

    def test_a_plan_is_that_of_the_run(self, run: Path) -> None:
        outcome = runs.done("train", "--resume", run, "--dry-run")
        assert outcome.out == (run / "config.toml").read_text()
        assert "12 steps of 8 images" in outcome.err

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (("--resume", "missing"), "Error: missing: no run to go on with"),
            (("--resume", "a", "-o", "b"), "Error: --resume: "),
            (("--resume", "a", "--force"), "Error: --resume: "),
        ],
    )
    def test_what_cannot_be_gone_on_with_is_refused(
        self, words: tuple[str, ...], message: str
    ) -> None:
        outcome = runs.ddpm("train", *words)
        assert outcome.code in (1, 2)
        assert outcome.err.startswith(message)
        assert not Path("missing").exists()

    def test_force_asks_for_settings_anew(self, run: Path, request_made: list[Train]) -> None:
        assert runs.ddpm("train", "-o", run, "--force").code == 0
        assert request_made[0].config == resolve([], begins=True)

    def test_data_may_have_moved(
        self, data: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A path that is relative is looked for where the command runs."""
        (tmp_path / "first").mkdir()
        monkeypatch.chdir(tmp_path / "first")
        shutil.copytree(data, "digits")
        assert runs.train(Path("digits"), tmp_path / "run", "--minutes", 1e-9).code == 0
        monkeypatch.chdir(tmp_path)
        go_on = ("train", "-o", tmp_path / "run", "--minutes", 0)
        outcome = runs.ddpm(*go_on)
        assert outcome.code == 1
        assert "digits is relative to where the run began" in outcome.err.splitlines()[-1]
        outcome = runs.ddpm(*go_on, "--set", "data.path=first/digits")
        assert outcome.code == 0, outcome.err
        runs.assert_same(runs.result(tmp_path / "run"), runs.result(finished))

    def test_other_data_are_refused(self, run: Path, tmp_path: Path) -> None:
        for name in ("a", "b"):
            (tmp_path / "set" / name).mkdir(parents=True)
            for number in range(4):
                Image.new("L", (8, 8), number).save(tmp_path / "set" / name / f"{number}.png")
        images = f"data={{name='folder', path='{tmp_path / 'set'}', mode='L', holdout=0.25}}"
        words = ("--set", images, "--set", "network.classes=0", "--steps", 2)
        assert runs.ddpm("train", "--preset", "tiny", *words, "-o", tmp_path / "grey").code == 0
        (tmp_path / "set" / "c").mkdir()
        for number in range(4):
            Image.new("L", (8, 8)).save(tmp_path / "set" / "c" / f"{number}.png")
        outcome = runs.ddpm("train", "-o", tmp_path / "grey", "--steps", 4)
        assert outcome.code == 2
        assert "images 1x8x8 in 2 classes, not images 1x8x8 in 3 classes" in outcome.err

    def test_what_a_run_started_from_is_not_needed_again(
        self, data: Path, run: Path, tmp_path: Path
    ) -> None:
        words = ("--init", run, "--minutes", 1e-9)
        assert runs.train(data, tmp_path / "finer", *words).code == 0
        shutil.rmtree(run)
        assert runs.ddpm("train", "-o", tmp_path / "finer", "--minutes", 0).code == 0
        assert runs.result(tmp_path / "finer").step == runs.STEPS


def mu(folder: Path, *words: object) -> runs.Outcome:
    """Train a network of means on two points, which know of levels between the indices."""
    count = ("--steps", 3, "--set", "data.count=100", "--set", "train.warmup=0")
    count = (*count, "--set", "parameterization.name=mu")
    place = ("-o", folder, *runs.PLAIN)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal, "POINTS", 16)  # few, as they take a thousand steps
        return runs.ddpm("train", "--preset", "two-points", *count, *words, *place)


SUITED = ("sampler.name=ancestral", "levels.name=trailing", "levels.count=1000")


def test_a_last_sheet_that_is_not_finite_is_refused_and_the_model_kept(tmp_path: Path) -> None:
    outcome = mu(tmp_path / "run")
    assert outcome.code == 1
    warning, error, fix = outcome.err.splitlines()[-3:]
    assert warning.startswith("Warning: parameterization.mu: sampler heun on karras levels")
    assert error == f"Error: {tmp_path / 'run'}: samples of step 3 are not finite"
    words = [word for setting in SUITED for word in ("--set", setting)]
    assert " ".join(words) in fix
    assert not list(tmp_path.rglob("*.png"))

    assert runs.result(tmp_path / "run").step == 3
    drawn = tmp_path / "a.csv"
    outcome = runs.ddpm("sample", "-m", tmp_path / "run", "-n", 4, "-o", drawn)
    assert (outcome.code, "Warning: parameterization.mu" in outcome.err) == (1, True)
    assert " ".join(words) in outcome.err.splitlines()[-1]
    assert runs.sample(tmp_path / "run", "-n", 4, "-o", drawn, *words).code == 0
    assert "nan" not in drawn.read_text()


def test_a_sheet_on_the_way_that_is_not_finite_is_a_warning(tmp_path: Path) -> None:
    outcome = mu(tmp_path / "run", "--set", "train.sheet_every=2")
    assert outcome.code == 1
    assert outcome.err.count("samples of step 2 are not finite; try --dtype float32") == 1


def test_settings_that_suit_mu_train_without_a_word(tmp_path: Path) -> None:
    outcome = mu(tmp_path / "run", *(word for s in SUITED for word in ("--set", s)))
    assert outcome.code == 0, outcome.err
    assert "Warning: parameterization" not in outcome.err
    assert len(list((tmp_path / "run" / "samples").iterdir())) == 1


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("train.drop_class=1.0", "train.drop_class: "),
        ("network.dropout=1.0", "network.dropout: "),
    ],
)
def test_ends_that_train_nothing_are_refused(
    setting: str, message: str, data: Path, tmp_path: Path
) -> None:
    outcome = runs.train(data, tmp_path / "run", "--set", setting)
    assert outcome.code == 2
    assert outcome.err.splitlines()[-1].startswith(f"Error: {message}")
    assert not (tmp_path / "run").exists()
