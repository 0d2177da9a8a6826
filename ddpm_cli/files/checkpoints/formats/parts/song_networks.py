"""Score SDE's U-Nets as numbered modules in the order of their construction, and our names."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

Module = Mapping[str, Tensor]
BLOCK = {
    "GroupNorm_0": "norm1", "Conv_0": "conv1", "Dense_0": "embed", "GroupNorm_1": "norm2",
    "Conv_1": "conv2", "Conv_2": "skip", "NIN_0": "skip",
}  # fmt: skip
RESAMPLING = ("gap", "filtered", "strided")


class Unordered(ValueError):
    """The modules are not in the order of a network that is known; says which, and why."""


@dataclass
class Found:
    """What the modules of a file are: knobs of `ncsnpp`, where each module goes, and doubts.

    places: our name of each module; attends: the levels that have attention; is_fir: None if
    nothing tells; is_plus: whether its blocks are BigGAN's, and so none of DDPM's own network.
    """

    modules: dict[int, Module]
    knobs: dict[str, Any] = field(default_factory=dict)
    places: dict[int, str] = field(default_factory=dict)
    attends: set[int] = field(default_factory=set)
    widths: list[int] = field(default_factory=list)
    is_fir: bool | None = None
    is_plus: bool = False
    channels: int = 0
    embedded: int = 0


def found(weights: Mapping[str, Tensor]) -> Found:
    """Tell what a network is, by its numbered modules."""
    modules: dict[int, dict[str, Tensor]] = {}
    for name, value in weights.items():
        _, number, rest = name.split(".", 2)
        modules.setdefault(int(number), {})[rest] = value
    net = Found({**modules})
    net.is_plus = any("Conv_2.weight" in module for module in modules.values())
    at = _head(net)
    first = _decoder(net, at)
    for place, kind in zip(range(first - 3, first), ("block", "attention", "block"), strict=True):
        if _kind(net, place) != kind:
            raise Unordered(f"module {place} is no {kind} of a middle")
    _encode(net, at, first - 3)
    net.places |= {first - 3 + number: f"middle.parts.{number}" for number in range(3)}
    _decode(net, first)
    net.knobs["multipliers"] = [_ratio(wide, net.knobs["width"]) for wide in net.widths]
    return net


def _head(net: Found) -> int:
    """Read the label's modules and the first convolution; return what comes behind them."""
    at = 0
    if net.modules.get(0, {}).keys() == {"W"}:
        net.knobs["embedding"] = "log-fourier"
        net.knobs["features"] = 2 * len(net.modules[0]["W"])
        net.places[0], at = "fourier", 1
    else:
        net.knobs["embedding"] = "sinusoid"
    if _weight(net, at).ndim == 2:
        net.places |= {at: "embed.0", at + 1: "embed.2"}
        net.embedded, net.knobs["features"] = _weight(net, at).shape
        at += 2
    stem = _weight(net, at)
    if stem.ndim != 4:
        raise Unordered(f"module {at} is no first convolution")
    net.knobs["width"], net.channels = stem.shape[:2]
    net.knobs.setdefault("features", net.knobs["width"])
    net.embedded = net.embedded or 4 * net.knobs["width"]
    net.knobs["embedded"] = net.embedded
    net.places[at] = "stem"
    return at + 1


def _decoder(net: Found, at: int) -> int:
    """The first block that sees a skip: it has more channels than what is before it gives."""
    now = net.knobs["width"]
    for number in range(at, max(net.modules) + 1):
        if _kind(net, number) != "block":
            continue
        seen = len(net.modules[number]["GroupNorm_0.weight"])
        if seen != now:
            if _kind(net, number - 1) == "combined":
                raise Unordered("its input is combined by cat (model.progressive_combine)")
            return number
        now = len(net.modules[number]["Conv_0.weight"])
    raise Unordered("it has no decoder")


def _encode(net: Found, first: int, last: int) -> None:
    """Levels of blocks and attention, a halving before all but the first, perhaps the image."""
    stage, counts, before = -1, [0], ""
    fed, resampled = "none", "block"
    now = net.knobs["width"]
    for number in range(first, last):
        kind = _kind(net, number)
        if kind == "attention":
            net.places[number] = f"down.{stage}.parts.1"
            net.attends.add(len(counts) - 1)
        elif kind == "combined":
            fed = "sum"
            net.places[number] = f"pyramid.{stage}.conv"
        elif kind in RESAMPLING and before == "halving":
            fed = "residual"
            net.places[number] = f"pyramid.{stage}.conv.conv"
        elif kind in RESAMPLING or (kind == "block" and _resamples(net, number)):
            stage += 1
            resampled = "block" if kind == "block" else "plain" if kind == "gap" else "conv"
            net.places[number] = f"down.{stage}.parts.0" + ("" if kind == "block" else ".conv")
            net.widths.append(now)
            counts.append(0)
        elif kind == "block":
            stage += 1
            now = len(net.modules[number]["Conv_0.weight"])
            net.places[number] = f"down.{stage}.parts.0"
            counts[-1] += 1
        else:
            raise Unordered(f"module {number} has no place in an encoder")
        before = "halving" if net.places[number].startswith("down.") and not counts[-1] else ""
        _told_of_filter(net, kind)
    net.widths.append(now)
    if len(set(counts)) > 1:
        raise Unordered(f"its levels have {counts} blocks, not all the same number")
    net.knobs |= {"blocks": counts[0], "resample": resampled, "progressive_input": fed}


