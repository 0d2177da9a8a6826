"""Networks against the published ones: the same weights give the same numbers."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from golden.load_golden import FOLDER, Golden
from safetensors.torch import load_file
from torch import Tensor

from ddpm_cli.files.checkpoints.formats.parts import openai
from ddpm_cli.networks import classifier, unet

GOLDEN = Golden("networks")
COVERED = ["guided_unet", "guided_classifier", "guided_superres"]
# Those of diffusers are converted in files/checkpoints/formats/test_diffusers.py.
ELSEWHERE = ["diffusers_unet2d", *GOLDEN.select("pipeline_")]


def test_every_case_is_accounted_for() -> None:
    assert sorted([*COVERED, *ELSEWHERE]) == sorted(GOLDEN.cases)


def guided(config: dict[str, Any], path: Path) -> unet | classifier:
    """A network of guided-diffusion: what its file says, and what only its configuration does.

    Every tensor must find its place.
    """
    weights = load_file(path)
    is_classifier = openai.is_classifier(weights)
    found = (openai.classifier if is_classifier else openai.unet)(weights, path)
    knobs = found.knobs | {"attention": found.attention(8), "qkv": "heads"}
    knobs |= {
        "head_width": config.get("num_head_channels", 0),
        "heads": config.get("num_heads", 1),
    }
    assert knobs.pop("name") == ("classifier" if is_classifier else "unet")
    network: unet | classifier
    if is_classifier:
        network = classifier((3, 8, 8), **knobs)
    else:
        learned = config["out_channels"] == 6
        network = unet((3, 8, 8), found.channels - 3, **knobs, learned_variance=learned)
    network.load_state_dict(openai.named(weights))
    return network.double().eval()


def published(key: str) -> unet | classifier:
    """The network of a case with its published weights, in float64."""
    return guided(GOLDEN[key].params["config"], FOLDER / f"networks/{key}.safetensors")


@pytest.mark.parametrize("key", COVERED)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_published_weights_give_published_numbers(key: str, dtype: torch.dtype) -> None:
    case, network = GOLDEN[key], published(key).to(dtype)
    label = case.inputs["timesteps"].to(dtype)
    with torch.no_grad():
        given: dict[str, Tensor] = {"classes": case.inputs["y"]} if "y" in case.inputs else {}
        if "low_res" in case.inputs:
            given["image"] = F.interpolate(case.inputs["low_res"], (8, 8), mode="bilinear")
        got = network(case.inputs["x"].to(dtype), label, **given)
    name = str(dtype).replace("torch.", "out_")
    assert case.excess(name, got) <= 0
    assert case.outputs[name].abs().max() > 0.1, "not all 0"
