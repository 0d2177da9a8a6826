"""A run that was stopped and continued ends in the same bits as one that never stopped."""

import json
import re
import shutil
import signal
from pathlib import Path

import pytest
import runs
import torch
from runs import assert_same, contents, flip_bit, metrics, result, signal_after, watched
from runs import train_small as train

from ddpm_cli.files.checkpoints import checkpoint

pytestmark = pytest.mark.small

STATES = ("state.safetensors", "state.previous.safetensors")


@pytest.mark.parametrize("stop", [1, 5, 7])  # before any save, at and between lines of metrics
def test_resume_is_exact(stop: int, data: Path, finished: Path, tmp_path: Path) -> None:
    with signal_after(stop, signal.SIGTERM):
        first = train(data, tmp_path / "run")
    assert first.code == 143
    assert f"saved at step {stop + 1} of {runs.STEPS}" in first.err
    assert result(tmp_path / "run").step == stop + 1
    second = train(data, tmp_path / "run")
    assert second.code == 0, second.err
    assert f"going on from step {stop + 1}" in second.err
    assert_same(result(tmp_path / "run"), result(finished))


def test_a_draw_goes_on_with_what_it_remembers(data: Path, tmp_path: Path) -> None:
    """Ten steps, eight images each, at two times: the draw prefers one from the third step on."""
    chosen = (
        "--set", "draw={name='loss-second-moment', history=4}", "--set", "schedule.steps=2",
        "--set", "levels.count=2", "--set", "loss.name='simple'",
    )  # fmt: skip
    assert train(data, tmp_path / "whole", *chosen).code == 0
    with signal_after(7, signal.SIGTERM):
        assert train(data, tmp_path / "parts", *chosen).code == 143
    assert train(data, tmp_path / "parts", *chosen).code == 0
    whole = result(tmp_path / "whole")
    assert_same(result(tmp_path / "parts"), whole)
    counts = whole.state["draw.counts"]
    assert int(counts.sum()) == 8 * runs.STEPS
    assert (whole.state["draw.losses"] > 0).all()


def test_stopping_at_every_step_is_exact(data: Path, finished: Path, tmp_path: Path) -> None:
    for step in range(1, runs.STEPS + 1):
        with signal_after(0, signal.SIGINT):
            outcome = train(data, tmp_path / "run", "--minutes", 1e-9)
        assert outcome.code == 0, outcome.err
        assert result(tmp_path / "run").step == step
    assert_same(result(tmp_path / "run"), result(finished))


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_worker_processes_change_nothing(
    workers: int, data: Path, finished: Path, tmp_path: Path
) -> None:
    with signal_after(6, signal.SIGTERM):
        assert train(data, tmp_path / "run", "--set", f"train.workers={workers}").code == 143
    assert train(data, tmp_path / "run", "--set", f"train.workers={2 - workers}").code == 0
    assert_same(result(tmp_path / "run"), result(finished))


def test_a_state_of_before_there_were_players_goes_on(tmp_path: Path) -> None:
    """The fixtures are one run at two steps, with a draw that remembers and no `accumulate`.

    Its noise, too, is that of then, unless it is asked to change.
    """
    fixtures = Path(__file__).parents[1] / "fixtures"
    (tmp_path / "run").mkdir()
    shutil.copy(fixtures / "state-step-3.safetensors", tmp_path / "run" / STATES[0])
    words = ["--set", "schedule={name='cosine', steps=4}", "--set", "levels.count=4"]
    words += ["--set", "network={name='mlp', width=4, depth=1, embedding=4, classes=2}"]
    words += ["--set", "draw={name='loss-second-moment', history=2}", "--set", "loss.name=simple"]
    words += ["--set", "train.decay=constant", "--set", "train.warmup=1"]
    words += ["--set", "train.log_every=2", "--set", "data.count=64", "--set", "compute.threads=1"]
    place = ["--batch", 8, "--seed", 3, "--device", "cpu", "--dtype", "float32"]
    again = ["train", "--preset", "two-gaussians", *words, *place, "-o", tmp_path / "run"]
    other = runs.ddpm(*again, "--steps", 6, "--set", "compute.rng=philox")
    assert other.code == 2
    assert "compute.rng: " in other.err
    assert "was trained with 'torch', not 'philox'" in other.err
    outcome = runs.ddpm(*again, "--steps", 6)
    assert outcome.code == 0, outcome.err
    assert "going on from step 3" in outcome.err
    header, tensors = checkpoint.load(tmp_path / "run" / STATES[0])
    then, expected = checkpoint.load(fixtures / "state-step-6.safetensors")
    assert header.step == then.step == 6
    assert header.config["compute"]["rng"] == "torch"
    assert tensors.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.allclose(tensors[name], tensor, rtol=1e-4, atol=1e-6), name


