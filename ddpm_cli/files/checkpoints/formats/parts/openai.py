"""The U-Net of OpenAI's code, and the classifier that is half of it, in our terms.

improved-diffusion, guided-diffusion, torchcfm, DPS and deepinv share its keys.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ddpm_cli.files.checkpoints.formats.parts.keys import Keys, linear, ratio, with_null
from ddpm_cli.networks.parts.stages import sides

_PARTS = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "embed",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "skip",
    "proj_out": "project",
    "op": "conv",
}
_POOL = "out.2.positional_embedding"


class Found(NamedTuple):
    """What the tensors of a network say: its channels in and out, and knobs of ours.

    attends: whether there is attention, level by level. side: of the classifier's last level.
    """

    channels: int
    outputs: int
    knobs: dict[str, Any]
    attends: list[bool]
    side: int = 0

    @property
    def levels(self) -> int:
        """How many resolutions it has."""
        return len(self.attends)

    def attention(self, size: int) -> list[int]:
        """The resolutions that have attention, for images of a size."""
        at = sides(size, 1, self.levels)
        return [side for side, attends in zip(at, self.attends, strict=True) if attends]


def tells(tree: Any) -> bool:
    """Whether a tree is a state dict with the names of this network."""
    if not isinstance(tree, Mapping) or not all(isinstance(name, str) for name in tree):
        return False
    names = {name.removeprefix("module.") for name in tree}
    own = {"time_embed.0.weight", "input_blocks.0.0.weight", "middle_block.0.in_layers.0.weight"}
    return own <= names and not any("transformer_blocks" in name for name in names)


def is_classifier(tensors: Mapping[str, Tensor]) -> bool:
    """Whether there is no way up."""
    return not any(name.startswith("output_blocks.") for name in tensors)


def resamples_in_blocks(tensors: Mapping[str, Tensor]) -> bool:
    """Whether it halves and doubles images inside residual blocks."""
    second = re.compile(r"output_blocks\.\d+\.[12]\.in_layers\.")
    return any(second.match(name) for name in tensors)


def unet(tensors: Mapping[str, Tensor], path: Path) -> Found:
    """What the tensors of a U-Net say of it."""
    keys = Keys(tensors, path)
    knobs, attends = _encoder(keys, _blocks(keys))
    channels, outputs = keys.size("input_blocks.0.0.weight", 1), keys.size("out.2.weight", 0)
    knobs |= {"name": "unet", "head_width": 0}
    if "label_emb.weight" in tensors:
        knobs["classes"] = keys.size("label_emb.weight", 0)
    return Found(channels, outputs, knobs, attends)


def classifier(tensors: Mapping[str, Tensor], path: Path, blocks: int | None = None) -> Found:
    """What the tensors of a classifier say of it; blocks: of a level, if they are known."""
    keys = Keys(tensors, path)
    knobs, attends = _encoder(keys, blocks or block_counts(tensors, path)[0])
    pooled = _POOL in tensors
    last = "out.2.c_proj.weight" if pooled else "out.3.weight"
    classes = keys.size(last, 0)
    knobs |= {"name": "classifier", "pool": "attention" if pooled else "mean", "classes": classes}
    side = round((keys.size(_POOL, 1) - 1) ** 0.5) if pooled else 0
    return Found(keys.size("input_blocks.0.0.weight", 1), classes, knobs, attends, side)


def _encoder(keys: Keys, blocks: int) -> tuple[dict[str, Any], list[bool]]:
    """The knobs of the way down, and which of its levels have attention."""
    levels, rest = divmod(keys.count("input_blocks."), blocks + 1)
    if rest or not levels:
        raise keys.refusal("its blocks are not those of whole levels")
    starts = [1 + level * (blocks + 1) for level in range(levels)]
    width, stem = keys.size("time_embed.0.weight", 1), keys.size("input_blocks.0.0.weight", 0)
    widths = [keys.size(f"input_blocks.{n}.0.out_layers.3.weight", 0) for n in starts]
    down = f"input_blocks.{blocks + 1}.0"
    in_blocks = levels > 1 and keys.starts(f"{down}.in_layers")
    shift = keys.size("input_blocks.1.0.emb_layers.1.weight", 0)
    knobs: dict[str, Any] = {
        "width": width,
        "multipliers": [ratio(wide, width) for wide in widths],
        "blocks": blocks,
        "scale_shift": shift == 2 * widths[0],
        "resample_blocks": in_blocks,
    }
    if stem != width:
        knobs["stem"] = "level"
    if levels > 1 and not in_blocks and not keys.starts(f"{down}."):
        knobs["plain_resampling"] = True
    return knobs, [keys.starts(f"input_blocks.{n}.1.") for n in starts]


def _blocks(keys: Keys) -> int:
    """How many residual blocks a level has, by the first place where images are resampled."""
    for number in range(1, keys.count("input_blocks.")):
        name = f"input_blocks.{number}."
        if keys.starts(f"{name}0.op.") or not keys.starts(name):
            return number - 1
    for number in range(keys.count("output_blocks.")):
        behind = (f"output_blocks.{number}.{place}" for place in (1, 2))
        if any(
            keys.starts(f"{name}.in_layers.") or keys.starts(f"{name}.conv") for name in behind
        ):
            return number
    return max(1, keys.count("output_blocks.") - 1)


def block_counts(tensors: Mapping[str, Tensor], path: Path) -> list[int]:
    """How many blocks a level of an encoder can have: levels of one width, alike in attention.

    The block that halves an image ends a level; it changes no width and has no attention. As a
    rule there is one way to read it so.
    """
    keys = Keys(tensors, path)
    count = keys.count("input_blocks.")
    convolved = [n for n in range(1, count) if keys.starts(f"input_blocks.{n}.0.op.")]
    if convolved:
        return [convolved[0] - 1]
    # What each block does: its widths in and out, whether attention follows.
    seen = [
        (
            keys.size(f"input_blocks.{n}.0.in_layers.2.weight", 1),
            keys.size(f"input_blocks.{n}.0.out_layers.3.weight", 0),
            keys.starts(f"input_blocks.{n}.1."),
        )
        for n in range(1, count)
    ]
    fitting = [n for n in range(1, count) if count % (n + 1) == 0 and _is_level(seen, n)]
    if not fitting:
        raise keys.refusal("its blocks are not those of whole levels")
    return fitting


def _is_level(seen: list[tuple[int, int, bool]], blocks: int) -> bool:
    for start in range(0, len(seen), blocks + 1):
        level, halving = seen[start : start + blocks], seen[start + blocks : start + blocks + 1]
        if len({attends for *_, attends in level}) > 1:
            return False
        if any(before != after for before, after, _ in level[1:]):
            return False
        if any(before != after or attends for before, after, attends in halving):
            return False
    return True


def named(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under our names; rows of attention stay as they are."""
    ours = {name(key): value for key, value in tensors.items()}
    for key, value in ours.items():
        if ".qkv." in key or ".project." in key or key.startswith(("pool.all", "out.")):
            ours[key] = value if _is_image(key, value) else linear(value)
    if "class_embed.weight" in ours:
        ours["class_embed.weight"] = with_null(ours["class_embed.weight"])
    if "pool.place" in ours:
        ours["pool.place"] = ours["pool.place"].T
        for kind in ("weight", "bias"):
            if (rows := ours.pop(f"pool.all.{kind}", None)) is not None:
                query, *others = rows.chunk(3)
                ours |= {f"pool.query.{kind}": query, f"pool.key_value.{kind}": torch.cat(others)}
    return ours


def _is_image(key: str, value: Tensor) -> bool:
    """Whether it is the last convolution of a U-Net, which stays one."""
    return key == "out.weight" and value.dim() == 4 and value.shape[-1] > 1


def name(key: str) -> str:
    """Our name of a tensor."""
    key = re.sub(r"^input_blocks\.0\.0\.", "stem.", key)
    key = re.sub(
        r"^input_blocks\.(\d+)\.(\d)", lambda m: f"down.{int(m[1]) - 1}.parts.{m[2]}", key
    )
    key = re.sub(r"^output_blocks\.(\d+)\.(\d)", r"up.\1.parts.\2", key)
    key = re.sub(r"^middle_block\.(\d)", r"middle.parts.\1", key)
    key = key.replace(_POOL, "pool.place").replace("out.2.c_proj", "out")
    key = re.sub(r"^out\.2\.qkv_proj", "pool.all", key)
    key = re.sub(r"^out\.0", "head.0", re.sub(r"^out\.[23]\.", "out.", key))
    key = re.sub(r"^time_embed\.", "embed.", re.sub(r"^label_emb\.", "class_embed.", key))
    for theirs, ours in _PARTS.items():
        key = key.replace(f".{theirs}.", f".{ours}.")
    return key
