"""Ctrl-C and SIGTERM: the handler only sets a flag, which every loop polls with `requested`.

The work then stops at a safe point, saves, and the process exits with 128 + signal number.
"""

import os
import signal
import threading
from types import FrameType

HANDLED = (signal.SIGINT, signal.SIGTERM)

_received: list[int] = []


def install() -> None:
    """Take over SIGINT and SIGTERM; call it before the first slow import."""
    _received.clear()
    if threading.current_thread() is threading.main_thread():
        for number in HANDLED:
            signal.signal(number, _receive)


def requested() -> int | None:
    """Return the number of the signal that asks the process to stop, or None."""
    return _received[0] if _received else None


def exit_code() -> int:
    """Return the exit code of a process stopped by the signal: 130 or 143, 0 without one."""
    return 128 + _received[0] if _received else 0


def _receive(number: int, frame: FrameType | None) -> None:
    _received.append(number)
    if len(_received) == 2:
        # SystemExit unwinds, so that half-written temporary files are still removed.
        raise SystemExit(128 + number)
    if len(_received) > 2:
        os._exit(128 + number)
