"""Exact likelihood by the probability-flow ODE against score_sde and k-diffusion."""

import math
from functools import cache, partial

import pytest
import torch
from _pytest.mark import ParameterSet
from exact import by_sigma
from golden.load_golden import Case, Golden
from torch import Tensor

from ddpm_cli.diffusion.levels import logsnr
from ddpm_cli.diffusion.likelihood import Reached, at_lowest, climb, leap, log_density
from ddpm_cli.diffusion.samplers import dpm_solver_single, ode
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.diffusion.schedules.processes import edm, subvp, ve, vp

GOLDEN = Golden("likelihood")
DENSITIES = GOLDEN.select("exact_")
FLOWS = GOLDEN.select("vp_", "subvp_", "ve_")
# Those that take long for what they add to the others.
LONG = [key for key in FLOWS if "tol1e-09" in key and not key.endswith("exact_tol1e-09_g2")]
TIGHT = [key for key in FLOWS if "_exact_tol1e-09_" in key]
STEP = partial(dpm_solver_single, order=3)
SIGMA_SPACE = GOLDEN.select("kdiff_loglik_")


def test_every_case_is_accounted_for() -> None:
    assert sorted([*DENSITIES, *FLOWS, *SIGMA_SPACE]) == sorted(GOLDEN.cases)


def process(case: Case) -> tuple[Schedule, Tensor]:
    """The schedule of a case, and the levels between which it is solved, closed by 0."""
    settings = case.params
    if "sde" not in settings:
        made: Schedule = edm(low=settings["sigma_min"], high=settings["sigma_max"])
        ends = torch.tensor([1.0, 0.0], dtype=torch.float64)
    else:
        ends = torch.tensor([1.0, settings["eps"]], dtype=torch.float64)
        if settings["sde"] == "ve":
            made = ve(low=settings["sigma_min"], high=settings["sigma_max"])
        else:
            kind = vp if settings["sde"] == "vp" else subvp
            made = kind(first=settings["beta_min"], last=settings["beta_max"], low=1e-6)
    return made, torch.cat([made.sigma(ends), torch.zeros(1).double()])


def probes(case: Case) -> Tensor | None:
    kind = case.params.get("hutchinson_type", "Rademacher")
    if kind == "exact":
        return None
    if kind == "Gaussian":
        return case.inputs["gaussian"][None]
    return 2 * case.inputs["rademacher_bits"][None].double() - 1


@cache
def solved(key: str) -> tuple[Schedule, Reached, Tensor]:
    """Where the data of a case end, and their log density: on more levels for a tight one."""
    case = GOLDEN[key]
    schedule, ends = process(case)
    denoise, count = by_sigma(case.mixture, schedule).bind(), 900
    if case.params["rtol"] > 1e-6:
        count = 100
    levels = logsnr(schedule, count=count, low=float(ends[1]), high=float(ends[0]))
    x = at_lowest(schedule, case.inputs["x0"], levels)
    *_, reached = climb(denoise, x, levels, STEP, probes(case))
    return schedule, reached, log_density(schedule, reached)


def bits(nats: Tensor, case: Case) -> Tensor:
    """Bits a dimension of data from 0 to 255 scaled to [-1, 1], as score_sde counts: + 7."""
    return 7 - nats / (math.log(2) * case.inputs["x0"][0].numel())


@pytest.mark.parametrize("key", DENSITIES)
def test_density_of_the_model_in_closed_form(key: str) -> None:
    """What the flows below have to come to: the tests' own formula, at the stated tolerance."""
    case = GOLDEN[key]
    nats = case.mixture.log_prob(case.inputs["x0"], 1.0, 0.0)
    for name, got in (("log_prob_nats", nats), ("bpd_offset7", bits(nats, case))):
        assert torch.allclose(got, case.outputs[name], **case.tolerance_of(name))


