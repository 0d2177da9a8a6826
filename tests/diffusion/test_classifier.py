"""The noisy classifier in sigma-space, its gradient and its loss."""

import math
from functools import partial
from typing import Any

import pytest
import torch
from exact import Fresh, schedules
from golden.analytic_model import Mixture
from probes import images, lively
from torch import Tensor, nn

from ddpm_cli.diffusion import labels, parameterizations
from ddpm_cli.diffusion.classifier import Classifier, seen
from ddpm_cli.diffusion.losses import cross_entropy
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.diffusion.schedules.processes import edm, subvp, ve
from ddpm_cli.diffusion.schedules.tables import cosine
from ddpm_cli.networks import classifier

MIXTURE = Mixture(
    [0.2, 0.3, 0.5],
    [[-0.6, 0.2], [0.4, 0.5], [0.3, -0.7]],
    [[0.05, 0.1], [0.1, 0.02], [0.04, 0.06]],
    [0, 1, 2],
)


KNOBS: dict[str, Any] = {"width": 8, "multipliers": [1, 2], "attention": [], "classes": 5}


def network(**knobs: Any) -> nn.Module:
    torch.manual_seed(0)
    return lively(classifier((1, 8, 8), **KNOBS | knobs))


class Exact(nn.Module):
    """The network whose logits are exact for a process, at the input scale it is trained with."""

    def __init__(self, schedule: Schedule, parameterization: Any) -> None:
        super().__init__()
        self.schedule, self.parameterization = schedule, parameterization

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        sigma = label.double().exp()  # of log_sigma with scale 1
        scale = self.parameterization(sigma, self.schedule).scale.reshape(-1, 1)
        return log_densities(x / scale, sigma)


def log_densities(x: Tensor, sigma: Tensor) -> Tensor:
    """log p(y) + log p(x given y) of the mixture, up to a constant: [B, K]."""
    variance = MIXTURE.variances + sigma.reshape(-1, 1, 1) ** 2
    squares = (x[:, None] - MIXTURE.means) ** 2 / variance + variance.log()
    return MIXTURE.weights.log() - squares.sum(-1) / 2


def exactly(schedule: Schedule, parameterization: Any) -> Classifier:
    label = partial(labels.log_sigma, scale=1.0)
    return Classifier(Exact(schedule, parameterization), schedule, parameterization, label)


PROCESSES = {
    "cosine": (cosine(), parameterizations.v),
    "subvp": (subvp(), parameterizations.eps),
    "ve": (ve(), parameterizations.score),
    "ve, scaled": (ve(), partial(parameterizations.eps, unit_input=True)),
    "edm": (edm(), parameterizations.edm),
}


