"""DiT of Peebles 2023, and SiT and REPA, which share its keys: .pt files of training and releases.

DiT predicts noise at indices; SiT and REPA predict a velocity at times in [0, 1], SiT's from noise
to data and REPA's from data to noise.
"""

import argparse
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ddpm_cli.errors import Refusal
from ddpm_cli.files.checkpoints.containers import content as contents
from ddpm_cli.files.checkpoints.containers.content import Content, sizes
from ddpm_cli.files.checkpoints.containers.unpickling import Record
from ddpm_cli.files.checkpoints.conversion import Ask, Conversion
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.networks.parts.tokens import places

# Heads of the published sizes, by blocks and width.
HEADS = {(28, 1152): 16, (24, 1024): 16, (12, 768): 12, (12, 384): 6}
LATENT = 0.18215  # of the VAE of Stable Diffusion: latents times this have unit variance
NAMES = {
    "x_embedder.proj": "stem",
    "t_embedder.mlp": "embed",
    "y_embedder.embedding_table": "class_embed",
    "attn.qkv": "mix.qkv",
    "attn.proj": "mix.project",
    "mlp.fc1": "perceptron.expand",
    "mlp.fc2": "perceptron.project",
    "final_layer.linear": "out",
    "final_layer.adaLN_modulation.1": "modulate",
    "adaLN_modulation.1": "modulate",
}
MARKS = ("x_embedder.proj.weight", "blocks.0.adaLN_modulation.1.weight")
_LAYERS = ("t_embedder.mlp.0", "t_embedder.mlp.2", "final_layer.adaLN_modulation.1")
_PARTS = ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2", "adaLN_modulation.1")
_BLOCK = re.compile(r"blocks\.\d{1,4}\.")
EXTRA = "projectors."  # of REPA, which align features in training alone


class _Shape(NamedTuple):
    """What the shapes of the weights say."""

    channels: int
    size: int
    patch: int
    width: int
    depth: int
    ratio: float
    rows: int  # of the table of classes
    outputs: int  # numbers for each value: 2 with a learned variance


def tells(content: Content) -> bool:
    """Whether it has the keys of DiT, bare or in the sets of a training script."""
    sets = (content.tree, *_sets(content.tree).values())
    return any(isinstance(one, Mapping) and _is_dit(one) for one in sets)


def read(content: Content, ask: Ask) -> Conversion:
    """The network of one set of weights; heads, prediction and latents as they are told."""
    theirs, weights = _weights(content, ask)
    shape = _shape(theirs, content.path)
    arguments = _arguments(content.tree)
    if any(name.startswith(EXTRA) for name in theirs):
        arguments = {"path_type": "linear", "proj_coeff": None, **arguments}
    classes = _classes(shape, arguments, ask)
    process, notes = _process(shape, arguments, ask, content.path)
    outputs = 1 if process["parameterization"]["name"] == "flow" else shape.outputs
    network = {
        "name": "dit",
        "patch": shape.patch,
        "width": shape.width,
        "depth": shape.depth,
        "heads": _heads(shape, arguments, ask),
        "ratio": shape.ratio,
        "activation": "gelu-tanh",
        "overlap": False,
        "classes": classes,
        "learned_variance": outputs == 2,
    }
    info, data_notes = _info(shape, arguments, classes, ask)
    drop = 0.1 if shape.rows == classes + 1 else 0.0
    settings = {"network": network, "train": {"drop_class": drop}, **process}
    if not info.is_image:
        settings["wrappers"] = []  # latents know no bounds
    step = content.tree.get("steps", 0) if _sets(content.tree) else 0
    if not arguments and outputs == shape.outputs == 2:
        notes = (*notes, "the weights that Meta released are under CC BY-NC 4.0")
    notes = (*notes, *data_notes)
    tensors = _renamed(theirs, shape, classes, outputs)
    return Conversion(settings, tensors, info, weights, step if type(step) is int else 0, notes)


def _is_dit(tensors: Mapping[Any, Any]) -> bool:
    return all(mark in tensors or f"module.{mark}" in tensors for mark in MARKS)


def _sets(tree: Any) -> dict[str, Any]:
    """The sets of weights of a training script, by their names."""
    if not isinstance(tree, Mapping):
        return {}
    return {name: tree[name] for name in ("ema", "model") if isinstance(tree.get(name), Mapping)}


