"""NVIDIA's EDM: network-snapshot-*.pkl and training-state-*.pt (Karras 2022).

Their objects say everything: the class of the outer one is the preconditioning, its state the
constants, the modules within are the network. The source that they carry is never run.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ddpm_cli.errors import Refusal
from ddpm_cli.files.checkpoints.containers import persistent
from ddpm_cli.files.checkpoints.containers.content import Content
from ddpm_cli.files.checkpoints.containers.persistent import attributes, children
from ddpm_cli.files.checkpoints.containers.unpickling import Record
from ddpm_cli.files.checkpoints.conversion import Ask, Conversion
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.files.checkpoints.formats.parts import questions
from ddpm_cli.files.checkpoints.formats.parts.edm_networks import NETWORKS, Found, knobs, renamed

LICENCE = "NVIDIA's own weights: CC BY-NC-SA 4.0; others: as their makers say"
PRECONDITIONINGS = ("EDMPrecond", "VPPrecond", "VEPrecond", "iDDPMPrecond")
LABELS, COUNT = "map_augment.weight", 9
# Its knobs, ours, and what its training has where a file does not say.
CHANGES = {
    "p": ("p", 0.12), "xflip": ("xflip", 1e8), "yflip": ("yflip", 1.0), "scale": ("scale", 1.0),
    "rotate_frac": ("rotate", 1.0), "aniso": ("anisotropy", 1.0),
    "translate_frac": ("translate", 1.0),
}  # fmt: skip
OTHERS = (
    "rotate_int", "translate_int", "brightness", "contrast", "lumaflip", "hue", "saturation",
)  # fmt: skip
ENDS = (0.002, 80.0)  # of EDM's walks, as far as the network goes (Karras 2022, table 1)


def tells(content: Content) -> bool:
    """Whether there is a network as an object of NVIDIA's persistence."""
    return any("_modules" in attributes(found) for found in _objects(content.tree).values())


def read(content: Content, ask: Ask) -> Conversion:
    """Bring its preconditioned network into our terms; nothing is left to ask."""
    objects = _objects(content.tree)
    which = ask.weights if ask.weights in objects else next(iter(objects))
    if ask.weights == "model" and which != "model":
        fix = "they lie in the training-state-*.pt beside it; leave --weights out"
        raise Refusal(f"{content.path}: it holds no raw weights, only their average", fix)
    found = _found(content, objects[which])
    changes = _augmentation(found, content.tree)
    side, notes = int(found.number("img_resolution")), _notes(found, is_told=bool(changes))
    if which != ask.weights:
        notes = [*notes, "its average lies in the network-snapshot-*.pkl beside it"]
    try:
        network, tensors = knobs(found, side), renamed(found, side, is_told=bool(changes))
    except (ArithmeticError, LookupError, RuntimeError, StopIteration, ValueError) as error:
        what = f"{content.path}: its weights have no shapes of such a network: {error}"
        raise Refusal(what) from None
    settings = {
        "network": network,
        **_process(found),
        **_training(content.tree),
        **changes,
        "sampler": {"name": "heun"},
        "levels": _levels(found, side),
        "wrappers": [],
    }
    names = questions.numbered(network.get("classes", 0))
    return Conversion(
        settings,
        tensors,
        DataInfo((int(found.number("img_channels")), side, side), names),
        "average (ema)" if which == "ema" else "raw (net)",
        notes=tuple(notes),
        licence=LICENCE,
    )


def _objects(tree: Any) -> dict[str, Record]:
    """The networks of a file by whose weights they have."""
    named = tree if isinstance(tree, Mapping) else {"ema": tree}
    entries = {"ema": named.get("ema"), "model": named.get("net")}
    return {name: found for name, found in entries.items() if isinstance(found, Record)}


def _found(content: Content, outer: Record) -> Found:
    """The network of an object, if it is one that is known."""
    path, inner = content.path, children(outer).get("model")
    if outer.kind not in PRECONDITIONINGS:
        known = ", ".join(PRECONDITIONINGS)
        raise Refusal(f"{path}: a network in {outer.kind or 'no class'}, not in one of {known}")
    if inner is None:
        what = f"{outer.kind} brings source code and no weights"
        raise Refusal(f"{path}: refused: {what}", "no code in a file is run")
    if inner.kind not in NETWORKS:
        raise Refusal(f"{path}: a network {inner.kind}, not one of {', '.join(NETWORKS)}")
    blocks: dict[str, Record] = {}
    for part in ("enc", "dec"):
        named = children(children(inner).get(part))
        blocks |= {f"{part}.{name}": block for name, block in named.items()}
    tensors = persistent.weights(inner)
    if not tensors or not blocks:
        raise Refusal(f"{path}: its {inner.kind} has no weights")
    return Found(content, outer, inner, tensors, blocks)


