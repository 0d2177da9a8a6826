"""Exact likelihood: the change of variables along the probability-flow ODE, in sigma-space.

Along dx / d log sigma = x - x0(x) the density changes by d log p / d log sigma =
-(d - tr dx0 / dx) (Song 2021, eq. 39 with the drift of sigma-space; Grathwohl 2019). The part d
is integrated in closed form; only the trace needs a solver.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ddpm_cli.diffusion import latents
from ddpm_cli.diffusion.denoiser import Denoise, Prediction
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.diffusion.steps import Draws, Step
from ddpm_cli.diffusion.walk import walk


class Reached(NamedTuple):
    """Images on their way up: states x [B, ...] at the last of the levels [k], ascending.

    volume: the integral of tr dx0 / dx over log sigma [B], or [G, B] of so many groups of probes;
    nan before the end of the way.
    """

    x: Tensor
    levels: Tensor
    volume: Tensor


def rademacher(like: Tensor, count: int, rng: Draws) -> Tensor:
    """Probes of random signs, `count` for each image of `like`: [count, B, ...]."""
    return torch.stack([rng.normal(like).sign() for _ in range(count)])


def gaussian(like: Tensor, count: int, rng: Draws) -> Tensor:
    """Probes of unit normals, `count` for each image of `like`: [count, B, ...]."""
    return torch.stack([rng.normal(like) for _ in range(count)])


def antithetic(like: Tensor, count: int, rng: Draws) -> Tensor:
    """Probes of random signs of which the products of neighbours cancel: [count, B, ...].

    Each is the first one times a Walsh function of the place. v . (v J) has the trace and the
    products v_i v_j J_ij: with two probes those of pixels side by side cancel, with four all but
    those of pixels an even number of rows and columns apart (Tang 2012 on probing vectors), and
    with one for each value the trace is exact.
    """
    patterns = walsh(like.shape[1:], count).to(like)
    first = [rng.normal(like).sign() for _ in range(-(-count // len(patterns)))]
    return torch.cat([sign * patterns[:, None] for sign in first])[:count]


def walsh(shape: Sequence[int], most: int) -> Tensor:
    """The first of the Walsh functions on a grid, no more than `most`: signs [W, *shape].

    Products of checkerboards: of single places along all axes, along each, and then of squares
    of 2, 4, ... places.
    """
    places = torch.stack(torch.meshgrid(*map(torch.arange, shape), indexing="ij"))
    patterns = torch.ones(1, *shape)
    for bit in range(max(shape).bit_length()):
        axes = [axis for axis, side in enumerate(shape) if side > 2**bit]
        for some in [axes, *([axis] for axis in axes[:-1])] if axes else []:
            if len(patterns) < most:
                board = 1 - 2 * (((places[some] >> bit) & 1).sum(0) % 2)
                patterns = torch.cat([patterns, patterns * board])
    return patterns[:most]


def jacobian_trace(
    denoise: Denoise, x: Tensor, sigma: Tensor, probes: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The clean image at x [B, ...] and the trace of its Jacobian, tr dx0 / dx [B].

    The mean of v . (v dx0 / dx) over probes v [K, B, ...] (Hutchinson 1990; Skilling 1989);
    without probes exact, by one gradient a dimension. Of groups of probes [G, K, B, ...] it is
    an estimate for each, [G, B].
    """
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        x0 = denoise(x, sigma).guided(float(sigma))
        if probes is None:
            trace = _products(x0, x, _basis(x))
        elif probes.ndim == x.ndim + 1:
            trace = _products(x0, x, probes) / len(probes)
        else:
            trace = torch.stack([_products(x0, x, some) / len(some) for some in probes])
    return x0.detach(), trace


def _products(x0: Tensor, x: Tensor, vectors: Iterable[Tensor]) -> Tensor:
    """The sum of v . (v dx0 / dx) over vectors v [B, ...]."""
    total = x.new_zeros(len(x))
    for vector in vectors:
        (product,) = torch.autograd.grad(x0, x, vector, retain_graph=True)
        total += (product * vector).flatten(1).sum(1)
    return total


def _basis(x: Tensor) -> Iterator[Tensor]:
    """The unit vectors of an image, each for all images of a batch at once."""
    for place in range(x[0].numel()):
        vector = torch.zeros_like(x)
        vector.view(len(x), -1)[:, place] = 1
        yield vector


def at_lowest(schedule: Schedule, x0: Tensor, levels: Tensor) -> Tensor:
    """The states of images x0 [B, ...] where `climb` and `leap` start on their way up.

    The images are the papers' x_eps = alpha x at the lowest positive level (Song 2021), and so
    are those of `log_density`: x = x0 / alpha.  `latents.encode` takes the images themselves for
    these states, as a walk down gives them; on a process whose variance explodes both are one.
    """
    return schedule.from_native(x0, levels[-2])