def test_a_run_keeps_what_makes_its_noise(data: Path, tmp_path: Path) -> None:
    old = ("--set", "compute.rng=torch")
    with signal_after(2, signal.SIGTERM):
        assert train(data, tmp_path / "run", *old).code == 143
    assert train(data, tmp_path / "whole", *old).code == 0
    assert train(data, tmp_path / "run").code == 0  # without being told again
    assert_same(result(tmp_path / "run"), result(tmp_path / "whole"))
    refused = train(data, tmp_path / "run", "--set", "compute.rng=philox", "--steps", 20)
    assert refused.code == 2
    assert "compute.rng" in refused.err


class TestAgain:
    def test_the_commands_that_are_named_can_be_typed(self, data: Path, run: Path) -> None:
        folder = run.rename(run.with_name("my run"))
        own = train(data, folder, "--lr", 0.5).err
        assert f"ddpm train -o '{folder}' goes on" in own
        later = train(data, folder, "--set", "sampler.eta=0.5").err
        assert f"give them to ddpm sample -m '{folder}'" in later

    def test_a_finished_run_says_so_and_stays_as_it_is(self, data: Path, run: Path) -> None:
        before = contents(run)
        times = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()}
        outcome = train(data, run)
        assert outcome.code == 0
        assert "finished at step 12; nothing left to do" in outcome.err
        assert outcome.out == f"{run / 'model.safetensors'}\n"
        told = train(data, run, "--json").out
        assert json.loads(told) == {"path": str(run / "model.safetensors")}
        assert contents(run) == before
        assert {path: path.stat().st_mtime_ns for path in times} == times

    @pytest.mark.parametrize("damage", ["missing", "older", "broken"])
    def test_the_model_of_a_finished_run_is_made_again_from_its_state(
        self, damage: str, data: Path, run: Path
    ) -> None:
        model = run / "model.safetensors"
        whole = model.read_bytes()
        header, tensors = checkpoint.load(model)
        model.unlink()
        if damage == "older":
            checkpoint.save(model, tensors, header._replace(step=8))
        if damage == "broken":
            model.write_bytes(whole[:-1])
        assert train(data, run).code == 0
        assert model.read_bytes() == whole

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["--lr", "0.5"], "train.lr: .* was trained with 0.004, not 0.5"),
            (["--steps", "11"], "train.steps: .* with 12, not 11"),
            (["--seed", "1"], "train.seed: .* with 0, not 1"),
            (["--batch", "4"], "train.batch: .* with 8, not 4"),
            (["--set", "network.width=16"], "network.width: .* with 8, not 16"),
            (["--set", "schedule.name=linear"], "schedule.name: .* 'cosine', not 'linear'"),
            (["--dtype", "bfloat16"], "compute.dtype: .* 'float32', not 'bfloat16'"),
            (["--budget", "2m"], "train.budget: .* with none, not '2m'"),
            (["--set", "train.uncertainty=true"], "train.uncertainty: .* with false, not true"),
        ],
    )
    def test_another_configuration_is_refused(
        self, words: list[str], message: str, data: Path, run: Path
    ) -> None:
        before = contents(run)
        outcome = train(data, run, *words)
        assert outcome.code == 2
        assert re.search(message, outcome.err), outcome.err
        assert "--force" in outcome.err
        assert contents(run) == before

    @pytest.mark.parametrize(
        "setting",
        [
            "train.minutes=5", "train.log_every=3", "train.save_every=7", "train.sheet_every=5",
            "train.measure_every=4", "train.workers=1", "compute.device=auto",
            "sampler.eta=0.5", "levels.count=3",
        ],
    )  # fmt: skip
    def test_settings_that_change_no_step_may_change(
        self, setting: str, data: Path, run: Path
    ) -> None:
        outcome = train(data, run, "--set", setting)
        assert outcome.code == 0, outcome.err
        assert "nothing left to do" in outcome.err

    def test_a_finished_run_can_be_made_longer(self, data: Path, run: Path) -> None:
        outcome = train(data, run, "--steps", runs.STEPS + 2)
        assert outcome.code == 0, outcome.err
        assert result(run).step == runs.STEPS + 2
        assert [line["step"] for line in metrics(run)] == [5, 10, 12, 14]

    def test_force_starts_over(self, data: Path, run: Path) -> None:
        outcome = train(data, run, "--force", "--seed", 1, "--steps", 2)
        assert outcome.code == 0, outcome.err
        assert result(run).step == 2
        assert [line["step"] for line in metrics(run)] == [2]
        assert not (run / STATES[1]).exists()

    def test_an_empty_folder_is_a_new_run(
        self, data: Path, finished: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "notes.txt").write_text("mine")
        assert train(data, tmp_path / "run").code == 0
        assert_same(result(tmp_path / "run"), result(finished))
        assert (tmp_path / "run" / "notes.txt").read_text() == "mine"


