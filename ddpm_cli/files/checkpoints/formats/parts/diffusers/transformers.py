"""DiTTransformer2DModel of diffusers in our terms: the network `dit`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ddpm_cli.errors import Refusal

CLASSES = ("DiTTransformer2DModel", "Transformer2DModel")
_MOST, _LARGEST = 16_384, 2048  # of any number, and of the pixels of a side: files may be wrong
_DEFAULTS: Mapping[str, Any] = {
    "num_attention_heads": 16,
    "attention_head_dim": 72,
    "in_channels": 4,
    "out_channels": None,
    "num_layers": 28,
    "dropout": 0.0,
    "attention_bias": True,
    "sample_size": 32,
    "patch_size": 2,
    "activation_fn": "gelu-approximate",
    "num_embeds_ada_norm": 1000,
    "upcast_attention": False,
    "norm_type": "ada_norm_zero",
    "norm_elementwise_affine": False,
    "norm_eps": 1e-5,
}
# Options that our network has in one form alone.
_FIXED: Mapping[str, tuple[Any, ...]] = {
    "attention_bias": (True,),
    "activation_fn": ("gelu-approximate",),
    "norm_type": ("ada_norm_zero",),
    "norm_elementwise_affine": (False,),
}
_EMBEDDING = "norm1.emb."  # which every block has a copy of
_LAYERS = {
    "timestep_embedder.linear_1": "embed.0",
    "timestep_embedder.linear_2": "embed.2",
}
_BLOCK = {
    "norm1.linear": "modulate",
    "attn1.to_out.0": "mix.project",
    "ff.net.0.proj": "perceptron.expand",
    "ff.net.2": "perceptron.project",
}
_KINDS = ("weight", "bias")


class Transformer(NamedTuple):
    """A DiTTransformer2DModel in our terms: knobs, and the shape of its images."""

    knobs: dict[str, Any]
    shape: tuple[int, int, int]


def read(config: Mapping[str, Any], path: Path) -> Transformer:
    """The network that the options of a DiTTransformer2DModel describe."""
    options = {**_DEFAULTS, **config}
    for key in ("num_attention_heads", "attention_head_dim", "in_channels", "num_layers",
                "patch_size", "num_embeds_ada_norm"):  # fmt: skip
        _count(options, key, _MOST, path)
    side, patch = _count(options, "sample_size", _LARGEST, path), options["patch_size"]
    for key, forms in _FIXED.items():
        if options[key] not in forms:
            raise _refusal(path, options, key, f"only {forms[0]!r} has an equivalent")
    if side % patch:
        raise _refusal(path, options, "patch_size", f"it does not divide {side}")
    channels, out = options["in_channels"], options["out_channels"]
    if out not in (None, channels, 2 * channels):
        raise _refusal(path, options, "out_channels", f"only {channels} or twice as many are read")
    knobs = {
        "patch": patch,
        "width": options["num_attention_heads"] * options["attention_head_dim"],
        "depth": options["num_layers"],
        "heads": options["num_attention_heads"],
        "activation": "gelu-tanh",
        "overlap": False,
        "embedding": "endpoint",
        "dropout": float(options["dropout"]),
        "classes": options["num_embeds_ada_norm"],
        "learned_variance": out == 2 * channels,
    }
    return Transformer(knobs, (channels, side, side))


def taken(theirs: Mapping[str, Tensor], found: Transformer, path: Path) -> dict[str, Tensor]:
    """The tensors of a DiTTransformer2DModel under our names; KeyError names a missing one."""
    left = dict(theirs)
    ours: dict[str, Tensor] = {}
    for kind in _KINDS:
        ours[f"stem.{kind}"] = left.pop(f"pos_embed.proj.{kind}")
        ours[f"modulate.{kind}"] = left.pop(f"proj_out_1.{kind}")
        ours[f"out.{kind}"] = _by_channel(left.pop(f"proj_out_2.{kind}"), found.knobs["patch"])
    ours["stem.weight"] = ours["stem.weight"].flatten(1)[..., None, None]
    ours["out.weight"] = ours["out.weight"][..., None, None]
    left.pop("pos_embed.pos_embed", None)  # sines and cosines, as ours
    ours |= _embeddings(left, found.knobs["depth"], path)
    for number in range(found.knobs["depth"]):
        block = f"transformer_blocks.{number}"
        for kind in _KINDS:
            for name, mine in _BLOCK.items():
                ours[f"blocks.{number}.{mine}.{kind}"] = left.pop(f"{block}.{name}.{kind}")
            parts = [left.pop(f"{block}.attn1.{name}.{kind}") for name in ("to_q", "to_k", "to_v")]
            ours[f"blocks.{number}.mix.qkv.{kind}"] = torch.cat(parts)
    if left:
        what = f"{path}: {min(left)} is no tensor of the network in its config.json"
        raise Refusal(what, "give the config.json that belongs to these weights")
    return ours


def _embeddings(left: dict[str, Tensor], depth: int, path: Path) -> dict[str, Tensor]:
    """The embeddings of noise level and class, which all blocks must have in common."""
    names = {f"{theirs}.{kind}": f"{ours}.{kind}" for theirs, ours in _LAYERS.items()
             for kind in _KINDS}  # fmt: skip
    names["class_embedder.embedding_table.weight"] = "class_embed.weight"
    made = {}
    for theirs, ours in names.items():
        places = [f"transformer_blocks.{n}.{_EMBEDDING}{theirs}" for n in range(depth)]
        first, *others = (left.pop(place) for place in places)
        for place, other in zip(places[1:], others, strict=True):
            if not torch.equal(first, other):
                what = f"{path}: {place} differs from that of block 0; only equal ones are read"
                raise Refusal(what, "as DiT's are, which has one embedding for all blocks")
        made[ours] = first
    return made


def _by_channel(value: Tensor, patch: int) -> Tensor:
    """Rows that come pixel by pixel, the channel fastest, in the order of channels."""
    by_pixel = value.reshape(patch**2, -1, *value.shape[1:])
    return by_pixel.transpose(0, 1).reshape(value.shape)


def _count(options: Mapping[str, Any], key: str, most: int, path: Path) -> int:
    value = options[key]
    if type(value) is not int or not 0 < value <= most:
        raise _refusal(path, options, key, f"not a number from 1 to {most:,}")
    return value


def _refusal(path: Path, options: Mapping[str, Any], key: str, why: str) -> Refusal:
    what = f"{path}: {key} = {options[key]!r}: {why}"
    return Refusal(what, "no network of ddpm is so; see docs/convert.md")
