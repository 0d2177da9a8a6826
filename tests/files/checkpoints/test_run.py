"""The folder of a run: one owner at a time, and whole files whatever fails."""

import errno
import fcntl
import os
import shutil
import signal
import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest
import runs
import torch
from faults import failing
from runs import contents
from runs import train_small as train

from ddpm_cli.errors import Refusal
from ddpm_cli.files.checkpoints import checkpoint
from ddpm_cli.files.checkpoints.header import read_header
from ddpm_cli.files.checkpoints.run import Run


def loadable(folder: Path) -> list[int]:
    """The steps of all states in a folder, each of which must be whole."""
    return sorted(checkpoint.load(path)[0].step for path in folder.glob("state*.safetensors"))


@pytest.mark.parametrize("for_ever", [True, False])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_fault_at_any_operation_of_a_save_leaves_whole_states(
    code: int, for_ever: bool, finished_small: Path, tmp_path: Path
) -> None:
    header = read_header(finished_small / "state.safetensors")
    tensors = {"weights.a": torch.ones(9), "average.a": torch.zeros(9)}
    for at in count():
        folder = tmp_path / str(at)
        with Run(folder) as run:
            for step in (1, 2):
                run.save(tensors, header._replace(step=step))
            failure = None
            with failing(at, for_ever, code) as calls:
                try:
                    run.save(tensors, header._replace(step=3))
                except OSError as error:
                    failure = error
        steps = loadable(folder)
        renamed = calls[:at].count("replace")
        assert steps == ([1, 2] if renamed < 2 else [2] if renamed == 2 else [2, 3])
        assert checkpoint.load(folder / "model.safetensors")[0].step >= steps[-1] - 1
        assert not list(folder.glob(".*"))
        with Run(folder) as run:
            restored = run.restore()
            assert restored is not None
            assert restored[0].step == steps[-1]
        if failure is None:
            break
        assert str(folder) in str(failure.filename)
    assert at > 12


@pytest.mark.parametrize("at", [0, 3, 11, 16, 25])
def test_a_training_on_a_full_disk_says_so_and_goes_on_later(
    at: int, data: Path, finished_small: Path, tmp_path: Path
) -> None:
    with failing(at, True, errno.ENOSPC):
        outcome = train(data, tmp_path / "run")
    assert outcome.code == 1
    *_, told, hint = outcome.err.splitlines()
    assert told.startswith(f"Error: {tmp_path / 'run'}")
    assert told.endswith("No space left on device")
    assert hint.startswith("free some space")
    assert not list((tmp_path / "run").glob(".*"))
    loadable(tmp_path / "run")
    assert train(data, tmp_path / "run").code == 0
    runs.assert_same(runs.result(tmp_path / "run"), runs.result(finished_small))


def test_metrics_on_a_full_disk(
    data: Path, finished_small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(run: Run, values: object) -> None:
        with run.metrics.open("a") as file:
            file.write('{"step": 5, "lo')
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(run.metrics))

    with monkeypatch.context() as patch:
        patch.setattr(Run, "log", full)
        outcome = train(data, tmp_path / "run")
    assert outcome.code == 1
    assert f"Error: {tmp_path / 'run' / 'metrics.jsonl'}: No space left" in outcome.err
    assert train(data, tmp_path / "run").code == 0
    runs.assert_same(runs.result(tmp_path / "run"), runs.result(finished_small))


def test_what_cannot_begin_anew_costs_nothing(finished_small: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished_small, run)
    before = contents(run)
    outcome = train(tmp_path / "nowhere", run, "--force")
    assert outcome.code == 1
    assert contents(run) == before


