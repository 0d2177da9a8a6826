"""Commands run by a group of processes under torchrun."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import ddpm_cli

OWN = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(ddpm_cli.__file__).parent.parent)}


def command(ranks: int, *words: object) -> list[str]:
    """What starts `ddpm WORDS` in so many processes."""
    launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"]
    return [str(word) for word in (sys.executable, *launch, "-m", "ddpm_cli", *words)]


def torchrun(ranks: int, *words: object, text: bool = True) -> "subprocess.CompletedProcess[Any]":
    """Run `ddpm WORDS` in so many processes; one that hangs fails."""
    return subprocess.run(
        command(ranks, *words),
        capture_output=True, text=text, env={**os.environ, **OWN}, timeout=300, check=False,
    )  # fmt: skip


def told(done: "subprocess.CompletedProcess[Any]") -> list[str]:
    """The lines of errors, which one process of a group tells, without torchrun's own."""
    return [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
