"""Work in a thread: one piece after the other, and nothing that goes wrong is lost."""

import threading
import time

import pytest

from ddpm_cli.files.background import Background


def test_pieces_are_done_one_after_the_other() -> None:
    behind, done = Background(), []
    for number in range(3):

        def work(number: int = number) -> None:
            time.sleep(0.02 * (3 - number))
            done.append(number)

        behind.start(work)
    behind.wait()
    assert done == [0, 1, 2]


def test_a_fault_is_raised_once_by_whoever_waits() -> None:
    def work() -> None:
        raise OSError(28, "No space left on device", "state")

    behind = Background()
    assert not behind.failed
    behind.start(work)
    while not behind.failed:
        time.sleep(0.001)
    with pytest.raises(OSError, match="No space left"):
        behind.start(work)
    behind.wait()


def test_work_that_is_given_up_ends_at_its_next_check() -> None:
    behind, begun = Background(), threading.Event()

    def work() -> None:
        while True:
            begun.set()
            behind.check()
            time.sleep(0.001)

    behind.start(work)
    assert begun.wait(10)
    behind.give_up()
    assert not behind.failed
    behind.wait()


def test_who_is_interrupted_while_waiting_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second signal raises SystemExit in the main thread; the disk is not waited for."""
    behind, real = Background(), threading.Thread.join

    def join(thread: threading.Thread, timeout: float | None = None) -> None:
        monkeypatch.setattr(threading.Thread, "join", real)
        raise SystemExit(143)

    def work() -> None:
        while True:
            behind.check()
            time.sleep(0.001)

    behind.start(work)
    monkeypatch.setattr(threading.Thread, "join", join)
    with pytest.raises(SystemExit):
        behind.wait()
    behind.wait()
