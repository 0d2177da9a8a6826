"""Walks in sigma-space against score_sde_pytorch's predictors, correctors and ODE solver."""

import math
from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from exact import Recorded, by_sigma, states
from golden.analytic_model import Mixture
from golden.load_golden import Case, Golden
from torch import Tensor

from ddpm_cli.diffusion.correctors import ald, langevin
from ddpm_cli.diffusion.denoiser import Prediction, Wrapped
from ddpm_cli.diffusion.edits import repeat
from ddpm_cli.diffusion.samplers import (
    ddpm,
    euler_maruyama,
    hold,
    ode,
    probability_flow,
    reverse_diffusion,
)
from ddpm_cli.diffusion.schedules.processes import Process, subvp, ve, vp
from ddpm_cli.diffusion.steps import Move, Step

GOLDEN = Golden("samplers_score_sde")
PROCESSES: dict[str, Process] = {"vp": vp(), "subvp": subvp(), "ve": ve()}
STEPS: dict[str, Step] = {
    "reverse_diffusion": reverse_diffusion,
    "euler_maruyama": euler_maruyama,
    "ancestral_sampling": ddpm,
}
ODE = GOLDEN.select("ode_")
ALD = GOLDEN.select("pc_ve_none_ald_")
CRASHED = [case.id for case in GOLDEN if "peer_error" in case.values]
LANGEVIN = [
    key for key in GOLDEN.select("pc_vp_", "pc_ve_", without=tuple(CRASHED)) if "_langevin_" in key
]
# The peer moves in native scale and time: its walks agree with ours to first order. The first
# moves of a variance-exploding walk have the same scale and levels, and so agree exactly.
FIRST = [
    key
    for key in GOLDEN.select("pc_ve_", without=(*ALD, *LANGEVIN))
    if GOLDEN[key].params["probability_flow"] is False
]
NATIVE = [
    key
    for key in GOLDEN.select("pc_vp_", "pc_subvp_", without=(*CRASHED, *LANGEVIN))
    if GOLDEN[key].params["predictor"] in ("reverse_diffusion", "euler_maruyama")
    and GOLDEN[key].params["probability_flow"] is False
    and GOLDEN[key].params["corrector"] == "none"
]
FLOW = [case.id for case in GOLDEN if "_pf1_" in case.id]
EXCLUDED = {
    **dict.fromkeys(CRASHED, "the peer crashes"),
    **dict.fromkeys(
        GOLDEN.select(
            "pc_vp_ancestral_sampling_none_", "pc_vp_none_ald_", "pc_vp_euler_maruyama_ald_"
        ),
        "native scale: a variance of beta, a step shrunk by 1 - beta",
    ),
}


def test_every_case_is_accounted_for() -> None:
    assert sorted([*ODE, *ALD, *LANGEVIN, *FIRST, *NATIVE, *FLOW, *EXCLUDED]) == sorted(
        GOLDEN.cases
    )


def at(process: Process, *times: float) -> Tensor:
    return process.sigma(torch.tensor(times, dtype=torch.float64))


@pytest.mark.parametrize("key", ODE)
def test_ode(key: str) -> None:
    pytest.importorskip("torchdiffeq")
    case = GOLDEN[key]
    process, params = PROCESSES[case.params["sde"]], case.params
    method = "dopri8" if params["rtol"] < 1e-9 else "dopri5"

    def step(*arguments: object) -> Tensor:
        return ode(*arguments, rtol=params["rtol"], atol=params["atol"], method=method)

    levels = at(process, 1.0, params["eps"])
    (state,) = states(by_sigma(case.mixture, process), case.inputs["x_T"], levels, (), step)
    assert case.excess("final", process.alpha(state.sigma) * state.x) <= 0


@pytest.mark.parametrize("key", ALD)
def test_annealed_langevin(key: str) -> None:
    """All states of the walk; the peer does not denoise at the end."""
    case = GOLDEN[key]
    process, kept = PROCESSES["ve"], case.params["kept_steps"]
    times = torch.linspace(1, case.params["eps"], case.params["N"], dtype=torch.float64)
    levels = torch.cat([process.sigma(times), torch.zeros(1).double()])
    walked = states(
        by_sigma(case.mixture, process),
        case.inputs["x_T"],
        repeat(levels, count=case.params["n_steps_each"]),
        case.inputs["noise"],
        hold,
        corrector=ald,
    )
    found = [state.x for state in walked]
    after_corrector, after_predictor = torch.stack(found[1::3]), torch.stack(found[2::3])
    assert case.excess("after_corrector", after_corrector[kept]) <= 0
    assert torch.equal(after_predictor[:-1], after_corrector[:-1])
    assert not torch.equal(after_predictor[-1], after_corrector[-1]), "denoised at the end"


