"""Training objectives against other projects' losses and gradients."""

import math
from collections.abc import Callable

import pytest
import torch
from exact import Answer, Recorded, by_index, peers_decoder, process
from golden.load_golden import Case, Golden
from torch import Tensor

from ddpm_cli.diffusion import parameterizations, variational
from ddpm_cli.diffusion.denoiser import Denoiser, Prediction
from ddpm_cli.diffusion.labels import index
from ddpm_cli.diffusion.levels import linspace
from ddpm_cli.diffusion.losses import hybrid, simple, vdm, vlb
from ddpm_cli.diffusion.samplers import ddpm
from ddpm_cli.diffusion.schedules.tables import Table, cosine, linear
from ddpm_cli.diffusion.steps import Move
from ddpm_cli.diffusion.variational import (
    Reverse,
    discretized_normal,
    normal_kl,
    prior_bits,
    reconstruction_bits,
    step_bits,
)

GOLDEN = Golden("losses")
SELECTED = {
    "training": GOLDEN.select("training_"),
    "terms": GOLDEN.select("vb_terms_"),
    "prior": GOLDEN.select("prior_bpd_"),
    "weights": GOLDEN.select("eps_mse_vlb_weight_"),
    "functions": ["discretized_gaussian", "normal_kl"],
    "loops": GOLDEN.select("calc_bpd_loop_"),
    "vdm": GOLDEN.select("vdm_T"),
    "vdm step": ["vdm_sample_step"],
}
# The others of the fixture, which test_weights.py covers.
WEIGHTS = ("second_moment_", "p2_", "min_snr_", "edm_", "sde_", "smld_", "ddpm_loss_")
MEANS = {"eps": "eps", "x0": "x0", "xprev": "mu"}


def test_every_case_is_accounted_for() -> None:
    covered = [key for keys in SELECTED.values() for key in keys]
    assert sorted([*covered, *GOLDEN.select(*WEIGHTS)]) == sorted(GOLDEN.cases)


def table(case: Case) -> Table:
    made = cosine if case.params["beta_schedule"] == "cosine" else linear
    return made(steps=case.params["T"])


def steps(schedule: Table, t: Tensor) -> Reverse:
    """The reverse steps that start at the peers' indices t."""
    t, count = t.double(), schedule.steps or 0
    s = torch.where(t > 0, schedule.sigma(t / count), 0.0)
    lowest = schedule.sigma(torch.tensor([1.0, 2.0]).double() / count)
    return Reverse.between(schedule, schedule.sigma((t + 1) / count), s, lowest)


def as_range(case: Case, schedule: Table) -> Tensor:
    """The channel that means the recorded variance: a share of the way from small to large."""
    channel = case.inputs["out_v"]
    if case.params["model_var_type"] == "learned_range":
        return channel
    step = steps(schedule, case.inputs["t"])
    native = 2 * torch.log(schedule.alpha(torch.where(step.s > 0, step.s, 0.0)))
    small, width = ((part)[:, None, None, None] for part in (step.small + native, step.width))
    return 2 * (channel - 4 - small) / width - 1


