"""Exact denoisers that are told a number: what walks of them come to, guided and not."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from ddpm_cli.diffusion import labels, parameterizations
from ddpm_cli.diffusion.denoiser import Denoise, Denoiser
from ddpm_cli.diffusion.guidance import Pair, guidance
from ddpm_cli.diffusion.guiders import cfg
from ddpm_cli.diffusion.levels import karras
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.diffusion.samplers import ddpm, heun
from ddpm_cli.diffusion.schedules import edm
from ddpm_cli.diffusion.steps import Step
from ddpm_cli.diffusion.walk import start, walk

SLOPE, SPREAD = 1.5, 0.4  # of the means by the value, and of each component
COUNT = 2000


class Told(nn.Module):
    """The exact x0-network of a mixture whose means follow a unit-normal value; NaN: of any value.

    Components lie at SLOPE * value + offset; told nothing, each is wider by the values' spread.
    """

    def __init__(self, offsets: tuple[float, ...]) -> None:
        super().__init__()
        self.offsets = torch.tensor(offsets, dtype=torch.float64)

    def forward(self, x: Tensor, label: Tensor, values: Tensor) -> Tensor:
        is_told = ~values.isnan()
        middle = SLOPE * values.nan_to_num(0.0) + self.offsets
        spread = torch.where(is_told, SPREAD**2, SPREAD**2 + SLOPE**2)
        noise = label.reshape(-1, 1) ** 2
        total = spread + noise
        share = torch.softmax(-((x - middle) ** 2) / (2 * total), dim=1)
        return (share * (spread * x + noise * middle) / total).sum(1, keepdim=True)


def walked(
    offsets: tuple[float, ...], values: Tensor, scale: float = 1.0, predictor: Step = heun
) -> Tensor:
    """Samples [B] of the mixture told `values` [B, 1], or of all values where they are NaN."""
    schedule = edm(low=0.002, high=80.0)
    exact = Denoiser(Told(offsets), schedule, parameterizations.x0, labels.sigma)
    denoise: Denoise = exact.bind(values=values)
    if scale != 1:
        null = {"values": torch.full_like(values, math.nan)}
        pair = Pair.of_nulls(exact, {"values": values}, null)
        denoise = guidance(pair, cfg, name="cfg", scale=scale)
    along, rng = karras(schedule, count=200, low=0.002, high=80.0), Rng(range(len(values)))
    x = start(denoise, along, torch.empty(len(values), 1, dtype=torch.float64), rng)
    *_, last = walk(denoise, x, along, rng, predictor=predictor)
    return last.x[:, 0]


def rows(value: float) -> Tensor:
    return torch.full((COUNT, 1), value, dtype=torch.float64)


@pytest.mark.parametrize("predictor", [heun, ddpm])
@pytest.mark.parametrize("value", [-1.0, 2.0])
def test_samples_have_the_mean_and_the_variance_of_what_was_told(
    value: float, predictor: Step
) -> None:
    found = walked((-1.0, 1.0), rows(value), predictor=predictor)
    error = 4 * math.sqrt((1 + SPREAD**2) / COUNT)
    assert float(found.mean()) == pytest.approx(SLOPE * value, abs=error)
    assert float(found.var()) == pytest.approx(1 + SPREAD**2, rel=0.06)


def test_told_nothing_they_are_of_all_values() -> None:
    found = walked((-1.0, 1.0), rows(math.nan))
    assert float(found.mean()) == pytest.approx(0, abs=4 * math.sqrt(3.41 / COUNT))
    assert float(found.var()) == pytest.approx(1 + SPREAD**2 + SLOPE**2, rel=0.08)
    half = torch.where(torch.arange(COUNT)[:, None] % 2 == 0, rows(1.0), rows(math.nan))
    mixed = walked((-1.0, 1.0), half)
    assert torch.equal(mixed[1::2], found[1::2])


@pytest.mark.parametrize("scale", [0.5, 2.0, 3.0])
def test_guidance_comes_to_its_closed_form(scale: float) -> None:
    """A linear equation: x' = A x - B of sigma, A = (1-w) t/(S^2+t^2) + w t/(s^2+t^2)."""
    own, free, value, top = SPREAD**2, SPREAD**2 + SLOPE**2, 0.8, 80.0

    def factor(t: Tensor) -> Tensor:
        return (free + t**2) ** ((1 - scale) / 2) * (own + t**2) ** (scale / 2)

    t = torch.expm1(torch.linspace(0, math.log1p(top), 200_001, dtype=torch.float64))
    pull = scale * t * SLOPE * value / (own + t**2) / factor(t)
    mean = factor(t[0]) * torch.trapezoid(pull, t)
    deviation = top * factor(t[0]) / factor(t[-1])
    found = walked((0.0,), rows(value), scale)
    # The same noise in all: its mean and deviation at the start are known.
    noise = walked((0.0,), rows(value), 1.0)
    unit = (noise - noise.mean()) / noise.std()
    assert float(found.std()) == pytest.approx(float(deviation) * _unit_deviation(), rel=0.01)
    middle = float(found.mean()) - float(deviation) * _unit_mean()
    assert middle == pytest.approx(float(mean), abs=2e-3)
    assert torch.allclose((found - found.mean()) / found.std(), unit, atol=1e-6)


def _drawn() -> Tensor:
    return Rng(range(COUNT)).normal(torch.empty(COUNT, 1, dtype=torch.float64))


def _unit_mean() -> float:
    return float(_drawn().mean())


def _unit_deviation() -> float:
    return float(_drawn().std())


def test_the_value_can_be_read_off_samples() -> None:
    values = Rng(range(COUNT)).normal(torch.empty(COUNT, 1, dtype=torch.float64)).flip(0)
    told: Callable[[float], Tensor] = lambda scale: walked((0.0,), values, scale)  # noqa: E731
    plain, guided = (
        float(torch.corrcoef(torch.stack([told(scale), values[:, 0]]))[0, 1])
        for scale in (1.0, 3.0)
    )
    assert plain == pytest.approx(SLOPE / math.hypot(SLOPE, SPREAD), abs=0.01)
    assert guided > 0.99
