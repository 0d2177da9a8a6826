"""What the tensors of our U-Net are called in diffusers' UNet2DModel, one by one, both ways."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from ddpm_cli.files.checkpoints.formats.parts.keys import linear

QKV = ("to_q", "to_k", "to_v")
# Names of attention before diffusers 0.17.
OLD = {
    ".query.": ".to_q.",
    ".key.": ".to_k.",
    ".value.": ".to_v.",
    ".proj_attn.": ".to_out.0.",
}
_BLOCK = (("norm1",) * 2, ("conv1",) * 2, ("embed", "time_emb_proj"), ("norm2",) * 2)


class Layout(NamedTuple):
    """What the names of a U-Net follow from.

    widths: channels of each level; blocks: of a level; down, up: whether a level attends;
    shrinks, grows: whether a block halves or doubles it, not a convolution, or neither at the
    end; middle: as the knob of unet.
    """

    widths: tuple[int, ...]
    blocks: int
    down: tuple[bool, ...]
    up: tuple[bool, ...]
    shrinks: tuple[bool, ...]
    grows: tuple[bool, ...]
    middle: str
    has_classes: bool
    is_fourier: bool


class Pair(NamedTuple):
    """A tensor of ours, and those of theirs that it is made of, row upon row."""

    ours: str
    theirs: tuple[str, ...]


def pairs(layout: Layout) -> Iterator[Pair]:
    """All tensors of a U-Net."""
    yield from _both("stem", "conv_in")
    yield from _both("embed.0", "time_embedding.linear_1")
    yield from _both("embed.2", "time_embedding.linear_2")
    if layout.has_classes:
        yield Pair("class_embed.weight", ("class_embedding.weight",))
    if layout.is_fourier:
        yield Pair("fourier.frequencies", ("time_proj.weight",))
    yield from _down(layout)
    yield from _middle(layout)
    yield from _up(layout)
    yield from _both("head.0", "conv_norm_out")
    yield from _both("out", "conv_out")


def _down(layout: Layout) -> Iterator[Pair]:
    now, last = layout.widths[0], len(layout.widths) - 1
    for level, width in enumerate(layout.widths):
        for number in range(layout.blocks):
            ours = f"down.{level * (layout.blocks + 1) + number}.parts"
            theirs = f"down_blocks.{level}"
            yield from _block(f"{ours}.0", f"{theirs}.resnets.{number}", now == width)
            if layout.down[level]:
                yield from _attention(f"{ours}.1", f"{theirs}.attentions.{number}")
            now = width
        if level < last:
            ours = f"down.{level * (layout.blocks + 1) + layout.blocks}.parts.0"
            yield from _resampling(
                ours, f"down_blocks.{level}.downsamplers.0", layout.shrinks[level]
            )


def _middle(layout: Layout) -> Iterator[Pair]:
    if layout.middle == "none":
        return
    attends = layout.middle != "blocks"
    yield from _block("middle.parts.0", "mid_block.resnets.0", True)
    if attends:
        has_norm = layout.middle == "attention"
        yield from _attention("middle.parts.1", "mid_block.attentions.0", has_norm)
    yield from _block(f"middle.parts.{1 + attends}", "mid_block.resnets.1", True)


def _up(layout: Layout) -> Iterator[Pair]:
    # A block sees what the encoder made beside the state, so that none has a straight way.
    levels = len(layout.widths)
    for place, level in enumerate(reversed(range(levels))):
        for number in range(layout.blocks + 1):
            ours = f"up.{place * (layout.blocks + 1) + number}.parts"
            theirs = f"up_blocks.{place}"
            yield from _block(f"{ours}.0", f"{theirs}.resnets.{number}", False)
            if layout.up[level]:
                yield from _attention(f"{ours}.1", f"{theirs}.attentions.{number}")
            if level and number == layout.blocks:
                behind = f"{ours}.{1 + layout.up[level]}"
                yield from _resampling(behind, f"{theirs}.upsamplers.0", layout.grows[level])


def _block(ours: str, theirs: str, is_straight: bool) -> Iterator[Pair]:
    for mine, other in (*_BLOCK, ("conv2", "conv2")):
        yield from _both(f"{ours}.{mine}", f"{theirs}.{other}")
    if not is_straight:
        yield from _both(f"{ours}.skip", f"{theirs}.conv_shortcut")


def _attention(ours: str, theirs: str, has_norm: bool = True) -> Iterator[Pair]:
    if has_norm:
        yield from _both(f"{ours}.norm", f"{theirs}.group_norm")
    yield from _both(f"{ours}.qkv", *(f"{theirs}.{name}" for name in QKV))
    yield from _both(f"{ours}.project", f"{theirs}.to_out.0")


def _resampling(ours: str, theirs: str, is_block: bool) -> Iterator[Pair]:
    if is_block:
        yield from _block(ours, theirs, True)
    else:
        yield from _both(f"{ours}.conv", f"{theirs}.conv")


def _both(ours: str, *theirs: str) -> Iterator[Pair]:
    for kind in ("weight", "bias"):
        yield Pair(f"{ours}.{kind}", tuple(f"{name}.{kind}" for name in theirs))


def taken(theirs: Mapping[str, Tensor], layout: Layout) -> dict[str, Tensor]:
    """The tensors of a UNet2DModel under our names; KeyError names one that is missing."""
    named = {renewed(name): value for name, value in theirs.items()}
    made = {}
    for ours, others in pairs(layout):
        parts = [named[name] for name in others]
        if len(parts) > 1 or ".project." in ours:  # attention was once made of convolutions
            parts = [linear(part) for part in parts]
        made[ours] = torch.cat(parts) if len(parts) > 1 else parts[0]
    return made


def strangers(theirs: Mapping[str, Tensor], layout: Layout) -> list[str]:
    """The names of a UNet2DModel's tensors that such a network has no place for."""
    known = {name for pair in pairs(layout) for name in pair.theirs}
    return sorted(name for name in theirs if renewed(name) not in known)


def given(ours: Mapping[str, Tensor], layout: Layout) -> dict[str, Tensor]:
    """Our tensors under the names of a UNet2DModel."""
    made = {}
    for mine, others in pairs(layout):
        for name, part in zip(others, ours[mine].chunk(len(others)), strict=True):
            made[name] = part.contiguous()
    return made


def renewed(name: str) -> str:
    """A name as diffusers writes it today."""
    if ".attentions." in name:
        for old, new in OLD.items():
            name = name.replace(old, new)
    return name


def swapped(weight: Tensor, features: int) -> Tensor:
    """The first layer of the noise label [E, features] with sines and cosines changed over."""
    half = features // 2
    return torch.cat([weight[:, half : 2 * half], weight[:, :half], weight[:, 2 * half :]], 1)


def by_part(rows: Tensor, heads: int) -> Tensor:
    """Queries, keys and values one behind the other, of rows that come head by head."""
    each = rows.reshape(heads, 3, -1, *rows.shape[1:])
    return each.transpose(0, 1).reshape(rows.shape)
