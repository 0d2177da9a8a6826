"""Training objectives against other projects' losses and gradients."""

import math
from collections.abc import Callable

import pytest
import torch
from exact import Recorded
from golden.load_golden import Case, Golden
from torch import Tensor, nn

from ddpm_cli.diffusion import parameterizations, variational
from ddpm_cli.diffusion.denoiser import Denoiser
from ddpm_cli.diffusion.labels import index
from ddpm_cli.diffusion.losses.bounds import hybrid, vlb
from ddpm_cli.diffusion.losses.denoising import simple
from ddpm_cli.diffusion.schedules import Table, cosine, linear
from ddpm_cli.diffusion.variational import Reverse

GOLDEN = Golden("losses")
MEANS = {"eps": "eps", "x0": "x0", "xprev": "mu"}


class Answer(nn.Module):
    """A network that gives the recorded answer, whatever it is asked."""

    def __init__(self, *parts: Tensor) -> None:
        super().__init__()
        self.parts = [part.clone().requires_grad_() for part in parts]

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        return torch.cat(self.parts, dim=1)

    def gradients(self, losses: Tensor) -> list[Tensor]:
        """L2 norm of each image's gradient with respect to each part."""
        found = torch.autograd.grad(losses.sum(), self.parts, allow_unused=True)
        return [
            torch.zeros(len(losses)).double() if g is None else g.flatten(1).norm(dim=1)
            for g in found
        ]


def peers_decoder(x: Tensor, mean: Tensor, log_variance: Tensor, bits: int) -> Tensor:
    """The peers' discretised normal: an approximate distribution function, clamped at 1e-12."""

    def normal_cdf(z: Tensor) -> Tensor:
        return 0.5 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)))

    scale = torch.exp(-log_variance / 2)
    plus, minus = (
        normal_cdf(scale * (x - mean + 1 / 255)),
        normal_cdf(scale * (x - mean - 1 / 255)),
    )
    middle = (plus - minus).clamp(min=1e-12).log()
    upper = (1 - minus).clamp(min=1e-12).log()
    lower = plus.clamp(min=1e-12).log()
    return torch.where(x < -0.999, lower, torch.where(x > 0.999, upper, middle))


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


@pytest.mark.parametrize("key", GOLDEN.select("training_"))
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
