"""How a likelihood was measured, in words and as a record says it."""

import math
from typing import Any

from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.models import walk_parts
from ddpm_cli.pipelines.nll_plan import Measure
from ddpm_cli.settings.config import Config


def described(config: Config, measure: Measure) -> str:
    """How it was measured, in words."""
    sampler, levels = config["sampler"], config["levels"]
    repeats = f", {measure.repeats} repeats" if measure.repeats > 1 else ""
    spread = f"{levels['name']} {levels.get('count', '')}".rstrip()
    if measure.method == "vlb":
        wrappers = "+".join(settings["name"] for settings in config["wrappers"]) or "no wrappers"
        drawn = "" if measure.drawn is None else f", {measure.drawn} terms drawn an image"
        return f"vlb, {spread}, {sampler['variance']} variance, {wrappers}{drawn}{repeats}"
    order = f" of order {sampler['order']}" if "order" in sampler else ""
    solver = f"{sampler['name']}{order}, {spread}"
    if walk_parts.is_adaptive(config):
        solver = f"{sampler['name']} to {sampler['rtol']:g}"
    number = f"{measure.probes} {measure.trace} probe{'s' if measure.probes > 1 else ''}"
    probes = f" trace from {number}"
    states = "" if measure.samples == 1 else f", bound of {measure.samples} samples"
    return (
        f"ode, {solver},{' exact trace' if measure.trace == 'exact' else probes}{states}{repeats}"
    )


def states(info: DataInfo, measure: Measure) -> dict[str, Any]:
    """How bytes became states of the ODE, as a record says it; nothing of the bound and arrays."""
    if measure.method == "vlb" or not info.is_image:
        return {}
    return {"dequantize": measure.dequantize, "samples": measure.samples}


def unit(info: DataInfo, measure: Measure) -> str:
    """What the bits count, in words."""
    if not info.is_image:
        return "of the density in the data's own units"
    levels = round(2**measure.bits)
    width = f"2/{levels - 1}"
    if measure.method == "vlb":
        return f"of {levels} levels, by the discretized decoder"
    if measure.dequantize == "truncated":
        return f"of {levels} levels, dequantized by truncated normals and the discretized decoder"
    added = math.log2((levels - 1) / 2)
    return f"of {levels} levels, dequantized over bins {width} wide, which adds {added:.4f} bits"