class TestInUse:
    def test_a_second_run_is_refused(self, data: Path, run: Path) -> None:
        before = contents(run)
        with (run / "run.lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            outcome = train(data, run, "--force")
        assert outcome.code == 1
        assert outcome.err.startswith(f"Error: {run}: in use by another run")
        assert contents(run) == before

    def test_the_lock_ends_with_its_run(self, tmp_path: Path) -> None:
        with Run(tmp_path), pytest.raises(Refusal, match="in use"):
            Run(tmp_path)
        with Run(tmp_path):
            pass

    def test_the_lock_dies_with_its_owner(self, tmp_path: Path) -> None:
        code = (
            "import fcntl, sys, time\n"
            "lock = open(sys.argv[1] + '/run.lock', 'ab')\n"
            "fcntl.flock(lock, fcntl.LOCK_EX)\nprint('held', flush=True)\ntime.sleep(60)"
        )
        with subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE
        ) as owner:
            assert owner.stdout is not None
            assert owner.stdout.readline() == b"held\n"
            with pytest.raises(Refusal, match="in use"):
                Run(tmp_path)
            owner.send_signal(signal.SIGKILL)
            owner.wait()
        with Run(tmp_path):
            pass


class TestPlaces:
    def test_a_file_in_the_way_is_refused(self, data: Path, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("mine")
        for place in (tmp_path / "file", tmp_path / "file" / "below"):
            outcome = train(data, place)
            assert outcome.code == 1
            assert str(tmp_path / "file") in outcome.err
        assert (tmp_path / "file").read_text() == "mine"

    @pytest.mark.parametrize("name", ["x" * 300, "/proc/nowhere/run"])
    def test_impossible_folders(self, name: str, data: Path, tmp_path: Path) -> None:
        outcome = train(data, tmp_path / name)
        assert outcome.code == 1
        assert outcome.err.startswith("Error: ")
        assert name[:9] in outcome.err
        assert list(tmp_path.iterdir()) == []

    def test_a_linked_folder_and_missing_parents(self, data: Path, tmp_path: Path) -> None:
        (tmp_path / "real").mkdir()
        (tmp_path / "link").symlink_to("real")
        place = tmp_path / "link" / "a" / "b"
        assert train(data, place, "--steps", 2).code == 0
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "real" / "a" / "b" / "model.safetensors").is_file()

    def test_a_failed_start_leaves_no_checkpoint(self, tmp_path: Path) -> None:
        outcome = train(tmp_path / "nowhere", tmp_path / "run")
        assert outcome.code == 1
        assert f"Error: {tmp_path / 'nowhere'}: " in outcome.err
        assert contents(tmp_path / "run") == {}

    def test_a_dry_run_writes_nothing(
        self, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        outcome = train(data, tmp_path / "run", "--dry-run")
        assert outcome.code == 0
        assert "[train]" in outcome.out
        assert "M parameters, 12 steps of 8 images" in outcome.err
        assert list(tmp_path.iterdir()) == []


def test_equal_runs_give_equal_bytes(data: Path, finished_small: Path, tmp_path: Path) -> None:
    assert train(data, tmp_path / "elsewhere").code == 0
    mine, theirs = contents(tmp_path / "elsewhere"), contents(finished_small)
    assert mine.pop("metrics.jsonl") != b""
    assert mine == {name: data for name, data in theirs.items() if name != "metrics.jsonl"}


def test_a_run_that_never_began_leaves_nothing(tmp_path: Path) -> None:
    words = ["--set", "data.name=folder", "--set", f"data.path={tmp_path}/none"]
    outcome = runs.ddpm("train", "--preset", "tiny", *words, "-o", tmp_path / "run")
    assert outcome.code == 1
    assert list(tmp_path.iterdir()) == []


def test_a_run_without_a_preset_has_a_folder_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folders: list[Path] = []
    monkeypatch.setattr(
        "ddpm_cli.pipelines.train.run", lambda request: folders.append(request.folder)
    )
    (tmp_path / "mine.toml").write_text("train = { steps = 5 }")
    for words in ([], ["--config", "mine.toml"], ["--preset", "tiny"], ["-o", "here"]):
        assert runs.ddpm("train", *words).code == 0
    assert folders == [Path("runs/custom"), Path("runs/mine"), Path("runs/tiny"), Path("here")]
