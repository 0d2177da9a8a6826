"""Weighted denoising losses and draws of times against other projects' numbers."""

import math

import pytest
import torch
from exact import Answer, Recorded
from golden.load_golden import Case, Golden
from torch import Tensor

from ddpm_cli.diffusion import labels, parameterizations
from ddpm_cli.diffusion.denoiser import Denoiser
from ddpm_cli.diffusion.draws import lognormal, loss_second_moment
from ddpm_cli.diffusion.losses import dsm, edm, min_snr, p2, simple
from ddpm_cli.diffusion.schedules import Schedule, processes
from ddpm_cli.diffusion.schedules.tables import linear

GOLDEN = Golden("losses")


def denoiser(
    output: Tensor, schedule: Schedule, parameterization: str, label: str = "index"
) -> Denoiser:
    """A denoiser whose network answers `output`."""
    return Denoiser(
        Answer(output),
        schedule,
        getattr(parameterizations, parameterization),
        getattr(labels, label),
    )


class Silence:
    """An Rng without noise."""

    def normal(self, like: Tensor) -> Tensor:
        return torch.zeros_like(like)


def weight(
    loss: object, t: Tensor, parameterization: str, schedule: Schedule, **knobs: float
) -> Tensor:
    """Loss of images that are 0 without noise, where the right output is 0 and 1 is given."""
    one = torch.ones(len(t), 1, 2, 2, dtype=torch.float64)
    denoise = denoiser(one, schedule, parameterization)
    return loss(denoise, 0 * one, t, Silence(), **knobs)  # type: ignore[operator]


def times(case: Case, steps: int = 1000) -> Tensor:
    return (case.inputs["t"].double() + 1) / steps


@pytest.mark.parametrize("key", GOLDEN.select("p2_"))
def test_p2(key: str) -> None:
    case = GOLDEN[key]
    knobs = {"gamma": case.params["p2_gamma"], "k": case.params["p2_k"]}
    got = weight(p2, times(case), "eps", linear(), **knobs)
    assert case.excess("weight", got) <= 0
    assert case.excess("snr", linear().sigma(times(case)) ** -2) <= 0


@pytest.mark.parametrize("key", GOLDEN.select("min_snr_"))
@pytest.mark.parametrize(("kind", "name"), [("eps", "epsilon"), ("v", "v"), ("x0", "x0")])
def test_min_snr(key: str, kind: str, name: str) -> None:
    case = GOLDEN[key]
    got = weight(min_snr, times(case), kind, linear(), gamma=case.params["snr_gamma"])
    assert case.excess(f"weight_{name}", got) <= 0
    assert case.excess("snr", linear().sigma(times(case)) ** -2) <= 0


EDM = processes.edm(low=1e-3, high=100.0)


def test_coefficients_of_edm() -> None:
    case = GOLDEN["edm_coefficients"]
    sigma = case.inputs["sigma"]
    for name, got in zip(("skip", "out", "in"), parameterizations.edm(sigma, EDM), strict=True):
        assert case.excess(f"c_{name}", got) <= 0
    assert case.excess("c_noise", labels.log_sigma(sigma, EDM)) <= 0
    got = weight(edm, EDM.time(sigma), "x0", EDM)
    assert case.excess("loss_weight", got) <= 0