def _weights(content: Content, ask: Ask) -> tuple[dict[str, Tensor], str]:
    """The tensors of the set that is wanted, and what it is."""
    path, sets = content.path, _sets(content.tree)
    if not sets:
        return _stripped(content.tree, path), "the only ones; released files hold the average"
    if ask.weights not in sets:
        fix = f"take those that are there: --weights {next(iter(sets))}"
        raise Refusal(f"{path}: it has no weights {ask.weights!r}", fix)
    words = {"ema": "ema, decay 0.9999 of its training script", "model": "model"}
    return _stripped(sets[ask.weights], path), words[ask.weights]


def _stripped(tree: Any, path: Path) -> dict[str, Tensor]:
    return contents.stripped(contents.state_dict(tree, path), "module.")


def _shape(tensors: Mapping[str, Tensor], path: Path) -> _Shape:
    """Read the sizes of a network off the shapes of its weights."""
    width, channels, patch, other = sizes(tensors, "x_embedder.proj.weight", 4, path)
    _, tokens, wide = sizes(tensors, "pos_embed", 3, path)
    hidden, _ = sizes(tensors, "blocks.0.mlp.fc1.weight", 2, path)
    rows, _ = sizes(tensors, "y_embedder.embedding_table.weight", 2, path)
    out, _ = sizes(tensors, "final_layer.linear.weight", 2, path)
    (bias,) = sizes(tensors, "final_layer.linear.bias", 1, path)
    depth = 1 + max(int(name.split(".")[1]) for name in tensors if _BLOCK.match(name))
    for layer in (*_LAYERS, *(f"blocks.{n}.{part}" for n in range(depth) for part in _PARTS)):
        for kind in ("weight", "bias"):
            sizes(tensors, f"{layer}.{kind}", 1 if kind == "bias" else 2, path)
    side, outputs = math.isqrt(tokens), out // (channels * patch**2)
    if patch != other or side**2 != tokens or wide != width or width % 4:
        raise Refusal(f"{path}: its patches or positions are not square, as those of DiT are")
    if outputs not in (1, 2) or out != outputs * channels * patch**2 or bias != out:
        raise Refusal(f"{path}: final_layer.linear has {out} rows, which are no patches")
    at = places(side, side, width, torch.device("cpu"))
    if float((tensors["pos_embed"][0].float() - at).abs().max()) > 1e-3:  # they may be of 16 bits
        raise Refusal(f"{path}: pos_embed are not the sines and cosines that DiT has")
    return _Shape(channels, side * patch, patch, width, depth, hidden / width, rows, outputs)


def _arguments(tree: Any) -> dict[str, Any]:
    """What the training script was called with, if the file says it."""
    kept = tree.get("args") if isinstance(tree, Mapping) else None
    if isinstance(kept, argparse.Namespace):
        return vars(kept)
    if isinstance(kept, Record):
        kept = kept.state
    return dict(kept) if isinstance(kept, Mapping) else {}


def _model(arguments: Mapping[str, Any]) -> str:
    return str(arguments.get("model", ""))


def _heads(shape: _Shape, arguments: Mapping[str, Any], ask: Ask) -> int:
    """The number of heads, which leaves no trace in a file."""
    known = HEADS.get((shape.depth, shape.width))
    if known is not None:
        why = f"as the published {shape.depth} blocks of width {shape.width} have"
        return ask.assume("network.heads", known, why)
    fitting = [str(n) for n in range(1, 65) if shape.width % n == 0]
    named = f" ({_model(arguments)} is no published size)" if _model(arguments) else ""
    what = f"what divides the width {shape.width}: {', '.join(fitting)}{named}"
    return ask.need("network.heads", what, 1)


def _classes(shape: _Shape, arguments: Mapping[str, Any], ask: Ask) -> int:
    """The number of classes: of the rows of their table the last is nearly always the null one."""
    named = arguments.get("num_classes")
    if type(named) is int and named in (shape.rows, shape.rows - 1) and named:
        return named
    usual = shape.rows - 1
    why = f"of {shape.rows} rows the last is the null class; {shape.rows} if there is none"
    return ask.assume("network.classes", usual, why) if usual else 1


