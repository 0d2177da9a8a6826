"""How a scheduler of diffusers walks, as far as it has an equivalent here."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from ddpm_cli.files.checkpoints.formats.parts.diffusers.schedules import (
    FLOWS,
    PRECONDITIONED,
    Settings,
    kind,
)

USUAL = 50  # steps of most pipelines
_VARIANCES = {
    "fixed_small": "small",
    "fixed_small_log": "small",
    "fixed_large": "large",
    "fixed_large_log": "large",
    "learned_range": "learned",
}
_CLIP = ("DDPMScheduler", "DDIMScheduler", "DDPMParallelScheduler", "DDIMParallelScheduler",
         "DDIMInverseScheduler", "RePaintScheduler")  # fmt: skip
_SOLVERS = ("DPMSolver", "UniPC", "DEIS", "SASolver")
_LEADING = (*_CLIP, "PNDMScheduler")


class Walk(NamedTuple):
    """Tables sampler, levels and wrappers, and what a user must know of them."""

    settings: Settings
    notes: tuple[str, ...]


def walk(config: Mapping[str, Any], steps: int | None) -> Walk:
    """The walk of a scheduler; steps: of the trained process, None if it is continuous."""
    notes: list[str] = []
    made = {
        "sampler": _sampler(config, notes),
        "levels": _levels(config, steps, notes),
        "wrappers": _wrappers(config, notes),
    }
    return Walk(made, tuple(notes))


def _sampler(config: Mapping[str, Any], notes: list[str]) -> Settings:
    name = kind(config)
    if name in ("DDPMScheduler", "DDPMParallelScheduler"):
        return _ancestral(config, notes)
    if name == "DPMSolverSDEScheduler":
        return {"name": "dpm-solver-pp-sde"}
    if name.startswith(("DPMSolver", "EDMDPMSolver")):
        return _solver(config, notes)
    if name == "UniPCMultistepScheduler":
        return {
            "name": "unipc",
            "order": min(int(config.get("solver_order", 2)), 3),
            "scale": "h" if config.get("solver_type") == "bh1" else "expm1",
            "expands": "x0" if config.get("predict_x0", True) else "eps",
        }
    if "Heun" in name:
        return {"name": "heun"}
    if name == "EulerAncestralDiscreteScheduler":
        return {"name": "ddim", "eta": 1.0}
    if name not in ("DDIMScheduler", "EulerDiscreteScheduler", *FLOWS, *PRECONDITIONED):
        notes.append(f"{name} has no equivalent: samples are drawn by ddim on its levels")
    if name != "DDIMScheduler":
        return {"name": "ddim", "eta": 0.0}
    if not config.get("set_alpha_to_one", True):
        notes.append("set_alpha_to_one is off: diffusers ends at index 0, ddpm at the clean image")
    if config.get("timestep_spacing", "leading") != "leading":
        notes.append("DDIM steps to t - T // S in diffusers; here to the next level of the list")
    return {"name": "ddim", "eta": 0.0, "direction": "raw"}


def _ancestral(config: Mapping[str, Any], notes: list[str]) -> Settings:
    told = config.get("variance_type", "fixed_small")
    if told not in _VARIANCES:
        notes.append(f"variance_type {told} has no equivalent: samples are drawn with small ones")
    ends = config.get("timestep_spacing", "leading") == "trailing" or config.get("steps_offset")
    if ends and _VARIANCES.get(told) in ("large", "learned"):
        notes.append("diffusers adds noise to the finished image; ddpm does not (Ho 2020)")
    return {"name": "ddpm", "variance": _VARIANCES.get(told, "small")}


def _solver(config: Mapping[str, Any], notes: list[str]) -> Settings:
    """DPM-Solver and DPM-Solver++, many steps or one; eta 1 is their SDE form."""
    algorithm = str(config.get("algorithm_type", "dpmsolver++"))
    is_single = "Singlestep" in kind(config)
    plus = "-pp" if algorithm.endswith("++") else ""
    made: Settings = {
        "name": f"dpm-solver{plus}-{'single' if is_single else 'multi'}",
        "order": min(int(config.get("solver_order", 2)), 3),
        "solver": "taylor" if config.get("solver_type") == "heun" else "midpoint",
    }
    if is_single:
        notes.append("a singlestep solver of diffusers counts network calls; here a step has more")
        return made
    made |= {"eta": 1.0 if algorithm.startswith("sde") else 0.0, "third": "released"}
    made["lower_order_final"] = 15 if config.get("lower_order_final", True) else 0
    return made


def _levels(config: Mapping[str, Any], steps: int | None, notes: list[str]) -> Settings:
    name = kind(config)
    final = config.get("final_sigmas_type", "zero")
    if final != "zero":
        notes.append(f"final_sigmas_type {final}: diffusers ends there, ddpm at the clean image")
    if name in PRECONDITIONED:
        knobs = {"rho": float(config.get("rho", 7.0))}
        ends = {"low": config.get("sigma_min", 0.002), "high": config.get("sigma_max", 80.0)}
        return {"name": "karras", "count": USUAL, **knobs, **ends}
    count = USUAL if steps is None else min(USUAL, steps)
    if steps is None:
        return _flow(config, count, notes)
    keys = ("use_karras_sigmas", "use_exponential_sigmas", "use_lu_lambdas")
    if any(config.get(key) for key in keys) and name.startswith(_SOLVERS):
        notes.append("the network is told of places between indices, which diffusers rounds")
    if config.get("use_karras_sigmas"):
        return {"name": "karras", "count": count, "low": 0.0, "high": 1e6}
    if config.get("use_exponential_sigmas") or config.get("use_lu_lambdas"):
        return {"name": "logsnr", "count": count, "low": 1e-6, "high": 1e6}
    if config.get("use_beta_sigmas"):
        notes.append("use_beta_sigmas has no equivalent: levels are spaced as without it")
    # Solvers leave index 0 out.
    without = name.startswith(_SOLVERS)
    spacing = config.get("timestep_spacing", "leading" if name in _LEADING else "linspace")
    offset = int(config.get("steps_offset", 0) or 0)
    if spacing == "leading":
        if name in ("DDPMScheduler", "DDPMParallelScheduler") and not offset:
            count = steps  # as DDPMPipeline
        ends = {"ends": "none"} if without else {}
        return {"name": "leading", "count": count, "offset": offset, **ends}
    if spacing == "trailing":
        return {"name": "trailing", "count": count}
    return {"name": "linspace", "count": count, "ends": "top" if without else "both"}


def _flow(config: Mapping[str, Any], count: int, notes: list[str]) -> Settings:
    """Levels of a flow: even times, whose sigma a shift multiplies (Esser 2024, eq. 23)."""
    if config.get("use_dynamic_shifting"):
        notes.append("use_dynamic_shifting has no equivalent: set levels.shift for a resolution")
    key = "shift" if kind(config) in FLOWS else "flow_shift"
    shift = 1.0 if config.get("use_dynamic_shifting") else float(config.get(key, 1.0))
    return {"name": "linspace", "count": count, "shift": shift}


def _wrappers(config: Mapping[str, Any], notes: list[str]) -> list[Settings]:
    """What limits the predicted image: thresholding is plain clamping below its own maximum.

    Configurations keep the keys of schedulers that they were made from: those count that have a
    meaning to this one.
    """
    name, limit = kind(config), float(config.get("clip_sample_range", 1.0))
    if config.get("thresholding") and name.startswith((*_CLIP, *_SOLVERS)):
        most = float(config.get("sample_max_value", 1.0))
        if most <= 1:
            return [{"name": "clamp", "limit": 1.0}]
        notes.append(f"sample_max_value {most:g} has no equivalent: contrast has no limit here")
        share = float(config.get("dynamic_thresholding_ratio", 0.995))
        return [{"name": "threshold", "percentile": share}]
    clips = name in _CLIP and config.get("clip_sample", True)
    clips = clips or (name == "HeunDiscreteScheduler" and config.get("clip_sample", False))
    return [{"name": "clamp", "limit": limit}] if clips else []
