"""DPM-Solver, DPM-Solver++ and UniPC walks against the authors' code and diffusers."""

from collections.abc import Callable
from functools import partial
from itertools import accumulate, pairwise
from typing import Any

import pytest
import torch
from exact import Recorded, by_index, by_sigma, process, states
from golden.load_golden import Case, Golden
from torch import Tensor

from ddpm_cli.diffusion.denoiser import Denoise, Prediction, Wrapped
from ddpm_cli.diffusion.labels import index
from ddpm_cli.diffusion.levels import explicit, karras
from ddpm_cli.diffusion.samplers import (
    ddim,
    dpm_solver_multi,
    dpm_solver_pp_multi,
    dpm_solver_pp_single,
    dpm_solver_single,
    heun,
    unipc,
)
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.diffusion.schedules.processes import vp
from ddpm_cli.diffusion.schedules.tables import cosine, linear
from ddpm_cli.diffusion.steps import Draws, Move, Step, Visited
from ddpm_cli.diffusion.walk import walk

GOLDEN = Golden("samplers_dpm_solver")
ADAPTIVE = [key for key in GOLDEN.cases if "_adaptive" in key]
EXCLUDED = {
    **dict.fromkeys(ADAPTIVE, "adaptive steps"),
    **dict.fromkeys(
        GOLDEN.select("diffusers_deis", "diffusers_pndm", "diffusers_plms"), "not offered"
    ),
}
SOLVED = GOLDEN.select("dpm_", "dpmpp_", without=tuple(EXCLUDED))
DIFFUSERS = GOLDEN.select("diffusers_", without=tuple(EXCLUDED))
CONVERGED = GOLDEN.select("converged_")
ORDERS = GOLDEN.select("orders_singlestep_")


SCHEDULES = {"linear": vp(), "discrete": linear()}


def spaced(schedule: Schedule, skip: str, start: float, end: float, count: int) -> Tensor:
    """Times as the authors space them, `count` + 1 of them."""
    if skip == "logSNR":
        ends = schedule.sigma(torch.tensor([start, end], dtype=torch.float64)).log()
        return schedule.time(torch.linspace(*ends.tolist(), count + 1, dtype=torch.float64).exp())
    power = 2 if skip == "time_quadratic" else 1
    ends = [start ** (1 / power), end ** (1 / power)]
    return torch.linspace(*ends, count + 1, dtype=torch.float64) ** power


def orders(steps: int, order: int) -> list[int]:
    """The orders of singlestep moves that make `steps` calls."""
    whole, rest = divmod(steps, order)
    if order == 3 and rest == 0:
        return [3] * (whole - 1) + [2, 1]
    return [order] * whole + [rest] * (rest > 0)


def moves(case: Case) -> tuple[Tensor, list[int]]:
    """The times of a walk and the order of each of its moves."""
    params = case.params
    schedule, skip, order = SCHEDULES[params["schedule"]], params["skip_type"], params["order"]
    times = partial(spaced, schedule, skip, params["t_start"], params["t_end"])
    if params["method"] == "multistep":
        return times(params["steps"]), []
    if params["method"] == "singlestep_fixed":
        count = params["steps"] // order
        return times(count), [order] * count
    each = orders(params["steps"], order)
    if skip == "logSNR":
        return times(len(each)), each
    return times(params["steps"])[[0, *accumulate(each)]], each


def single(step: Callable[..., Tensor], spans: list[Tensor], **knobs: Any) -> Step:
    """Singlestep moves, each along levels of its own: as many calls as it has moves inside."""

    def call(denoise: Denoise, x: Tensor, move: Move, rng: Draws, past: list[Visited]) -> Tensor:
        logs = spans[move.number].log()
        shares = ((logs - logs[0]) / (logs[-1] - logs[0]))[1:-1].tolist()
        ratios = dict(zip(("r1", "r2"), shares, strict=False))
        return step(denoise, x, move, rng, past, order=len(logs) - 1, **ratios, **knobs)

    return call


