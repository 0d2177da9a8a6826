"""Files of ermongroup/ddim: the list of a training run, and released state dicts."""

from pathlib import Path
from typing import Any

import openai_files
import pytest
import torch
from foreign_checkpoints import assert_outputs, converted, numbers, unpacked
from probes import images, lively
from runs import ddpm, done

from ddpm_cli.files.checkpoints.containers.content import Content
from ddpm_cli.files.checkpoints.conversion import Ask
from ddpm_cli.files.checkpoints.formats import ddim
from ddpm_cli.networks import unet
from ddpm_cli.networks.parts.outlines import outline
from ddpm_cli.settings import releases

TOLD = {
    "data.size": 8,
    "schedule.name": "linear",
    "schedule.steps": 1000,
    "sampler.variance": "large",
}


def words(told: dict[str, Any]) -> list[str]:
    return [word for key, value in told.items() for word in ("--set", f"{key}={value}")]


WORDS = words(TOLD)
# What is the same in all files.
OWN: dict[str, Any] = {"embedding": "endpoint", "epsilon": 1e-6, "same_padding": True}


@pytest.mark.parametrize(("name", "kinds"), [("ddim", ["model", "ema"]), ("ddim_bare", ["model"])])
def test_weights_give_the_numbers_of_the_peer(name: str, kinds: list[str], tmp_path: Path) -> None:
    source, io = unpacked(name, tmp_path), numbers(name)
    for kind in kinds:
        model = converted(source, *WORDS, "--weights", kind)
        assert_outputs(model, io["x"], io["t"], None, (io[f"out_{kind}"], io[f"out64_{kind}"]))


def test_average_is_the_default_and_its_lack_is_said(tmp_path: Path) -> None:
    source, output = unpacked("ddim", tmp_path), tmp_path / "m.safetensors"
    assert "weights: ema" in done("convert", source, "-o", output, *WORDS).err
    done("sample", "-m", output, "--steps", "10", "-o", tmp_path / "x.png")
    torch.save(torch.load(source, weights_only=True)[:4], tmp_path / "raw.pth")
    outcome = done("convert", tmp_path / "raw.pth", "-o", output, "--force", *WORDS)
    assert "weights: raw, as the file has no average" in outcome.err


def test_what_is_missing_is_listed(tmp_path: Path) -> None:
    source = unpacked("ddim_bare", tmp_path)
    outcome = ddpm("convert", source, "-o", tmp_path / "m.safetensors")
    assert outcome.code == 2
    told = [line.split(":")[1].strip() for line in outcome.err.splitlines()[:-2]]
    assert told == ["data.size", "schedule.name", "schedule.steps", "sampler.variance"]
    # A sampler without a fixed variance needs none.
    told_words = [word for word in WORDS if "variance" not in word][:-1]
    more = ["--set", "sampler.name=ddim"]
    done("convert", source, "-o", tmp_path / "m.safetensors", *told_words, *more)


@pytest.mark.parametrize("name", ["linear", "scaled-linear", "sigmoid"])
def test_betas_run_from_first_to_last_whatever_the_steps(name: str, tmp_path: Path) -> None:
    told = TOLD | {"schedule.name": name, "schedule.steps": 400}
    betas = converted(unpacked("ddim_bare", tmp_path), *words(told)).schedule.betas()
    ends = 1e-4 + (0.02 - 1e-4) * torch.tensor([0.0, 1.0]).double()
    slack = 1e-6 if name != "sigmoid" else 1e-4  # of a curve that is cut at 6 deviations
    assert (betas[[0, -1]] - ends).abs().max() < slack


CASES: dict[str, dict[str, Any]] = {
    "deep": {"multipliers": [1, 2, 3], "blocks": 2, "attention": [4], "wide_skip": True},
    "plain": {"multipliers": [2, 1], "blocks": 1, "attention": [8, 4], "plain_resampling": True},
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kind", ["simple", "bayesian"])
def test_other_options_are_read_from_keys_and_shapes(case: str, kind: str, tmp_path: Path) -> None:
    knobs = {"width": 32, **OWN, **CASES[case]}
    torch.manual_seed(0)
    network = lively(unet((1, 8, 8), **knobs))
    levels = len(knobs["multipliers"])
    tensors = openai_files.ddim(network, levels, knobs["blocks"], "wide_skip" in knobs)
    told = {**TOLD, "schedule.first": 2e-4}
    if kind == "bayesian":
        tensors["logvar"] = torch.zeros(500)
        del told["schedule.steps"]
    torch.save(tensors, tmp_path / "model-1.ckpt")
    model = converted(tmp_path / "model-1.ckpt", *words(told))
    assert {key: model.config["network"][key] for key in knobs} == knobs
    schedule = model.config["schedule"]
    assert (schedule["first"], schedule["rescale"]) == (2e-4, False)
    assert schedule["steps"] == (1000 if kind == "simple" else 500)
    x, label = images(2, 1, 8), torch.tensor([3.0, 900.0])
    with torch.no_grad():
        assert torch.allclose(model.network(x, label), network(x, label), atol=1e-6)


@pytest.mark.parametrize(
    "lost", ["up.1.attn.0.k.weight", "conv_in.bias", "mid.attn_1.norm.weight"]
)
def test_missing_tensors_are_refused(lost: str, tmp_path: Path) -> None:
    tensors = torch.load(unpacked("ddim_bare", tmp_path), weights_only=True)
    del tensors[lost]
    torch.save(tensors, tmp_path / "model-1.ckpt")
    output = tmp_path / "m.safetensors"
    outcome = ddpm("convert", tmp_path / "model-1.ckpt", "-o", output, *WORDS)
    assert outcome.code == 1
    assert "missing" in outcome.err.splitlines()[0]
    assert not output.exists()


@pytest.mark.parametrize(
    ("name", "multipliers"),
    [
        ("ddim-cifar10", [1, 2, 2, 2]),
        ("ddim-celeba", [1, 2, 2, 2, 4]),
        ("ddim-lsun-bedroom", [1, 1, 2, 2, 4, 4]),
        ("ddim-lsun-church", [1, 1, 2, 2, 4, 4]),
    ],
)
def test_releases_say_all_that_published_files_do_not(name: str, multipliers: list[int]) -> None:
    known, ask = releases.read(name), Ask(releases.read(name).settings)
    size = known.settings["data"]["size"]
    knobs = {**OWN, "width": 128, "blocks": 2, "attention": [16], "multipliers": multipliers}
    with torch.device("meta"):
        network = unet((3, size, size), **knobs)
    tensors = openai_files.ddim(network, len(multipliers), 2, wide_skip=False)
    conversion = ddim.read(Content(Path("x.ckpt"), tensors, {}, {}), ask)
    assert (ask.missing, ask.assumed) == ({}, {})
    found = dict(conversion.settings["network"])
    assert found.items() >= knobs.items()
    del found["name"]
    outline(lambda: unet(conversion.info.shape, **found), conversion.tensors)
