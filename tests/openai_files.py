"""Networks of ours as state dicts under the names of OpenAI's U-Net, and of ermongroup/ddim's."""

import re
from collections.abc import Sequence

import torch
from torch import Tensor, nn

NAMES = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "embed": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "skip": "skip_connection",
    "project": "proj_out",
}


def openai(network: nn.Module) -> dict[str, Tensor]:
    """The weights of a `unet` or `classifier` with rows of attention as its setting says."""
    theirs = {}
    for key, value in network.state_dict().items():
        name = _openai_name(key)
        if ".qkv." in name or ".proj_out." in name:
            value = value[..., None] if name.endswith("weight") else value
        theirs[name] = value[:-1] if name == "label_emb.weight" else value
    if "out.2.positional_embedding" in theirs:
        theirs["out.2.positional_embedding"] = theirs["out.2.positional_embedding"].T
        for kind in ("weight", "bias"):
            rows = [theirs.pop(f"pool.{part}.{kind}") for part in ("query", "key_value")]
            last = theirs.pop(f"out.2.{kind}")
            whole = torch.cat(rows)
            is_matrix = kind == "weight"
            theirs[f"out.2.qkv_proj.{kind}"] = whole[..., None] if is_matrix else whole
            theirs[f"out.2.c_proj.{kind}"] = last[..., None] if is_matrix else last
    return theirs


def _openai_name(key: str) -> str:
    key = re.sub(r"^stem\.", "input_blocks.0.0.", key)
    key = re.sub(
        r"^down\.(\d+)\.parts\.(\d)", lambda m: f"input_blocks.{int(m[1]) + 1}.{m[2]}", key
    )
    key = re.sub(r"(input_blocks\.\d+\.0)\.conv\.", r"\1.op.", key)
    key = re.sub(r"^up\.(\d+)\.parts\.(\d)", r"output_blocks.\1.\2", key)
    key = re.sub(r"^middle\.parts\.(\d)", r"middle_block.\1", key)
    key = re.sub(r"^class_embed\.", "label_emb.", re.sub(r"^embed\.", "time_embed.", key))
    key = re.sub(r"^out\.", "out.2.", re.sub(r"^head\.0\.", "out.0.", key))
    key = key.replace("pool.place", "out.2.positional_embedding")
    for ours, theirs in NAMES.items():
        key = key.replace(f".{ours}.", f".{theirs}.")
    return key


def ddim(network: nn.Module, levels: int, blocks: int, wide_skip: bool) -> dict[str, Tensor]:
    """The weights of a `unet` with one head, sines before cosines in its first layer of time."""
    theirs = {}
    for key, value in network.state_dict().items():
        for name, part in _ddim_parts(key, value, levels, blocks):
            theirs[name.replace("_shortcut", "conv_shortcut" if wide_skip else "nin_shortcut")] = (
                part
            )
    cosines, sines = theirs["temb.dense.0.weight"].chunk(2, dim=1)
    return theirs | {"temb.dense.0.weight": torch.cat([sines, cosines], dim=1)}


def _ddim_parts(key: str, value: Tensor, levels: int, blocks: int) -> Sequence[tuple[str, Tensor]]:
    name = _ddim_name(key, levels, blocks)
    as_image = value[..., None, None] if value.dim() == 2 else value
    if ".qkv." in name:
        parts = zip("qkv", as_image.chunk(3), strict=True)
        return [(name.replace(".qkv.", f".{part}."), rows) for part, rows in parts]
    return [(name, as_image if ".proj_out." in name else value)]


def _ddim_name(key: str, levels: int, blocks: int) -> str:
    def down(match: re.Match[str]) -> str:
        level, number = divmod(int(match[1]), blocks + 1)
        if number == blocks:
            return f"down.{level}.downsample"
        return f"down.{level}.{('block', 'attn')[int(match[2])]}.{number}"

    def up(match: re.Match[str]) -> str:
        level, number = divmod(int(match[1]), blocks + 1)
        level = levels - 1 - level
        if match[3].startswith("conv."):
            return f"up.{level}.upsample.{match[3]}"
        return f"up.{level}.{('block', 'attn')[int(match[2])]}.{number}.{match[3]}"

    key = re.sub(r"^down\.(\d+)\.parts\.(\d)", down, key)
    key = re.sub(r"^up\.(\d+)\.parts\.(\d)\.(.*)", up, key)
    key = re.sub(
        r"^middle\.parts\.(\d)",
        lambda m: "mid." + ("block_1", "attn_1", "block_2")[int(m[1])],
        key,
    )
    key = re.sub(r"^embed\.0\.", "temb.dense.0.", re.sub(r"^embed\.2\.", "temb.dense.1.", key))
    key = re.sub(r"^stem\.", "conv_in.", re.sub(r"^head\.0\.", "norm_out.", key))
    key = re.sub(r"^out\.", "conv_out.", key)
    parts = {"embed": "temb_proj", "skip": "_shortcut", "project": "proj_out"}
    for ours, theirs in parts.items():
        key = key.replace(f".{ours}.", f".{theirs}.")
    return key
