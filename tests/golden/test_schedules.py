"""Schedules and level lists against other projects' tables."""

import math

import pytest
import torch
from golden.load_golden import Case, Golden
from torch import Tensor

from ddpm_cli.diffusion.levels import (
    explicit,
    karras,
    leading,
    linspace,
    logsnr,
    quadratic,
    sections,
    stride,
    trailing,
)
from ddpm_cli.diffusion.rates import rate
from ddpm_cli.diffusion.schedules import tables
from ddpm_cli.diffusion.schedules.processes import geometric, subvp, ve, vp
from ddpm_cli.diffusion.schedules.tables import Table, cosine, linear

GOLDEN = Golden("schedules")
EXCLUDED = {
    "diffusers_spacing_linspace_off0_T1000_S1": "visits index 0 only, where nothing is noisy",
}
SELECTED = {
    "tables": GOLDEN.select("betas_linear_", "betas_cosine_"),
    "betas": [
        "betas_ddimrepo_linear_T1000",
        "betas_diffusers_linear",
        "betas_diffusers_squaredcos_cap_v2",
        "betas_diffusers_scaled_linear",
        "betas_diffusers_sigmoid",
        *GOLDEN.select("betas_ddimrepo_", without=("betas_ddimrepo_linear_T1000",)),
    ],
    "sde": GOLDEN.select("sde_"),
    "other": ["kdiff_other_sigmas"],
    "analytic": GOLDEN.select("analytic_dpm_steps_"),
    "geometric": ["ncsn_geometric"],
    "zero": ["betas_diffusers_zero_terminal_snr"],
    "respaced": GOLDEN.select("respace_T"),
    "errors": ["respace_errors"],
    "karras": GOLDEN.select("edm_sigmas_"),
    "ddim": GOLDEN.select("ddim_steps_"),
    "final": ["diffusers_final_alpha"],
    "diffusers": GOLDEN.select("diffusers_spacing_", without=tuple(EXCLUDED)),
}


def test_every_case_is_accounted_for() -> None:
    covered = [key for keys in SELECTED.values() for key in keys]
    assert sorted([*covered, *EXCLUDED]) == sorted(GOLDEN.cases)


def own_table(case: Case) -> Table:
    """The sweep schedules of ermongroup/ddim that have no name here, as a table of values."""
    last = case.params["beta_end"]
    kind = case.params["schedule"]
    values = [last if kind == "const" else 1 / (1000 - i) for i in range(1000)]
    return tables.table(values=values)


def table(case: Case) -> Table:
    if case.params.get("schedule") in ("const", "jsd"):
        return own_table(case)
    if "quad" in case.id or "scaled" in case.id:
        return tables.scaled_linear(first=1e-4, last=0.02)
    made = cosine if "cos" in case.id else tables.sigmoid if "sigmoid" in case.id else linear
    return made(steps=case.params.get("T", 1000))


def abar(schedule: Table, sigma: Tensor) -> Tensor:
    return schedule.alpha(sigma) ** 2


def posterior(schedule: Table, t: Tensor, s: Tensor) -> dict[str, Tensor]:
    """The coefficients that improved-diffusion tabulates, from levels t and the next s."""
    share, native = (s / t) ** 2, schedule.alpha(s)
    variance = native**2 * s**2 * (1 - share)
    return {
        "posterior_variance": variance,
        "posterior_log_variance_clipped": torch.cat([variance[1:2], variance[1:]]).log(),
        "posterior_mean_coef1": native * (1 - share),
        "posterior_mean_coef2": share * native / schedule.alpha(t),
    }


def indices(schedule: Table, levels: Tensor) -> list[int]:
    """The indices 0..T-1 of a level list without its final 0."""
    assert levels[-1] == 0
    exact = schedule.time(levels[:-1]) * (schedule.steps or 0) - 1
    assert torch.allclose(exact, exact.round(), rtol=0, atol=1e-6)
    return [int(value) for value in exact.round()]


@pytest.mark.parametrize("key", SELECTED["tables"])
def test_tables(key: str) -> None:
    case = GOLDEN[key]
    schedule = table(case)
    sigma = schedule.levels
    signal = abar(schedule, sigma)
    before = torch.cat([torch.zeros(1).double(), sigma[:-1]])
    got = {
        "betas": schedule.betas(),
        "alphas_cumprod": signal,
        "alphas_cumprod_prev": abar(schedule, before),
        "alphas_cumprod_next": torch.cat([signal[1:], torch.zeros(1).double()]),
        **posterior(schedule, sigma, before),
    }
    for name in case.outputs:
        assert case.excess(name, got[name][case.inputs["index"]]) <= 0, name
    assert math.isclose(float(signal[-1]), case.values["alphas_cumprod_last"], rel_tol=1e-10)


