"""Networks against the published ones: the same weights give the same numbers."""

import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from exact import states
from golden.load_golden import FOLDER, Golden
from safetensors.torch import load_file
from torch import Tensor

from ddpm_cli.diffusion import parameterizations
from ddpm_cli.diffusion.denoiser import Denoise, Denoiser
from ddpm_cli.diffusion.labels import index
from ddpm_cli.diffusion.levels import explicit, leading
from ddpm_cli.diffusion.samplers import ddpm
from ddpm_cli.diffusion.schedules.tables import linear
from ddpm_cli.diffusion.steps import Draws, Move, Step, Visited
from ddpm_cli.diffusion.wrappers import clamp
from ddpm_cli.files.checkpoints.layouts import openai
from ddpm_cli.networks import classifier, unet

GOLDEN = Golden("networks")
COVERED = ["guided_unet", "guided_classifier", "guided_superres", "diffusers_unet2d"]
PIPELINES = GOLDEN.select("pipeline_")
BLOCK = {
    "time_emb_proj": "embed",
    "conv_shortcut": "skip",
    "group_norm": "norm",
    "to_out.0": "project",
}


def test_every_case_is_accounted_for() -> None:
    assert sorted([*COVERED, *PIPELINES]) == sorted(GOLDEN.cases)


def part_name(key: str) -> str:
    for theirs, ours in BLOCK.items():
        key = key.replace(f".{theirs}.", f".{ours}.")
    return key


def diffusers_name(key: str, blocks: int, levels: int) -> str:
    """Our name of a parameter of diffusers' UNet2DModel; q, k and v become `qkv.0` to `qkv.2`."""

    def down(match: re.Match[str]) -> str:
        level, kind, number = int(match[1]), match[2], int(match[3])
        at = level * (blocks + 1) + (blocks if kind == "downsamplers" else number)
        return f"down.{at}.parts.{int(kind == 'attentions')}"

    def up(match: re.Match[str]) -> str:
        level, kind, number = int(match[1]), match[2], int(match[3])
        at = level * (blocks + 1) + (blocks if kind == "upsamplers" else number)
        # Behind the block, and behind the attention where there is one (only at level 2 here).
        place = {"resnets": 0, "attentions": 1, "upsamplers": 1 + (level == levels - 2)}[kind]
        return f"up.{at}.parts.{place}"

    kinds = r"(resnets|attentions|downsamplers|upsamplers)\.(\d)"
    key = re.sub(rf"down_blocks\.(\d)\.{kinds}", down, key)
    key = re.sub(rf"up_blocks\.(\d)\.{kinds}", up, key)
    key = re.sub(
        r"mid_block\.(resnets|attentions)\.(\d)",
        lambda m: f"middle.parts.{1 if m[1] == 'attentions' else 2 * int(m[2])}",
        key,
    )
    for theirs, ours in {
        "time_embedding.linear_1": "embed.0",
        "time_embedding.linear_2": "embed.2",
        "conv_norm_out": "head.0",
        "conv_in": "stem",
        "conv_out": "out",
        ".to_q.": ".qkv.0.",
        ".to_k.": ".qkv.1.",
        ".to_v.": ".qkv.2.",
    }.items():
        key = key.replace(theirs, ours)
    return part_name(key)


def diffusers_weights(theirs: dict[str, Tensor], config: dict[str, Any]) -> dict[str, Tensor]:
    """Their weights under our names: sines come first in their time embedding, ours second."""
    levels = len(config["block_out_channels"])
    blocks = config["layers_per_block"]
    named = {diffusers_name(k, blocks, levels): v.double() for k, v in theirs.items()}
    for query in sorted(name for name in named if ".qkv.0." in name):
        parts = [named.pop(query.replace(".qkv.0.", f".qkv.{i}.")) for i in range(3)]
        named[query.replace(".qkv.0.", ".qkv.")] = torch.cat(parts)
    sines, cosines = named["embed.0.weight"].chunk(2, dim=1)
    return named | {"embed.0.weight": torch.cat([cosines, sines], dim=1)}


def published(key: str) -> unet | classifier:
    """Our network with their weights, every one of which must find its place."""
    config, path = GOLDEN[key].params["config"], FOLDER / f"networks/{key}.safetensors"
    return (guided if key.startswith("guided_") else diffusers)(config, path)


def guided(config: dict[str, Any], path: Path) -> unet | classifier:
    """A network of guided-diffusion: what its file says, and what only its configuration does."""
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


def diffusers(config: dict[str, Any], path: Path) -> unet:
    """A UNet2DModel of diffusers."""
    network = unet(
        (3, 8, 8),
        width=config["block_out_channels"][0],
        multipliers=[1, 1, 1, 1],
        blocks=config["layers_per_block"],
        attention=[4],
        groups=config["norm_num_groups"],
        epsilon=config["norm_eps"],
        embedding="endpoint",
        same_padding=True,
    )
    network.load_state_dict(diffusers_weights(load_file(path), config))
    return network.double().eval()


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


def raw_ddim(
    denoise: Denoise, x: Tensor, move: Move, rng: Draws, past: list[Visited], *, eta: float
) -> Tensor:
    """DDIM with the noise of the raw x0 beside a clamped one, as the peer takes it."""
    t, s = float(move.t), float(move.s)
    raw = denoise(x, move.t).x0
    noise = eta * s * (1 - (s / t) ** 2) ** 0.5
    z = rng.normal(x) if noise else torch.zeros_like(x)
    return raw.clamp(-1, 1) + (s**2 - noise**2) ** 0.5 * (x - raw) / t + noise * z


def images(key: str) -> Tensor:
    """The images [B, H, W, C] from 0 to 1 of a whole pipeline, with its recorded noise."""
    case, schedule = GOLDEN[key], linear()
    settings, count = case.params["scheduler_config"], case.params["num_inference_steps"]
    assert (settings["beta_schedule"], settings["prediction_type"]) == ("linear", "epsilon")
    levels = leading(schedule, count=count)
    assert torch.equal(levels, explicit(schedule, timesteps=case.values["timesteps"]))
    network = published("diffusers_unet2d").float()
    denoise: Denoise = Denoiser(network, schedule, parameterizations.eps, index)
    step: Step = partial(raw_ddim, eta=case.params.get("eta", 0.0))
    if key == "pipeline_ddpm":
        denoise, step = clamp(denoise), partial(ddpm, variance="large")
    first, *noise = case.inputs["x_T_and_noise"]
    with torch.no_grad():
        *_, last = states(denoise, first, levels, noise, step)
    return (last.x / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1)


@pytest.mark.parametrize("key", PIPELINES)
def test_whole_pipeline(key: str) -> None:
    assert GOLDEN[key].excess("images_nhwc", images(key)) <= 0
