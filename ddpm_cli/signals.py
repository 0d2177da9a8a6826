"""Ctrl-C, SIGTERM and SIGHUP: the handler only sets a flag, which every loop polls.

The work then stops at a safe point, saves, and the process exits with 128 + signal number.
"""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

HANDLED = (signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else []))
ECHO = 0.05  # seconds within which the same signal is the same wish: `timeout` sends it twice

_received: list[tuple[int, float]] = []


def install() -> None:
    """Take over the signals that ask to stop; call it before the first slow import.

    A SIGHUP that is ignored stays so: that is what `nohup` is for.
    """
    _received.clear()
    if threading.current_thread() is not threading.main_thread():
        return
    for number in HANDLED:
        if number in HANDLED[:2] or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _receive)


def requested() -> int | None:
    """Return the number of the signal that asks the process to stop, or None."""
    return _received[0][0] if _received else None


def exit_code() -> int:
    """Return the exit code of a process stopped by the signal: 130 or 143, 0 without one."""
    return 128 + _received[0][0] if _received else 0


@contextmanager
def held_back() -> Iterator[None]:
    """Let signals that ask to stop wait: a child that is born meanwhile never hears them.

    They are sent to whole groups of processes, and the parent alone knows how to stop.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def ignore() -> None:
    """Leave it to the parent to stop this process."""
    for number in HANDLED:
        signal.signal(number, signal.SIG_IGN)


def _receive(number: int, frame: FrameType | None) -> None:
    if _is_echo(number):
        return
    _received.append((number, time.monotonic()))
    if len(_received) == 2:
        # SystemExit unwinds, so that half-written temporary files are still removed.
        raise SystemExit(128 + number)
    if len(_received) > 2:
        os._exit(128 + number)


def _is_echo(number: int) -> bool:
    """Whether a signal is the first one once more, and not a second wish.

    torchrun passes on what its whole group has heard already, and ends by itself who is slow.
    """
    if len(_received) != 1:
        return False
    first, moment = _received[0]
    soon = number == first and time.monotonic() - moment < ECHO
    return soon or "TORCHELASTIC_RUN_ID" in os.environ