@pytest.mark.parametrize("key", SELECTED["betas"])
def test_tables_of_other_projects(key: str) -> None:
    case = GOLDEN[key]
    schedule = table(case)
    got = {"betas": schedule.betas(), "alphas_cumprod": abar(schedule, schedule.levels)}
    for name, want in case.outputs.items():
        picked = got[name][case.inputs["index"]].to(want.dtype)
        # A last beta of 1 stands for sigma = infinity, which is replaced by 1e6.
        assert case.excess(name, picked[want < 1], want[want < 1]) <= 0, name


PROCESSES = {"sde_vp": vp(low=1e-6), "sde_subvp": subvp(low=1e-6), "sde_ve": ve()}


@pytest.mark.parametrize("key", SELECTED["sde"])
def test_processes_of_score_sde(key: str) -> None:
    """Marginals, drift and diffusion from sigma and alpha alone; also its discrete versions."""
    case, process = GOLDEN[key], PROCESSES[key]
    t = case.inputs["t"].clamp(max=1).requires_grad_()
    alpha = process.alpha(process.sigma(t))
    drift = torch.zeros_like(t)
    if alpha.requires_grad:  # VE's alpha is 1
        (drift,) = torch.autograd.grad(alpha.log().sum(), t)
    t = t.detach()
    sigma = process.sigma(t)
    std = (alpha * sigma).detach()
    diffusion = (rate(process, t) * std**2).sqrt()
    prior = float(process.alpha(process.sigma(t[-1:])) * process.prior(process.sigma(t[-1:])))
    z = torch.linspace(-2, 2, 6, dtype=torch.float64).reshape(2, 3)
    got = {
        "mean_coef": alpha.detach(),
        "std": std,
        "drift_at_x1": drift,
        "diffusion": diffusion,
        "prior_logp": (-((z / prior) ** 2) / 2 - math.log(prior * math.sqrt(2 * math.pi))).sum(1),
    } | discretized(key, case, drift, diffusion)
    assert sorted(got) == sorted(case.outputs)
    for name in case.outputs:
        assert case.excess(name, got[name]) <= 0, name


def discretized(key: str, case: Case, drift: Tensor, diffusion: Tensor) -> dict[str, Tensor]:
    """One step of the peer's N-step processes, from the discrete schedules of the same kind."""
    steps = case.params["N"]
    number = (case.inputs["t"] * (steps - 1)).long()
    ends = [*range(5), *range(steps - 5, steps)]
    if key == "sde_vp":
        beta = linear(steps=steps, first=1e-4, last=0.02).betas()
        signal = (1 - beta[number]).sqrt() - 1
        return {
            "discretize_f_at_x1": signal,
            "discretize_G": beta[number].sqrt(),
            "discrete_betas_first5_last5": beta[ends],
        }
    if key == "sde_subvp":
        return {
            "discretize_f_at_x1": drift / steps,
            "discretize_G": diffusion / steps**0.5,
        }
    levels = geometric(steps=steps, low=0.01, high=50.0).levels
    before = torch.cat([torch.zeros(1).double(), levels[:-1]])
    return {
        "discretize_f_at_x1": torch.zeros_like(drift),
        "discretize_G": (levels**2 - before**2)[number].sqrt(),
        "discrete_sigmas_first5_last5": levels[ends],
    }


def test_geometric_levels() -> None:
    case = GOLDEN["ncsn_geometric"]
    got = geometric(steps=case.params["L"], low=0.01, high=1.0).levels.flip(0)
    assert case.excess("sigmas", got) <= 0


def test_table_without_terminal_signal() -> None:
    case = GOLDEN["betas_diffusers_zero_terminal_snr"]
    schedule = linear(zero_terminal=True)
    got = {"betas": schedule.betas(), "alphas_cumprod": abar(schedule, schedule.levels)}
    for name, want in case.outputs.items():
        assert got[name].isfinite().all()
        # The last beta is 1 - 2.4e-4: only sigma = infinity itself is replaced, by 1e6.
        size = slice(-1) if name == "betas" else slice(None)
        picked = got[name][case.inputs["index"]].to(want.dtype)
        assert case.excess(name, picked[size], want[size]) <= 0, name
    assert schedule.sigma(torch.tensor(1.0)) == pytest.approx(1e6)


def respaced(schedule: Table, spec: str) -> Tensor:
    """Levels in improved-diffusion's notation: "10,15,20" or "ddim25"."""
    if spec.startswith("ddim"):
        return stride(schedule, count=int(spec.removeprefix("ddim")))
    return sections(schedule, counts=[int(count) for count in spec.split(",")])


def test_respacings_that_cannot_be() -> None:
    for key, want in GOLDEN["respace_errors"].values.items():
        steps, spec = key.split(":")
        schedule = linear(steps=max(int(steps), 21))
        if want == "ValueError":
            schedule.steps = int(steps)
            with pytest.raises(ValueError, match=r"no stride gives 999|20 steps asked for"):
                respaced(schedule, spec)
        elif isinstance(want, list):
            assert indices(schedule, respaced(schedule, spec)) == want[::-1]
        else:
            assert len(respaced(schedule, spec)) - 1 == int(want.removeprefix("len "))


