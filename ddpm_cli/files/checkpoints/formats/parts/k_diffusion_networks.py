"""The networks of k-diffusion in our terms: their settings and their tensors."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from ddpm_cli.errors import Refusal
from ddpm_cli.files.checkpoints.containers import fields
from ddpm_cli.files.checkpoints.containers.content import sizes
from ddpm_cli.networks.parts.stages import sides

KINDS = {
    "global": "global",
    "shifted-window": "window",
    "neighborhood": "neighborhood",
    "none": "none",
}
TRANSFORMER = {
    r"patch_in\.proj": "stem",
    r"time_in_proj": "embed",
    r"aug_in_proj": "augment",
    r"class_emb": "class_embed",
    r"mapping\.in_norm\.scale": "mapping.first.gain",
    r"mapping\.out_norm\.scale": "mapping.last.gain",
    r"mapping\.blocks\.(\d+)\.norm\.scale": r"mapping.norms.\1.gain",
    r"(down|up)_levels\.(\d+)\.": r"\1.\2.blocks.",
    r"mid_level\.": "middle.blocks.",
    r"self_attn\.norm\.linear": "before_mix",
    r"self_attn\.scale": "mix.sharpness",
    r"self_attn\.qkv_proj": "mix.qkv",
    r"self_attn\.out_proj": "mix.project",
    r"self_attn\.pos_emb\.freqs": "mix.rotation.frequencies",
    r"ff\.norm\.linear": "before_perceptron",
    r"ff\.up_proj": "perceptron.expand",
    r"ff\.down_proj": "perceptron.project",
    r"up_proj": "expand",
    r"down_proj": "project",
    r"(merges|splits)\.(\d+)\.proj": r"\1.\2.project",
    r"splits\.(\d+)\.fac": r"splits.\1.share",
    r"^out_norm\.scale": "norm.gain",
    r"patch_out\.proj": "out",
    r"^time_emb\.weight": "fourier.frequencies",
}
UNET = {
    r"^timestep_embed\.weight": "fourier.frequencies",
    r"^mapping\.": "embed.",
    r"^proj_in": "stem",
    r"^proj_out": "out",
    r"^u_net\.u_blocks\.(\d+)\.": r"up.\1.parts.",
    r"main\.0\.mapper": "norm1.embed",
    r"main\.2": "conv1",
    r"main\.4\.mapper": "norm2.embed",
    r"main\.6": "conv2",
    r"norm_in\.mapper": "norm.embed",
    r"qkv_proj": "qkv",
    r"out_proj": "project",
}
_DOWN = re.compile(r"^u_net\.d_blocks\.(\d+)\.(\d+)\.")  # its number 0 halves the image
_LINEAR = re.compile(r"\.(qkv|project)\.weight$")


class Network(NamedTuple):
    """A network in our terms: its table of settings and its tensors."""

    table: dict[str, Any]
    tensors: dict[str, Tensor]


def transformer(
    model: Mapping[str, Any],
    data: Mapping[str, Any],
    theirs: Mapping[str, Tensor],
    shape: tuple[int, ...],
    path: Path,
) -> Network:
    """image_transformer_v2 as network hdit."""
    high, wide = fields.pair(model, "patch_size", path)
    if high != wide:
        raise Refusal(f"{path}: patches of {high}x{wide}, which are not square, are not read")
    widths = fields.wholes(model, "widths", path)
    mapping = fields.whole(model, "mapping_width", path, 256)
    kinds = _attending(model, len(widths), path)
    has_classes = "class_emb.weight" in theirs or bool(data.get("num_classes"))
    rows = sizes(theirs, "class_emb.weight", 2, path)[0] if has_classes else 1
    table = {
        "name": "hdit",
        "patch": high,
        "widths": widths,
        "depths": fields.wholes(model, "depths", path),
        "hidden": fields.wholes(model, "d_ffs", path, [3 * width for width in widths]),
        "attention": [kind for kind, _, _ in kinds],
        "head_widths": [head for _, head, _ in kinds],
        "reach": [reach for _, _, reach in kinds],
        "mapping_width": mapping,
        "mapping_depth": fields.whole(model, "mapping_depth", path, 2),
        "mapping_hidden": fields.whole(model, "mapping_d_ff", path, 3 * mapping),
        "augmented": "aug_in_proj.weight" in theirs,
        "dropout": _dropout(model, path),
        "classes": rows - 1,
    }
    # Frequencies of what was changed in an image, which is nothing: all angles are 0.
    kept = {name: value for name, value in theirs.items() if name != "aug_emb.weight"}
    ours = {_renamed(name, TRANSFORMER): value for name, value in kept.items()}
    return Network(
        table, _by_channel(_with_frequencies(ours, path), high, widths[0], shape[0], path)
    )


def _by_channel(
    ours: dict[str, Tensor], patch: int, width: int, channels: int, path: Path
) -> dict[str, Tensor]:
    """The tensors with the values of a patch channel by channel, theirs lie pixel by pixel."""
    area = patch**2 * channels
    for name, want in (("stem.weight", (width, area)), ("out.weight", (area, width))):
        if sizes(ours, name, 2, path) != want:
            raise Refusal(f"{path}: its patches are not those of its configuration")
    stem = ours["stem.weight"].reshape(width, patch, patch, channels).permute(0, 3, 1, 2)
    out = ours["out.weight"].reshape(patch, patch, channels, width).permute(2, 0, 1, 3)
    read, write = stem.reshape(width, area, 1, 1), out.reshape(area, width, 1, 1)
    return ours | {"stem.weight": read, "out.weight": write}


def _attending(model: Mapping[str, Any], levels: int, path: Path) -> list[tuple[str, int, int]]:
    """Of each level: how its tokens see each other, the channels of a head, and how far."""
    usual = [{"type": "neighborhood", "d_head": 64, "kernel_size": 7}] * (levels - 1)
    specs = model.get("self_attns") or [*usual, {"type": "global", "d_head": 64}]
    if not isinstance(specs, list) or not all(isinstance(spec, Mapping) for spec in specs):
        raise fields.wrong("self_attns", path)
    found = []
    for spec in specs:
        kind = KINDS.get(str(spec.get("type")))
        if kind is None:
            fix = f"{', '.join(KINDS)} are read"
            raise Refusal(f"{path}: attention of type {spec.get('type')!r}", fix)
        size = {"window": "window_size", "neighborhood": "kernel_size"}.get(kind)
        head = fields.whole(spec, "d_head", path, 64)
        found.append((kind, head, fields.whole(spec, size, path) if size else 7))
    return found


def unet(
    model: Mapping[str, Any], theirs: Mapping[str, Tensor], shape: tuple[int, ...], path: Path
) -> Network:
    """image_v1 as network adagn-unet."""
    widths, patch = (
        fields.wholes(model, "channels", path),
        fields.whole(model, "patch_size", path, 1),
    )
    attends = model.get("self_attn_depths")
    if not isinstance(attends, list) or len(attends) != len(widths):
        raise fields.wrong("self_attn_depths", path)
    at = sides(shape[1], patch, len(widths))
    table = {
        "name": "adagn-unet",
        "patch": patch,
        "widths": widths,
        "depths": fields.wholes(model, "depths", path),
        "attention": [side for side, does in zip(at, attends, strict=True) if does],
        "mapping_width": fields.whole(model, "mapping_out", path),
        "dropout": _dropout(model, path),
    }
    ours: dict[str, Tensor] = {}
    for name, value in theirs.items():
        if name == "mapping_cond.weight" or name.endswith(".kernel"):
            continue  # of an augmentation that is none, which adds nothing; fixed filters
        new = _DOWN.sub(lambda m: f"down.{m[1]}.parts.{int(m[2]) - 1}.", _renamed(name, UNET))
        ours[new] = value[..., 0, 0] if _LINEAR.search(new) and value.ndim == 4 else value
    if model.get("has_variance"):
        for kind in ("weight", "bias"):  # of the loss, behind the channels of the image
            sizes(ours, f"out.{kind}", 4 if kind == "weight" else 1, path)
            ours[f"out.{kind}"] = ours[f"out.{kind}"][:-1]
    return Network(table, _with_frequencies(ours, path))


def _renamed(name: str, table: Mapping[str, str]) -> str:
    """A name of theirs in our terms."""
    for pattern, new in table.items():
        name = re.sub(pattern, new, name)
    return name


def _with_frequencies(ours: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """The tensors with the Fourier frequencies of the noise level as a row."""
    name = "fourier.frequencies"
    if sizes(ours, name, 2, path)[1] != 1:
        raise Refusal(f"{path}: its frequencies are not of a single number")
    return ours | {name: ours[name][:, 0]}


def _dropout(model: Mapping[str, Any], path: Path) -> float:
    """The share of what is dropped in training: the largest, where levels have their own."""
    rates = model.get("dropout_rate") or 0.0
    listed = rates if isinstance(rates, list) else [rates]
    return max(fields.number({"dropout_rate": rate}, "dropout_rate", path) for rate in listed)
