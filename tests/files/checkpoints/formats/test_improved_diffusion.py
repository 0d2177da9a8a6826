"""Files of improved-diffusion, in each container that its scripts write."""

from pathlib import Path
from typing import Any

import openai_files
import pytest
import torch
from foreign_checkpoints import assert_outputs, converted, described, numbers, unpacked
from runs import ddpm, done

from ddpm_cli.files.checkpoints import formats
from ddpm_cli.files.checkpoints.containers.content import Content
from ddpm_cli.files.checkpoints.conversion import Ask
from ddpm_cli.models import build
from ddpm_cli.networks import unet
from ddpm_cli.networks.parts.outlines import outline
from ddpm_cli.settings import releases

NAME = "improved_diffusion"
TOLD = {
    "data.size": 8,
    "schedule.name": "cosine",
    "schedule.steps": 4000,
    "parameterization.name": "eps",
    "label.scale": 0.25,
    "network.heads": 2,
}
WORDS = ["--from", "improved-diffusion"]
WORDS += [word for key, value in TOLD.items() for word in ("--set", f"{key}={value}")]


@pytest.mark.parametrize("number", range(len(described(NAME)["files"])))
def test_every_container_gives_the_numbers_of_the_peer(number: int, tmp_path: Path) -> None:
    model, io = converted(unpacked(NAME, tmp_path, number), *WORDS), numbers(NAME)
    want = io["out_model"], io["out64_model"]
    assert_outputs(model, io["x"], io["t_network"], None, want)


def test_times_are_rescaled_as_in_the_peer(tmp_path: Path) -> None:
    model, io = converted(unpacked(NAME, tmp_path), *WORDS), numbers(NAME)
    sigma = model.schedule.levels[io["t"].long()]
    label = build.label(model.config)(sigma, model.schedule)
    assert torch.equal(label.double(), io["t_network"].double())


def test_ten_steps_run(tmp_path: Path) -> None:
    done("convert", unpacked(NAME, tmp_path), "-o", tmp_path / "m.safetensors", *WORDS)
    done("sample", "-m", tmp_path / "m.safetensors", "--steps", "10", "-o", tmp_path / "x.png")


def test_what_is_missing_is_listed_and_no_order_of_rows(tmp_path: Path) -> None:
    output = tmp_path / "m.safetensors"
    outcome = ddpm("convert", unpacked(NAME, tmp_path), "-o", output, *WORDS[:2])
    assert outcome.code == 2
    told = [line.split(":")[1].strip() for line in outcome.err.splitlines()[:-2]]
    assert told == [
        "schedule.name",
        "schedule.steps",
        "parameterization.name",
        "network.heads",
        "data.size",
    ]
    outcome = ddpm("convert", unpacked(NAME, tmp_path), "-o", output, "--from", "ddim")
    assert outcome.code == 1
    assert "its keys are not those of ddim" in outcome.err


KNOBS: dict[str, Any] = {"width": 128, "blocks": 3, "attention": [16, 8], "scale_shift": True}
RELEASES: dict[str, dict[str, Any]] = {
    "openai-iddpm-cifar10": KNOBS | {"multipliers": [1, 2, 2, 2]},
    "openai-iddpm-cifar10-vlb": KNOBS | {"multipliers": [1, 2, 2, 2]},
    "openai-iddpm-imagenet64": KNOBS | {"multipliers": [1, 2, 3, 4]},
    "openai-iddpm-imagenet64-vlb": KNOBS | {"multipliers": [1, 2, 3, 4]},
    "openai-iddpm-imagenet64-cond": KNOBS
    | {"width": 192, "multipliers": [1, 2, 3, 4], "classes": 1000},
    "openai-iddpm-imagenet64to256-upsampler": KNOBS
    | {"width": 192, "blocks": 2, "multipliers": [1, 1, 2, 2, 4, 4], "classes": 1000},
    "openai-iddpm-lsun-bedroom": KNOBS
    | {"blocks": 2, "multipliers": [1, 1, 2, 2, 4, 4], "attention": [16], "scale_shift": False},
}


@pytest.mark.parametrize("name", RELEASES)
def test_releases_say_all_that_published_files_do_not(name: str) -> None:
    known, ask = releases.read(name), Ask(releases.read(name).settings)
    size, extra = known.settings["data"]["size"], 3 if "upsampler" in name else 0
    with torch.device("meta"):
        network = unet((3, size, size), extra, **RELEASES[name] | known.settings["network"])
    content = Content(Path("x.pt"), openai_files.openai(network), {}, {})
    found = formats.find(known.format)
    assert found.tells(content)
    conversion = found.read(content, ask)
    assert (ask.missing, ask.assumed) == ({}, {})
    knobs = {**conversion.settings["network"], **known.settings["network"]}
    assert knobs.pop("name") == "unet"
    assert knobs.items() >= RELEASES[name].items()
    assert knobs["qkv"] == "heads"
    outline(lambda: unet(conversion.info.shape, extra, **knobs), conversion.tensors)