@pytest.mark.parametrize("key", SELECTED["training"])
def test_losses_and_gradients(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = GOLDEN[key]
    monkeypatch.setattr(variational, "discretized_normal", peers_decoder)
    schedule, kind = table(case), case.params["loss_type"]
    mean, variance = case.params["model_mean_type"], case.params["model_var_type"].split("_")
    learned = variance[0] == "learned"
    parts = [case.inputs[f"out_{mean}"]] + [as_range(case, schedule)] * learned
    network = Answer(*parts)
    denoise = Denoiser(
        network,
        schedule,
        getattr(parameterizations, MEANS[mean]),
        index,
        learned_range=learned,
    )
    count = case.params["T"]
    arguments = (denoise, case.inputs["x_start"], (case.inputs["t"].double() + 1) / count)

    def loss(function: Callable[..., Tensor], **knobs: object) -> Tensor:
        return function(*arguments, Recorded([case.inputs["noise"]]), **knobs)

    if "mse" in kind:
        assert case.excess("mse", loss(simple)) <= 0
    if kind in ("mse", "rescaled_mse") and learned:
        weight = 1e-3 if kind == "rescaled_mse" else 1 / count
        got = loss(hybrid, weight=weight)
        assert case.excess("vb", got - loss(simple)) <= 0
    elif kind == "mse":
        got = loss(simple)
    else:
        got = loss(vlb, variance="learned" if learned else variance[1])
        got = got if kind == "rescaled_kl" else got / count
    assert case.excess("loss", got) <= 0
    gradients = network.gradients(got)
    assert case.excess("grad_l2_per_example_mean_part", gradients[0]) <= 0
    if learned:
        slope = 2 / steps(schedule, case.inputs["t"]).width
        unit = slope if variance == ["learned"] else 1
        assert case.excess("grad_l2_per_example_var_part", gradients[1] * unit) <= 0


def part(case: Case) -> str:
    """Which variance of ours a case has."""
    return case.params["model_var_type"].split("_")[1].replace("range", "learned")


@pytest.mark.parametrize("key", SELECTED["terms"])
def test_terms(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = GOLDEN[key]
    monkeypatch.setattr(variational, "discretized_normal", peers_decoder)
    schedule, x0, variance = table(case), case.inputs["x_start"], part(case)
    step = steps(schedule, case.inputs["t"])
    native = schedule.alpha(step.s)[:, None, None, None]
    sigma = step.t[:, None, None, None]
    x = case.inputs["x_t"] / schedule.alpha(sigma)
    clean = x - sigma * case.inputs["out_eps"]
    if case.params["clip_denoised"]:
        clean = clean.clamp(-1, 1)
    prediction = Prediction(clean, case.inputs["out_v"])
    assert case.excess("vb_bpd", step_bits(x0, prediction, step, variance)) <= 0
    log_variance = step.small[:, None, None, None] + step.ratio(prediction, variance)
    got = (log_variance + 2 * native.log()).expand_as(x)[:, 0, 1, 1]
    assert case.excess("model_log_variance_first_pixel", got) <= 0
    walked = Denoiser(Answer(clean), schedule, parameterizations.x0, index)
    for row, (t, s) in enumerate(zip(step.t, step.s, strict=True)):
        move = Move(t, s, 0, torch.stack([t, s]))
        mean = ddpm(walked, x, move, Recorded([torch.zeros_like(x)]), [])[row, 0, 1, 1]
        want = case.outputs["model_mean_first_pixel"][row]
        assert case.excess("model_mean_first_pixel", mean * native[row].squeeze(), want) <= 0


@pytest.mark.parametrize("key", SELECTED["prior"])
def test_prior_term(key: str) -> None:
    case = GOLDEN[key]
    assert case.excess("prior_bpd", prior_bits(table(case), case.inputs["x_start"])) <= 0


@pytest.mark.parametrize("key", SELECTED["weights"])
def test_weight_of_the_eps_error_in_the_bound(key: str) -> None:
    """From the terms of an exact eps and of one that is off by 1; index 0 is the decoder's."""
    case = GOLDEN[key]
    step = steps(table(case), case.inputs["t"])
    x0 = torch.zeros(8, 1, dtype=torch.float64)
    for variance in ("small", "large"):
        off, exact = (
            step_bits(x0, Prediction(shift * step.t[:, None]), step, variance) * math.log(2)
            for shift in (1, 0)
        )
        name = f"weight_fixed_{variance}"
        assert case.excess(name, (off - exact)[1:], case.outputs[name][1:]) <= 0


def test_discretised_normal() -> None:
    """With the exact distribution function, but for one bin that the peer's clamp decides."""
    case = GOLDEN["discretized_gaussian"]
    x, means, log_scales = (case.inputs[name] for name in ("x", "means", "log_scales"))
    got = discretized_normal(x, means, 2 * log_scales, 8)
    want = case.outputs["log_prob_nats_exact_erf"]
    clamped = want <= math.log(1e-12)
    assert clamped.sum() == 1
    assert case.excess("log_prob_nats_exact_erf", got[~clamped], want[~clamped]) <= 0
    assert float(got[clamped]) == pytest.approx(-239.5, abs=5)
    peer = peers_decoder(x, means, 2 * log_scales, 8)
    assert case.excess("log_prob_nats", peer) <= 0, "the stand-in for the peers' decoder"


def test_divergence_of_normals() -> None:
    case = GOLDEN["normal_kl"]
    mean1, logvar1, mean2, logvar2 = (
        case.inputs[name] for name in ("mean1", "logvar1", "mean2", "logvar2")
    )
    shift = (mean2 - mean1) * torch.exp(-logvar1 / 2)
    assert case.excess("kl_nats", normal_kl(shift, logvar2 - logvar1)) <= 0


@pytest.mark.parametrize("key", SELECTED["loops"])
def test_bound_along_a_walk(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty of a thousand levels, the clean image clamped, noise k for the k-th term."""
    case = GOLDEN[key]
    monkeypatch.setattr(variational, "discretized_normal", peers_decoder)
    schedule, abar = process(case.params["beta_schedule"])
    channel = torch.tanh if case.params["v_rule"] else None
    denoise = by_index(case.mixture, schedule, abar, channel=channel)
    levels = linspace(schedule, count=20)
    x0, columns = case.inputs["x0"], []
    for t, s, noise in zip(levels[:-1], levels[1:], case.inputs["noise"], strict=False):
        x = x0 + t * noise
        prediction = denoise(x, t)
        prediction = prediction._replace(x0=prediction.x0.clamp(-1, 1))
        step = Reverse.between(schedule, t.expand(3), s.expand(3), levels[-3:-1].flip(0))
        bits = step_bits(x0, prediction, step, part(case))
        error = ((x - prediction.x0) / t - noise).square().flatten(1).mean(1)
        columns.append((bits, (prediction.x0 - x0).square().flatten(1).mean(1), error))
    terms = [torch.stack(column, 1) for column in zip(*columns, strict=True)]
    for name, got in zip(("vb", "xstart_mse", "mse"), terms, strict=True):
        assert case.excess(name, got) <= 0
    prior = prior_bits(schedule, x0)
    assert case.excess("prior_bpd", prior) <= 0
    assert case.excess("total_bpd", terms[0].sum(1) + prior) <= 0


class Exponent:
    """-log SNR linear in time from -13.3 to 5; levels in units of our half-range of 255 / 256.

    The peer's images are 2 (k + 0.5) / 256 - 1 and ours k / 127.5 - 1: no term of the bound
    changes if images and noise are scaled alike.
    """

    def __init__(self, steps: int | None) -> None:
        self.steps = steps
        self.unit = 256 / 255

    def gamma(self, t: Tensor) -> Tensor:
        return -13.3 + 18.3 * t

    def sigma(self, t: Tensor) -> Tensor:
        return self.unit * torch.exp(self.gamma(t) / 2)

    def alpha(self, sigma: Tensor) -> Tensor:
        return 1 / self.prior(sigma)

    def prior(self, sigma: Tensor) -> Tensor:
        return (self.unit**2 + sigma**2).sqrt()


def recorded(case: Case, name: str) -> Tensor:
    return case.inputs[name].permute(0, 3, 1, 2)


@pytest.mark.parametrize("key", SELECTED["vdm"])
def test_variational_diffusion(key: str) -> None:
    case = GOLDEN[key]
    count = case.params["sm_n_timesteps"]
    schedule = Exponent(count or None)
    x0 = recorded(case, "images").double() / 127.5 - 1
    t = (case.inputs["t0"] + torch.arange(4) / 4) % 1
    t = (t * count).ceil() / count if count else t
    network = Answer(recorded(case, "eps_hat"))
    denoise = Denoiser(network, schedule, parameterizations.eps, index_of)
    noise = Recorded([recorded(case, "eps"), recorded(case, "eps_0")])
    nats = vdm(denoise, x0, t, noise) * math.log(2) * x0[0].numel()
    others = case.outputs["loss_klz"] + case.outputs["loss_recon"]
    assert case.excess("loss_diff", nats - others) <= 0
    per_image = math.log(2) * x0[0].numel()
    assert case.excess("loss_klz", prior_bits(schedule, x0) * per_image) <= 0
    first = schedule.sigma(torch.zeros(()).double())
    x = x0 + first * recorded(case, "eps_0")
    assert case.excess("loss_recon", reconstruction_bits(x0, x, first) * per_image) <= 0


def index_of(sigma: Tensor, schedule: Exponent) -> Tensor:
    return sigma


def test_step_of_variational_diffusion() -> None:
    """The peer's ancestral step is ddpm's with the small variance."""
    case = GOLDEN["vdm_sample_step"]
    schedule = Exponent(None)
    schedule.unit = 1.0
    t, s = (schedule.sigma(torch.tensor(k / 10, dtype=torch.float64)) for k in (7, 6))
    denoise = Denoiser(
        Answer(recorded(case, "eps_hat")), schedule, parameterizations.eps, index_of
    )
    x = recorded(case, "z_t") / schedule.alpha(t)
    move = Move(t, s, 3, torch.stack([t, s]))
    z = schedule.alpha(s) * ddpm(denoise, x, move, Recorded([recorded(case, "eps")]), [])
    assert case.excess("z_s", z.permute(0, 2, 3, 1)) <= 0
