"""Faults of code of the user's own, told as one line that names it."""

import contextlib
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

import torch

from ddpm_cli.errors import Refusal

TEXT_LIMIT = 200


@contextlib.contextmanager
def blamed(name: str, fix: str, path: Path | None = None) -> Iterator[None]:
    """Refuse whatever is raised within as a fault of the code of this name.

    path: the file whose last line in the traceback is told.  What is printed within goes to
    standard error, as results alone go to standard output.
    """
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    except (Refusal, MemoryError, torch.OutOfMemoryError):
        raise
    except (Exception, SystemExit) as error:
        if "can't allocate memory" in str(error):
            raise
        words = error.msg if isinstance(error, SyntaxError) else str(error)
        text = (words.splitlines() or [""])[0][:TEXT_LIMIT]
        what = f"{_place(error, path)}{type(error).__name__}{': ' if text else ''}{text}"
        raise Refusal(f"{name}: {what}", fix) from error


def _place(error: BaseException, path: Path | None) -> str:
    """The line of a file where something went wrong, if it was there."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return f"line {error.lineno}: "
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(path)]
    return f"line {lines[-1]}: " if lines else ""
