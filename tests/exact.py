"""Exact denoisers and recorded noise: what the tests of the diffusion core walk with."""

import math
from collections.abc import Callable, Iterable, Iterator
from functools import cache

import torch
from golden.analytic_model import Mixture
from torch import Tensor, nn

from ddpm_cli.diffusion import parameterizations
from ddpm_cli.diffusion.denoiser import Denoise, Denoiser, Prediction, Wrapped
from ddpm_cli.diffusion.labels import index
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.diffusion.schedules.tables import Table, cosine, linear
from ddpm_cli.diffusion.steps import State, Step
from ddpm_cli.diffusion.walk import start, walk
from ddpm_cli.settings import catalog

Scale = Callable[[Tensor], tuple[Tensor, Tensor]]
Channel = Callable[[Tensor], Tensor]  # the learned-variance channel of a state

TWO_POINTS = Mixture([0.5, 0.5], [[-0.5], [0.5]], [[0.0], [0.0]])
TWO_PIXELS = Mixture([0.4, 0.6], [[0.5, -0.3], [-0.6, 0.4]], [[0.02, 0.05], [0.04, 0.03]])
FOUR_PIXELS = Mixture(
    [0.4, 0.6],
    [[0.5, -0.3, 0.8, 0.1], [-0.6, 0.4, 0.0, -0.7]],
    [[0.02, 0.05, 0.01, 0.1], [0.04, 0.03, 0.09, 0.02]],
    shape=(1, 2, 2),
)


class Exact(nn.Module):
    """The network whose output, eps, x0, v or score of a mixture, is exact at (alpha, sigma)."""

    def __init__(
        self, mixture: Mixture, target: str, scale: Scale, channel: Channel | None
    ) -> None:
        super().__init__()
        self.mixture, self.target, self.scale, self.channel = mixture, target, scale, channel

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        out = getattr(self.mixture, self.target)(x, *self.scale(label))
        return torch.cat([out, self.channel(x)], dim=1) if self.channel else out


def by_index(
    mixture: Mixture,
    schedule: Schedule,
    abar: Tensor,
    target: str = "eps",
    channel: Channel | None = None,
) -> Denoiser:
    """A denoiser whose network looks its level up in a table of its own, by the label."""

    def scale(label: Tensor) -> tuple[Tensor, Tensor]:
        assert torch.equal(label, label.round()), "a trained level has a whole number as label"
        found = abar[label.long()]
        return found.sqrt(), (1 - found).sqrt()

    parameterization = getattr(parameterizations, target)
    network = Exact(mixture, target, scale, channel)
    return Denoiser(network, schedule, parameterization, index, learned_range=channel is not None)


@cache
def process(name: str) -> tuple[Table, Tensor]:
    """A schedule, and its table of abar computed apart from it."""
    if name == "linear":
        betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
        return linear(), (1 - betas).cumprod(0)
    u = torch.linspace(0, 1, 1001, dtype=torch.float64)
    f = torch.cos((u + 0.008) / 1.008 * torch.pi / 2).square()
    return cosine(), (1 - (1 - f[1:] / f[:-1]).clamp(max=0.999)).cumprod(0)


def by_sigma(
    mixture: Mixture, schedule: Schedule, target: str = "eps", channel: Channel | None = None
) -> Denoiser:
    """A denoiser that is exact at every level: the label is sigma itself, in float64."""

    def scale(sigma: Tensor) -> tuple[Tensor, Tensor]:
        alpha = schedule.alpha(sigma)
        return alpha, sigma * alpha

    network: nn.Module = Exact(mixture, target, scale, channel)
    if target in ("mu", "edm", "flow", "ve"):
        network = Rescaled(mixture, schedule, target)
    return Denoiser(
        network,
        schedule,
        getattr(parameterizations, target),
        lambda sigma, schedule: sigma,
        learned_range=channel is not None and isinstance(network, Exact),
    )


class Rescaled(nn.Module):
    """The network of edm, mu, flow or ve: its output is found from the exact clean image."""

    def __init__(self, mixture: Mixture, schedule: Schedule, target: str) -> None:
        super().__init__()
        self.mixture, self.target = mixture, target
        self.process = (schedule,)  # no weights of the network if it is learned

    def forward(self, scaled: Tensor, sigma: Tensor) -> Tensor:
        like = (-1, *[1] * (scaled.ndim - 1))
        t, half = sigma.reshape(like), 0.5
        x = scaled * (t**2 + half**2).sqrt()
        if self.target == "mu":
            x = scaled / self.process[0].alpha(t)
        elif self.target in ("flow", "ve"):
            x = scaled * (1 + t) if self.target == "flow" else scaled
            eps = self.mixture.eps(x, 1.0, sigma)
            return eps - self.mixture.x0(x, 1.0, sigma) if self.target == "flow" else -eps
        x0 = self.mixture.x0(x, 1.0, sigma)
        if self.target == "edm":
            return ((t**2 + half**2) * x0 - half**2 * x) / (t * half * (t**2 + half**2).sqrt())
        steps = self.process[0].steps or 0
        number = (self.process[0].time(sigma) * steps).round()
        before = self.process[0].sigma((number - 1).clamp(min=1) / steps)
        s = torch.where(number > 1, before, 0.0).reshape(like)
        return self.process[0].alpha(s) * (x0 + (s / t) ** 2 * (x - x0))