class _Traced:
    """A denoiser that measures the trace in the first call of each move, where the state is."""

    def __init__(self, inner: Denoise, probes: Tensor | None) -> None:
        self.schedule = inner.schedule
        self.traces: list[Tensor] = []
        self.is_due = True
        self._inner, self._probes = inner, probes

    def __call__(self, x: Tensor, sigma: Tensor) -> Prediction:
        if not self.is_due:
            return self._inner(x, sigma)
        self.is_due = False
        x0, trace = jacobian_trace(self._inner, x, sigma, self._probes)
        self.traces.append(trace)
        return Prediction(x0)


def climb(
    denoise: Denoise, x: Tensor, levels: Tensor, step: Step, probes: Tensor | None
) -> Iterator[Reached]:
    """Walk states x [B, ...] at the lowest positive level up the levels of a walk down.

    By a step of the ODE. The trace is taken once a level, with the same probes all the way, and
    integrated over log sigma by `integral`. `at_lowest` makes the states of images.
    """
    up = levels.flip(0)[1:]
    traced, nan = _Traced(denoise, probes), x.new_full((len(x),), math.nan)
    for number, state in enumerate(latents.encode(traced, x, levels, step), start=2):
        if number < len(up):
            yield Reached(state.x, up[:number], nan)
        traced.is_due = True
    traced(state.x, up[-1])
    yield Reached(state.x, up, integral(up.log().to(x), torch.stack(traced.traces)))


def integral(nodes: Tensor, values: Tensor) -> Tensor:
    """The integral over nodes [n] of values [n, ...] -> [...], of fourth order on even nodes.

    On each interval h the mean of the parabolas through its ends and either neighbour:
    h (f_a + f_b) / 2 - h^3 / 6 times the mean of their second divided differences.
    """
    h = nodes.diff().reshape(-1, *[1] * (values.ndim - 1))
    area = (h * (values[1:] + values[:-1]) / 2).sum(0)
    if len(nodes) < 3:
        return area
    slopes = values.diff(dim=0) / h
    bends = slopes.diff(dim=0) / (h[1:] + h[:-1])
    mean = torch.cat([bends[:1], (bends[1:] + bends[:-1]) / 2, bends[-1:]])
    return area - (h**3 * mean).sum(0) / 6


class _Joined:
    """A denoiser of states [B, d + G] whose last numbers gather traces over log sigma.

    A step solves du / d log sigma = u - D(u); for the integral q of a trace D is q - trace.
    """

    def __init__(self, inner: Denoise, shape: torch.Size, probes: Tensor | None) -> None:
        self.schedule = inner.schedule
        self._inner, self._shape, self._probes = inner, shape, probes

    def __call__(self, x: Tensor, sigma: Tensor) -> Prediction:
        size = math.prod(self._shape[1:])
        image, gathered = x[:, :size].reshape(self._shape), x[:, size:]
        x0, trace = jacobian_trace(self._inner, image, sigma, self._probes)
        return Prediction(torch.cat([x0.flatten(1), gathered - _columns(trace)], dim=1))


def _columns(volume: Tensor) -> Tensor:
    """A number for each image, [B] or [G, B] of groups, as columns [B, 1] or [B, G]."""
    return volume.reshape(-1, volume.shape[-1]).T


def leap(
    denoise: Denoise, x: Tensor, levels: Tensor, step: Step, probes: Tensor | None
) -> Iterator[Reached]:
    """Take a state x [1, ...] from the lowest positive level to the highest in one move.

    State and trace are solved together, so that the tolerance of an adaptive step holds for
    both. Such a step takes images one by one, and so do their probes.
    """
    up = torch.stack([levels[-2], levels[0]])
    joined, size = _Joined(denoise, x.shape, probes), x[0].numel()
    groups = () if probes is None else probes.shape[: -x.ndim - 1]
    none = x.new_zeros(*groups, len(x))
    state = torch.cat([x.flatten(1), _columns(none)], dim=1)
    for end in walk(joined, state, up, latents.Silent(), predictor=step, ascend=step):
        volume = end.x[:, size:].T.reshape(none.shape)
        yield Reached(end.x[:, :size].reshape(x.shape), up, volume)


def log_density(schedule: Schedule, reached: Reached) -> Tensor:
    """log p(x0) in nats [B] of images that reached noise from `at_lowest`; the prior is a normal.

    log p(x_hi) + d log(hi / lo) - the integral of the trace, less d log alpha(lo), the change
    of scale from the images to their states x = x0 / alpha(lo).
    """
    lo, hi, x = reached.levels[0], reached.levels[-1], reached.x.flatten(1)
    deviation = float(schedule.prior(hi))
    prior = -((x / deviation) ** 2).sum(1) / 2
    scale = math.log(float(hi / lo)) - math.log(float(schedule.alpha(lo)))
    scale -= math.log(deviation) + math.log(2 * math.pi) / 2
    return prior + x.shape[1] * scale - reached.volume
