"""The terms of the variational bound on -log p(x0), in sigma-space.

A divergence does not change when both distributions are scaled, so each term of a process in
its native scale is the same number as here, where x = x0 + sigma * eps.
"""

import math
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from ddpm_cli.diffusion.denoiser import Denoise, Prediction
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.diffusion.shapes import column
from ddpm_cli.diffusion.steps import Draws

# What p(x0 given x_t) of the last step is: a chance for each of 2^bits levels, a density of real
# numbers, or none, which bounds the state at the lowest level alone.
Decoder = Literal["discretized", "gaussian", "none"]


def normal_kl(shift: Tensor, ratio: Tensor) -> Tensor:
    """KL(N(m, v) || N(n, w)) in nats from shift = (n - m) / sqrt(v) and ratio = log(w / v).

    (ratio + expm1(-ratio) + shift^2 exp(-ratio)) / 2: nothing cancels where w is almost v.
    """
    return (ratio + torch.expm1(-ratio) + shift**2 * torch.exp(-ratio)) / 2


def discretized_normal(x: Tensor, mean: Tensor, log_variance: Tensor, bits: float) -> Tensor:
    """Log-probability in nats of the bin of x under a normal, the end bins being open.

    The 2^bits bins are centred on -1 .. 1, each 2 / (2^bits - 1) wide (Ho 2020, eq. 13). The
    distribution function is exact; the tanh that others put in its place is off by up to 7e-4.
    """
    half = 1 / (2**bits - 1)
    scale = torch.exp(-log_variance / 2)
    low, high = (x - half - mean) * scale, (x + half - mean) * scale
    # A bin above the mean is mirrored: no difference of numbers close to 1.
    above = x > mean
    upper = torch.special.log_ndtr(torch.where(above, -low, high))
    lower = torch.special.log_ndtr(torch.where(above, -high, low))
    inside = upper + torch.log(-torch.expm1(lower - upper))
    first, last = torch.special.log_ndtr(high), torch.special.log_ndtr(-low)
    return torch.where(x < half - 1, first, torch.where(x > 1 - half, last, inside))


class Reverse(NamedTuple):
    """Reverse steps p(x_s given x_t), one an image: levels t [B] and s [B], 0 at the last step.

    small: log of the posterior's variance [B]; at s = 0, where that vanishes, of the decoder's.
    width: log of the large variance over the small one [B].
    """

    t: Tensor
    s: Tensor
    small: Tensor
    width: Tensor

    @classmethod
    def between(cls, schedule: Schedule, t: Tensor, s: Tensor, lowest: Tensor) -> "Reverse":
        """Steps from t [B] to s [B] in a walk whose two `lowest` positive levels ascend.

        small: s^2 (1 - s^2 / t^2); large: (alpha_t / alpha_s)^2 (t^2 - s^2). The decoder's
        variance is the smallest positive one of the posterior (Ho 2020's code; Nichol 2021).
        """
        last = s == 0
        start = torch.where(last, t / 2, s)  # any level: the decoder's formulas replace it
        floor = 2 * torch.log(schedule.alpha(lowest[0])) + _posterior(lowest[1], lowest[0])
        native = torch.log(schedule.alpha(t) * t)
        large = 2 * (native - torch.log(schedule.alpha(start) * start))
        return cls(
            t,
            s,
            torch.where(last, floor, _posterior(t, start)),
            torch.where(last, 2 * native - floor, large),
        )

    def ratio(self, prediction: Prediction, variance: str) -> Tensor:
        """Log of the model's variance over the small one, broadcastable against x0.

        learned: between the two logarithms by the network's channel (Nichol 2021, eq. 15).
        optimal: 1 + (1 / s^2 - 1 / t^2) Var[x0 given x], Analytic-DPM's (Bao 2022, eq. 11).
        """
        width = column(self.width, prediction.x0)
        if variance == "optimal":
            if prediction.covariance is None:
                raise ValueError(
                    "variance optimal needs moments of the model: type ddpm fit first"
                )
            more = torch.where(self.s == 0, 0.0, self.s**-2 - self.t**-2)
            return torch.log1p(column(more, prediction.x0) * prediction.covariance)
        if variance == "learned":
            if prediction.range is None:
                raise ValueError("variance learned needs network.learned_variance = true")
            return (prediction.range + 1) / 2 * width
        if variance == "small":
            return torch.zeros_like(width)
        return torch.where(column(self.s, width) == 0, 0.0, width)


def _posterior(t: Tensor, s: Tensor) -> Tensor:
    """Log variance s^2 (1 - s^2 / t^2) of q(x_s given x_t, x0)."""
    return 2 * torch.log(s) + torch.log1p(-((s / t) ** 2))


def step_bits(
    x0: Tensor,
    prediction: Prediction,
    step: Reverse,
    variance: str,
    decoder: Decoder = "discretized",
    bits: float = 8,
) -> Tensor:
    """Term of one reverse step in bits per dimension, shape [B].

    KL(q(x_s given x_t, x0) || p(x_s given x_t)), whose means differ by (1 - s^2 / t^2) times the
    error of x0; at s = 0 the decoder's -log p(x0 given x_t) (Ho 2020, eq. 5).  bits: of the
    levels of a discretized decoder.
    """
    ratio = step.ratio(prediction, variance)
    last = step.s == 0
    start = torch.where(last, step.t / 2, step.s)  # keeps the unused formula finite
    shift = column((start**-2 - step.t**-2).sqrt(), x0) * (prediction.x0 - x0)
    last = column(last, x0).bool()
    log_variance = torch.where(last, column(step.small, x0) + ratio, 0.0)
    nats = _decoded(x0, prediction.x0, log_variance, decoder, bits)
    return per_dimension(torch.where(last, nats, normal_kl(shift, ratio)))


