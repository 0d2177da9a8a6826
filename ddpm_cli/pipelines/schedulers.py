"""The process and the walk of a model as the configuration of a scheduler of diffusers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.diffusion.shapes import double
from ddpm_cli.files.checkpoints.formats.parts.diffusers import schedules
from ddpm_cli.models import build
from ddpm_cli.settings.config import Config, Layer, resolve
from ddpm_cli.settings.toml import toml_value

FLOW, PLAIN = schedules.FLOWS[0], "DDPMScheduler"
_TARGETS = {ours: theirs for theirs, ours in schedules.TARGETS.items()}
_VARIANCES = {"small": "fixed_small", "large": "fixed_large"}
_CLOSE = 1e-5  # of betas, relative: diffusers computes them in float32
_UNLIMITED = 1e6  # of the contrast that dynamic thresholding allows before it scales back
# A move of DDIM is along the network's own noise there, and here away from the clamped image.
_CLIPPED = "call a DDIMPipeline with use_clipped_model_output=True for what ddpm's ddim draws"
# Used where none of ours is told: the other three are diffusers' own as well.
_SPACING = "trailing"


class Scheduler(NamedTuple):
    """The configuration of a scheduler, or what prevents one; notes: where it is not ours."""

    config: dict[str, Any]
    problems: tuple[str, ...]
    notes: tuple[str, ...] = ()


@torch.no_grad()
def found(config: Config, process: Schedule) -> Scheduler:
    """The scheduler with the process of a model, and its sampler's variance, levels and limits.

    It is DDPMScheduler, from whose configuration the others of diffusers are made, or for flows
    FlowMatchEulerDiscreteScheduler.
    """
    problems = []
    units = config.get("units", {})
    if (units.get("low", -1), units.get("high", 1)) != (-1, 1):
        problems.append("units: data in other units than [-1, 1] has no equivalent")
    if config["schedule"]["name"] == "flow" or config["parameterization"]["name"] == "flow":
        return _flow(config, problems)
    target = config["parameterization"]["name"]
    if target not in _TARGETS or config["parameterization"].get("unit_input"):
        words = " or ".join(schedules.TARGETS.values())
        problems.append(f"parameterization.name: {target} has no equivalent; {words} has")
    betas = _betas(config, process, problems)
    if problems:
        return Scheduler({}, tuple(problems))
    notes: list[str] = []
    made = {
        "_class_name": PLAIN,
        "num_train_timesteps": process.steps or 1000,
        **betas,
        "prediction_type": _TARGETS[target],
        "variance_type": _variance(config, notes),
        **_limits(config, notes),
        **_spacing(config, notes),
    }
    return Scheduler(made, (), tuple(notes))


def _flow(config: Config, problems: list[str]) -> Scheduler:
    """A flow, whose network is told of its time as a whole number of steps."""
    target, label = config["parameterization"], config.get("label", {"name": "index"})
    if config["schedule"]["name"] != "flow":
        problems.append("schedule.name: of a flow only flow has an equivalent")
    if target != {"name": "flow", "target": "noise"}:
        problems.append("parameterization.target: only the flow to noise has an equivalent")
    scale = label.get("scale", 0.0)
    if label["name"] != "time" or label.get("reverse") or scale != int(scale):
        problems.append("label: only time, with a whole scale as 1000, has an equivalent")
    if problems:
        return Scheduler({}, tuple(problems))
    shift = config["levels"].get("shift", 1.0)
    made = {"_class_name": FLOW, "num_train_timesteps": int(scale), "shift": shift}
    return Scheduler(made, ())


def _betas(config: Config, process: Schedule, problems: list[str]) -> dict[str, Any]:
    """The betas of a process: by name if they have one, or else as numbers."""
    count = process.steps or 1000
    levels = process.sigma(torch.arange(1, count + 1, dtype=torch.float64) / count)
    told = build.label(config)(levels, process)
    if not torch.allclose(told.double(), torch.arange(count).double(), atol=1e-3):
        name = config.get("label", {"name": "log-sigma"})["name"]
        problems.append(f"label.name: {name} has no equivalent; index, of scale 1, has")
    if not torch.allclose(double(process.alpha(levels)), (1 + levels**2).rsqrt()):
        name = config["schedule"]["name"]
        words = "a process that keeps the variance has, as linear or cosine"
        problems.append(f"schedule.name: {name} has no equivalent; {words}")
        return {}
    abar = 1 / (1 + levels**2)
    betas = 1 - abar / torch.cat([torch.ones(1).double(), abar[:-1]])
    return _named(config["schedule"], betas) or {"trained_betas": betas.tolist()}


def _named(settings: Mapping[str, Any], betas: Tensor) -> dict[str, Any]:
    """How diffusers calls such betas, if it does."""
    count = len(betas)
    share = 1000 / count
    name = {"linear": "linear", "scaled-linear": "scaled_linear", "cosine": "squaredcos_cap_v2"}
    if settings["name"] not in name:
        return {}
    made: dict[str, Any] = {"beta_schedule": name[settings["name"]]}
    if settings["name"] != "cosine":
        rescale = share if settings.get("rescale", True) else 1.0
        made |= {"beta_start": settings["first"] * rescale, "beta_end": settings["last"] * rescale}
    if settings.get("zero_terminal"):
        made["rescale_betas_zero_snr"] = True
    theirs = schedules.process({**made, "num_train_timesteps": count}, Path("scheduler"))
    again = build.schedule(resolve([Layer("scheduler", theirs)]))
    seen = again.sigma(torch.arange(1, count + 1, dtype=torch.float64) / count)
    abar = (1 - betas).cumprod(0)
    return made if torch.allclose(1 / (1 + seen**2), abar, rtol=_CLOSE, atol=1e-12) else {}


def _variance(config: Config, notes: list[str]) -> str:
    told = config["sampler"].get("variance", "small")
    if config["network"].get("learned_variance"):
        return "learned_range"
    if config["sampler"]["name"] == "ddpm" and told not in _VARIANCES:
        notes.append(f"sampler.variance = {told} has no equivalent: DDPMScheduler takes the small")
    return _VARIANCES.get(told, "fixed_small")


def _limits(config: Config, notes: list[str]) -> dict[str, Any]:
    """Clamping and thresholding of the predicted image."""
    made: dict[str, Any] = {"clip_sample": False, "thresholding": False}
    for wrapper in config["wrappers"]:
        if wrapper["name"] == "clamp" and not made["thresholding"]:
            made |= {"clip_sample": True, "clip_sample_range": wrapper["limit"]}
        elif wrapper["name"] == "threshold":
            made |= {"clip_sample": False, "thresholding": True, "sample_max_value": _UNLIMITED}
            made["dynamic_thresholding_ratio"] = wrapper["percentile"]
        else:
            notes.append(f"wrappers: {wrapper['name']} has no equivalent and is left out")
    if made["clip_sample"] and config["sampler"].get("direction") != "raw":
        notes.append(_CLIPPED)
    return made


def _spacing(config: Config, notes: list[str]) -> dict[str, Any]:
    levels = config["levels"]
    if levels["name"] in ("leading", "trailing", "linspace"):
        return {"timestep_spacing": levels["name"], "steps_offset": levels.get("offset", 0)}
    told = toml_value(levels["name"])
    notes.append(f"levels.name = {told} has no equivalent: {_SPACING} levels stand for them")
    return {"timestep_spacing": _SPACING, "steps_offset": 0}
