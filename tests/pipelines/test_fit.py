"""Moments and heads fitted to exact denoisers: they must find what is known in closed form."""

import math
from typing import Any

import pytest
import torch
from exact import by_sigma
from golden.analytic_model import Mixture
from torch import Tensor, nn

from ddpm_cli import hardware
from ddpm_cli.diffusion.analytic import Analytic, Moments, share
from ddpm_cli.diffusion.denoiser import Denoiser
from ddpm_cli.diffusion.parameterizations import eps
from ddpm_cli.diffusion.schedules.tables import linear
from ddpm_cli.networks.parts.heads import Head, Tap
from ddpm_cli.pipelines import fit
from ddpm_cli.pipelines.fit import Source

HALF = 64 / 127.5  # two grey levels, 63.5 away from the middle
DATA = Mixture([0.5, 0.5], [[-HALF + 1 / 255], [HALF - 1 / 255]], [[0.0], [0.0]], shape=(1,))


class Bytes:
    """Images of one pixel, half of them dark and half of them bright."""

    def __len__(self) -> int:
        return 1000

    def __getitem__(self, indices: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        return (64 + 127 * (indices % 2)).to(torch.uint8)[:, None], {}


class Featured(nn.Module):
    """The exact noise of DATA from a network with features before its last layer."""

    def __init__(self) -> None:
        super().__init__()
        self.centres = torch.linspace(-1.5, 1.5, 25, dtype=torch.float64)
        self.out = nn.Linear(25, 1).double()

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        alpha = linear().alpha(sigma)
        self.out((-((x / alpha[:, None] - self.centres) ** 2) / 0.05).exp())
        return DATA.eps(x, alpha, alpha * sigma)


def source(denoiser: Denoiser, batch: int) -> Source:
    compute = hardware.Compute(torch.device("cpu"), torch.float32, False)
    return Source(denoiser, Bytes(), (1,), {}, compute, 3, batch)


def gamma(sigma: float) -> float:
    """E[eps_hat^2] of DATA by quadrature over x = x0 + sigma * noise, x0 = bright."""
    noise = torch.linspace(-8, 8, 4001, dtype=torch.float64)
    density = (-(noise**2) / 2).exp() / math.sqrt(2 * math.pi)
    x = float(DATA.means[1]) + sigma * noise[:, None]
    predicted = (x - DATA.x0(x, 1.0, sigma)) / sigma
    return float((predicted[:, 0] ** 2 * density).sum() * (noise[1] - noise[0]))


@pytest.mark.parametrize("estimate", ["error", "norm"])
def test_moments_of_an_exact_denoiser_are_gamma(estimate: Any) -> None:
    levels = torch.tensor([0.1, 0.4, 1.0, 3.0], dtype=torch.float64)
    found = fit.moments(source(by_sigma(DATA, linear()), 500), levels, 5000, estimate)
    assert found is not None
    for t, got in zip(levels.tolist(), found.gamma.tolist(), strict=True):
        assert got == pytest.approx(gamma(t), abs=0.08)  # four standard errors
        if estimate == "error" and t == 3.0:  # less scatter at high levels
            assert got == pytest.approx(gamma(t), abs=1e-3)


def test_moments_depend_on_the_seed_but_not_on_the_batch() -> None:
    denoiser, levels = by_sigma(DATA, linear()), torch.tensor([0.4]).double()

    def measured(seed: int, batch: int, count: int = 90) -> float:
        made = source(denoiser, batch)._replace(seed=seed)
        found = fit.moments(made, levels, count, "error")
        assert found is not None
        return float(found.gamma)

    assert measured(3, 64) == measured(3, 64)
    assert measured(3, 64) == pytest.approx(measured(3, 7), rel=1e-12)
    assert measured(3, 64) != pytest.approx(measured(4, 64), rel=1e-6)
    assert measured(3, 64) != pytest.approx(measured(3, 64, 64), rel=1e-6)


@pytest.mark.parametrize("method", ["npr", "sn"])
def test_target_of_a_head_has_the_variance_as_its_mean(method: Any) -> None:
    """Averaged over the noise that leads to one x, the share is the exact variance's."""
    sigma, x = 0.6, 0.25
    log_odds = -((x - DATA.means[:, 0]) ** 2) / (2 * sigma**2)
    weights = log_odds.softmax(0)  # of the two clean values, given x
    noise = (x - DATA.means) / sigma
    at = torch.full((2, 1), x, dtype=torch.float64)
    predicted = (at - DATA.x0(at, 1.0, sigma)) / sigma
    residue = torch.full((2,), 0.3, dtype=torch.float64)
    target, _ = share(method, noise, predicted, residue)
    mean = float((weights[:, None] * target).sum())
    want = float(DATA.x0_variance(at, 1.0, sigma)[0]) / sigma**2 / 0.3
    assert mean == pytest.approx(want, rel=1e-12)


@pytest.mark.parametrize("method", ["npr", "sn"])
def test_head_learns_the_variance_of_each_pixel(method: Any) -> None:
    levels = torch.tensor([0.5], dtype=torch.float64)
    known = Moments(levels, torch.tensor([gamma(t) for t in levels.tolist()]).double())
    denoiser = Denoiser(Featured(), linear(), eps, lambda sigma, schedule: sigma)
    trained = fit.head(source(denoiser, 256), known, method, 300, 0)
    assert trained is not None
    tap = Tap(denoiser.network)
    learned = Analytic(denoiser, known, lambda: trained(tap.features)).bind()
    even = Analytic(denoiser, known).bind()
    x = torch.linspace(-1.0, 1.0, 41, dtype=torch.float64)[:, None]
    with torch.no_grad():
        for sigma in levels:
            want = DATA.x0_variance(x, 1.0, sigma)
            before, after = (
                float((made(x, sigma.expand(41)).covariance - want).abs().mean())
                for made in (even, learned)
            )
            assert after < 0.25 * before


def test_stops_after_the_minutes_given(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    denoiser = Denoiser(Featured(), linear(), eps, lambda sigma, schedule: sigma)
    known = Moments(torch.tensor([0.5]).double(), torch.tensor([0.5]).double())
    monkeypatch.setattr(fit.console, "warn", calls.append)
    assert fit.head(source(denoiser, 8), known, "npr", 10**6, 1e-4) is not None
    assert "stopped after" in calls[0]


def test_head_fits_images_of_odd_size_and_starts_at_one() -> None:
    class Patched(nn.Module):
        patch = 2

        def __init__(self) -> None:
            super().__init__()
            self.out = nn.Conv2d(6, 12, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            made: Tensor = self.out(x)
            return made

    network = Patched()
    tap, head = Tap(network), Head(network, (3, 7, 5))
    network(torch.randn(2, 6, 4, 3))
    assert torch.equal(head(tap.features), torch.ones(2, 3, 7, 5))
    with pytest.raises(ValueError, match="last layer"):
        Tap(nn.Linear(2, 2))
    for _ in range(3):
        tap = Tap(network)  # instead of the one before
        assert len(network.out._forward_pre_hooks) == 1
    del tap
    assert not network.out._forward_pre_hooks, "the network is left as it was"
