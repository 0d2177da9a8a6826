"""What the shell offers, through Click's own interface."""

import subprocess
import sys
from pathlib import Path

import click
import pytest
import random_models
from click.shell_completion import ShellComplete
from processes import ENVIRONMENT

from ddpm_cli import cli
from ddpm_cli.files.quantities import Quantities
from ddpm_cli.settings import catalog, recipes


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
