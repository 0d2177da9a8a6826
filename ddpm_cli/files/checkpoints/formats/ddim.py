"""Models of ermongroup/ddim (Song 2021): lists of a training run, or bare state dicts.

The U-Net is that of Ho 2020. Released files are averages.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ddpm_cli.files.checkpoints.containers.content import Content, state_dict, stripped
from ddpm_cli.files.checkpoints.conversion import Ask, Conversion
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.files.checkpoints.formats.parts import questions
from ddpm_cli.files.checkpoints.formats.parts.keys import Keys, linear, ratio, swapped
from ddpm_cli.networks.parts.stages import sides

_RAW, _STEP, _AVERAGE = 0, 3, 4  # places in the list of a training run
_KINDS = "linear, scaled-linear (its quad) or sigmoid, of betas from schedule.first to last"
_PARTS = {
    "temb_proj": "embed",
    "nin_shortcut": "skip",
    "conv_shortcut": "skip",
    "proj_out": "project",
}


def tells(content: Content) -> bool:
    """By the names of its U-Net, bare or first in a list."""
    tree = content.tree
    if isinstance(tree, (list, tuple)) and tree:
        tree = tree[_RAW]
    if not isinstance(tree, Mapping):
        return False
    names = {str(name).removeprefix("module.") for name in tree if isinstance(name, str)}
    return {"temb.dense.0.weight", "conv_in.weight", "mid.block_1.norm1.weight"} <= names


def read(content: Content, ask: Ask) -> Conversion:
    """The network as its shapes say; schedule and fixed variance are asked for."""
    chosen, weights, step = _chosen(content, ask)
    tensors = stripped(state_dict(chosen, content.path), "module.")
    steps = len(tensors.pop("logvar", ()))  # of type "bayesian" alone
    keys = Keys(tensors, content.path)
    size = questions.size(ask)
    process = questions.schedule(ask, _KINDS)
    if steps:
        process["steps"] = steps
        ask.missing.pop("schedule.steps", None)
    if process["name"] in ("linear", "scaled-linear", "sigmoid"):
        process["rescale"] = False  # its betas run from first to last whatever T is
        why = "as in all configurations of the project"
        process["first"] = ask.assume("schedule.first", 1e-4, why)
        process["last"] = ask.assume("schedule.last", 0.02, why)
    channels = keys.size("conv_in.weight", 1)
    settings = {
        "network": _knobs(keys, size),
        "schedule": process,
        "parameterization": {"name": "eps"},
        "label": {"name": "index"},
        "draw": {"name": "uniform"},
        "loss": {"name": "simple"},
        **questions.walk(ask, process, learned=False),
    }
    info = DataInfo((channels, size, size))
    return Conversion(settings, _named(keys), info, weights, step)


def _chosen(content: Content, ask: Ask) -> tuple[Any, str, int]:
    """The weights that are wanted, in words, and after how many steps."""
    tree = content.tree
    if not isinstance(tree, (list, tuple)):
        return tree, "the only ones of the file (of released files the average)", 0
    step = tree[_STEP] if len(tree) > _STEP and isinstance(tree[_STEP], int) else 0
    if len(tree) <= _AVERAGE:
        return tree[_RAW], "raw, as the file has no average", step
    if ask.weights == "model":
        return tree[_RAW], "raw", step
    return tree[_AVERAGE], "ema", step


def _levels(keys: Keys) -> tuple[int, int]:
    """How many levels the network has, and how many blocks each on the way down."""
    levels, blocks = keys.count("down."), keys.count("down.0.block.")
    if not levels or not blocks:
        raise keys.refusal("it has no blocks on the way down")
    return levels, blocks


def _knobs(keys: Keys, size: int) -> dict[str, Any]:
    levels, blocks = _levels(keys)
    width = keys.size("conv_in.weight", 0)
    widths = [keys.size(f"down.{n}.block.0.conv1.weight", 0) for n in range(levels)]
    attends = [keys.starts(f"down.{n}.attn.0.") for n in range(levels)]
    at = sides(size, 1, levels)
    return {
        "name": "unet",
        "width": width,
        "multipliers": [ratio(wide, width) for wide in widths],
        "blocks": blocks,
        "attention": [side for side, here in zip(at, attends, strict=True) if here],
        "heads": 1,
        "embedding": "endpoint",
        "epsilon": 1e-6,
        "same_padding": True,
        "plain_resampling": levels > 1 and not keys.starts("down.0.downsample."),
        "wide_skip": any(".conv_shortcut." in name for name in keys.tensors),
    }


def _named(keys: Keys) -> dict[str, Tensor]:
    """The tensors under our names; queries, keys and values become one matrix."""
    levels, blocks = _levels(keys)
    attends = [keys.starts(f"up.{level}.attn.") for level in range(levels)]
    ours = {_name(key, blocks, attends): value for key, value in keys.tensors.items()}
    for name in [name for name in ours if ".q." in name]:
        rows = {part: ours.pop(name.replace(".q.", f".{part}."), None) for part in "qkv"}
        lost = [name.replace(".q.", f".{part}.") for part, value in rows.items() if value is None]
        if lost:
            raise keys.refusal(f"{lost[0]} is missing")
        whole = torch.cat([value for value in rows.values() if value is not None])
        ours[name.replace(".q.", ".qkv.")] = linear(whole)
    for name, value in ours.items():
        if name.endswith(".project.weight"):
            ours[name] = linear(value)
    if "embed.0.weight" in ours:
        ours["embed.0.weight"] = swapped(ours["embed.0.weight"])
    return ours


def _name(key: str, blocks: int, attends: Sequence[bool]) -> str:
    """Our name of a tensor; attends: whether there is attention, level by level."""

    def down(match: re.Match[str]) -> str:
        stage = int(match[1]) * (blocks + 1)
        if match[2] == "downsample":
            return f"down.{stage + blocks}.parts.0."
        return f"down.{stage + int(match[3])}.parts.{int(match[2] == 'attn')}."

    def up(match: re.Match[str]) -> str:
        level = int(match[1])
        stage = (len(attends) - 1 - level) * (blocks + 1)
        if match[2] == "upsample":
            behind = 1 + (level < len(attends) and attends[level])
            return f"up.{stage + blocks}.parts.{behind}."
        return f"up.{stage + int(match[3])}.parts.{int(match[2] == 'attn')}."

    def middle(match: re.Match[str]) -> str:
        return f"middle.parts.{1 if match[1] == 'attn' else 2 * (int(match[2]) - 1)}."

    key = re.sub(r"^down\.(\d+)\.(block|attn|downsample)\.(?:(\d+)\.)?", down, key)
    key = re.sub(r"^up\.(\d+)\.(block|attn|upsample)\.(?:(\d+)\.)?", up, key)
    key = re.sub(r"^mid\.(block|attn)_(\d)\.", middle, key)
    key = re.sub(r"^temb\.dense\.0\.", "embed.0.", re.sub(r"^temb\.dense\.1\.", "embed.2.", key))
    key = re.sub(r"^conv_in\.", "stem.", re.sub(r"^norm_out\.", "head.0.", key))
    key = re.sub(r"^conv_out\.", "out.", key)
    for theirs, ours in _PARTS.items():
        key = key.replace(f".{theirs}.", f".{ours}.")
    return key
