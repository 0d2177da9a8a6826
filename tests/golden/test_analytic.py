"""Analytic-DPM: reverse variances, walks and trajectories against its authors' own code."""

import math
from functools import partial
from itertools import pairwise

import pytest
import torch
from exact import Recorded, by_index, peers_decoder, process, states
from golden.load_golden import Case, Golden
from torch import Tensor

from ddpm_cli.diffusion import variational
from ddpm_cli.diffusion.analytic import Analytic, Moments, trajectory
from ddpm_cli.diffusion.denoiser import Prediction, Wrapped
from ddpm_cli.diffusion.levels import explicit, linspace
from ddpm_cli.diffusion.samplers import ddim, ddpm
from ddpm_cli.diffusion.schedules.tables import Table
from ddpm_cli.diffusion.steps import Move, Step
from ddpm_cli.diffusion.variances import limited, optimal
from ddpm_cli.diffusion.variational import Reverse, prior_bits, step_bits
from ddpm_cli.diffusion.wrappers import clamp

GOLDEN = Golden("samplers_analytic_dpm")
# The raw eps beside a clipped x0 is no function of the clipped x0; `wide` does clip (5e-3).
EXCLUDED = [key for key in GOLDEN.select("ddim_") if "_wide_" in key]
BOUNDS = GOLDEN.select("nelbo_")
WALKS = GOLDEN.select("ddpm_", "ddim_", without=tuple(EXCLUDED))
PATHS = GOLDEN.select("dp_seg_")


def test_every_case_is_accounted_for() -> None:
    assert sorted([*WALKS, *PATHS, *BOUNDS, *EXCLUDED]) == sorted(GOLDEN.cases)


def moments(case: Case, schedule: Table) -> Moments:
    levels = schedule.sigma(torch.arange(1, 1001, dtype=torch.float64) / 1000)
    return Moments(levels, case.inputs["gamma"][1:])


def step(case: Case) -> Step:
    kind = "optimal" if "gamma" in case.inputs and "_ms_eps_" in case.id else None
    if case.id.startswith("ddim"):
        return partial(ddim, eta=case.params["eta"], variance=kind or "eta")
    if kind is None:
        return partial(ddpm, variance="small" if case.params["small_sigma"] else "large")
    pixels, moves = case.params.get("clip_pixel", 0), case.params.get("clip_sigma_idx", 1)
    return partial(ddpm, variance=kind, clip_pixels=pixels, clip_moves=moves)


@pytest.mark.parametrize("key", WALKS)
def test_walk(key: str) -> None:
    case = GOLDEN[key]
    schedule, abar = process(case.params["beta_schedule"])
    denoiser = by_index(case.mixture, schedule, abar)
    known = Analytic(denoiser, moments(case, schedule)).bind()
    levels = linspace(schedule, count=10)
    *_, last = states(clamp(known), case.inputs["x_T"], levels, case.inputs["noise"], step(case))
    assert case.excess("final", last.x) <= 0


def drawn(case: Case, move: Move, schedule: Table) -> Tensor:
    """The variance that a step adds, native scale: the square of what a draw of 1 does."""
    x = torch.zeros(1, 1, dtype=torch.float64)
    denoise = Wrapped(by_index(case.mixture, schedule, x), lambda x, sigma: Prediction(0 * x))
    one, none = (
        step(case)(denoise, x, move, Recorded([torch.full_like(x, draw)]), []) for draw in (1, 0)
    )
    return ((one - none) * schedule.alpha(move.s)).square().squeeze()


@pytest.mark.parametrize("key", GOLDEN.select("ddpm_", "ddim_"))
def test_variance_of_each_step(key: str) -> None:
    case = GOLDEN[key]
    schedule, _ = process(case.params["beta_schedule"])
    levels = linspace(schedule, count=10)
    found = moments(case, schedule)
    eta = case.params.get("eta", 1.0)
    got = []
    for number, (t, s) in enumerate(pairwise(levels[:-1])):
        move = Move(t, s, number, levels)
        if "_naive_" in key:
            got.append(drawn(case, move, schedule))
            continue
        known = Prediction(torch.zeros(1), covariance=found.variance(t).clamp(0, 1))
        variance = optimal(known, move, float(eta**2 * s**2 * (1 - s**2 / t**2)))
        pixels, moves = case.params.get("clip_pixel", 0), case.params.get("clip_sigma_idx", 1)
        got.append(limited(variance, schedule, move, pixels, moves) * schedule.alpha(s) ** 2)
    assert case.excess("sigma2", torch.stack([*got, torch.zeros(()).double()])) <= 0


@pytest.mark.parametrize("key", PATHS)
def test_best_trajectory(key: str) -> None:
    case = GOLDEN[key]
    schedule, _ = process(case.params["beta_schedule"])
    path = trajectory(schedule, moments(case, schedule), case.params["K"])
    assert [index + 1 for index in path] == case.values["steps"]
    assert len(explicit(schedule, timesteps=path)) == len(path) + 1


@pytest.mark.parametrize("key", BOUNDS)
def test_variational_bound(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nats summed over the dimensions: the decoder's term, those of the moves, the prior's."""
    monkeypatch.setattr(variational, "discretized_normal", peers_decoder)
    case = GOLDEN[key]
    schedule, abar = process(case.params["beta_schedule"])
    denoiser = by_index(case.mixture, schedule, abar)
    levels = linspace(schedule, count=case.params["sample_steps"])
    variance = {"ms": "optimal", "sm": "small", "la": "large"}[key.split("_")[1][:2]]
    known = Analytic(denoiser, moments(case, schedule)).bind()
    denoise = clamp(known)
    x0, ends = case.inputs["x0"], schedule.levels[:2]
    nats = math.log(2) * x0[0].numel()
    terms = []
    for number, (t, s) in enumerate(pairwise(levels)):
        x = x0 + t * case.inputs["noise"][number]
        step = Reverse.between(schedule, t.expand(len(x0)), s.expand(len(x0)), ends)
        terms.append(step_bits(x0, denoise(x, t), step, variance) * nats)
    got = torch.stack([*terms[::-1], prior_bits(schedule, x0) * nats])
    assert case.excess("terms_ascending_nats", got) <= 0
    assert case.excess("total_nats", got.sum(0)) <= 0