@pytest.mark.parametrize("key", FIRST)
def test_first_move_of_a_variance_exploding_walk(key: str) -> None:
    case = GOLDEN[key]
    count, name = case.params["N"], case.params["predictor"]
    # The peer's discrete levels include both ends; its Euler-Maruyama moves by 1 / N.
    time = 1 - 1 / count if name == "euler_maruyama" else 1 - 1 / (count - 1)
    levels = at(PROCESSES["ve"], 1.0, time)
    corrected = case.params["corrector"] == "ald"
    path = torch.cat([levels[:1], levels]) if corrected else levels
    denoise = by_sigma(case.mixture, PROCESSES["ve"])
    walked = states(
        denoise, case.inputs["x_T"], path, case.inputs["noise"], STEPS[name], corrector=ald
    )
    *_, last = walked
    assert case.excess("after_predictor", last.x[None], case.outputs["after_predictor"][:1]) <= 0


class Native(NamedTuple):
    """The SDE of a process in its own scale: beta and g^2 at a time."""

    beta: Callable[[float], float]
    squared: Callable[[float], float]


def beta(t: float) -> float:
    return 0.1 + 19.9 * t


def native_sde(name: str) -> Native:
    integral = lambda t: 0.1 * t + 19.9 * t**2 / 2  # noqa: E731
    if name == "vp":
        return Native(beta, beta)
    return Native(beta, lambda t: beta(t) * -math.expm1(-2 * integral(t)))


def published(case: Case, x: Tensor, t: float, h: float, z: Tensor, process: Process) -> Tensor:
    """One step of the published formulas in native scale, from t to t - h."""
    sde = native_sde(case.params["sde"])
    sigma = at(process, t)
    score = case.mixture.score(x, process.alpha(sigma), sigma * process.alpha(sigma))
    b, g2 = sde.beta(t) * h, sde.squared(t) * h
    drift = -b / 2 * x
    if case.params["probability_flow"]:
        g2, z = g2 / 2, torch.zeros_like(z)
    if case.params["predictor"] == "reverse_diffusion" and case.params["sde"] == "vp":
        drift = ((1 - b) ** 0.5 - 1) * x
    return x - drift + g2 * score + g2**0.5 * z


@pytest.mark.parametrize("key", NATIVE)
def test_first_order_agreement_with_the_native_step(key: str) -> None:
    """The published step is the peer's; ours tends to it with twice the order of the step.

    Without noise the difference is of order h^2; sqrt(h) z meets a scale that has moved by h.
    """
    case = GOLDEN[key]
    process, x = PROCESSES[case.params["sde"]], case.inputs["x_T"]
    z = case.inputs["noise"][0]
    got = published(case, x, 1.0, 1 / case.params["N"], z, process)
    assert case.excess("after_predictor", got[None], case.outputs["after_predictor"][:1]) <= 0

    def difference(h: float, z: Tensor) -> float:
        levels = at(process, 0.5, 0.5 - h)
        start, end = process.alpha(levels)
        (state,) = _moved(case.mixture, process, x / start, levels, z, case)
        return float((end * state - published(case, x, 0.5, h, z, process)).abs().max())

    for noise, ratio in ((torch.zeros_like(z), 4.0), (z, 2.0**1.5)):
        coarse, fine = (difference(h, noise) for h in (1e-4, 5e-5))
        assert coarse / fine == pytest.approx(ratio, rel=0.05)


def _moved(
    mixture: Mixture, process: Process, x: Tensor, levels: Tensor, z: Tensor, case: Case
) -> list[Tensor]:
    step, move = STEPS[case.params["predictor"]], Move(*levels, 0, levels)
    return [step(by_sigma(mixture, process), x, move, Recorded([z]), [])]