class TestSigmaSpace:
    @pytest.mark.parametrize("name", PROCESSES)
    @pytest.mark.parametrize("sigma", [0.05, 0.7, 8.0])
    def test_every_process_gives_the_same_logits_and_gradients(
        self, name: str, sigma: float
    ) -> None:
        """The gradient is that of the exact classifier of x = x0 + sigma * eps."""
        x = Fresh(0).normal(torch.zeros(6, 2, dtype=torch.float64)) * (1 + sigma)
        x.requires_grad_()
        classes = torch.tensor([0, 1, 2, 0, 1, 2])
        logits = exactly(*PROCESSES[name])(x, torch.tensor(sigma))
        wanted = log_densities(x.detach(), torch.tensor([sigma], dtype=torch.float64))
        # The label is a float32, and with it the level.
        assert torch.allclose(logits.softmax(1), wanted.softmax(1), rtol=1e-5, atol=1e-8)
        chosen = logits.log_softmax(1)[torch.arange(6), classes].sum()
        (gradient,) = torch.autograd.grad(chosen, x)
        exact = MIXTURE.class_score(x.detach(), 1.0, sigma, classes)
        assert torch.allclose(gradient, exact, rtol=1e-5, atol=1e-6)

    def test_levels_may_differ_within_a_batch(self) -> None:
        x = torch.randn(3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        sigma = torch.tensor([0.1, 1.0, 5.0])
        together = exactly(*PROCESSES["edm"])(x, sigma)
        alone = [exactly(*PROCESSES["edm"])(x[i : i + 1], sigma[i]) for i in range(3)]
        assert torch.allclose(together, torch.cat(alone), atol=1e-12)

    @pytest.mark.parametrize("name", PROCESSES)
    def test_levels_are_clamped_to_what_was_trained(self, name: str) -> None:
        """Below the range the input stays; above it, it is brought to the highest level's size."""
        schedule, parameterization = PROCESSES[name]
        found: list[tuple[Tensor, Tensor]] = []

        class Spy(nn.Module):
            def forward(self, x: Tensor, label: Tensor) -> Tensor:
                found.append((x, label))
                return x

        classify = Classifier(Spy(), schedule, parameterization, labels.log_sigma)
        ends = schedule.sigma(torch.tensor([0.0, 1.0], dtype=torch.float64)).tolist()
        x = torch.ones(1, 2, dtype=torch.float64)
        for level, outside in ((ends[0], ends[0] / 3), (ends[0], 0.0), (ends[1], 3 * ends[1])):
            classify(x, torch.tensor(level))
            classify((x * outside / level) if outside > level else x, torch.tensor(outside))
            (x_in, label_in), (x_out, label_out) = found[-2:]
            assert torch.allclose(label_in, label_out, atol=1e-4)
            assert torch.allclose(x_in, x_out, rtol=1e-3)

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
    def test_frozen_weights_give_gradients(self, dtype: torch.dtype) -> None:
        narrow = network(pool="attention").requires_grad_(False).to(dtype)
        classify = Classifier(narrow, cosine(), parameterizations.v, labels.index)
        x = images(2, 1, 8).double().requires_grad_()
        logits = classify(x, torch.tensor(0.8))
        assert logits.dtype == torch.float64
        (gradient,) = torch.autograd.grad(logits.log_softmax(1)[:, 1].sum(), x)
        exact = network(pool="attention").double()
        classify = Classifier(exact, cosine(), parameterizations.v, labels.index)
        wanted = classify(x, torch.tensor(0.8)).log_softmax(1)[:, 1].sum()
        (wide,) = torch.autograd.grad(wanted, x)
        error = (gradient - wide).norm() / wide.norm()
        assert error < {torch.float32: 1e-5, torch.bfloat16: 0.1}[dtype]

    def test_weights_come_back_by_their_names(self) -> None:
        classify = Classifier(network(), cosine(), parameterizations.v, labels.index)
        assert classify.weights().keys() == network().state_dict().keys()
        other = Classifier(classifier((1, 8, 8), **KNOBS), *PROCESSES["cosine"], labels.index)
        other.load_weights(classify.weights())
        x = images(2, 1, 8)
        assert torch.equal(other(x, torch.tensor(1.0)), classify(x, torch.tensor(1.0)))


class TestLoss:
    @pytest.mark.parametrize("name", ["linear", "cosine", "geometric", "vp", "ve"])
    def test_it_is_what_the_exact_classifier_does_not_know(self, name: str) -> None:
        """Mean -log p(y | x) over many draws against p log p, integrated by other draws."""
        schedule = schedules()[name]
        classify = exactly(schedule, parameterizations.eps)
        count = 40_000
        generator = torch.Generator().manual_seed(0)
        classes = torch.multinomial(MIXTURE.weights, count, True, generator=generator)
        spread = MIXTURE.variances[classes].sqrt()
        x0 = torch.randn(count, 2, dtype=torch.float64, generator=generator) * spread
        x0 = x0 + MIXTURE.means[classes]
        t = torch.full((count,), 0.4, dtype=torch.float64)
        losses = cross_entropy(classify, x0, t, Fresh(1), classes=classes)  # type: ignore[arg-type]
        logits = seen(classify, x0, t, Fresh(2))  # type: ignore[arg-type]
        entropy = torch.distributions.Categorical(logits=logits).entropy()
        error = (losses.var() / count + entropy.var() / count).sqrt()
        assert abs(float(losses.mean() - entropy.mean())) < 4 * float(error)
        assert 0.001 < float(entropy.mean()) < math.log(3)

    def test_one_image_by_hand(self) -> None:
        classify = exactly(cosine(), parameterizations.v)
        x0, t = torch.tensor([[0.3, 0.1]]), torch.tensor([0.5], dtype=torch.float64)
        sigma = float(cosine().sigma(t))
        x = x0.double() + sigma * Rng([7]).normal(x0).double()
        p = log_densities(x, torch.tensor([sigma], dtype=torch.float64)).softmax(1)
        found = cross_entropy(classify, x0, t, Rng([7]), classes=torch.tensor([2]))
        assert float(found) == pytest.approx(-math.log(float(p[0, 2])), rel=1e-4)