def _decoded(
    x0: Tensor, mean: Tensor, log_variance: Tensor, decoder: Decoder, bits: float
) -> Tensor:
    """-log p(x0 given x_t) of each element, in nats."""
    if decoder == "discretized":
        return -discretized_normal(x0, mean, log_variance, bits)
    if decoder == "gaussian":
        spread = torch.exp(-log_variance) * (x0 - mean) ** 2
        return (log_variance + math.log(2 * math.pi) + spread) / 2
    return torch.zeros_like(x0)


class Term(NamedTuple):
    """What reverse steps, one an image, add to the bound.

    number: which moves of the walk they are [B]; bits: bits per dimension [B]; error: mean
    squared error of the predicted x0 [B].
    """

    number: Tensor
    bits: Tensor
    error: Tensor


@torch.no_grad()
def terms(
    denoise: Denoise,
    x0: Tensor,
    levels: Tensor,
    rng: Draws,
    variance: str,
    decoder: Decoder = "discretized",
    bits: float = 8,
    moves: Iterable[Tensor] | None = None,
) -> Iterator[Term]:
    """The terms of the bound of images x0 [B, ...] for each move of a walk down to 0.

    Each at x = x0 + t eps, with noise of its own; `prior_bits` at levels[0] completes the bound
    (Ho 2020, eq. 5). On a part of the levels it is the bound of the respaced process.  decoder,
    bits: of the last term, as in `step_bits`; moves: other than all of the walk, in their order,
    by their numbers, [] or one an image [B].
    """
    lowest = _lowest(denoise.schedule, levels)
    for number in torch.arange(len(levels) - 1) if moves is None else moves:
        t, s = levels[number], levels[number + 1]
        prediction = denoise(x0 + column(t, x0) * rng.normal(x0), t)
        step = Reverse.between(denoise.schedule, t.expand(len(x0)), s.expand(len(x0)), lowest)
        error = (prediction.x0 - x0).square().flatten(1).mean(1)
        each = number.expand(len(x0))
        yield Term(each, step_bits(x0, prediction, step, variance, decoder, bits), error)


def drawn_moves(moves: int, count: int, u: Tensor) -> tuple[list[Tensor], float]:
    """So many of the moves of a walk for each image, and what each but the last stands for.

    The last move, and count - 1 of the others an even stretch apart from a random one on, by u
    [B] in [0, 1): the last term and the weighted sum of the others are an unbiased estimate of the
    sum of all. Of many moves it is that of the bound in continuous time, with the low-discrepancy
    times of Kingma 2021, appendix I.1, for each image.
    """
    share = (moves - 1) / (count - 1)
    others = [
        ((number + u.double()) * share).long().clamp(max=moves - 2) for number in range(count - 1)
    ]
    return [*others, torch.full_like(others[0], moves - 1)], share


def last_step(schedule: Schedule, levels: Tensor, count: int) -> Reverse:
    """The last step of a walk down to 0 for so many images, whose variance is the decoder's."""
    return Reverse.between(
        schedule, levels[-2].expand(count), levels[-1].expand(count), _lowest(schedule, levels)
    )


def _lowest(schedule: Schedule, levels: Tensor) -> Tensor:
    """The lowest positive level, and the one above it that sets the decoder's variance.

    That of the list, but no closer than the process's own next level, or twice the lowest one
    of a continuous process: a denser list has vanishing posterior variances, which the error of
    the last prediction knows nothing of.
    """
    lowest = levels[-2]
    closest = 2 * lowest
    if schedule.steps is not None:
        closest = schedule.sigma(schedule.time(lowest) + 1 / schedule.steps)
    return torch.stack([lowest, torch.maximum(levels[-3], closest)])


def prior_bits(schedule: Schedule, x0: Tensor, sigma: Tensor | None = None) -> Tensor:
    """KL(q(x_T given x0) || the prior) in bits per dimension, shape [B] (Ho 2020, eq. 5: L_T).

    sigma: the level where a walk begins, if that is not the last of the process.
    """
    if sigma is None:
        sigma = schedule.sigma(torch.ones((), dtype=torch.float64))
    ratio = 2 * torch.log(schedule.prior(sigma) / sigma)
    return per_dimension(normal_kl(x0 / column(sigma, x0), column(ratio, x0)))


def reconstruction_bits(x0: Tensor, x: Tensor, sigma: Tensor, bits: int = 8) -> Tensor:
    """Cost of x0 given x = x0 + sigma * eps in bits per dimension, shape [B].

    The 2^bits levels v from -1 to 1 have the odds exp(-(x - v)^2 / (2 sigma^2)) (Kingma 2021,
    eq. 11 and appendix A).
    """
    last = 2**bits - 1
    unit = column(sigma, x0[..., None])
    # Levels more than nine deviations away have odds below exp(-40): only those nearer are summed.
    reach = min(last, math.ceil(9 * float(sigma.detach().max()) * last / 2) + 1)
    offsets = torch.arange(-reach, reach + 1, dtype=x0.dtype, device=x0.device)
    nearest = ((x.detach().clamp(-1, 1) + 1) * (last / 2)).round()
    number = nearest[..., None] + offsets
    odds = -(((x[..., None] - (number * (2 / last) - 1)) / unit) ** 2) / 2
    odds = odds.masked_fill((number < 0) | (number > last), -math.inf)
    return per_dimension(odds.logsumexp(-1) + ((x - x0) / column(sigma, x0)) ** 2 / 2)


def per_dimension(nats: Tensor) -> Tensor:
    """Nats of each element [B, ...] as mean bits an element [B]."""
    return nats.flatten(1).mean(1) / math.log(2)