class TestDamage:
    @pytest.mark.parametrize("damage", ["truncated", "bit", "empty", "deleted", "a model"])
    def test_a_bad_newest_state_falls_back_to_the_one_before(
        self, damage: str, data: Path, finished: Path, run: Path
    ) -> None:
        newest = run / STATES[0]
        if damage == "truncated":
            newest.write_bytes(newest.read_bytes()[:-100])
        elif damage == "bit":
            flip_bit(newest, -1000)
        elif damage == "empty":
            newest.write_bytes(b"")
        elif damage == "deleted":
            newest.unlink()
        else:
            shutil.copy(run / "model.safetensors", newest)
        outcome = train(data, run)
        assert outcome.code == 0, outcome.err
        assert "going on from step 8" in outcome.err
        if damage != "deleted":
            assert f"Warning: {newest}: " in outcome.err
            assert "skipping it" in outcome.err
        assert_same(result(run), result(finished))
        assert contents(run).keys() == contents(finished).keys()

    def test_a_damaged_state_never_displaces_a_whole_one(self, data: Path, run: Path) -> None:
        flip_bit(run / STATES[0], -1000)
        assert train(data, run).code == 0
        assert [checkpoint.load(run / name)[0].step for name in STATES] == [12, 8]

    @pytest.mark.parametrize("damage", ["all truncated", "all deleted"])
    def test_without_any_whole_state_nothing_is_touched(
        self, damage: str, data: Path, run: Path
    ) -> None:
        for name in STATES:
            (run / name).write_bytes((run / name).read_bytes()[:5000])
            if damage == "all deleted":
                (run / name).unlink()
        before = contents(run)
        outcome = train(data, run)
        assert outcome.code == 1
        assert f"Error: {run}: " in outcome.err
        assert "--force" in outcome.err
        assert contents(run) == before
        assert train(data, run, "--force").code == 0

    def test_a_state_of_another_network_is_refused(self, data: Path, run: Path) -> None:
        header, tensors = checkpoint.load(run / STATES[0])
        for name in STATES:
            fewer = dict(list(tensors.items())[3:])
            checkpoint.save(run / name, fewer, header._replace(step=4))
        outcome = train(data, run)
        assert outcome.code == 1
        assert outcome.err.splitlines()[-1].startswith(f"Error: {run}: its state does not fit")

    def test_torn_and_foreign_lines_of_metrics_are_cut(
        self, data: Path, finished: Path, run: Path
    ) -> None:
        (run / STATES[0]).unlink()
        lines = (run / "metrics.jsonl").read_text()
        (run / "metrics.jsonl").write_bytes(
            lines.encode() + b'[1]\n{"step": "x"}\n\xff\xfe\n{"step": 11, "lo'
        )
        assert train(data, run).code == 0
        assert_same(result(run), result(finished))

    def test_what_killed_writers_left_is_removed(self, data: Path, run: Path) -> None:
        for name in (".state.tmp", ".model.safetensors.tmp", "samples/.step-0000012.png.tmp"):
            (run / name).write_bytes(b"half")
        expected = contents(run).keys() - {
            ".state.tmp", ".model.safetensors.tmp", "samples/.step-0000012.png.tmp"
        }  # fmt: skip
        assert train(data, run).code == 0
        assert contents(run).keys() == expected


class TestKill:
    def test_at_any_file_operation_loses_nothing(
        self, data: Path, finished: Path, tmp_path: Path
    ) -> None:
        with watched(tmp_path / "run") as moments:
            assert train(data, tmp_path / "run").code == 0
        assert len(moments) >= 20
        newest = 0
        for number, files in enumerate(moments):
            folder = tmp_path / f"{number}"
            for name, content in files.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(content)
            outcome = train(data, folder)
            assert outcome.code == 0, (outcome.err, sorted(files))
            assert "Warning" not in outcome.err
            assert_same(result(folder), result(finished))
            assert not list(folder.rglob(".*tmp*"))
            begun = int((re.findall(r"(?:step) (\d+)", outcome.err) or ["0"])[0])
            assert begun >= newest, "a visible checkpoint went back"
            newest = begun
        assert newest == runs.STEPS