def _process(
    shape: _Shape, arguments: Mapping[str, Any], ask: Ask, path: Path
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What is predicted, on which schedule and with which label, as tables of settings; notes."""
    is_flow, is_dit = "path_type" in arguments, _model(arguments).startswith("DiT")
    if is_flow or is_dit:
        usual, why = ("flow", "as SiT and REPA do") if is_flow else ("eps", "as DiT does")
        name = ask.assume("parameterization.name", usual, why)
    else:
        name = ask.need("parameterization.name", "eps (DiT) or flow (SiT, REPA)", "eps")
    if name == "flow":
        return _flow(shape, arguments, ask, path)
    if is_dit:
        schedule = ask.assume("schedule.name", "linear", "1000 steps, 1e-4 to 0.02, as DiT's is")
    else:
        what = "linear (DiT's: 1000 steps, 1e-4 to 0.02), cosine or another of --list schedule"
        schedule = ask.need("schedule.name", what, "linear")
    tables = {
        "parameterization": {"name": name},
        "schedule": {"name": schedule},
        "label": {"name": "index"},
    }
    ranged = "the second half of its outputs is a learned range of the variance"
    return tables, (ranged,) if shape.outputs == 2 else ()


def _flow(
    shape: _Shape, arguments: Mapping[str, Any], ask: Ask, path: Path
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The process of SiT, whose time runs from noise to data, or of REPA, where it runs back."""
    straight = str(arguments.get("path_type", "linear")).lower() == "linear"
    if not straight or arguments.get("prediction", "v") not in ("v", "velocity"):
        what = f"{arguments['path_type']} paths, prediction {arguments.get('prediction')}"
        raise Refusal(f"{path}: {what}", "velocities of linear paths are read")
    if "proj_coeff" in arguments or "enc_type" in arguments:
        target = ask.assume("parameterization.target", "noise", "as REPA's velocity")
    elif arguments:
        target = ask.assume("parameterization.target", "data", "as SiT's velocity")
    else:
        what = "data (SiT: x0 - noise, time from noise to data) or noise (REPA, the other way)"
        target = ask.need("parameterization.target", what, "data")
    tables = {
        "parameterization": {"name": "flow", "target": target},
        "schedule": {"name": "flow"},
        "label": {"name": "time", "scale": 1.0, "reverse": target == "data"},
    }
    idle = "the second half of its outputs, which nothing reads, is left out"
    return tables, (idle,) if shape.outputs == 2 else ()


def _info(
    shape: _Shape, arguments: Mapping[str, Any], classes: int, ask: Ask
) -> tuple[DataInfo, tuple[str, ...]]:
    """What the network was trained on: latents where they have four channels, or else images."""
    size = (shape.channels, shape.size, shape.size)
    names = tuple(map(str, range(classes)))
    if shape.channels != 4:
        return DataInfo(size, names), ()
    why = f"4 channels: latents of Stable Diffusion's VAE times {LATENT}; folder if pixels"
    if ask.assume("data.name", "array", why) != "array":
        return DataInfo(size, names), ()
    vae = f"stabilityai/sd-vae-ft-{arguments.get('vae', 'ema')}"
    note = f"samples are latents: decode them with the VAE that it was trained on ({vae}?)"
    return DataInfo(size, names, None, (0.0,) * 4, (1 / LATENT,) * 4), (note,)


def _renamed(
    theirs: Mapping[str, Tensor], shape: _Shape, classes: int, outputs: int
) -> dict[str, Tensor]:
    """Their weights under our names; the values of a patch lie channel by channel in ours."""
    pattern = re.compile("|".join(map(re.escape, NAMES)))
    kept = {key: value for key, value in theirs.items() if not key.startswith(EXTRA)}
    ours = {pattern.sub(lambda m: NAMES[m[0]], key): value for key, value in kept.items()}
    del ours["pos_embed"]
    ours["stem.weight"] = ours["stem.weight"].reshape(shape.width, -1, 1, 1)
    for kind in ("weight", "bias"):
        value = ours[f"out.{kind}"]
        by_pixel = value.reshape(shape.patch**2, -1, *value.shape[1:])
        by_channel = by_pixel.transpose(0, 1)[: outputs * shape.channels]
        ours[f"out.{kind}"] = by_channel.reshape(-1, *value.shape[1:])
    ours["out.weight"] = ours["out.weight"][..., None, None]
    if shape.rows == classes:
        table = ours["class_embed.weight"]
        ours["class_embed.weight"] = torch.cat([table, table.new_zeros(1, shape.width)])
    return ours
