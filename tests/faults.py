"""File operations that fail on demand: full disks and input/output errors."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

NAMES = ("open", "fsync", "replace", "link")


@contextmanager
def failing(at: int, for_ever: bool, code: int) -> Iterator[list[str]]:
    """Let file operation number `at` (from 0) fail, and maybe all later ones; list all calls."""
    calls: list[str] = []

    def wrap(name: str) -> Callable[..., Any]:
        real = getattr(os, name)

        def call(*args: Any, **options: Any) -> Any:
            calls.append(name)
            if len(calls) - 1 == at or (for_ever and len(calls) > at):
                raise OSError(code, os.strerror(code), str(args[0]))
            return real(*args, **options)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in NAMES:
            patch.setattr(os, name, wrap(name))
        yield calls