@pytest.mark.parametrize("key", DENSITIES)
def test_density_of_the_mixture(key: str) -> None:
    """From the lowest levels to the highest the flow gives the density of the data themselves."""
    case = GOLDEN[key]
    schedule = edm(low=1e-6, high=1e9)
    denoise = by_sigma(case.mixture, schedule).bind()
    levels = logsnr(schedule, count=600, low=1e-6, high=1e9)
    x = at_lowest(schedule, case.inputs["x0"], levels)
    *_, reached = climb(denoise, x, levels, STEP, None)
    nats = log_density(schedule, reached)
    assert case.excess("log_prob_nats", nats) <= 0
    assert case.excess("bpd_offset7", bits(nats, case)) <= 0
    assert case.excess("bpd_no_offset", bits(nats, case) - 7) <= 0


def marked(keys: list[str]) -> list[ParameterSet]:
    """The cases of a test, the long ones marked."""
    slow = pytest.mark.slow
    return [pytest.param(key, marks=[slow] if key in LONG else []) for key in keys]


@pytest.mark.parametrize("key", marked(FLOWS))
def test_flow_of_score_sde(key: str) -> None:
    case = GOLDEN[key]
    schedule, reached, nats = solved(key)
    if case.params["hutchinson_type"] == "Gaussian":
        nats = nats + excess_of_normals(case, schedule, reached.levels)
    assert case.excess("bpd", bits(nats, case)) <= 0
    assert case.excess("z", schedule.alpha(reached.levels[-1]) * reached.x) <= 0


def excess_of_normals(case: Case, schedule: Schedule, levels: Tensor) -> Tensor:
    """What the peer adds with normal probes v: it estimates d, which is known, by v . v."""
    native = levels * schedule.alpha(levels)
    square = case.inputs["gaussian"].square().flatten(1).sum(1)
    return (square - case.inputs["x0"][0].numel()) * (native[-1] / native[0]).log()


@pytest.mark.parametrize("key", marked(TIGHT))
def test_parts_of_score_sde(key: str) -> None:
    """Density at the lowest level, at the highest, and of the prior there."""
    case = GOLDEN[key]
    schedule, reached, nats = solved(key)
    prior = log_density(schedule, reached._replace(volume=torch.zeros(len(nats)).double()))
    lo, hi = reached.levels[[0, -1]]
    size = case.inputs["x0"][0].numel()
    at_top = prior - size * ((hi / lo).log() - schedule.alpha(lo).log() + schedule.alpha(hi).log())
    assert case.excess("prior_logp_of_z_nats", at_top) <= 0
    top = case.outputs["exact_log_p_T_of_z_nats"]
    assert case.excess("exact_log_p_eps_nats", nats - at_top + top) <= 0
    assert case.excess("exact_log_p_T_of_z_nats", exact_at_top(case, schedule, reached)) <= 0


def exact_at_top(case: Case, schedule: Schedule, reached: Reached) -> Tensor:
    """The exact density of the noised mixture where the flow ended, native scale."""
    top = reached.levels[-1]
    alpha = schedule.alpha(top)
    return case.mixture.log_prob(alpha * reached.x, alpha, alpha * top)


@pytest.mark.parametrize("key", SIGMA_SPACE)
def test_flow_of_k_diffusion(key: str) -> None:
    assert GOLDEN[key].excess("log_likelihood_nats", solved(key)[2]) <= 0


def test_one_adaptive_move_with_a_probe_of_its_own() -> None:
    pytest.importorskip("torchdiffeq")
    case = GOLDEN["kdiff_loglik_g2"]
    schedule, levels = process(case)
    denoise, found = by_sigma(case.mixture, schedule).bind(), []
    for row in torch.arange(4).split(1):
        step, own = partial(ode, rtol=1e-6, atol=1e-6), probes(case)[:, row]
        x = at_lowest(schedule, case.inputs["x0"][row], levels)
        (reached,) = leap(denoise, x, levels, step, own)
        found.append(log_density(schedule, reached))
    assert case.excess("log_likelihood_nats", torch.cat(found)) <= 0