def certain(denoise: Denoise, mixture: Mixture) -> Denoise:
    """The same denoiser with the exact variance of its clean image."""

    def call(x: Tensor, sigma: Tensor) -> Prediction:
        variance = mixture.x0_variance(x, 1.0, sigma).to(x.dtype)
        return denoise(x, sigma)._replace(covariance=variance)

    return Wrapped(denoise, call)


def gaussian(mean: float, variance: float) -> Mixture:
    """One-dimensional normal data."""
    return Mixture([1.0], [[mean]], [[variance]])


class Recorded:
    """Noise from a list of recorded draws."""

    def __init__(self, draws: Iterable[Tensor]) -> None:
        self.draws = iter(draws)

    def normal(self, like: Tensor) -> Tensor:
        return next(self.draws).to(like.dtype)


class Fresh:
    """Normal noise in float64 from one generator, fast for thousands of one-pixel images."""

    def __init__(self, seed: int = 0) -> None:
        self.generator = torch.Generator().manual_seed(seed)

    def normal(self, like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=self.generator, dtype=torch.float64)


class Even(Fresh):
    """The same, but for the first draw of one-pixel images: normal numbers spread evenly."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self.is_first = True

    def normal(self, like: Tensor) -> Tensor:
        if not self.is_first:
            return super().normal(like)
        self.is_first = False
        quantiles = (torch.arange(len(like), dtype=torch.float64) + 0.5) / len(like)
        return torch.special.ndtri(quantiles).reshape(like.shape)


class Impulses:
    """At call k, 1 for row k + 2 and 0 for all others: the response of a walk to each draw."""

    def __init__(self) -> None:
        self.calls = 0

    def normal(self, like: Tensor) -> Tensor:
        noise = torch.zeros_like(like)
        noise[self.calls + 2] = 1
        self.calls += 1
        return noise


def moments(
    denoise: Denoise, levels: Tensor, step: Step, mean: float, variance: float, draws: int = 1
) -> tuple[float, float]:
    """Exact mean and variance after a walk that is affine in the state and in its noise.

    The start has the mean and variance of the noised data N(mean, variance); row 0 of the batch
    starts at the mean, row 1 next to it, the others answer to one draw each: so many a move.
    """
    x = torch.full((draws * (len(levels) - 1) + 2, 1), mean, dtype=torch.float64)
    x[1] += 1
    *_, last = walk(denoise, x, levels, Impulses(), predictor=step)
    answer = (last.x - last.x[0]).flatten()
    spread = answer[1] ** 2 * (variance + levels[0] ** 2) + answer[2:].square().sum()
    return float(last.x[0]), float(spread)


def states(
    denoise: Denoise,
    unit: Tensor,
    levels: Tensor,
    noise: Iterable[Tensor],
    step: Step,
    **others: Step,
) -> Iterator[State]:
    """A walk from the unit normals `unit`, with recorded noise."""
    x = start(denoise, levels, unit, Recorded([unit]))
    return walk(denoise, x, levels, Recorded(noise), predictor=step, **others)


@cache
def schedules() -> dict[str, Schedule]:
    """Every schedule of the catalog, continuous and discrete, and one whose last alpha is 0."""
    needed = {"table": {"values": [1e-3 * (i + 1) for i in range(100)]}}
    processes = {}
    for name in catalog.names("schedule"):
        component = catalog.find("schedule", name)
        make, knobs = catalog.load(component), needed.get(name, {})
        processes[name] = make(**knobs)
        if "continuous" in component.knobs:
            processes[f"{name}, continuous"] = make(**knobs, continuous=True)
        elif processes[name].steps is None:
            processes[f"{name}, T = 100"] = make(**knobs, steps=100)
    return {**processes, "zero-terminal": linear(zero_terminal=True)}


@cache
def tables() -> dict[str, Table]:
    """The discrete processes of `schedules`, and some of many and of few steps."""
    return {
        **{k: v for k, v in schedules().items() if isinstance(v, Table) and v.steps},
        "T = 4000": cosine(steps=4000),
        "T = 40": linear(steps=40),
        "T = 2": cosine(steps=2),
        "T = 1": cosine(steps=1),
    }


def entries(process: Schedule) -> tuple[Tensor, Tensor]:
    """The times and levels of a table, or a hundred of a continuous process."""
    steps = process.steps or 100
    t = torch.arange(1, steps + 1, dtype=torch.float64) / steps
    with torch.no_grad():
        return t, process.sigma(t)


class Answer(nn.Module):
    """A network that gives the recorded answer, whatever it is asked."""

    def __init__(self, *parts: Tensor) -> None:
        super().__init__()
        self.seen: list[Tensor] = []
        self.parts = [part.clone().requires_grad_() for part in parts]

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        self.seen = [x.detach(), label]
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