def _decode(net: Found, first: int) -> None:
    """Blocks on what the encoder kept, attention behind the last of a level, then a doubling."""
    stage, end, images, blocks = -1, max(net.modules), 0, 0
    for number in range(first, end + 1):
        kind = _kind(net, number)
        if kind == "attention":
            net.places[number] = f"up.{stage}.parts.1"
        elif kind in ("norm", "conv"):
            final = number >= end - 1
            images += kind == "conv"
            names = ("head.0", "out") if final else (f"outputs.{stage}.0", f"outputs.{stage}.2")
            net.places[number] = names[kind == "conv"]
            if kind == "conv" and len(_weight(net, number)) != net.channels:
                raise Unordered("its output is model.progressive=residual")
        elif kind in RESAMPLING or (kind == "block" and blocks > net.knobs["blocks"]):
            where = "" if kind == "block" else ".conv"
            net.places[number], blocks = f"rise.{stage}.parts.0{where}", 0
        elif kind == "block":
            stage, blocks = stage + 1, blocks + 1
            net.places[number] = f"up.{stage}.parts.0"
        else:
            raise Unordered(f"module {number} has no place in a decoder")
        _told_of_filter(net, kind)
    net.knobs["progressive_output"] = "sum" if images > 1 else "none"


def _kind(net: Found, number: int) -> str:
    """What a module is, by the names in it; a number without any has no weights."""
    module = net.modules.get(number)
    if module is None:
        return "gap"
    if "Conv_1.weight" in module:
        return "block"
    if "NIN_3.W" in module:
        return "attention"
    if "Conv2d_0.weight" in module:
        return "filtered"
    if "Conv_0.weight" in module:
        return "combined" if module["Conv_0.weight"].shape[-1] == 1 else "strided"
    ndim = module["weight"].ndim if "weight" in module else 0
    return {1: "norm", 4: "conv"}.get(ndim, "other")


def _resamples(net: Found, number: int) -> bool:
    """Whether a block resamples: it has a 1x1 convolution around it without a need."""
    module = net.modules[number]
    return "Conv_2.weight" in module and len(module["GroupNorm_0.weight"]) == len(
        module["Conv_0.weight"]
    )


def _told_of_filter(net: Found, kind: str) -> None:
    if kind in ("filtered", "strided"):
        net.is_fir = kind == "filtered"


def _weight(net: Found, number: int) -> Tensor:
    module = net.modules.get(number, {})
    if "weight" not in module:
        raise Unordered(f"module {number} has no weight")
    return module["weight"]


def _ratio(wide: int, width: int) -> float:
    return wide // width if wide % width == 0 else wide / width


def renamed(net: Found) -> dict[str, Tensor]:
    """The tensors under the names of `ncsnpp`."""
    ours: dict[str, Tensor] = {}
    for number, module in net.modules.items():
        place, kind = net.places[number], _kind(net, number)
        if kind == "block":
            ours |= _block(module, place, net.embedded)
        elif kind == "attention":
            ours |= _attention(module, place)
        elif place == "fourier":
            ours["fourier.frequencies"] = module["W"]
        else:
            ours |= {f"{place}.{name.rpartition('.')[2]}": value for name, value in module.items()}
    if "embed.0.weight" in ours:
        ours["embed.0.weight"] = _swapped(ours["embed.0.weight"])
    else:  # a network that is told of no level: a label that nothing comes of
        wide, features = net.embedded, net.knobs["features"]
        for name, shape in (("embed.0", (wide, features)), ("embed.2", (wide, wide))):
            ours[f"{name}.weight"], ours[f"{name}.bias"] = torch.zeros(shape), torch.zeros(wide)
    return ours


def _block(module: Module, place: str, embedded: int) -> dict[str, Tensor]:
    """A residual block; one that is told of no level gets a layer of zeros for it."""
    ours: dict[str, Tensor] = {}
    for name, value in module.items():
        part, _, kind = name.rpartition(".")
        if part not in BLOCK:
            raise Unordered(f"{name} is no part of a block")
        # Their 1x1 layers hold [in, out].
        value = _transposed(value)[:, :, None, None] if kind == "W" else value
        kind = {"W": "weight", "b": "bias"}.get(kind, kind)
        ours[f"{place}.{BLOCK[part]}.{kind}"] = value
    wide = len(module["Conv_0.weight"])
    ours.setdefault(f"{place}.embed.weight", torch.zeros(wide, embedded))
    ours.setdefault(f"{place}.embed.bias", torch.zeros(wide))
    return ours


def _attention(module: Module, place: str) -> dict[str, Tensor]:
    """Attention: rows of q, k and v below one another."""
    rows = [_transposed(module[f"NIN_{number}.W"]) for number in range(4)]
    biases = [module[f"NIN_{number}.b"] for number in range(4)]
    return {
        f"{place}.norm.weight": module["GroupNorm_0.weight"],
        f"{place}.norm.bias": module["GroupNorm_0.bias"],
        f"{place}.qkv.weight": torch.cat(rows[:3]),
        f"{place}.qkv.bias": torch.cat(biases[:3]),
        f"{place}.project.weight": rows[3],
        f"{place}.project.bias": biases[3],
    }


def _transposed(value: Tensor) -> Tensor:
    """[in, out] -> [out, in]."""
    if value.ndim != 2:
        raise Unordered(f"a layer of shape {tuple(value.shape)} is no matrix")
    return value.T


def _swapped(weight: Tensor) -> Tensor:
    """Columns in our order, cosines before sines: [out, features]."""
    half = weight.shape[1] // 2
    sines, cosines, rest = weight[:, :half], weight[:, half : 2 * half], weight[:, 2 * half :]
    return torch.cat([cosines, sines, rest], dim=1)
