"""The .pt files of denoising-diffusion-pytorch (lucidrains): 2.x, 1.9, classifier-free guidance.

They hold the tables of their process; the loss weights among them tell what is predicted.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files.checkpoints.containers import content as contents
from ddpm_cli.files.checkpoints.containers.content import Content
from ddpm_cli.files.checkpoints.conversion import Ask, Conversion
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.files.checkpoints.formats.parts import loss_weights, lucidrains_keys

MARKS = ("init_conv.weight", "time_mlp.1.weight", "mid_block1.block1.proj.weight")
SETS = {"model": ("model", "model."), "ema": ("ema", "ema_model.model.")}
OLD = ("0.", *(f"1.{minor}." for minor in range(9)))  # versions, of which few keys tell more
SIGMAS = "sqrt_recipm1_alphas_cumprod"  # sqrt(1 / abar - 1): the levels, rounded once
LINEAR = (4, 32)  # heads and their width of all linear attention without memory


class _Weights(NamedTuple):
    """The network's tensors under the peer's names, the tables of its process, and whose."""

    network: Mapping[str, Tensor]
    tables: Mapping[str, Tensor]
    words: str
    path: Path

    def sizes(self, name: str, axes: int) -> tuple[int, ...]:
        """The shape of a tensor of so many axes, which must be there."""
        return contents.sizes(self.network, name, axes, self.path)


def tells(content: Content) -> bool:
    """Whether it has the keys of that network, in a process or bare."""
    tree = content.tree
    if not isinstance(tree, Mapping):
        return False
    sets = [(tree.get(name), prefix) for name, prefix in SETS.values()]
    return any(_has(one, prefix) for one, prefix in [*sets, (tree, "model."), (tree, "")])


def read(content: Content, ask: Ask) -> Conversion:
    """One set of weights, its schedule and prediction; heads, groups, size as they are told."""
    weights = _weights(content, ask)
    network, full = _network(weights, ask)
    inputs, outputs = weights.sizes("init_conv.weight", 4)[1], network.pop("outputs")
    # The peer allows no self-conditioning where the variance is learned.
    before, ranged = inputs == 2 * outputs, outputs == 2 * inputs
    if not before and not ranged and inputs != outputs:
        raise Refusal(f"{weights.path}: {inputs} channels come in and {outputs} out")
    channels = outputs if before else inputs
    network |= {"self_condition": before, "learned_variance": ranged}
    what = "the side of its images in pixels, as --set data.size=32"
    side = ask.need("data.size", what, 2 ** len(network["multipliers"]))
    process, notes = _process(weights, ask, ranged)
    settings: dict[str, Any] = {"network": network, "label": {"name": "index"}, **process}
    why = "auto_normalize, its default; units.low=0 of networks that see data in [0, 1]"
    if ask.assume("units.low", -1.0, why) != -1:
        settings["units"] = {"low": ask.told("units.low")}
    count = network["classes"]
    if count:
        settings["train"] = {"drop_class": _dropped(ask)}
        notes = (*notes, "its own default of guidance is 6, rescaled by 0.7; here it is none")
    if before:
        what = "self-conditioned: it is shown zeros, as in half of its training, for an estimate"
        notes = (*notes, what)
    names = tuple(map(str, range(count))) if count else None
    info = DataInfo((channels, side, side), names)
    levels = len(network["multipliers"])
    tensors = lucidrains_keys.renamed(weights.network, levels, full, weights.path)
    step = content.tree.get("step", 0)
    trained = step if type(step) is int else 0
    return Conversion(settings, tensors, info, weights.words, trained, (*_told(content), *notes))


def _has(tensors: Any, prefix: str) -> bool:
    return isinstance(tensors, Mapping) and all(prefix + mark in tensors for mark in MARKS)


def _weights(content: Content, ask: Ask) -> _Weights:
    """The tensors of the set that is wanted."""
    tree, path = content.tree, content.path
    there = [name for name, (key, prefix) in SETS.items() if _has(tree.get(key), prefix)]
    if there:
        if ask.weights not in there:
            fix = f"take those that are there: --weights {there[0]}"
            raise Refusal(f"{path}: it has no weights {ask.weights!r}", fix)
        key, prefix = SETS[ask.weights]
        named, words = contents.state_dict(tree[key], path), str(ask.weights)
    else:
        prefix = "model." if _has(tree, "model.") else ""
        named, words = contents.state_dict(tree, path), "the only ones"
    network = {n.removeprefix(prefix): v for n, v in named.items() if n.startswith(prefix)}
    outer = prefix.removesuffix("model.")
    tables = {n.removeprefix(outer): v for n, v in named.items() if prefix and v.ndim == 1}
    return _Weights(network, tables, words, path)


def _told(content: Content) -> tuple[str, ...]:
    """What else the file says: which version wrote it, and whether its average has begun."""
    version, average = content.tree.get("version"), content.tree.get("ema")
    notes = [f"written by version {version}"] if isinstance(version, str) else []
    if isinstance(version, str) and version.startswith(OLD):
        notes.append("convolutions of versions before 1.9 may be standardized, which is not done")
    begun = average.get("initted") if isinstance(average, Mapping) else None
    if isinstance(begun, Tensor) and begun.numel() == 1 and not bool(begun):
        notes.append("its average had not begun yet: --weights model takes what was trained")
    return tuple(notes)


def _network(weights: _Weights, ask: Ask) -> tuple[dict[str, Any], list[int]]:
    """What shapes and keys say of a network, and its levels of full attention."""
    theirs, path = weights.network, weights.path
    levels = 1 + max((int(m[1]) for n in theirs if (m := _LEVEL.match(n))), default=0)
    width = weights.sizes("time_mlp.1.weight", 2)[0] // 4
    ends = [_after(weights, level, levels) for level in range(levels)]
    if not width or any(end % width for end in ends):
        raise Refusal(f"{path}: levels of {ends} channels, no multiples of the width {width}")
    full = [n for n in range(levels) if _any(theirs, f"downs.{n}.2", "to_out.weight")]
    grouped = "mid_block1.block1.norm.weight" in theirs
    wrapped = any(".fn.norm." in name for name in theirs)
    classes = theirs.get("classes_emb.weight")
    if wrapped and (grouped or classes is None):
        what = "an early version, whose convolutions and attention were others"
        raise Refusal(f"{path}: {what}; 1.9 and 2.x are read")
    stem = weights.sizes("init_conv.weight", 4)[0]
    network: dict[str, Any] = {
        "name": "linear-attention-unet",
        "width": width,
        "multipliers": [end // width for end in ends],
        "stem_width": 0 if stem == width else stem,
        "full": full,
        "downsample": "conv" if "downs.0.3.weight" in theirs and levels > 1 else "fold",
        "norm": "group" if grouped else "rms",
        "classes": 0 if classes is None else len(classes),
        "outputs": weights.sizes("final_conv.weight", 4)[0],
        **_heads(weights, levels, full, ask),
        **_embedding(weights, ask),
    }
    if grouped:
        why = "resnet_block_groups, its default"
        network["groups"] = ask.assume("network.groups", 8, why)
        if network["groups"] < 1 or any(w % network["groups"] for w in (stem, *ends)):
            raise ConfigError(f"network.groups: {network['groups']} does not divide {ends}")
    return network, full


_LEVEL = re.compile(r"downs\.(\d{1,2})\.")


def _after(weights: _Weights, level: int, levels: int) -> int:
    """The channels that leave a level on the way down."""
    folded = f"downs.{level}.3.1.weight"
    name = folded if folded in weights.network else f"downs.{level}.3.weight"
    return weights.sizes(name, 4)[0]


def _any(theirs: Mapping[str, Tensor], place: str, name: str) -> bool:
    return any(f"{place}.{inner}{name}" in theirs for inner in ("", "fn.fn."))


def _heads(weights: _Weights, levels: int, full: list[int], ask: Ask) -> dict[str, Any]:
    """Heads and their widths, in the middle and at each level: the memory's, or as told."""
    theirs, places = weights.network, [*(f"downs.{n}.2" for n in range(levels)), "mid_attn"]
    inner = [_inner(weights, place) for place in places]
    if "mid_attn.mem_kv" in theirs:
        shapes = [weights.sizes(f"{place}.mem_kv", 4) for place in places]
        many = [shape[1] for shape in shapes]
        linear = [n not in full for n in range(levels)] + [False]
        kept = [shape[3] if flat else shape[2] for shape, flat in zip(shapes, linear, strict=True)]
        memory = kept[-1]
    else:
        many, memory = _told_heads(inner, levels, full, ask), 0
    if any(not heads or own % heads for heads, own in zip(many, inner, strict=True)):
        raise ConfigError(f"network.heads: {many[-1]} heads do not divide {inner[-1]} channels")
    wide = [own // heads for heads, own in zip(many, inner, strict=True)]
    heads: dict[str, Any] = {"heads": many[-1], "head_width": wide[-1], "memory": memory}
    if {*many} != {many[-1]}:
        heads["level_heads"] = many[:-1]
    if {*wide} != {wide[-1]}:
        heads["level_head_widths"] = wide[:-1]
    return heads


def _inner(weights: _Weights, place: str) -> int:
    name = f"{place}.to_qkv.weight"
    name = name if name in weights.network else f"{place}.fn.fn.to_qkv.weight"
    return weights.sizes(name, 4)[0] // 3


def _told_heads(inner: list[int], levels: int, full: list[int], ask: Ask) -> list[int]:
    """Heads that leave no trace: of full attention as told, of linear attention 4 of 32."""
    own, wide = inner[-1], ask.told("network.head_width")
    if type(wide) is int and wide > 0 and own % wide == 0:
        middle = own // wide
    else:
        fitting = ", ".join(str(n) for n in range(1, own + 1) if own % n == 0)
        what = f"attn_heads, of the middle, which divide {own}: {fitting}; or network.head_width"
        middle = ask.need("network.heads", what, 1)
    usual = LINEAR[0] * LINEAR[1]
    at = [LINEAR[0] if n not in full and inner[n] == usual else middle for n in range(levels)]
    return [*at, middle]


def _embedding(weights: _Weights, ask: Ask) -> dict[str, Any]:
    """How the label is seen: by learned frequencies, or by sines up to a period."""
    learned = weights.network.get("time_mlp.0.weights")
    if learned is not None:
        return {"embedding": "learned", "frequencies": learned.numel()}
    why = "sinusoidal_pos_emb_theta, its default"
    return {"theta": ask.assume("network.theta", 10000.0, why)}


def _dropped(ask: Ask) -> float:
    return ask.assume("train.drop_class", 0.5, "cond_drop_prob, its default, for training on")


def _process(weights: _Weights, ask: Ask, ranged: bool) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The levels and the prediction of a process by its tables, as settings, and notes."""
    levels = _levels(weights)
    if levels is None:
        what = "linear (1000 steps), cosine, sigmoid or another of --list schedule"
        schedule: dict[str, Any] = {"name": ask.need("schedule.name", what, "linear")}
    else:
        schedule = {"name": "table", "holds": "sigma", "values": levels.tolist()}
    weight, found = weights.tables.get("loss_weight"), None
    if levels is not None and weight is not None and weight.shape == levels.shape:
        found = loss_weights.objective(weight, levels)
    notes: tuple[str, ...] = ()
    if ranged:
        name = "eps"
        if found is None or found.name != "eps":
            why = "what the process of learned variances takes them for, whatever was trained"
            name = ask.assume("parameterization.name", "eps", why)
        notes = ("its own log variance at index 0 is cut at log 1e-20, here as at index 1",)
    elif found is None:
        what = "eps (pred_noise), x0 (pred_x0) or v (pred_v)"
        name = ask.need("parameterization.name", what, "eps")
    else:
        name = found.name
        cut = f" cut at a signal-to-noise ratio of {found.gamma:g}" if found.gamma else ""
        notes = (f"the loss weights{cut} say that it predicts {name}",)
    return {"schedule": schedule, "parameterization": {"name": name}}, notes


def _levels(weights: _Weights) -> Tensor | None:
    """The levels sigma [T] of the tables, in float64; None without tables."""
    betas, sigmas = weights.tables.get("betas"), weights.tables.get(SIGMAS)
    if betas is None:
        return None
    betas = betas.double()
    if not len(betas) or not bool(((betas > 0) & (betas < 1)).all()):
        raise Refusal(f"{weights.path}: betas are not numbers above 0 and below 1")
    own = torch.expm1(-torch.log1p(-betas).cumsum(0)).sqrt()
    if sigmas is None:
        return own
    if sigmas.shape != own.shape or not torch.allclose(sigmas.double(), own, rtol=1e-3):
        raise Refusal(f"{weights.path}: its tables betas and {SIGMAS} contradict each other")
    return sigmas.double()
