"""Real processes that tests start: none is left where a test fails, or waits for ever."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import ddpm_cli

PATIENCE = 300.0  # seconds; a busy machine takes its time to import torch
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(ddpm_cli.__file__).parent.parent)}


@contextlib.contextmanager
def started(words: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A process, killed with its group, if it has one of its own, where the block fails.

    Popen itself would wait for its end, which may never come.
    """
    with subprocess.Popen(words, text=True, **options) as process:
        try:
            yield process
        except BaseException:
            if options.get("start_new_session"):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
            process.kill()
            raise


def ddpm(*words: object, group: bool = False) -> contextlib.AbstractContextManager[Any]:
    """Start `ddpm WORDS`, in a process group of its own if asked for."""
    program = [sys.executable, "-m", "ddpm_cli", *map(str, words)]
    heard = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return started(program, start_new_session=group, env=ENVIRONMENT, **heard)


def wait_for(path: Path, process: subprocess.Popen[str], older: int = 0, least: int = 0) -> None:
    """Wait until a file is there, of so many bytes, changed later than `older` in nanoseconds."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        with contextlib.suppress(FileNotFoundError):
            found = path.stat()
            if found.st_mtime_ns > older and found.st_size >= least:
                return
        assert process.poll() is None, process.communicate()
        time.sleep(0.002)
    raise AssertionError(f"{path} did not come")
