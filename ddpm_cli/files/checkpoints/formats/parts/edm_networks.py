"""EDM's U-Nets as they lie in its files: their knobs by names and shapes, and our names."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from ddpm_cli.errors import Refusal
from ddpm_cli.files.checkpoints.containers.content import Content
from ddpm_cli.files.checkpoints.containers.persistent import attributes, number
from ddpm_cli.files.checkpoints.containers.unpickling import Record

NETWORKS = {"SongUNet": "ncsnpp", "DhariwalUNet": "unet"}
FILTERS = ([1.0, 1.0], [1.0, 3.0, 3.0, 1.0])
SKIPPED = "resample_filter"  # which is fixed
# A block is one of ours and perhaps attention behind it.
BLOCK = {
    "norm0": (0, "norm1"), "conv0": (0, "conv1"), "affine": (0, "embed"), "norm1": (0, "norm2"),
    "conv1": (0, "conv2"), "skip": (0, "skip"), "norm2": (1, "norm"), "qkv": (1, "qkv"),
    "proj": (1, "project"),
}  # fmt: skip
PLAIN = {
    "map_layer0": "embed.0", "map_layer1": "embed.2", "out_norm": "head.0", "out_conv": "out",
    "map_augment": "told.augment.project",
}  # fmt: skip


class Found(NamedTuple):
    """One of EDM's networks in a file: the objects, its tensors by name, its blocks in order."""

    content: Content
    outer: Record
    inner: Record
    tensors: dict[str, Tensor]
    blocks: dict[str, Record]

    @property
    def is_song(self) -> bool:
        return self.inner.kind == "SongUNet"

    def number(self, name: str) -> Any:
        """A constant of the preconditioning."""
        value = attributes(self.outer).get(name)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise Refusal(f"{self.content.path}: its {self.outer.kind} has no {name}")
        return value

    def tensor(self, name: str) -> Tensor:
        """A tensor that must be there."""
        if name not in self.tensors:
            raise Refusal(f"{self.content.path}: {name} is missing")
        return self.tensors[name]


def knobs(found: Found, side: int) -> dict[str, Any]:
    """The knobs of our network, by the names and shapes of theirs."""
    encoder = [name for name in found.blocks if name.startswith("enc.") and "_block" in name]
    if not encoder:
        raise Refusal(f"{found.content.path}: its encoder has no blocks")
    width = len(found.tensor(f"enc.{side}x{side}_conv.weight"))
    widths = {_side(name): len(found.tensor(f"{name}.conv1.weight")) for name in encoder}
    attention = {_side(name) for name in encoder if f"{name}.qkv.weight" in found.tensors}
    outputs = _last(found, side)
    settings = {
        "name": NETWORKS[found.inner.kind],
        "width": width,
        "multipliers": [_ratio(wide, width) for wide in widths.values()],
        "blocks": len(encoder) // len(widths),
        "attention": sorted(attention, reverse=True),
        "dropout": number(found.blocks[encoder[0]], "dropout", 0.0),
        "group_width": 4,
        "learned_variance": outputs == 2 * int(found.number("img_channels")),
    }
    if "map_label.weight" in found.tensors:
        settings["classes"] = found.tensors["map_label.weight"].shape[1]
    return settings | (_song(found, width) if found.is_song else _adm(found, side, width))


def _song(found: Found, width: int) -> dict[str, Any]:
    """Knobs that ncsnpp alone has."""
    names = [name.partition("_")[2] for name in found.blocks]
    outputs = sum(name == "aux_conv" for name in names)
    kind = "sum" if "aux_skip" in names else "residual" if "aux_residual" in names else "none"
    embedded, features = found.tensor("map_layer0.weight").shape
    return {
        "embedding": "fourier" if "map_noise.freqs" in found.tensors else "sinusoid",
        "features": features,
        "embedded": embedded,
        "fir": _filter(found) == FILTERS[1],
        "progressive_input": kind,
        "progressive_output": "sum" if outputs > 1 else "none",
        "strided": False,
    }


def _filter(found: Found) -> list[float]:
    """The filter of resampling, [1, 1] or [1, 3, 3, 1]."""
    taps = FILTERS[0]
    for name, value in found.tensors.items():
        if name.endswith("resample_filter"):
            plane = value.double().reshape(value.shape[-2:])
            taps = (plane.sum(0) / plane.sum(0)[0]).tolist()
            if taps not in (FILTERS if found.is_song else FILTERS[:1]):
                shown = ", ".join(f"{tap:g}" for tap in taps)
                raise Refusal(f"{found.content.path}: resampled with the filter [{shown}]")
    return taps


def _adm(found: Found, side: int, width: int) -> dict[str, Any]:
    """Knobs that unet alone has."""
    _filter(found)
    heads = {
        len(found.tensor(f"{name}.proj.weight")): int(number(block, "num_heads", 1)) or 1
        for name, block in found.blocks.items()
        if f"{name}.qkv.weight" in found.tensors
    }
    split = _heads(found, heads)
    lowest = next(name for name in found.blocks if name.endswith("_in0"))
    middle = {} if f"{lowest}.qkv.weight" in found.tensors else {"middle": "blocks"}
    embedded = len(found.tensor("map_layer0.weight"))
    split |= {"embedded": embedded} if embedded != 4 * width else {}
    return {"scale_shift": True, "resample_blocks": True, "epsilon": 1e-5, **split, **middle}