@pytest.mark.parametrize("spec", ["25", "100", "250"])
def test_one_section_is_linspace(spec: str) -> None:
    assert torch.equal(respaced(linear(), spec), linspace(linear(), count=int(spec)))


@pytest.mark.parametrize("key", SELECTED["respaced"])
def test_respaced_processes(key: str) -> None:
    """The peer rebuilds betas for a subset of steps; here the levels alone say the same."""
    case = GOLDEN[key]
    schedule, spec = linear(steps=case.params["T"]), case.params["section_counts"]
    levels = respaced(schedule, spec)
    assert indices(schedule, levels) == case.values["timesteps"][::-1]
    t, s = levels[:-1].flip(0), levels[1:].flip(0)
    got = {
        "new_betas": 1 - abar(schedule, t) / abar(schedule, s),
        **posterior(schedule, t, s),
    }
    for name in case.outputs:
        assert case.excess(name, got[name]) <= 0, name


class Range:
    """A process with alpha = 1 between two levels."""

    steps = None

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high

    def sigma(self, t: Tensor) -> Tensor:
        return self.low + t * (self.high - self.low)


@pytest.mark.parametrize("key", SELECTED["karras"])
def test_karras_levels(key: str) -> None:
    case = GOLDEN[key]
    low, high = case.params["sigma_min"], case.params["sigma_max"]
    knobs = {"count": case.params["num_steps"], "rho": case.params["rho"]}
    got = karras(Range(1e-9, 1e9), low=low, high=high, **knobs)
    assert case.excess("sigmas", got) <= 0
    assert torch.equal(karras(Range(low, high), low=1e-9, high=1e9, **knobs), got), "clamped"


def test_levels_of_k_diffusion() -> None:
    """Its exponential levels are logsnr's, its VP levels even times."""
    case = GOLDEN["kdiff_other_sigmas"]
    low, high, count = (case.params[k] for k in ("sigma_min", "sigma_max", "n"))
    got = logsnr(Range(1e-9, 1e9), count=count, low=low, high=high)
    assert case.excess("exponential", got) <= 0
    times = torch.linspace(1, 1e-3, count, dtype=torch.float64)
    got = explicit(vp(), sigmas=vp().sigma(times).tolist())
    assert case.excess("vp_beta_d19.9_beta_min0.1_eps1e-3", got) <= 0


@pytest.mark.parametrize("key", SELECTED["analytic"])
def test_levels_of_analytic_dpm(key: str) -> None:
    """Its indices count from 1; its power2 spacing is not offered."""
    case, schedule = GOLDEN[key], linear()
    count = case.params["K"]
    for name, rule in (("linear", linspace), ("quad_ddim", quadratic)):
        got = [index + 1 for index in indices(schedule, rule(schedule, count=count))]
        # Counting from 1, the peer rounds the other way where a place lies half way between two.
        halves = {833: 834, 501: 500, 167: 168} if (name, count) == ("linear", 25) else {}
        assert [halves.get(index, index) for index in got] == case.values[name][::-1], name


@pytest.mark.parametrize("key", SELECTED["ddim"])
def test_levels_of_ddim(key: str) -> None:
    case = GOLDEN[key]
    schedule, count = linear(), case.params["S"]
    uniform = case.values["uniform"]
    assert indices(schedule, leading(schedule, count=count)) == uniform[:count][::-1]
    assert indices(schedule, explicit(schedule, timesteps=uniform)) == uniform[::-1]
    quad = sorted(set(case.values["quad"]), reverse=True)
    assert indices(schedule, quadratic(schedule, count=count)) == quad


@pytest.mark.parametrize("key", SELECTED["diffusers"])
def test_levels_of_diffusers(key: str) -> None:
    case = GOLDEN[key]
    schedule, count = linear(), case.params["num_inference_steps"]
    levels = {
        "leading": lambda: leading(schedule, count=count, offset=case.params["steps_offset"]),
        "linspace": lambda: linspace(schedule, count=count),
        "trailing": lambda: trailing(schedule, count=count),
    }[case.params["timestep_spacing"]]()
    assert indices(schedule, levels) == case.values["ddpm"] == case.values["ddim"]


def test_one_step_of_linspace_starts_at_the_noisiest_level() -> None:
    assert indices(linear(), linspace(linear(), count=1)) == [999]


def test_signal_at_the_end_of_a_walk() -> None:
    """diffusers ends at abar = 1 or at the first entry: a walk to level 0, or to that entry."""
    case = GOLDEN["diffusers_final_alpha"]
    ends = abar(linear(), torch.cat([torch.zeros(1).double(), linear().levels[:1]]))
    want = [
        case.values[f"final_alpha_cumprod_set_alpha_to_one_{end}"] for end in ("true", "false")
    ]
    assert ends.tolist() == pytest.approx(want, rel=case.tolerance["rtol"])
