"""Walks in sigma-space against edm's and k-diffusion's samplers."""

import math
from functools import partial

import pytest
import torch
from exact import by_sigma, states
from golden.load_golden import Case, Golden
from torch import Tensor

from ddpm_cli.diffusion.denoiser import Denoise
from ddpm_cli.diffusion.edits import churn
from ddpm_cli.diffusion.levels import explicit, karras
from ddpm_cli.diffusion.renoise import renoise
from ddpm_cli.diffusion.samplers import (
    ddim,
    dpm_solver_pp_multi,
    dpm_solver_pp_sde,
    dpm_solver_pp_single,
    heun,
)
from ddpm_cli.diffusion.schedules.tables import cosine
from ddpm_cli.diffusion.steps import Step

GOLDEN = Golden("samplers_edm_kdiffusion")
OTHER_VARIABLE = GOLDEN.select(
    "ablation_euler_vp_", "ablation_heun_vp_", "ablation_euler_ve_", "ablation_heun_ve_"
)
EXCLUDED = {
    **dict.fromkeys(OTHER_VARIABLE, "integrates another variable than sigma-space"),
    **dict.fromkeys(GOLDEN.select("k_lms_", "k_dpm_2_"), "not offered"),
}
HEUN = ("edm_heun_", "edm_churn_", "ablation_heun_edm_", "ablation_heun_iddpm_", "k_heun_")
# Euler's method is DDIM at eta 0; the ancestral one at eta 1.
EULER = ("ablation_euler_edm_", "ablation_euler_iddpm_", "k_euler_")
# k-diffusion never lowers the order at the end.
DPM = {
    "k_dpmpp_2m__": partial(dpm_solver_pp_multi, lower_order_final=0),
    "k_dpmpp_2m_sde_": partial(dpm_solver_pp_multi, lower_order_final=0, eta=1.0),
    "k_dpmpp_3m_sde_": partial(
        dpm_solver_pp_multi,
        order=3,
        solver="taylor",
        third="released",
        lower_order_final=0,
        eta=1.0,
    ),
    "k_dpmpp_2s_ancestral_": partial(dpm_solver_pp_single, eta=1.0),
    "k_dpmpp_sde_": dpm_solver_pp_sde,
}
COVERED = GOLDEN.select(*HEUN, *EULER, *DPM, without=tuple(EXCLUDED))


def test_every_case_is_accounted_for() -> None:
    assert sorted([*COVERED, *EXCLUDED]) == sorted(GOLDEN.cases)


class Exploding:
    """The process x0 + sigma * eps itself: alpha is 1, and so is sigma's range."""

    steps = None

    def sigma(self, t: Tensor) -> Tensor:
        return 1e3 * t

    def time(self, sigma: Tensor) -> Tensor:
        return sigma / 1e3

    def alpha(self, sigma: Tensor) -> Tensor:
        return torch.ones_like(sigma)

    def prior(self, sigma: Tensor) -> Tensor:
        return sigma


def cosine_levels(count: int) -> list[float]:
    """Evenly spaced entries of the cosine schedule up to sigma = 81.

    The peer computes abar in float32: 5e-4 away from the schedule's own low levels.
    """
    whole = torch.arange(1000, -1, -1)
    abar = torch.sin(torch.pi / 2 * whole / 1000 / 1.008) ** 2
    assert abar.dtype == torch.float32
    ratio = (abar[1:] / abar[:-1]).clamp(min=1e-3)
    table = (1 / ratio.double().cumprod(0) - 1).sqrt()
    assert torch.allclose(table, cosine().levels, rtol=1e-3)
    table = table[(table >= 0.0064) & (table <= 81)].flip(0)
    picked = torch.linspace(0, len(table) - 1, count, dtype=torch.float64).round().long()
    chosen: list[float] = table[picked].tolist()
    return chosen


def levels(case: Case) -> Tensor:
    """The levels before any churn."""
    params, schedule = case.params, Exploding()
    if case.id.startswith("k_"):
        return karras(schedule, count=10, low=0.02, high=60.0)
    if "_iddpm_" in case.id:
        return explicit(schedule, sigmas=cosine_levels(params["num_steps"]))
    low, high, rho = (
        params.get(k, d) for k, d in (("sigma_min", 0.002), ("sigma_max", 80), ("rho", 7))
    )
    return karras(schedule, count=params["num_steps"], low=low, high=high, rho=rho)


def step(case: Case) -> Step:
    if case.id.startswith(HEUN):
        return heun
    for prefix, solver in DPM.items():
        if case.id.startswith(prefix):
            knobs = {"eta": case.params["eta"]} if "eta" in case.params else {}
            if case.params.get("solver_type") == "heun":
                knobs["solver"] = "taylor"
            return partial(solver, **knobs)
    ancestral = "ancestral" in case.id
    return partial(ddim, eta=case.params.get("eta", 1.0) if ancestral else 0.0)


def visit(case: Case, denoise: Denoise) -> Tensor:
    """The states at the levels of a case: the first one, and that after each of its moves."""
    params, plain, noise = case.params, levels(case), case.inputs.get("noise", ())
    path, spread = plain, 1.0
    if "churn" in case.id:
        low, high = params.get("S_min", 0.0), params.get("S_max", 1e9)
        path = churn(
            plain, amount=params.get("S_churn", params.get("s_churn")), low=low, high=high
        )
        # The peers draw at every step, also where they then add no noise.
        noise = [z for z, t in zip(noise, plain[:-1], strict=False) if low <= t <= high]
        spread = params.get("S_noise", params.get("s_noise"))
    ascend = partial(renoise, noise=spread)
    walked = states(denoise, case.inputs["x_T"], path, noise, step(case), ascend=ascend)
    at_levels = [state.x for state in walked if state.sigma in plain]
    return torch.stack([case.inputs["x_T"] * path[0], *at_levels])


@pytest.mark.parametrize("key", COVERED)
def test_walk(key: str, subtests: pytest.Subtests) -> None:
    case = GOLDEN[key]
    for target in ("eps", "x0", "v"):
        with subtests.test(target=target):
            denoise = by_sigma(case.mixture, Exploding(), target)
            assert case.excess("traj", visit(case, denoise)[case.params["kept_states"]]) <= 0


@pytest.mark.parametrize("key", [k for k in COVERED if GOLDEN[k].values.get("sigma_calls")])
def test_network_is_called_at_the_same_levels(key: str) -> None:
    case = GOLDEN[key]
    called: list[float] = []
    denoise = by_sigma(case.mixture, Exploding())
    denoise.register_forward_pre_hook(lambda module, arguments: called.append(float(arguments[1])))
    visit(case, denoise)
    want = case.values["sigma_calls"]
    assert len(called) == case.values["nfe"]
    assert all(map(partial(math.isclose, rel_tol=1e-12), called, want))