def _notes(found: Found, *, is_told: bool) -> list[str]:
    """What a user must know of a network."""
    notes = []
    if "map_label.weight" in found.tensors and not attributes(found.inner).get("label_dropout"):
        notes.append("no class was dropped in its training: the null class is untrained")
    if LABELS in found.tensors and not is_told:
        notes.append("its augmentation labels are left out: they are 0 when images are made")
    return notes


def _process(found: Found) -> dict[str, Any]:
    """Schedule, parameterization and label of a preconditioning (Karras 2022, table 1)."""
    low, high = _ends(found)
    if found.outer.kind == "EDMPrecond":
        return {
            "schedule": {"name": "edm", "low": low, "high": high},
            "parameterization": {"name": "edm", "sigma_data": float(found.number("sigma_data"))},
            "label": {"name": "log-sigma"},
        }
    if found.outer.kind == "VEPrecond":
        ends = {"low": float(found.number("sigma_min")), "high": float(found.number("sigma_max"))}
        return {
            "schedule": {"name": "ve", **ends},
            "parameterization": {"name": "ve"},
            "label": {"name": "log-sigma", "scale": 1.0, "unit": 2.0},
        }
    if found.outer.kind == "VPPrecond":
        first = float(found.number("beta_min"))
        last = first + float(found.number("beta_d"))
        return {
            "schedule": {
                "name": "vp",
                "first": first,
                "last": last,
                "low": float(found.number("epsilon_t")),
            },
            "parameterization": {"name": "eps"},
            "label": {"name": "time", "scale": float(found.number("M") - 1)},
        }
    buffers = attributes(found.outer).get("_buffers")
    levels = buffers.get("u") if isinstance(buffers, Mapping) else None
    if not isinstance(levels, Tensor):
        raise Refusal(f"{found.content.path}: its iDDPMPrecond has no levels u")
    ascending = levels.double().sort().values
    return {
        "schedule": {
            "name": "table",
            "holds": "sigma",
            "values": ascending[ascending > 0].tolist(),
        },
        "parameterization": {"name": "eps"},
        "label": {"name": "index", "nearest": True},
    }


def _augmentation(found: Found, tree: Any) -> dict[str, Any]:
    """How images were changed in training, if the network is told of it as ours are.

    That are nine labels, of the flips, factors, angles and shifts of Karras 2022, appendix F.2.
    """
    if LABELS not in found.tensors or found.tensor(LABELS).shape[1] != COUNT:
        return {}
    pipe = tree.get("augment_pipe") if isinstance(tree, Mapping) else None
    if any(persistent.number(pipe, name, 0.0) for name in OTHERS):
        return {}
    often = {ours: persistent.number(pipe, name, usual) for name, (ours, usual) in CHANGES.items()}
    return {"augment": often}


def _ends(found: Found) -> tuple[float, float]:
    """The lowest and highest level of EDM's walks with a network."""
    if found.outer.kind == "VPPrecond":
        slope, start = float(found.number("beta_d")), float(found.number("beta_min"))
        at = torch.tensor([float(found.number("epsilon_t")), 1.0], dtype=torch.float64)
        low, high = torch.expm1(slope * at**2 / 2 + start * at).sqrt().tolist()
    else:
        low, high = float(found.number("sigma_min")), float(found.number("sigma_max"))
    return max(low, ENDS[0]), min(high, ENDS[1])


def _levels(found: Found, side: int) -> dict[str, Any]:
    """EDM's own list: 18 levels of CIFAR-10, 40 of larger images."""
    low, high = _ends(found)
    count = 18 if side <= 32 else 40
    return {"name": "karras", "count": count, "rho": 7.0, "low": low, "high": high}


def _training(tree: Any) -> dict[str, Any]:
    """Loss and noise levels of a training with EDM's loss, to go on from."""
    loss = tree.get("loss_fn") if isinstance(tree, Mapping) else None
    if not isinstance(loss, Record) or loss.kind != "EDMLoss":
        return {}
    mean, std = persistent.number(loss, "P_mean", -1.2), persistent.number(loss, "P_std", 1.2)
    return {
        "draw": {"name": "lognormal", "mean": mean, "std": std},
        "loss": {"name": "edm", "sigma_data": persistent.number(loss, "sigma_data", 0.5)},
    }
