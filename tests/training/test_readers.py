"""Worker processes that read ahead: the same rows, whatever happens to them."""

import _multiprocessing
import errno
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import runs
import torch
from torch import Tensor

from ddpm_cli.data.image_set import Conditions, ImageSet
from ddpm_cli.errors import Refusal
from ddpm_cli.training import readers
from ddpm_cli.training.readers import Images, Readers

ORDER = [torch.tensor([number, 9 - number]) for number in range(9)]
FORKED = pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux alone")


class Squares:
    """Rows that are squares of their positions, with those as classes; worker 1 has an accident.

    accident: what happens in its process alone, before its second item.
    """

    def __init__(self, accident: Callable[[], object] | None = None) -> None:
        self._home, self._accident = os.getpid(), accident

    def __len__(self) -> int:
        return 10

    def __getitem__(self, indices: Tensor) -> tuple[Tensor, Conditions]:
        if self._accident and os.getpid() != self._home and int(indices[0]) == 3:
            self._accident()
        return indices.float() ** 2, {"classes": indices}


def taken(found: Iterator[tuple[Tensor, Conditions]]) -> list[list[float]]:
    """The rows, which must be those of their classes."""
    rows = []
    for values, told in found:
        assert torch.equal(values, told["classes"].float() ** 2)
        rows.append(told["classes"].tolist())
    return rows


EXPECTED = [indices.tolist() for indices in ORDER]


@pytest.mark.parametrize("workers", [0, 1, 2, 4, 12])
def test_all_rows_come_in_their_order(workers: int) -> None:
    with Readers(Squares(), ORDER, workers) as found:
        assert taken(iter(found)) == EXPECTED
    assert found.fault == ""
    assert [process.is_alive() for process in found._processes] == [False] * workers


@FORKED
def test_signals_to_the_whole_group_do_not_reach_workers() -> None:
    def struck() -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            os.kill(os.getpid(), number)

    with Readers(Squares(struck), ORDER, 2) as found:
        assert taken(iter(found)) == EXPECTED
    assert found.fault == ""


@FORKED
@pytest.mark.parametrize(
    ("accident", "why"),
    [
        (lambda: os.kill(os.getpid(), signal.SIGKILL), r"was killed \(SIGKILL, .*memory"),
        (lambda: os._exit(7), "ended with exit code 7"),
        (lambda: time.sleep(60), "gave nothing for 0.2 s"),
    ],
    ids=["out of memory", "exit", "stuck"],
)
def test_what_a_lost_worker_owes_is_read_here(
    accident: Callable[[], object], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "PATIENCE", 0.2)
    monkeypatch.setattr(readers, "BEAT", 0.1)
    with Readers(Squares(accident), ORDER, 2) as found:
        assert taken(iter(found)) == EXPECTED
    assert re.match(f"train.workers: worker 2 of 2 {why}", found.fault), found.fault
    assert not any(process.is_alive() for process in found._processes)


def test_what_a_full_shared_memory_does_is_named() -> None:
    """A data set of a program may use it, whatever this package does."""
    assert readers._ending(-signal.SIGBUS) == "was killed (SIGBUS: is /dev/shm full?)"


class Foreign(Exception):
    """Of a program's own data set: it can be written, but not read again."""

    def __init__(self, place: str, number: int) -> None:
        super().__init__(f"{place} {number}")


@FORKED
@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Refusal("a.png: torn", "remove it"), Refusal("a.png: torn", "remove it")),
        (KeyError("a"), KeyError("a")),
        (Foreign("row", 3), RuntimeError("Foreign: row 3")),
    ],
)
def test_an_error_in_a_worker_is_raised_here(error: Exception, expected: Exception) -> None:
    def fail() -> None:
        raise error

    with Readers(Squares(fail), ORDER, 2) as found, pytest.raises(type(expected)) as raised:
        list(found)
    assert (type(raised.value), str(raised.value)) == (type(expected), str(expected))


@FORKED
def test_a_process_that_cannot_be_started_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def fork() -> int:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", fork)
    with pytest.raises(Refusal, match="only 0 of 2 could be started: Resource") as refused:
        Readers(Squares(), ORDER, 2)
    assert "--set train.workers=0" in refused.value.message


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full /dev/shm: neither a tensor nor a semaphore finds a place there."""

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(_multiprocessing, "SemLock", refuse)
    for name in ("_share_fd_cpu_", "_share_filename_cpu_", "_new_using_fd_cpu"):
        monkeypatch.setattr(torch.UntypedStorage, name, refuse)


@pytest.mark.usefixtures("full")
def test_training_needs_no_shared_memory(data: Path, finished_small: Path, tmp_path: Path) -> None:
    outcome = runs.train_small(data, tmp_path / "run", "--set", "train.workers=2")
    assert outcome.code == 0, outcome.err
    runs.assert_same(runs.result(tmp_path / "run"), runs.result(finished_small))


@FORKED
def test_workers_lost_in_training_leave_a_run_to_go_on_from(
    data: Path, finished_small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = readers._work

    def doomed(images: Images, order: Iterable[Tensor], *rest: Any) -> None:
        real(images, list(order)[:7], *rest)
        os.kill(os.getpid(), signal.SIGKILL)

    with monkeypatch.context() as patch:
        patch.setattr(readers, "_work", doomed)
        outcome = runs.train_small(data, tmp_path / "run", "--set", "train.workers=2")
    assert outcome.code == 1
    first, second = outcome.err.splitlines()[-2:]
    assert first.startswith("Error: train.workers: worker 2 of 2 was killed (SIGKILL")
    assert "--set train.workers=0" in second
    assert "saved at step 8" in second
    assert runs.train_small(data, tmp_path / "run", "--set", "train.workers=0").code == 0
    runs.assert_same(runs.result(tmp_path / "run"), runs.result(finished_small))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_file_that_turns_bad_costs_no_step(
    workers: int, data: Path, finished_small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = ImageSet.__getitem__

    def torn(self: ImageSet, indices: Tensor) -> tuple[Tensor, Conditions]:
        nonlocal left
        left -= len(indices) == 8  # a batch, and no look at the data
        if not left:
            raise Refusal("a.png: torn")
        return real(self, indices)

    left = 7
    with monkeypatch.context() as patch:
        patch.setattr(ImageSet, "__getitem__", torn)
        outcome = runs.train_small(data, tmp_path / "run", "--set", f"train.workers={workers}")
    assert outcome.code == 1
    assert outcome.err.splitlines()[-1] == "Error: a.png: torn"
    assert runs.result(tmp_path / "run").step == 6
    assert runs.train_small(data, tmp_path / "run").code == 0
    runs.assert_same(runs.result(tmp_path / "run"), runs.result(finished_small))


def test_more_workers_than_cores_are_said_once(data: Path, tmp_path: Path) -> None:
    words = ["--set", f"train.workers={(os.cpu_count() or 1) + 1}", "--steps", 2]
    outcome = runs.train_small(data, tmp_path / "run", *words)
    assert outcome.code == 0
    assert outcome.err.count("Warning: train.workers: ") == 1


def test_workers_have_an_upper_end(data: Path, tmp_path: Path) -> None:
    outcome = runs.train_small(data, tmp_path / "run", "--set", "train.workers=257")
    assert outcome.code == 2
    assert "train.workers: 257 does not fit" in outcome.err