def authors_step(case: Case, times: Tensor, each: list[int]) -> Step:
    params, pp = case.params, case.id.startswith("dpmpp")
    solver = {"dpmsolver": "midpoint", "taylor": "taylor"}[params["solver_type"]]
    if each:
        schedule = SCHEDULES[params["schedule"]]
        spans = zip(pairwise(times.tolist()), each, strict=True)
        inner = [
            schedule.sigma(spaced(schedule, params["skip_type"], *ends, order))
            for ends, order in spans
        ]
        return single(dpm_solver_pp_single if pp else dpm_solver_single, inner, solver=solver)
    return partial(
        dpm_solver_pp_multi if pp else dpm_solver_multi,
        order=params["order"],
        solver=solver,
        third="released",
        lower_order_final=10 if params["lower_order_final"] else 0,
    )


def thresholded(denoise: Denoise, case: Case) -> Denoise:
    """Dynamic thresholding as the authors have it, the limit at least max_val."""
    ratio, least = (
        case.params[key] for key in ("dynamic_thresholding_ratio", "thresholding_max_val")
    )

    def call(x: Tensor, sigma: Tensor) -> Prediction:
        x0 = denoise(x, sigma).x0
        limit = x0.abs().flatten(1).quantile(ratio, dim=1).clamp(min=least)
        limit = limit.reshape(-1, *[1] * (x0.ndim - 1))
        return Prediction(x0.clamp(-limit, limit) / limit)

    return Wrapped(denoise, call)


def native(denoise: Denoise, case: Case, levels: Tensor, step: Step) -> Tensor:
    """The start and every state of a walk in the scale alpha."""
    visited = states(denoise, case.inputs["x_T"], levels, case.inputs.get("noise", ()), step)
    scaled = [denoise.schedule.alpha(state.sigma) * state.x for state in visited]
    return torch.stack([case.inputs["x_T"], *scaled])


def test_every_case_is_accounted_for() -> None:
    known = ["schedule_linear", "schedule_discrete", "schedule_cosine_clip"]
    found = [*SOLVED, *DIFFUSERS, *CONVERGED, *ORDERS, *EXCLUDED, *known]
    assert sorted(found) == sorted(GOLDEN.cases)


