"""What a scheduler of diffusers says of the process that a network was trained on."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ddpm_cli.diffusion.schedules.tables import Table, cosine, sigmoid, table
from ddpm_cli.errors import Refusal

Settings = dict[str, Any]
TARGETS = {"epsilon": "eps", "sample": "x0", "v_prediction": "v"}
FLOWS = ("FlowMatchEulerDiscreteScheduler", "FlowMatchHeunDiscreteScheduler")
PRECONDITIONED = ("EDMEulerScheduler", "EDMDPMSolverMultistepScheduler")
# Of these the ends of the betas are another by default, as latent diffusion's.
_LATENT = ("HeunDiscreteScheduler", "KDPM2DiscreteScheduler", "KDPM2AncestralDiscreteScheduler")
# Schedulers that do not say how noise becomes an image by betas, flows or sigmas.
_OTHER = ("CMStochasticIterativeScheduler", "ScoreSdeVeScheduler", "ScoreSdeVpScheduler",
          "KarrasVeScheduler", "VQDiffusionScheduler", "IPNDMScheduler", "UnCLIPScheduler",
          "LCMScheduler", "TCDScheduler", "AmusedScheduler")  # fmt: skip
# Those that do: of betas, whose names begin so, beside FLOWS and PRECONDITIONED.
_OF_BETAS = ("DDPM", "DDIM", "DPMSolver", "UniPC", "DEIS", "SASolver", "PNDM", "LMSDiscrete",
             "EulerDiscrete", "EulerAncestralDiscrete", "HeunDiscrete", "KDPM2", "RePaint",
             "CosineDPMSolver")  # fmt: skip
MOST = 100_000  # steps of a process, as everywhere
NEARLY_1 = 1 - 1e-8  # the last time of a flow: its label is a whole number in float32


def kind(config: Mapping[str, Any]) -> str:
    """The class of a scheduler; DDPM's if none is told."""
    return str(config.get("_class_name", "DDPMScheduler"))


def process(config: Mapping[str, Any], path: Path) -> Settings:
    """Tables schedule, parameterization and label of a scheduler's configuration."""
    name = kind(config)
    if name in _OTHER or not (name.startswith(_OF_BETAS) or name in (*FLOWS, *PRECONDITIONED)):
        fix = "put the configuration of another scheduler there, as DDPMScheduler's"
        raise Refusal(f"{path}: _class_name = {name!r}: no process that ddpm has", fix)
    if name in PRECONDITIONED:
        return _preconditioned(config, path)
    if config.get("timestep_type", "discrete") != "discrete":
        raise _refusal(path, config, "timestep_type", "only 'discrete' has an equivalent")
    target = config.get("prediction_type", "epsilon")
    flows = name in FLOWS or config.get("use_flow_sigmas") or target == "flow_prediction"
    if flows:
        return {
            "schedule": {"name": "flow", "high": NEARLY_1},
            "parameterization": {"name": "flow"},
            "label": {"name": "time", "scale": float(_steps(config, path))},
        }
    if target not in TARGETS:
        raise _refusal(path, config, "prediction_type", f"only {_or(TARGETS)} has an equivalent")
    return {"schedule": _betas(config, path), "parameterization": {"name": TARGETS[target]}}


def _preconditioned(config: Mapping[str, Any], path: Path) -> Settings:
    if config.get("prediction_type", "epsilon") != "epsilon":
        raise _refusal(path, config, "prediction_type", "only 'epsilon' has an equivalent here")
    low, high = config.get("sigma_min", 0.002), config.get("sigma_max", 80.0)
    knobs = {"low": float(low), "high": float(high), "rho": float(config.get("rho", 7.0))}
    data = float(config.get("sigma_data", 0.5))
    return {
        "schedule": {"name": "edm", **knobs},
        "parameterization": {"name": "edm", "sigma_data": data},
        "label": {"name": "log-sigma"},
    }


def _steps(config: Mapping[str, Any], path: Path) -> int:
    steps = config.get("num_train_timesteps", 1000)
    if type(steps) is not int or not 1 <= steps <= MOST:
        raise _refusal(path, config, "num_train_timesteps", f"not a number from 1 to {MOST:,}")
    return steps


def _betas(config: Mapping[str, Any], path: Path) -> Settings:
    """The table [schedule] of a scheduler's betas."""
    steps, told = _steps(config, path), config.get("trained_betas")
    is_latent = kind(config) in _LATENT
    first = float(config.get("beta_start", 0.00085 if is_latent else 1e-4))
    last = float(config.get("beta_end", 0.012 if is_latent else 0.02))
    is_terminal = bool(config.get("rescale_betas_zero_snr", False))
    name = config.get("beta_schedule", "linear")
    if told is not None:
        return _written(table(values=[float(beta) for beta in told]), is_terminal)
    if name == "linear":
        ends = {"first": first, "last": last, "rescale": False}
        return {"name": "linear", "steps": steps, **ends, "zero_terminal": is_terminal}
    # The other two are rescaled to their number of steps.
    share = steps / 1000
    ends = {"first": first * share, "last": last * share}
    if name == "scaled_linear":
        knobs = {"steps": steps, **ends, "zero_terminal": is_terminal}
        return {"name": "scaled-linear", **knobs}
    if name == "sigmoid":
        if is_terminal:
            process = sigmoid(steps=steps, first=ends["first"], last=ends["last"])
            return _written(process, True)
        return {"name": "sigmoid", "steps": steps, **ends}
    if name == "squaredcos_cap_v2":
        made = {"name": "cosine", "steps": steps}
        return _written(cosine(steps=steps), True) if is_terminal else made
    known = "linear, scaled_linear, sigmoid or squaredcos_cap_v2"
    raise _refusal(path, config, "beta_schedule", f"only {known} has an equivalent")


def _written(process: Table, is_terminal: bool) -> Settings:
    """A table of betas as its numbers; is_terminal: ended in pure noise (Lin 2024)."""
    betas = process.betas()
    if is_terminal:
        root = torch.cumprod(1 - betas, 0).sqrt()
        root = (root - root[-1]) * root[0] / (root[0] - root[-1])
        abar = root**2
        betas = 1 - torch.cat([abar[:1], abar[1:] / abar[:-1]])
    return {"name": "table", "values": betas.tolist(), "holds": "beta"}


def _refusal(path: Path, config: Mapping[str, Any], key: str, why: str) -> Refusal:
    what = f"{path}: {key} = {config.get(key)!r} of the scheduler: {why}"
    return Refusal(what, "see docs/convert.md")


def _or(names: Mapping[str, Any]) -> str:
    return " or ".join(map(repr, names))
