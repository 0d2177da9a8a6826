"""What the shell offers: through Click's own interface, and through a bash that is at hand."""

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

import click
import pytest
import random_models
from click.shell_completion import ShellComplete

from ddpm_cli import cli
from ddpm_cli.files.quantities import Quantities
from ddpm_cli.options import completion
from ddpm_cli.settings import catalog, recipes

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).parent.parent)}


def offered(*words: str) -> list[str]:
    """What stands to choose from in the last place of a command line."""
    *before, last = words
    shell = ShellComplete(cli.ddpm, {}, "ddpm", "_DDPM_COMPLETE")
    return [item.value for item in shell.get_completions(before, last)]


class TestSettings:
    def test_keys(self) -> None:
        keys = offered("sample", "--set", "sampler.")
        assert {"sampler.name=", "sampler.eta=", "sampler.variance="} <= {*keys}
        assert all(key.startswith("sampler.") for key in keys)
        assert "compute.device=" in offered("train", "--set", "")

    def test_names(self) -> None:
        names = [f"sampler.name={name}" for name in (*catalog.names("sampler"), *recipes.names())]
        assert offered("sample", "--set", "sampler.name=") == names
        assert offered("train", "--set", "network.name=m") == ["network.name=mlp"]
        assert "corrector.name=none" in offered("sample", "--set", "corrector.name=")

    @pytest.mark.parametrize(
        ("typed", "values"),
        [
            ("compute.compile=", ["true", "false"]),
            ("compute.dtype=", ["auto", "float32", "bfloat16", "float16"]),
            ("network.norm=p", ["pixel"]),
            ("guidance.high=", ["none"]),
            ("sampler.eta=", []),
            ("nothing.name=", []),
            ("sampler.nothing=", []),
        ],
    )
    def test_values(self, typed: str, values: list[str]) -> None:
        key = typed.partition("=")[0]
        assert offered("train", "--set", typed) == [f"{key}={value}" for value in values]

    @pytest.mark.parametrize(
        ("typed", "values"),
        [
            ("compute.device=c", ["cpu", "cuda"]),
            ("init.model=mnist-u", ["mnist-upscale"]),
            ("data.labels=f", ["folders", "f"]),  # or a file of that beginning
            ("data.path=f", ["f"]),
        ],
    )
    def test_free_text(self, typed: str, values: list[str]) -> None:
        key = typed.partition("=")[0]
        assert offered("train", "--set", typed) == [f"{key}={value}" for value in values]


PATHS = {"FILE", "FILE.PY:NAME", "IMAGE", "INPUT", "MASK", "MODEL", "PATH", "RUN", "TARGET"}


class TestPaths:
    def test_all_that_take_one(self) -> None:
        for verb, command in cli.ddpm.commands.items():
            for option in command.params:
                metavar = (option.metavar or option.name or "").upper().strip("[].")
                if metavar in PATHS:
                    items = option.shell_complete(click.Context(command), "no-such-th")
                    assert [item.type for item in items] == ["file"], (verb, option.name)

    def test_words_beside_them(self) -> None:
        assert offered("info", "mnist-u") == ["mnist-upscale", "mnist-u"]
        assert offered("fit", "mnist-u") == ["mnist-upscale"]
        for verb in ("inpaint", "guide"):
            assert offered(verb, "--mask", "al") == ["alpha", "al"]
            assert offered(verb, "--mask", "b") == ["b"]

    def test_models_of_a_cascade(self, tmp_path: Path) -> None:
        assert "mnist,mnist-upscale" in offered("sample", "-m", "mnist,")
        assert offered("sample", "-m", "mnist,mnist-u") == ["mnist,mnist-upscale"]
        (tmp_path / "large").mkdir()
        (tmp_path / "last.safetensors").touch()
        typed = f"mnist,{tmp_path}/la"
        assert offered("sample", "-m", typed) == [f"{typed}rge/", f"{typed}st.safetensors"]
        assert offered("sample", "-m", f"mnist,{tmp_path}/no/") == []


class TestNames:
    def test_numbers_of_the_model(self, tmp_path: Path) -> None:
        known = Quantities(("age", "size"), (0.0,) * 2, (1.0,) * 2, (0.0,) * 2, (1.0,) * 2)
        path = tmp_path / "a.safetensors"
        random_models.saved(path, random_models.MLP, shape=(2,), known=known, values={})
        assert offered("sample", "-m", str(path), "--value", "") == ["age=", "size="]
        assert offered("nll", "-m", str(path), "--value", "") == ["age=", "size=", "own"]
        assert offered("sample", "-m", "mnist", "--value", "") == []

    def test_classes_of_the_model(self, roll: Path) -> None:
        digits = [*map(str, range(10))]
        assert offered("sample", "--class", "") == [*digits, "all", "none"]
        assert offered("sample", "-m", "mnist", "--class", "a") == ["all"]
        assert offered("guide", "-m", "mnist,mnist-upscale", "--class", "3,") == [
            f"3,{digit}" for digit in digits
        ]
        assert offered("nll", "--class", "o") == ["own"]
        for verb in ("encode", "interpolate", "inpaint", "upscale"):
            assert offered(verb, "--class", "7") == ["7"]
        assert offered("sample", "-m", str(roll), "--class", "") == ["all", "none"]
        assert offered("sample", "-m", "no-such-model", "--class", "") == ["all", "none"]

    def test_devices_and_formats(self) -> None:
        assert offered("sample", "--device", "") == ["auto", "cpu", "cuda", "mps"]
        assert offered("train", "--dtype", "b") == ["bfloat16"]


LIGHT = """
import sys
from click.shell_completion import ShellComplete
from ddpm_cli import cli
shell = ShellComplete(cli.ddpm, {}, "ddpm", "_DDPM_COMPLETE")
for flag, last in (("--set", ""), ("--set", "sampler.name="), ("--class", ""), ("-m", "")):
    assert shell.get_completions(["sample", flag], last)
assert shell.get_completions(["info"], "") and shell.get_completions(["fit"], "")
assert not {"torch", "numpy", "PIL", "safetensors", "tqdm"} & sys.modules.keys()
"""


def test_it_waits_for_no_package() -> None:
    subprocess.run([sys.executable, "-c", LIGHT], check=True, env=ENVIRONMENT)


def test_lists_are_completed_value_by_value() -> None:
    assert {"sampler=", "seed=", "sampler.eta="} <= {*offered("eval", "--sweep", "s")}
    assert offered("eval", "--sweep", "sampler=ddim,heu") == ["sampler=ddim,heun"]
    left = offered("eval", "--sweep", "compute.dtype=auto,float32,")
    names = ["bfloat16", "float16"]
    assert left == [f"compute.dtype=auto,float32,{name}" for name in names]


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