@pytest.mark.parametrize("key", SOLVED)
def test_walk(key: str) -> None:
    case = GOLDEN[key]
    schedule = SCHEDULES[case.params["schedule"]]
    times, each = moves(case)
    levels = schedule.sigma(times)
    if case.params["denoise_to_zero"]:
        levels = torch.cat([levels, torch.zeros(1).double()])
    inner = by_sigma(case.mixture, schedule)
    called: list[Tensor] = []
    inner.register_forward_pre_hook(lambda module, arguments: called.append(arguments[1]))
    denoise = thresholded(inner, case) if "correcting_x0_fn" in case.params else inner
    got = native(denoise, case, levels, authors_step(case, times, each))
    assert case.excess("final", got[-1]) <= 0
    if "intermediates" in case.outputs:
        want = case.outputs["intermediates"]
        assert case.excess("intermediates", got[-len(want) :], want) <= 0
    assert len(called) == case.values["nfe"]
    if "model_times" in case.values:
        time = schedule.time(torch.stack(called))
        time = time * 1000 - 1 if schedule.steps else time
        want = torch.tensor(case.values["model_times"], dtype=torch.float64)
        assert torch.allclose(time, want, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("key", CONVERGED)
def test_limit_of_many_steps(key: str) -> None:
    case, schedule = GOLDEN[key], SCHEDULES["linear"]
    levels = schedule.sigma(spaced(schedule, "logSNR", 1.0, 1e-3, 300))
    got = native(by_sigma(case.mixture, schedule), case, levels, dpm_solver_single)
    assert case.excess("final", got[-1]) <= 0


@pytest.mark.parametrize("key", ORDERS)
def test_orders_of_singlestep_moves(key: str) -> None:
    """The tests above rely on them."""
    case = GOLDEN[key]
    got = {steps: orders(int(steps), case.params["order"]) for steps in case.values}
    assert got == case.values


@pytest.mark.parametrize(
    ("key", "name"), [("schedule_linear", "linear"), ("schedule_discrete", "discrete")]
)
def test_schedule(key: str, name: str) -> None:
    case, schedule = GOLDEN[key], SCHEDULES[name]
    sigma = schedule.sigma(case.inputs["t"])
    alpha = schedule.alpha(sigma)
    assert case.excess("lambda", -sigma.log()) <= 0
    assert case.excess("log_alpha", alpha.log()) <= 0
    assert case.excess("sigma", sigma * alpha) <= 0
    assert case.excess("t_back", schedule.time(sigma)) <= 0


def test_levels_of_the_cosine_schedule_within_the_clip() -> None:
    case = GOLDEN["schedule_cosine_clip"]
    t = torch.arange(1, 1001, dtype=torch.float64) / 1000
    kept = -cosine().sigma(t).log() >= case.params["clipped_lambda"]
    assert int(kept.sum()) == case.values["total_N_after_lambda_clip"]


def diffusers_levels(case: Case) -> Tensor:
    """The levels at the peer's timesteps, from our own table but where rounding shows.

    Its Euler samplers start at states of 200, where its float32 levels miss 1e-8.
    """
    if "init_noise_sigma" in case.params:
        return torch.tensor(case.values["sigmas"], dtype=torch.float64).unique().flip(0)
    schedule, _ = process("linear")
    timesteps = [int(t) for t in case.values["timesteps"]]
    made = explicit(schedule, timesteps=timesteps)
    if case.params.get("use_karras_sigmas"):
        low, high = float(explicit(schedule, timesteps=[0])[0]), float(made[0])
        return karras(schedule, count=len(timesteps), low=low, high=high)
    if case.params.get("final_sigmas_type") == "sigma_min":
        made[-1] = explicit(schedule, timesteps=[0])[0]
    return made


def diffusers_step(case: Case, levels: Tensor) -> tuple[Step, Tensor, list[int]]:
    """The step, the levels it walks along, and which of the peer's states are its own."""
    params = case.params
    every = list(range(len(levels) - 1))
    kind = case.id.removeprefix("diffusers_").rsplit("_", 1)[0]
    if kind in ("euler", "euler_a"):
        return partial(ddim, eta=float(kind == "euler_a")), levels, every
    if kind == "heun":
        last = 2 * len(every) - 2
        return heun, levels, [*range(1, last, 2), last]
    if kind == "unipc2":
        return unipc, levels, every
    solver = {"midpoint": "midpoint", "heun": "taylor"}[params.get("solver_type", "midpoint")]
    order = params.get("solver_order", 2)
    if kind.startswith("single"):
        each = [3, 3, 3, 1] if order == 3 else [2, 2, 2, 2, 1, 1]
        ends = [0, *accumulate(each)]
        inner = [levels[a : b + 1] for a, b in pairwise(ends)]
        step = single(dpm_solver_pp_single, inner, solver=solver, inner=solver)
        return step, levels[ends], [end - 1 for end in ends[1:]]
    algorithm = params["algorithm_type"]
    step = dpm_solver_pp_multi if algorithm.endswith("++") else dpm_solver_multi
    eta = float(algorithm.startswith("sde"))
    return partial(step, order=order, solver=solver, third="released", eta=eta), levels, every


@pytest.mark.parametrize("key", DIFFUSERS)
def test_diffusers(key: str) -> None:
    case = GOLDEN[key]
    schedule, abar = process("linear")
    timesteps = torch.tensor(case.values["timesteps"], dtype=torch.float32).unique()
    levels = diffusers_levels(case)
    denoise = by_index(case.mixture, schedule, abar)
    # The network is called at whole timesteps even where a level lies between two of them.
    denoise.label = lambda sigma, schedule: timesteps[
        (timesteps - index(sigma, schedule)).abs().argmin()
    ]
    step, path, kept = diffusers_step(case, levels)
    if "init_noise_sigma" in case.params:
        x = case.inputs["x_T"] * levels[0]
        noise = Recorded(case.inputs.get("noise", ()))
        got = torch.stack([state.x for state in walk(denoise, x, path, noise, predictor=step)])
    else:
        got = native(denoise, case, path, step)[1:]
    if "traj" in case.outputs:
        assert case.excess("traj", got, case.outputs["traj"][kept]) <= 0
    else:
        assert case.excess("final", got[-1]) <= 0