def _heads(found: Found, heads: dict[int, int]) -> dict[str, int]:
    """The knob that gives so many heads to each width: their width, 64 in EDM, or the number."""
    for per_head in (64, *(width // count for width, count in heads.items())):
        if all(max(1, width // per_head) == count for width, count in heads.items()):
            return {"head_width": per_head}
    if len(set(heads.values())) > 1:
        raise Refusal(f"{found.content.path}: heads of several widths")
    return {"heads": next(iter(heads.values()))}


def renamed(found: Found, side: int, *, is_told: bool) -> dict[str, Tensor]:
    """The tensors under the names of our network; is_told: of how images were changed."""
    places, ours = _places(found, side), dict[str, Tensor]()
    for name, value in found.tensors.items():
        module, _, kind = name.rpartition(".")
        block, _, part = module.rpartition(".")
        if name.endswith(SKIPPED) or module == "map_label":
            continue
        if module == "map_augment" and not is_told:
            continue
        if name == "map_noise.freqs":
            ours["fourier.frequencies"] = value
        elif module in PLAIN:
            ours[f"{PLAIN[module]}.{kind}"] = value
        elif module in places:
            ours[f"{places[module][0]}.{kind}"] = value
        elif block in places and part in BLOCK:
            (row, first), (at, own) = places[block], BLOCK[part]
            if part in ("qkv", "proj"):
                value = _attention(value, found.blocks[block] if part == "qkv" else None)
            ours[f"{row}.{first + at}.{own}.{kind}"] = value
        else:
            raise Refusal(f"{found.content.path}: {name} is no tensor of a network that is known")
    if found.is_song:
        ours["embed.0.weight"] = _swapped(found.tensor("map_layer0.weight").T).T
        if is_told:
            told = f"{PLAIN['map_augment']}.weight"
            ours[told] = _swapped(ours[told])
    return ours | _classes(found)


def _places(found: Found, side: int) -> dict[str, tuple[str, int]]:
    """Where each module of theirs is in ours: the list of a block, and its place in it."""
    places, down, up, last = dict[str, tuple[str, int]](), -1, -1, ""
    for name in found.blocks:
        kind = name.partition("_")[2]
        if name.startswith("enc."):
            if kind == "conv":
                places[name] = ("stem", 0)
            elif kind in ("aux_skip", "aux_residual"):
                inner = ".conv" if kind == "aux_residual" else ""
                places[name] = (f"pyramid.{down}.conv{inner}", 0)
            elif not kind.startswith("aux"):
                down += 1
                places[name] = (f"down.{down}.parts", 0)
        elif kind.startswith("in"):
            attended = f"{name[:-1]}0.qkv.weight" in found.tensors
            places[name] = ("middle.parts", (1 + attended) * int(kind[2:]))
        elif kind == "up":
            behind = 1 + any(at.startswith(f"{last}.qkv.") for at in found.tensors)
            places[name] = (f"rise.{up}.parts", 0) if found.is_song else (f"up.{up}.parts", behind)
        elif kind.startswith("aux"):
            final = name.startswith(f"dec.{side}x{side}_")
            ends = ("head.0", "out") if final else (f"outputs.{up}.0", f"outputs.{up}.2")
            places[name] = (ends[kind == "aux_conv"], 0)
        else:
            up += 1
            places[name] = (f"up.{up}.parts", 0)
            last = name
    return places


def _attention(value: Tensor, block: Record | None) -> Tensor:
    """Weights of 1x1 convolutions as those of linear layers; block: whose q, k, v they give.

    Their rows are [head][d][q, k, v], ours [q, k, v][head][d].
    """
    value = value.flatten(1) if value.ndim == 4 else value
    if block is None:
        return value
    heads = int(number(block, "num_heads", 1)) or 1
    rows = value.reshape(heads, -1, 3, *value.shape[1:])
    return rows.permute(2, 0, 1, *range(3, rows.ndim)).reshape(value.shape)


def _swapped(features: Tensor) -> Tensor:
    """Features of the label in our order, cosines before sines: [features, ...]."""
    sines, cosines = features.chunk(2)
    return torch.cat([cosines, sines])


def _classes(found: Found) -> dict[str, Tensor]:
    """The rows of the classes, and a row of zeros for the null class, as theirs of no class."""
    if "map_label.weight" not in found.tensors:
        return {}
    columns = found.tensors["map_label.weight"]
    rows = torch.cat([columns, torch.zeros_like(columns[:, :1])], dim=1)
    if not found.is_song:
        return {"class_embed.weight": rows.T}
    bias = found.tensor("map_label.bias")
    return {"class_embed.weight": _swapped(rows).T, "class_bias": _swapped(bias)}


def _side(name: str) -> int:
    """The resolution that a block's name tells."""
    return int(name.partition(".")[2].partition("x")[0])


def _ratio(wide: int, width: int) -> float:
    return wide // width if wide % width == 0 else wide / width


def _last(found: Found, side: int) -> int:
    """Channels that the network gives."""
    name = f"dec.{side}x{side}_aux_conv" if found.is_song else "out_conv"
    return len(found.tensor(f"{name}.weight"))
