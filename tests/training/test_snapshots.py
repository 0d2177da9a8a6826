"""Saves that a thread writes are those that would have been written at once."""

import errno
import os
import time
from pathlib import Path

import pytest
import runs
import torch

from ddpm_cli import hardware
from ddpm_cli.files.checkpoints.checkpoint import load
from ddpm_cli.files.checkpoints.header import Header
from ddpm_cli.files.checkpoints.run import Run
from ddpm_cli.training.snapshots import Snapshots


def test_copies_stay_as_they_were() -> None:
    tensors = {"a": torch.ones(3), "b": torch.zeros(2, 2, dtype=torch.int64)}
    taken = Snapshots().take(tensors)
    for tensor in tensors.values():
        tensor.add_(1)
    assert torch.equal(taken["a"], torch.ones(3))
    assert torch.equal(taken["b"], torch.zeros(2, 2, dtype=torch.int64))


@pytest.mark.parametrize(("free", "copied"), [(23, False), (24, True), (None, True)])
def test_copies_leave_memory_for_what_else_there_is(
    free: int | None, copied: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "free_memory", lambda device: free)
    assert Snapshots().fit({"a": torch.ones(3)}) == copied


def test_files_are_those_of_saves_that_are_waited_for(
    data: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Snapshots, "fit", lambda self, tensors: False)
    assert runs.train(data, tmp_path / "run").code == 0
    mine, theirs = runs.contents(tmp_path / "run"), runs.contents(finished)
    del mine["metrics.jsonl"], theirs["metrics.jsonl"]
    assert mine == theirs


def test_steps_go_on_while_a_slow_disk_writes(
    data: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written is the state of its own step, however late."""
    real = Run.save

    def save(run: Run, tensors: dict[str, torch.Tensor], header: Header) -> None:
        time.sleep(0.3)
        real(run, tensors, header)

    monkeypatch.setattr(Run, "save", save)
    assert runs.train(data, tmp_path / "run").code == 0
    runs.assert_same(runs.result(tmp_path / "run"), runs.result(finished))
    states = [load(folder / "state.previous.safetensors")
              for folder in (tmp_path / "run", finished)]  # fmt: skip
    assert [header.step for header, _ in states] == [8, 8]
    assert all(torch.equal(states[0][1][name], value) for name, value in states[1][1].items())


def test_a_disk_that_is_full_stops_the_run_at_its_next_step(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def save(run: Run, tensors: dict[str, torch.Tensor], header: Header) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(run.newest))

    steps: list[str] = []
    monkeypatch.setattr(Run, "save", save)
    monkeypatch.setattr(
        "ddpm_cli.pipelines.journal.Journal.advance",
        lambda journal, note: (steps.append(note), time.sleep(0.05)),
    )
    outcome = runs.train(data, tmp_path / "run")
    assert outcome.code == 1
    state = tmp_path / "run" / "state.safetensors"
    assert f"Error: {state}: No space left on device\nfree some space" in outcome.err
    assert len(steps) == 5  # saved at the fourth
