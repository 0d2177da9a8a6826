"""What a result says of its own making, and the command that makes it again."""

import shlex
from pathlib import Path
from typing import Any

import click
import pytest
import torch
from click.testing import CliRunner
from runs import ddpm

from ddpm_cli import hardware
from ddpm_cli.errors import Refusal
from ddpm_cli.files import provenance
from ddpm_cli.files.checkpoints.header import read_header
from ddpm_cli.files.images.inputs import sources
from ddpm_cli.files.images.pixels import encode_png, read_metadata
from ddpm_cli.files.outputs.edits import open_results
from ddpm_cli.options import reading

MADE: dict[str, Any] = {
    "version": "0", "command": "edit", "model": "my model", "hash": "f00", "class": None,
    "settings": {"sampler": {"name": "ddim", "eta": 0.0}}, "batch": 8, "threads": 2,
    "device": "cpu", "dtype": "float32", "seeds": "3", "inputs": ["in/a b.png"],
    "arguments": ["--mask", "m.png", "--invert"],
}  # fmt: skip
TAIL = (
    "--batch 8 --dtype float32 --device cpu --set compute.threads=2 --set compute.rng=torch "
    "--set 'sampler={name = \"ddim\", eta = 0.0}'"
)


def replayed(**changes: Any) -> str:
    made = {key: value for key, value in (MADE | changes).items() if value != "drop"}
    return shlex.join(provenance.replay(made, "x.png"))


class TestReplay:
    def test_inputs_words_and_settings(self) -> None:
        expected = "ddpm edit 'in/a b.png' --mask m.png --invert -m 'my model' --seeds 3 "
        assert replayed() == expected + TAIL

    def test_a_class(self) -> None:
        assert "--seeds 3 --class 7 --batch" in replayed(**{"class": "7"})

    def test_what_rounding_depends_on(self) -> None:
        chosen = {"tf32": False, "cudnn_benchmark": True}
        words = "rng=torch --set compute.tf32=false --set compute.cudnn_benchmark=true --set"
        assert words in replayed(compute=chosen)
        for hostile in ({"device": True}, {"tf32": "false; x"}, "tf32"):
            with pytest.raises(Refusal, match="incomplete"):
                replayed(compute=hostile)

    def test_what_draws_nothing(self) -> None:
        expected = "ddpm edit a.png b.png -m m "
        assert (
            replayed(seeds="drop", arguments="drop", inputs=["a.png", "b.png"], model="m")
            == expected + TAIL
        )

    def test_what_made_its_noise(self) -> None:
        """Records of before there was Philox do not say it; it was torch."""
        assert "--set compute.rng=torch " in replayed()
        assert "--set compute.rng=philox " in replayed(rng="philox")

    def test_names_with_a_dash(self) -> None:
        assert replayed(inputs=["-a.png", "-"]).endswith(" -- -a.png -")
        assert replayed(inputs=["-"]).startswith("ddpm edit - --mask")

    @pytest.mark.parametrize(
        "changes",
        [
            {"inputs": "a.png"},
            {"inputs": [3]},
            {"arguments": {"a": 1}},
            {"inputs": [], "seeds": "drop"},
            {"model": "drop"},
            {"settings": 3},
        ],
    )
    def test_an_incomplete_entry(self, changes: dict[str, Any]) -> None:
        with pytest.raises(Refusal, match=r"x\.png: its ddpm entry is incomplete"):
            replayed(**changes)


@click.command()
@click.option("-k", "--known", default="white", envvar="DDPM_KNOWN")
@click.option("--box", multiple=True)
@click.option("--invert", is_flag=True)
@click.option("--jump", type=int)
@click.option("--other")
@click.argument("inputs", nargs=-1)
@click.pass_context
def edit(ctx: click.Context, /, **_: Any) -> None:
    click.echo(shlex.join(reading.words(ctx, "known", "box", "invert", "jump")))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("a.png --other 3", ""),
        ("-k white", "--known white"),
        ("--jump=3 --invert a.png", "--invert --jump 3"),
        ("--box 1,2 --box '3 4'", "--box 1,2 --box '3 4'"),
    ],
)
def test_given(words: str, expected: str) -> None:
    assert CliRunner().invoke(edit, words).output.strip() == expected


def test_given_by_the_environment() -> None:
    outcome = CliRunner().invoke(edit, "", env={"DDPM_KNOWN": "black"})
    assert outcome.output.strip() == "--known black"


def test_info_prints_the_command_of_an_edit(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    header = read_header(finished / "model.safetensors")
    compute = hardware.compute(device="cpu", dtype="float32")
    record = provenance.record(
        "encode", "m", header, header.config, compute, 4, label="none", arguments=["--at", "0.5"]
    )
    pixels = torch.zeros(1, 8, 8, dtype=torch.uint8)
    Path("a.png").write_bytes(encode_png(pixels))
    found = open_results(
        "x.png", sources(["a.png"]), [7], default="x", force=False, skip_existing=False
    )
    found.add("a.png", 7, pixels, record)
    outcome = ddpm("info", "x.png", "--command")
    assert outcome.code == 0, outcome.err
    start = "ddpm encode a.png --at 0.5 -m m --seeds 7 --class none --batch 4 --dtype float32 "
    assert outcome.out.startswith(start + "--device cpu --set compute.threads=")
    assert "-o" not in outcome.out.split()
    assert outcome.err.splitlines()[-1] == "add -o x.png to write it in its place:"
    assert ddpm("info", "x.png", "--json").code == 0
    assert read_metadata("x.png")["hash"] == header.hash


def test_what_differs_is_named_by_its_key() -> None:
    there = {
        "seeds": "3",
        "hash": "a",
        "settings": {"levels": {"name": "karras", "count": 3}, "wrappers": [{"name": "x"}]},
    }
    assert provenance.differing(there, there) == provenance.differing({}, there) == []
    wanted = {
        "seeds": "7",
        "hash": "b",
        "settings": {
            "levels": {"name": "karras", "count": 4},
            "guidance": {"name": "cfg", "scale": 2.0},
            "wrappers": [],
        },
    }
    assert provenance.differing(there, wanted) == [
        "seed 3, not 7",
        "model",
        "levels.count 3, not 4",
        "wrappers",
        "guidance",
    ]
