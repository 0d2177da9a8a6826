"""Networks against the published ones: the same weights give the same numbers."""

import re
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from golden.load_golden import FOLDER, Golden
from safetensors.torch import load_file
from torch import Tensor

from ddpm_cli.networks import classifier, unet

GOLDEN = Golden("networks")
COVERED = ["guided_unet", "guided_classifier", "guided_superres"]
# Those of diffusers are converted in files/checkpoints/formats/test_diffusers.py.
ELSEWHERE = ["diffusers_unet2d", *GOLDEN.select("pipeline_")]
BLOCK = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "embed",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "skip",
    "proj_out": "project",
}


def test_every_case_is_accounted_for() -> None:
    assert sorted([*COVERED, *ELSEWHERE]) == sorted(GOLDEN.cases)


def adm_name(key: str) -> str:
    """Our name of a parameter of guided-diffusion's U-Net or classifier."""
    key = re.sub(r"input_blocks\.0\.0", "stem", key)
    key = re.sub(r"input_blocks\.(\d+)\.(\d)", lambda m: f"down.{int(m[1]) - 1}.parts.{m[2]}", key)
    key = re.sub(r"output_blocks\.(\d+)\.(\d)", r"up.\1.parts.\2", key)
    key = re.sub(r"middle_block\.(\d)", r"middle.parts.\1", key)
    key = key.replace("out.2.positional_embedding", "pool.place").replace("out.2.c_proj", "out")
    key = re.sub(r"^out\.2\.qkv_proj", "pool.all", key)
    key = re.sub(r"^out\.0", "head.0", re.sub(r"^out\.2", "out", key))
    key = key.replace("time_embed", "embed").replace("label_emb", "class_embed")
    return part_name(key)


def part_name(key: str) -> str:
    for theirs, ours in BLOCK.items():
        key = key.replace(f".{theirs}.", f".{ours}.")
    return key


def adm_weights(theirs: dict[str, Tensor], config: dict[str, Any]) -> dict[str, Tensor]:
    """Their weights under our names; q, k and v come ordered by head, ours are one by one."""
    made = {}
    for key, value in theirs.items():
        name, value = adm_name(key), value.double()
        if ".qkv." in name or ".project." in name or name.startswith(("pool.all", "out.")):
            value = value.squeeze(-1) if value.dim() == 3 else value
        if ".qkv." in name:
            heads = config.get("num_heads")  # unless they have a width
            if "num_head_channels" in config:
                heads = len(value) // 3 // config["num_head_channels"]
            by_head = value.reshape(heads, 3, -1, *value.shape[1:])
            value = by_head.transpose(0, 1).reshape(value.shape)
        made[name] = value
    if "class_embed.weight" in made:
        null = torch.zeros(1, made["class_embed.weight"].shape[1], dtype=torch.float64)
        made["class_embed.weight"] = torch.cat([made["class_embed.weight"], null])
    return made


def pooled(theirs: dict[str, Tensor], config: dict[str, Any]) -> dict[str, Tensor]:
    """Weights of their classifier under our names: q apart from k and v, places in rows."""
    made = adm_weights(theirs, config)
    made["pool.place"] = made["pool.place"].T
    for kind in ("weight", "bias"):
        query, *rest = made.pop(f"pool.all.{kind}").chunk(3)
        made |= {f"pool.query.{kind}": query, f"pool.key_value.{kind}": torch.cat(rest)}
    return made


def published(key: str) -> unet | classifier:
    """Our network with their weights, every one of which must find its place."""
    config = GOLDEN[key].params["config"]
    weights = load_file(FOLDER / f"networks/{key}.safetensors")
    network: unet | classifier
    knobs: dict[str, Any] = {
        "width": config["model_channels"],
        "multipliers": config["channel_mult"],
        "blocks": config["num_res_blocks"],
        "attention": [config["image_size"] // at for at in config["attention_resolutions"]],
        "head_width": config.get("num_head_channels", 0),
        "heads": config.get("num_heads", 1),
        "scale_shift": config["use_scale_shift_norm"],
        "resample_blocks": config["resblock_updown"],
    }
    if key == "guided_classifier":
        knobs["classes"] = config["out_channels"]
        network = classifier((3, 8, 8), **knobs, pool=config["pool"]).double().eval()
        network.load_state_dict(pooled(weights, config))
        return network
    knobs["classes"] = config["num_classes"] or 0
    knobs["learned_variance"] = config["out_channels"] == 6
    extra = 3 if key == "guided_superres" else 0
    network = unet((3, 8, 8), extra, **knobs).double().eval()
    network.load_state_dict(adm_weights(weights, config))
    return network


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
