"""The names of weights in files of denoising-diffusion-pytorch, and what is turned to be ours."""

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ddpm_cli.errors import Refusal

# The peer's names and ours, one substitution after the other.
NAMES = (
    (r"\bfn\.(fn\.)?", ""),
    (r"^init_conv\.", "stem."),
    (r"^time_mlp\.0\.weights$", "learned.frequencies"),
    (r"^time_mlp\.1\.", "embed.0."),
    (r"^time_mlp\.3\.", "embed.2."),
    (r"^classes_emb\.", "class_embed."),
    (r"^classes_mlp\.", "class_perceptron."),
    (r"^(down|up)s\.(\d+)\.0\.", r"\1.\2.first."),
    (r"^(down|up)s\.(\d+)\.1\.", r"\1.\2.second."),
    (r"^(down|up)s\.(\d+)\.2\.", r"\1.\2.attend."),
    (r"^(down|up)s\.(\d+)\.3\.(1\.)?", r"\1.\2.on."),
    (r"^mid_block1\.", "middle.0."),
    (r"^mid_attn\.", "middle.1."),
    (r"^mid_block2\.", "middle.2."),
    (r"^final_res_block\.", "last."),
    (r"^final_conv\.", "out."),
    (r"\.mlp\.1\.", ".embed."),
    (r"\.block([12])\.proj\.", r".conv\1."),
    (r"\.block([12])\.norm\.", r".norm\1."),
    (r"\.res_conv\.", ".skip."),
    (r"\.to_qkv\.", ".qkv."),
    (r"\.to_out\.1\.", ".settle."),
    (r"\.to_out\.(0\.)?", ".project."),
    (r"\.mem_kv$", ".memory"),
    (r"\.g$", ".gain"),
)


def renamed(
    theirs: Mapping[str, Tensor], levels: int, full: list[int], path: Path
) -> dict[str, Tensor]:
    """The tensors under our names and in our order of columns; what is unknown stays."""
    flat = [level for level in range(levels) if level not in full]
    linear = (*(f"down.{n}." for n in flat), *(f"up.{levels - 1 - n}." for n in flat))
    named = {_named(name, levels): value for name, value in theirs.items()}
    if len(named) != len(theirs):
        raise Refusal(f"{path}: some of its weights stand for the same")
    turned = {name: _turned(name, value, linear) for name, value in named.items()}
    null, rows = turned.get("null_classes_emb"), turned.get("class_embed.weight")
    if null is not None and rows is not None and null.shape == rows.shape[1:]:
        del turned["null_classes_emb"]
        turned["class_embed.weight"] = torch.cat([rows, null[None]])
    return turned


def _named(name: str, levels: int) -> str:
    """Our name of a weight."""
    for pattern, ours in NAMES:
        name = re.sub(pattern, ours, name)
    if name.startswith("down.") and not name.startswith(f"down.{levels - 1}."):
        name = re.sub(r"^(down\.\d+\.on)\.", r"\1.conv.", name)
    return name


def _turned(name: str, value: Tensor, linear: tuple[str, ...]) -> Tensor:
    """A weight as our layers want it: without axes of 1, memory as tokens, cosines first."""
    if name.endswith((".qkv.weight", ".project.weight")) and value.shape[2:] == (1, 1):
        return value[:, :, 0, 0]
    if name.endswith(".gain") and value.ndim == 4:
        return value[0]
    if name.endswith(".memory") and value.ndim == 4 and name.startswith(linear):
        return value.mT
    if name == "embed.0.weight" and value.ndim == 2:
        label, half = value.shape[1] % 2, value.shape[1] // 2  # learned ones see the label first
        return torch.cat([value[:, :label], value[:, label:].roll(half, 1)], dim=1)
    return value
