"""What the user sees: results on stdout, everything else on stderr, and progress.

Only the first process of a torchrun group talks; broken pipes, full disks and closed
or ASCII-only streams never stop the work that is reported on.
"""

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from ddpm_cli.errors import Refusal, one_line, visible

# Seconds before the first line of progress, and between two, when stderr is no terminal.
_FIRST, _INTERVAL = 5.0, 30.0


class _Settings:
    """Per-process state: how much to say, and what went wrong with stdout."""

    verbosity = 0
    has_the_word = False
    lost: OSError | None = None


def occupy_closed_streams() -> None:
    """Open what the caller closed of stdin, stdout and stderr onto nothing.

    A file opened later would get the free number, and with it whatever a library prints.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


@contextmanager
def silenced() -> Iterator[None]:
    """Say nothing but warnings for a while, as a library should."""
    before = _Settings.verbosity
    _Settings.verbosity = min(before, -1)
    try:
        yield
    finally:
        _Settings.verbosity = before


def set_verbosity(level: int) -> None:
    """Choose how much is said: -1 only warnings, 0 normal, 1 details, 2 tracebacks."""
    _Settings.verbosity = level


def verbosity() -> int:
    """Return the level chosen by -q and -v."""
    return _Settings.verbosity


def say(message: str) -> None:
    """Tell the user something on stderr, in one line, unless -q was given."""
    if _Settings.verbosity >= 0:
        _write_stderr(one_line(message))


def detail(message: str) -> None:
    """Tell the user something on stderr that only -v asks for."""
    if _Settings.verbosity >= 1:
        _write_stderr(one_line(message))


def warn(message: str) -> None:
    """Warn the user on stderr, also with -q."""
    _write_stderr(f"Warning: {one_line(message)}")


def error(message: str) -> None:
    """Print the lines of an error on stderr, from every process of a group."""
    _write_stderr(message, every_rank=True)


def error_of_all(message: str) -> None:
    """Print an error that all processes of a group have, unless another one speaks for them."""
    _write_stderr(message, every_rank=_Settings.has_the_word)


def take_the_word() -> None:
    """Let this process of a group print the error that ends it."""
    _Settings.has_the_word = True


def line(text: str) -> None:
    """Print a result on stdout that is one line, whatever the names in it hold."""
    result(visible(text, ""))


def result(text: str) -> None:
    """Print a result on stdout; the work goes on when nobody reads it any more.

    What would steer a terminal becomes an escape: names may come from others.
    """
    text = visible(text)
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    # Undecodable bytes of a path are written as they are, foreign letters as escapes.
    errors = "surrogateescape" if _encodable(text, encoding) else "backslashreplace"
    binary((text + "\n").encode(encoding, errors))


def json_line(values: Mapping[str, Any]) -> None:
    """Print a result on stdout as one JSON object on one line."""
    result(json.dumps(values, ensure_ascii=True, allow_nan=False))


def binary(data: bytes) -> None:
    """Write bytes to stdout; a closed pipe is silent, other faults are kept for `finish`."""
    if sys.stdout is None or _Settings.lost is not None:
        return
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError as error:
        _Settings.lost = error


def refuse_binary_terminal() -> None:
    """Refuse `-o -` when stdout is a terminal, before any work is done."""
    if sys.stdout is not None and sys.stdout.isatty():
        raise Refusal("-o -: stdout is a terminal", "redirect it: ddpm ... -o - > image.png")


def binary_input() -> BinaryIO:
    """Give stdin for bytes; a terminal is refused, as nobody types an image."""
    if sys.stdin is None or sys.stdin.isatty():
        raise Refusal("-: stdin is a terminal", "pipe an image into it: ddpm ... - < image.png")
    return sys.stdin.buffer


def finish() -> None:
    """Flush stdout at the end of the process, and raise what went wrong with it."""
    if sys.stdout is None:
        return
    try:
        if _Settings.lost is None:
            sys.stdout.flush()
    except OSError as error:
        _Settings.lost = error
    lost, _Settings.lost = _Settings.lost, None
    if lost is None:
        return
    # The interpreter flushes stdout once more on exit: give it a place that accepts it.
    with Path(os.devnull).open("wb") as sink:
        os.dup2(sink.fileno(), 1)
    if not isinstance(lost, BrokenPipeError):
        raise Refusal(f"stdout: {lost.strerror or lost}")


def duration(seconds: float) -> str:
    """A length of time in words, as 3 h 30 min, 12 min or 45 s."""
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    (hours, minutes), days = divmod(minutes, 60), round(seconds / 86400, 1)
    if hours >= 48:
        return f"{days:g} days"
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def progress(total: int | None, unit: str, quiet: bool = False, done: int = 0) -> "Progress":
    """Start a progress display of `total` units: a bar, or off a terminal a line now and then.

    done: the units finished before, when work goes on where it stopped.
    """
    shown = not quiet and _Settings.verbosity >= 0 and _first_rank()
    return Progress(total, unit, shown, done)


class Progress:
    """A progress display: `advance` it, and use it as a context manager to close it."""

    def __init__(self, total: int | None, unit: str, shown: bool, done: int = 0) -> None:
        self.total, self.unit, self.done = total, unit, done
        self._shown, self._note, self._before = shown, "", done
        self._began = time.monotonic()
        self._next = self._began + _FIRST
        self._bar = _bar(total, unit, done) if shown and _interactive() else None

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def advance(self, count: int = 1, note: str = "") -> None:
        """Count finished units; `note` is shown behind the numbers ("loss 0.031")."""
        self.done += count
        self._note = note or self._note
        if self._bar is not None:
            self._bar.set_postfix_str(self._note, refresh=False)
            self._bar.update(count)
        elif self._shown and time.monotonic() >= self._next:
            self._next = time.monotonic() + _INTERVAL
            _write_stderr(", ".join(filter(None, (*self._facts(), self._note))))

    def expect(self, count: int) -> None:
        """Change the total by so many units: more are known of now, or fewer."""
        if self.total is None:
            return
        self.total += count
        if self._bar is not None:
            self._bar.total = self.total

    def _facts(self) -> Iterator[str]:
        """How much is done, how fast, and the time that is left; work of before has no speed."""
        yield f"{self.done}{f'/{self.total}' if self.total is not None else ''} {self.unit}"
        rate = (self.done - self._before) / (time.monotonic() - self._began)
        if rate > 0:
            yield f"{rate:.3g} a second" if rate >= 0.1 else f"{1 / rate:.0f} s each"
        if rate > 0 and self.total is not None and self.total > self.done:
            yield f"{duration((self.total - self.done) / rate)} left"

    def say(self, message: str) -> None:
        """Tell the user something above the bar."""
        if self._bar is not None:
            self._bar.clear()
        say(message)

    def close(self) -> None:
        """Remove the bar from the terminal."""
        if self._bar is not None:
            self._bar.close()


def _bar(total: int | None, unit: str, done: int) -> Any:
    from tqdm import tqdm  # imported late: only a terminal needs it

    tqdm.monitor_interval = 0  # no thread beside forked data workers
    plain = not _encodable("\u2588", getattr(sys.stderr, "encoding", None) or "ascii")
    return tqdm(
        total=total,
        initial=done,
        unit=f" {unit}",
        file=sys.stderr,
        dynamic_ncols=True,
        ascii=plain,
        leave=False,
    )


def _interactive() -> bool:
    return sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def _first_rank() -> bool:
    return os.environ.get("RANK", "0") == "0"


def _encodable(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding, "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


def _write_stderr(message: str, every_rank: bool = False) -> None:
    if sys.stderr is None or not (every_rank or _first_rank()):
        return
    try:
        sys.stderr.write(visible(message) + "\n")
        sys.stderr.flush()
    except OSError:
        pass  # nobody can be told that nobody can be told
    except UnicodeEncodeError:
        sys.stderr.write(message.encode("ascii", "backslashreplace").decode() + "\n")