@pytest.mark.parametrize("t", [0.0, 0.3, 1.0])
def test_edm_is_the_simple_loss_of_its_own_parameterization(t: float) -> None:
    """The property the weight was made for (Karras 2022, table 1)."""
    time = torch.full((3,), t, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    output, x0, noise = torch.randn(3, 3, 1, 2, 2, generator=generator, dtype=torch.float64)
    losses = [
        loss(denoiser(output, EDM, "edm"), x0, time, Recorded([noise])) for loss in (edm, simple)
    ]
    assert torch.allclose(*losses, rtol=1e-9, atol=0)


PRECONDITIONED = {
    "EDMPrecond": (EDM, "edm", "log_sigma", 1),
    "VPPrecond": (processes.vp(), "eps", "time", 1),
    # VE's network predicts -eps, its label is log(sigma / 2): ours, log(sigma) / 4, is EDM's.
    "VEPrecond": (processes.ve(low=1e-3, high=100.0), "eps", "log_sigma", -1),
}


@pytest.mark.parametrize("name", PRECONDITIONED)
def test_preconditioning(name: str) -> None:
    case = GOLDEN[f"edm_precond_{name}"]
    schedule, kind, label, sign = PRECONDITIONED[name]
    denoise = denoiser(sign * case.inputs["F"], schedule, kind, label)
    sigma = case.inputs["sigma"]
    assert case.excess("D", denoise(case.inputs["x"], sigma).x0) <= 0
    scaled, seen = denoise.network.seen
    assert case.excess("c_in_times_x", scaled) <= 0
    if name == "VEPrecond":
        seen = 4 * seen.double() - math.log(2)
    assert case.excess("c_noise", seen) <= 0


@pytest.mark.parametrize("key", GOLDEN.select("edm_loss_EDM"))
def test_loss_of_edm(key: str) -> None:
    case = GOLDEN[key]
    normal = Recorded([case.inputs["rnd_normal"].reshape(1, -1)])
    mean, std = case.params["P_mean"], case.params["P_std"]
    t, even = lognormal(EDM, 7, normal, mean=mean, std=std)
    assert torch.equal(even, torch.ones(7).double())
    assert case.excess("sigma", EDM.sigma(t)) <= 0
    denoise = denoiser(case.inputs["D"], EDM, "x0")
    got = edm(denoise, case.inputs["images"], t, Recorded([case.inputs["noise"]]))
    assert case.excess("loss_per_example_mean", got) <= 0
    assert case.excess("net_input", denoise.network.seen[0]) <= 0


@pytest.mark.parametrize("name", ["VP", "VE"])
def test_edms_version_of_score_matching(name: str) -> None:
    case = GOLDEN[f"edm_loss_{name}Loss"]
    u = case.inputs["rnd_uniform"].flatten()
    schedule, t = processes.ve(low=0.02, high=100.0), u
    if name == "VP":
        schedule, t = processes.vp(), 1 + u * (case.params["epsilon_t"] - 1)
    assert case.excess("sigma", schedule.sigma(t)) <= 0
    denoise = denoiser(case.inputs["D"], schedule, "x0")
    got = dsm(denoise, case.inputs["images"], t, Recorded([case.inputs["noise"]]))
    assert case.excess("loss_per_example_mean", got) <= 0


def batch_loss(case: Case, got: Tensor) -> Tensor:
    """Score SDE's number for a batch: the mean, or half the sum over pixels."""
    return got.mean().reshape(1) * (1 if case.params["reduce_mean"] else 16 / 2)


@pytest.mark.parametrize("key", GOLDEN.select("sde_"))
def test_score_sde(key: str) -> None:
    case = GOLDEN[key]
    kind, eps = case.params["sde"], case.params["eps"]
    schedule = getattr(processes, kind)()
    t = case.inputs["u"] * (1 - eps) + eps
    denoise = denoiser(
        case.inputs["model_out"],
        schedule,
        "score" if kind == "ve" else "eps",
        "sigma" if kind == "ve" else "time",
    )
    weighting = "likelihood" if case.params["likelihood_weighting"] else "noise"
    got = dsm(denoise, case.inputs["batch"], t, Recorded([case.inputs["z"]]), weighting=weighting)
    assert case.excess("loss", batch_loss(case, got)) <= 0
    x, label = denoise.network.seen
    assert case.excess("perturbed_first_pixel", x[:, 0, 1, 1]) <= 0
    assert case.excess("labels", label) <= 0


@pytest.mark.parametrize("key", GOLDEN.select("smld_"))
def test_losses_of_ncsn(key: str) -> None:
    """The peer numbers its levels from the noisiest."""
    case = GOLDEN[key]
    schedule = processes.geometric(steps=1000, low=0.01, high=50.0)
    denoise = denoiser(case.inputs["model_out"], schedule, "score")
    t = (1000 - case.inputs["labels"].double()) / 1000
    got = dsm(denoise, case.inputs["batch"], t, Recorded([case.inputs["z"]]))
    assert case.excess("loss", batch_loss(case, got)) <= 0


@pytest.mark.parametrize("key", GOLDEN.select("ddpm_loss_"))
@pytest.mark.parametrize("loss", [simple, dsm])
def test_losses_of_ddpm(key: str, loss: object) -> None:
    case = GOLDEN[key]
    denoise = denoiser(case.inputs["model_out"], linear(), "eps")
    t = (case.inputs["labels"].double() + 1) / 1000
    got = loss(denoise, case.inputs["batch"], t, Recorded([case.inputs["z"]]))  # type: ignore[operator]
    assert case.excess("loss", batch_loss(case, got)) <= 0


@pytest.mark.parametrize("key", GOLDEN.select("second_moment_"))
def test_draw_that_remembers(key: str) -> None:
    case = GOLDEN[key]
    steps = case.params["num_timesteps"]
    schedule = linear(steps=steps, first=1e-6, last=1e-4)
    draw = loss_second_moment(
        history=case.params["history_per_term"], uniform=case.params["uniform_prob"]
    )
    draw(schedule, 1, Halves())
    got = []
    batches = [(case.inputs[f"ts{i}"], case.inputs[f"losses{i}"]) for i in range(3)]
    batches.insert(1, (torch.tensor([steps - 1]), torch.tensor([0.5], dtype=torch.float64)))
    for index, losses in batches:
        draw.update((index.double() + 1) / steps, losses)
        got.append(draw.shares())
    want = case.outputs["weights_after"]
    assert torch.allclose(got[0] * steps, want[0]), "even while one loss is missing"
    for mine, theirs in zip(got[1:], want[1:], strict=True):
        assert case.excess("weights_after", mine, theirs) <= 0
    assert case.excess("final_p", draw.shares()) <= 0
    assert case.excess("final_importance_weights", 1 / (steps * draw.shares())) <= 0


class Halves:
    """An Rng whose uniform numbers are all 0.5."""

    def uniform(self, n: int = 1) -> Tensor:
        return torch.full((1, n), 0.5)