def test_flow_of_a_variance_exploding_process() -> None:
    """All states of the walk; the peer's last move takes half of the noise that is left.

    The peer moves along a table of levels, and looks at its network at times that lie beside.
    """
    case = GOLDEN["pc_ve_reverse_diffusion_none_n1_pf1_g2"]
    process, count, kept = PROCESSES["ve"], case.params["N"], case.params["kept_steps"]
    times = torch.linspace(1, case.params["eps"], count, dtype=torch.float64)
    even = torch.linspace(1, 0, count, dtype=torch.float64)
    levels = torch.cat([process.sigma(even), torch.zeros(1).double()])
    exact = by_sigma(case.mixture, process)

    def beside(x: Tensor, sigma: Tensor) -> Prediction:
        seen = process.sigma(times[int((levels - sigma).abs().argmin())])
        noise = (x - exact(x, seen).x0) / seen
        return Prediction(x - sigma**2 * noise / seen)

    walked = states(Wrapped(exact, beside), case.inputs["x_T"], levels, (), probability_flow)
    found = torch.stack([state.x for state in walked])
    assert (
        case.excess("after_predictor", found[kept[:-1]], case.outputs["after_predictor"][:-1]) <= 0
    )
    half = (found[-2] + found[-1]) / 2
    assert case.excess("after_predictor", half[None], case.outputs["after_predictor"][-1:]) <= 0


@pytest.mark.parametrize("key", [key for key in FLOW if key not in CRASHED and "_ve_" not in key])
def test_flow_agrees_with_the_native_step_to_first_order(key: str) -> None:
    case = GOLDEN[key]
    process, x = PROCESSES[case.params["sde"]], case.inputs["x_T"]
    none = torch.zeros_like(x)
    got = published(case, x, 1.0, 1 / case.params["N"], none, process)
    assert case.excess("after_predictor", got[None], case.outputs["after_predictor"][:1]) <= 0

    def difference(h: float) -> float:
        levels = at(process, 0.5, 0.5 - h)
        start, end = process.alpha(levels)
        state = probability_flow(
            by_sigma(case.mixture, process), x / start, Move.of(*levels), Recorded([]), []
        )
        return float((end * state - published(case, x, 0.5, h, none, process)).abs().max())

    assert difference(1e-4) / difference(5e-5) == pytest.approx(4.0, rel=0.05)


@pytest.mark.parametrize("key", LANGEVIN)
def test_langevin_is_the_peers_with_the_norms_to_expect(key: str) -> None:
    """The peer takes means of the norms over the batch, and shrinks the step by 1 - beta.

    With expected norms in their place Euler's step is ald's; ours tends to it with the order of
    the step, h^(3/2), h = 2 (snr sigma)^2.
    """
    case = GOLDEN[key]
    process, z = PROCESSES[case.params["sde"]], case.inputs["noise"][0]
    sigma = at(process, 1.0)[0]
    alpha = process.alpha(sigma)
    x = case.inputs["x_T"] * alpha * process.prior(sigma)
    score = case.mixture.score(x, alpha, sigma * alpha)
    norms = [u.flatten(1).norm(dim=1).mean() for u in (z, score)]

    def stepped(snr: float, above: Tensor | float, below: Tensor | float, factor: float) -> Tensor:
        step = 2 * factor * (snr * torch.as_tensor(above / below)) ** 2
        return x + step * score + (2 * step).sqrt() * z

    shrunk = 1 - beta(1.0) / case.params["N"] if case.params["sde"] == "vp" else 1.0
    peers = stepped(case.params["snr"], *norms, shrunk)
    assert case.excess("after_corrector", peers[None], case.outputs["after_corrector"][:1]) <= 0

    denoise, move = by_sigma(case.mixture, process), Move.of(sigma, sigma)
    apart = []
    for snr in (0.02, 0.01):
        wanted = stepped(snr, sigma * alpha, 1.0, 1.0)
        ours, eulers = (
            alpha * step(denoise, x / alpha, move, Recorded([z]), [], snr=snr)
            for step in (langevin, ald)
        )
        assert torch.allclose(eulers, wanted, rtol=0, atol=1e-10)
        apart.append(float((ours - wanted).abs().max()))
    assert apart[0] / apart[1] == pytest.approx(2**3, rel=0.05)
