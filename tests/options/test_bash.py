"""What bash offers: for words as it takes them apart, and in a real one that is at hand."""

import os
import pty
import select
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import ENVIRONMENT

from ddpm_cli.options import completion


@pytest.mark.parametrize(
    ("words", "cursor", "answers"),
    [
        ("ddpm sample --set sampler.name=heu", 3, ["plain,sampler.name=heun"]),
        ("ddpm sample --set sampler.name = heu", 5, ["plain,heun"]),  # as bash takes it apart
        ("ddpm sample --set compute.compile =", 4, ["plain,true", "plain,false"]),
        ("ddpm sample --set sampler.eta = 1 --device mp", 7, ["plain,mps"]),
        ("ddpm sample --sampler = dpm-solver-m", 4, ["plain,dpm-solver-multi"]),
        ("ddpm sample --device =", 3, [f"plain,{name}" for name in completion.DEVICES]),
        ("ddpm sample -m mnist --class = 3", 6, ["plain,3"]),
        ("ddpm sample --model = mnist --class = 3", 7, ["plain,3"]),
        ("ddpm sample --set = sampler.name = heu", 6, ["plain,heun"]),
        ("ddpm sample --set = sampler.et", 4, ["plain,sampler.eta="]),
        ("ddpm sample --set sampler.name = --device mp", 6, ["plain,mps"]),
        ("ddpm sample --output = a = b.png --device = mp", 9, ["plain,mps"]),
        ("ddpm train --config = pre", 4, ["file,pre"]),
        ("ddpm sample -m mnist,mnist-u", 3, ["plain,mnist,mnist-upscale"]),
    ],
)
def test_words_that_bash_takes_apart(words: str, cursor: int, answers: list[str]) -> None:
    asked = {"_DDPM_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(cursor)}
    done = subprocess.run(
        [sys.executable, "-m", "ddpm_cli"],
        env=ENVIRONMENT | asked, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == answers


@pytest.fixture
def bash(tmp_path: Path) -> Iterator[int]:
    """The terminal of a bash that knows the command."""
    command = tmp_path / "ddpm"
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m ddpm_cli "$@"\n')
    command.chmod(0o755)
    known = {"PATH": f"{tmp_path}:{ENVIRONMENT['PATH']}", "PS1": "$ ", "TERM": "dumb"}
    (tmp_path / "here" / "a-model").mkdir(parents=True)
    (tmp_path / "here" / "plain.toml").touch()
    (tmp_path / "mnist-drawn.png").touch()
    terminal, inner = pty.openpty()
    shell = subprocess.Popen(
        ["bash", "--norc", "--noprofile", "-i"],
        env=ENVIRONMENT | known, cwd=tmp_path, start_new_session=True,
        stdin=inner, stdout=inner, stderr=inner,
    )  # fmt: skip
    os.close(inner)
    os.write(terminal, b'eval "$(_DDPM_COMPLETE=bash_source ddpm)"; echo rea""dy\n')
    read(terminal, "ready\r\n")
    yield terminal
    shell.kill()
    shell.wait()
    os.close(terminal)


def read(terminal: int, wanted: str, seconds: float = 30) -> str:
    """What a terminal shows until it is what is wanted."""
    text, end = "", time.monotonic() + seconds
    while wanted not in text and time.monotonic() < end:
        if select.select([terminal], [], [], 0.1)[0]:
            text += os.read(terminal, 65536).decode(errors="replace")
    assert wanted in text
    return text


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_a_real_bash(bash: int) -> None:
    for typed, shown in (
        ("sample --set sampler.name=heu", "n "),
        ("sample --set sampler.et", "a="),
        ("sample --set compute.compile=f", "alse "),
        ("sample --set=sampler.name=heu", "n "),
        ("sample --sampler=dpm-solver-m", "ulti "),
        ("sample --device=cp", "u "),
        ("sample --class=al", "l "),
        ("sample -m mnist,mnist-u", "pscale "),
        ("sample -m mnist,here/a", "-model/"),
        ("train --config=here/p", "lain.toml "),
        ("train --set data.path=here/a-m", "odel/"),
        ("info mnist-u", "pscale "),
        ("info mnist-dr", "awn.png "),  # a file beside models
        ("info here/p", "lain.toml "),
        ("fit here/a", "-model/"),
        ("inpaint --mask alp", "ha "),
        ("inpaint --mask here/p", "lain.toml "),
        ("guide --clip-model here/a", "-model/"),
    ):
        os.write(bash, f"ddpm {typed}\t".encode())
        read(bash, f"ddpm {typed}{shown}")
        os.write(bash, b"\x15")
