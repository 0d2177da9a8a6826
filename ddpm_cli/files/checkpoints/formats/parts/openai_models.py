"""A model of OpenAI's U-Net as a configuration: what its files say, and what is asked."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ddpm_cli.files.checkpoints.conversion import Ask, Conversion
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.files.checkpoints.formats.parts import openai, questions
from ddpm_cli.files.checkpoints.formats.parts.openai import Found

_NAME = re.compile(r"(?:ema_(?P<rate>[\d.]+?)_|model)(?P<step>\d+)\.\w+")
NO_NULL = (
    "its network never saw images without a class: a class is drawn or named, and guidance is a "
    "classifier's (ddpm guide --classifier)"
)


def discrete(tensors: Mapping[str, Tensor], path: Path, ask: Ask, qkv: str) -> Conversion:
    """A model of the two projects of OpenAI: a diffusion model, an upsampler or a classifier.

    qkv: the order of rows in its attention.
    """
    if openai.is_classifier(tensors):
        return _classifier(tensors, path, ask, qkv)
    found = openai.unet(tensors, path)
    process = questions.schedule(ask)
    task, channels = _task(found, ask)
    learned = found.outputs == 2 * channels
    if learned:
        why = "twice as many channels come out, the second half as the range of learn_sigma"
        ask.assume("network.learned_variance", True, why)
    settings = {
        "schedule": process,
        "parameterization": questions.predicted(ask),
        "label": questions.rescaled(ask, process),
        **questions.walk(ask, process, learned),
        **task,
    }
    settings["loss"] = {"name": "hybrid" if learned else "simple"}
    network = {"learned_variance": learned, "qkv": qkv, **way_up(ask)}
    return assembled(tensors, path, ask, found, settings, network, channels)


def assembled(
    tensors: Mapping[str, Tensor],
    path: Path,
    ask: Ask,
    found: Found,
    settings: dict[str, Any],
    network: dict[str, Any],
    channels: int,
) -> Conversion:
    """The conversion of a U-Net whose process is known; network: what its tensors do not say."""
    size = questions.size(ask)
    own = found.knobs | {"attention": found.attention(size)} | network
    has_classes = bool(own.get("classes"))
    weights, step = _file(path)
    return Conversion(
        settings={
            "network": own,
            "draw": {"name": "uniform"},
            **({"train": {"drop_class": 0.0}} if has_classes else {}),
            **settings,
        },
        tensors=openai.named(tensors),
        info=DataInfo((channels, size, size), questions.numbered(own.get("classes", 0))),
        weights=weights,
        step=step,
        notes=(NO_NULL,) if has_classes else (),
    )


def way_up(ask: Ask) -> dict[str, Any]:
    """Heads of attention, on the way down and up."""
    told = questions.heads(ask)
    if "heads" in told:
        why = "as many heads on the way up as on the way down, num_heads_upsample -1"
        told["decoder_heads"] = ask.assume("network.decoder_heads", 0, why)
    return told


def _task(found: Found, ask: Ask) -> tuple[dict[str, Any], int]:
    """The task of an upsampler, which sees a small image made large behind the noisy one.

    Channels in and out tell it, but for as many out as in: those of an upsampler with learned
    variance, or of a model of images with as many channels. Returns the task, and the channels
    of the images.
    """
    seen, out = found.channels, found.outputs
    is_upsampler = seen == 2 * out
    if seen == out and seen % 2 == 0 and seen != 4:
        choices = "upscale of an upsampler with learned variance, or none"
        given = ask.told("task.name")
        if seen == 6 and given is None:
            why = "it sees 6 channels, those of a small image behind those of the noisy one"
            given = ask.assume("task.name", "upscale", why)
        elif given is None:
            given = ask.need("task.name", choices, "none")
        is_upsampler = given != "none"
    if not is_upsampler:
        return {}, seen
    factor = ask.need(
        "task.factor", "how many times it enlarges an image along its side, as 4", 4.0
    )
    task = {"name": "upscale", "factor": factor, "filter": "area"}
    return {"task": {**task, "enlarge": "bilinear", "shows_level": False}}, seen // 2


def _classifier(tensors: Mapping[str, Tensor], path: Path, ask: Ask, qkv: str) -> Conversion:
    """A classifier of noisy images, the size of which its last level tells."""
    found = openai.classifier(tensors, path, _blocks(tensors, path, ask))
    process = questions.schedule(ask)
    size = found.side * 2 ** (found.levels - 1) if found.side else questions.size(ask)
    told = {"qkv": qkv, "head_width": 0, **questions.heads(ask)}
    network = found.knobs | {"attention": found.attention(size)} | told
    weights, step = _file(path)
    return Conversion(
        settings={
            "network": network,
            "schedule": process,
            "parameterization": {"name": "eps"},
            "label": questions.rescaled(ask, process),
            "draw": {"name": "uniform"},
            "loss": {"name": "cross-entropy"},
            "train": {"drop_class": 0.0},
        },
        tensors=openai.named(tensors),
        info=DataInfo((found.channels, size, size), questions.numbered(found.outputs)),
        weights=weights,
        step=step,
    )


def _blocks(tensors: Mapping[str, Tensor], path: Path, ask: Ask) -> int:
    """How many blocks a level of a classifier has; a small one may be read in several ways."""
    fitting = openai.block_counts(tensors, path)
    if len(fitting) == 1 and ask.told("network.blocks") is None:
        return fitting[0]
    choices = f"how many residual blocks a level has: {' or '.join(map(str, fitting))}"
    return ask.need("network.blocks", choices, fitting[0])


def _file(path: Path) -> tuple[str, int]:
    """Whose weights they are by the name of the file, and after how many steps."""
    match = _NAME.fullmatch(path.name)
    if match is None:
        return "the only ones of the file", 0
    if match["rate"]:
        return f"ema, rate {match['rate']} (by the name of the file)", int(match["step"])
    return "raw (by the name of the file; averages are in ema_*.pt)", int(match["step"])
