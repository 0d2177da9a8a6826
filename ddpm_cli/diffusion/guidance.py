"""Guidance: predictions pulled towards what is asked for, by a second pass or by a gradient."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from ddpm_cli.diffusion.denoiser import Bindable, Denoise, Memory, Prediction, Wrapped
from ddpm_cli.diffusion.shapes import column, double
from ddpm_cli.settings.knobs import Decay, Fraction, NonNegative, Positive, Strength

# (images [B, ...], sigma []) -> log-likelihood [B] of what is wanted, up to a constant.
Judge = Callable[[Tensor, Tensor], Tensor]
MOST = 2.0  # the variance that guided rows have at most, of sqrt(D)
# Guiders that a scale of 0 leaves nothing but the other prediction of, and those that ask for
# both at a scale of 1, too.
LINEAR, DIRECTED = ("cfg", "cads", "cfg-pp"), ("cfg-pp",)


class At(NamedTuple):
    """Where two predictions are combined: the state x [B, ...] at the level sigma.

    weight: how strongly, as a number or [B, 1, ...]; inside: 1 where there is guidance, 0 where
    the weight is 1 because there is none, in the same shape; memory: of the walk.
    """

    x: Tensor
    sigma: Tensor
    weight: Tensor
    inside: Tensor
    memory: Memory


class Guider(Protocol):
    """How two predictions become one; see `guiders`."""

    def __call__(self, told: Tensor, other: Tensor, at: At) -> Prediction:
        """Return the guided clean images, and what steps have to know of them."""


class Pair(NamedTuple):
    """Two denoisers of the same images: what is guided towards `told`, and away from `other`.

    both: the two at once.
    """

    told: Denoise
    other: Denoise
    both: Callable[[Tensor, Tensor], tuple[Prediction, Prediction]]

    @classmethod
    def of_nulls(
        cls, denoiser: Bindable, condition: Mapping[str, Tensor], null: Mapping[str, Tensor]
    ) -> "Pair":
        """One denoiser that is told conditions, and nulls in their place: a batch for both."""
        both_at = _both(denoiser, condition, null)

        def both(x: Tensor, sigma: Tensor) -> tuple[Prediction, Prediction]:
            every, rows = both_at(x, sigma), len(x)
            told = Prediction(
                every.x0[:rows], _first(every.range, rows), _first(every.covariance, rows)
            )
            return told, Prediction(every.x0[rows:])

        return cls(denoiser.bind(**condition), denoiser.bind(**null), both)

    @classmethod
    def of_two(cls, told: Denoise, other: Denoise) -> "Pair":
        """Two denoisers, whatever each is: at equal sigma they see the same images."""
        return cls(told, other, lambda x, sigma: (told(x, sigma), other(x, sigma)))


def guidance(
    pair: Pair,
    guider: Guider,
    *,
    name: str,
    scale: Strength = 1.0,
    low: NonNegative = 0.0,
    high: Positive | None = None,
    rescale: Fraction = 0.0,
    model: str = "",
    dropout: Decay = 0.0,
) -> Denoise:
    """Guidance by two passes: away from one prediction of the clean image, towards another.

    scale: how strongly, where 1 is no guidance and 0 what it is away from: the same model with a
    null in the place of what is told, so classifier-free guidance (Ho 2022), or another model
    (Karras 2024, autoguidance). low, high: levels outside (low, high] are not guided
    (Kynkaanniemi 2024, eq. 5). rescale: how far the contrast is brought back to that without
    guidance; see `rescaled`. model: a worse model of the same data, by FILE, RUN, NAME or
    RUN:STEP, a snapshot of a run; it is told all that it takes. dropout: the share of features
    that what it is away from does without, each image others by its seed, on the whole walk; if
    no model is named it is the model itself, told the same.
    """
    del model, dropout  # of interest to who makes the pair
    memory = Memory()

    def call(x: Tensor, sigma: Tensor) -> Prediction:
        weight = strength(sigma, scale=scale, low=low, high=high)
        one = alone(name, sigma, {"scale": scale, "low": low, "high": high})
        if one is not None:
            return (pair.told if one else pair.other)(x, sigma)
        told, other = pair.both(x, sigma)
        inside = column(guided_at(sigma, low=low, high=high).double(), x)
        at = At(x, sigma, column(weight, x), inside, memory)
        guided = guider(told.x0, other.x0, at)
        x0 = rescaled(guided.x0, told.x0, rescale) if rescale else guided.x0
        return told._replace(x0=x0, free=guided.free)

    return Wrapped(pair.told, call, [pair.other], memory)


def alone(name: str, sigma: Tensor, settings: Mapping[str, Any]) -> bool | None:
    """Which of the two predictions is all that a guider takes at the levels sigma.

    True: of what is told; False: of what it is away from; None: both.
    """
    inside, scale = guided_at(sigma, **settings), settings.get("scale", 1.0)
    if not bool(inside.any()) or (scale == 1 and name not in DIRECTED):
        return True
    return False if scale == 0 and bool(inside.all()) and name in LINEAR else None


def each_guided(
    denoiser: Bindable, condition: Mapping[str, Tensor], null: Mapping[str, Tensor], scale: Tensor
) -> Denoise:
    """Classifier-free guidance by a scale [B] of its own for each image, at every level."""
    both_at = _both(denoiser, condition, null)

    def call(x: Tensor, sigma: Tensor) -> Prediction:
        told, without = both_at(x, sigma).x0.chunk(2)
        return Prediction(without + column(scale, x) * (told - without))

    return Wrapped(both_at, call)


def _both(
    denoiser: Bindable, condition: Mapping[str, Tensor], null: Mapping[str, Tensor]
) -> Denoise:
    """Both passes as one batch: of x [B, ...] the predictions [2 B, ...], told and then not."""
    pair = denoiser.bind(**{key: torch.cat([condition[key], null[key]]) for key in condition})

    def call(x: Tensor, sigma: Tensor) -> Prediction:
        return pair(torch.cat([x, x]), sigma.repeat(2) if sigma.ndim else sigma)

    return Wrapped(pair, call)


def strength(
    sigma: Tensor, *, scale: float = 1.0, low: float = 0.0, high: float | None = None, **_: object
) -> Tensor:
    """The guidance scale at the levels sigma: `scale` within (low, high], 1 elsewhere."""
    inside = guided_at(sigma, low=low, high=high)
    # Of two numbers torch.where would make a float32, which has no 1.8.
    return torch.where(inside, torch.full_like(double(sigma), scale), 1.0)


def guided_at(
    sigma: Tensor, *, low: float = 0.0, high: float | None = None, **_: object
) -> Tensor:
    """Whether there is guidance at the levels sigma: those within (low, high]."""
    sigma = double(sigma)
    return (sigma > low) & (sigma <= (math.inf if high is None else high))


def rescaled(x0: Tensor, conditional: Tensor, share: float) -> Tensor:
    """Guided clean images with their contrast brought back, by `share` of the way.

    share * x0 std(conditional) / std(x0) + (1 - share) * x0, deviations over all values of an
    image (Lin 2024, eq. 15 and 16, there of the network's output).  A single number has no
    contrast and stays.  Few numbers may have none by chance: none grows beyond the two together.
    """
    if math.prod(x0.shape[1:]) == 1:
        return x0
    wanted, guided = (v.flatten(1).std(1) for v in (conditional, x0))
    length, other = (v.flatten(1).norm(dim=1) for v in (x0, conditional))
    tiny = torch.finfo(x0.dtype).tiny
    ratio = torch.minimum(wanted / guided.clamp(min=tiny), 1 + other / length.clamp(min=tiny))
    return x0 * column(share * ratio + (1 - share), x0)


def _first(channel: Tensor | None, rows: int) -> Tensor | None:
    """What belongs to the first rows of a batch; one value for all belongs to them, too."""
    return channel[:rows] if channel is not None and channel.ndim else channel


def steered(
    denoise: Denoise,
    noisy: Sequence[Judge] = (),
    clean: Sequence[Judge] = (),
    *,
    at_mean: bool = False,
    is_bounded: bool = False,
) -> Denoise:
    """Guidance by gradients: judges of the state or of the predicted image say what is wanted.

    noisy: of x itself, as a classifier of noisy images is: score = d log p(y given x) / dx
    (Dhariwal 2021, section 4).  at_mean: not at x, as in algorithm 1 and the authors' code, but
    where an ancestral step would go without it, which is where section 4.1 expands.
    clean: of the predicted clean image, the gradient going back through the network to x
    (Chung 2023, DPS, eq. 10).
    is_bounded: rows of unit variance move no further than that allows; see `bounded`.
    """

    def call(x: Tensor, sigma: Tensor) -> Prediction:
        is_traced = x.requires_grad  # by a method, which goes back through here, too
        score: Tensor | None
        if clean:
            with torch.enable_grad():
                place = x if is_traced else x.detach().requires_grad_()
                prediction = denoise(place, sigma)
                pull = bounded if is_bounded else gradient
                score = pull(clean, prediction.x0, sigma, place, is_kept=is_traced)
            prediction = prediction if is_traced else _detached(prediction)
        else:
            prediction, score = denoise(x, sigma), None
        if noisy and not at_mean:
            score = _sum(score, gradient(noisy, x, sigma))
        at = partial(gradient, noisy, sigma=sigma) if noisy and at_mean else None
        return prediction._replace(score=_sum(prediction.score, score), pull=at)

    return Wrapped(denoise, call)


def absorbed(denoise: Denoise) -> Denoise:
    """The same with its additional score in the predicted image, for what changes that image."""

    def call(x: Tensor, sigma: Tensor) -> Prediction:
        prediction = denoise(x, sigma)
        return prediction._replace(x0=prediction.guided(float(sigma)), score=None)

    return Wrapped(denoise, call)


def gradient(
    judges: Sequence[Judge],
    x: Tensor,
    sigma: Tensor,
    place: Tensor | None = None,
    *,
    is_kept: bool = False,
) -> Tensor:
    """Gradient of what judges say of x [B, ...], with respect to x or to what x comes from.

    is_kept: others go the same way after it.
    """
    with torch.enable_grad():
        if place is None:
            x = place = x.detach().requires_grad_()
        said = sum(judge(x, sigma).sum() for judge in judges)
        (slope,) = torch.autograd.grad(torch.as_tensor(said), place, retain_graph=is_kept)
    return slope


def bounded(
    judges: Sequence[Judge], x0: Tensor, sigma: Tensor, place: Tensor, *, is_kept: bool = False
) -> Tensor:
    """What `gradient` says with respect to x, within what data of unit variance allow.

    sigma^2 times it is Var[x0 given x] g, where g is the gradient at x0, and no variance of D
    values of unit variance is larger than D. The error of a network's Jacobian times sigma^2
    knows no such bound where sigma is large: the shift is at most MOST sqrt(D) |g|.
    """
    slope = gradient(judges, x0, sigma)
    (score,) = torch.autograd.grad(x0, place, slope, retain_graph=is_kept)
    longest = MOST * math.sqrt(x0[0].numel()) * slope.flatten(1).norm(dim=1)
    shift = double(sigma).to(score) ** 2 * score.flatten(1).norm(dim=1)
    shorter: Tensor = (longest / shift.clamp(min=torch.finfo(x0.dtype).tiny)).clamp(max=1)
    return score * column(shorter, score)


def _sum(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    return a if b is None else b if a is None else a + b


def _detached(prediction: Prediction) -> Prediction:
    return Prediction._make(one.detach() if isinstance(one, Tensor) else one for one in prediction)


def log_probability(logits: Tensor, classes: Tensor) -> Tensor:
    """log p(y given x) [B] from logits [B, K] and the classes [B] that are wanted."""
    return logits.log_softmax(1).gather(1, classes[:, None])[:, 0]


def agreement(
    residual: Tensor, sigma: Tensor, *, noise: float = 0.0, scale: float = 1.0
) -> Tensor:
    """How well predicted images agree [B] with a measurement y = A x0 + noise * z.

    -scale ||y - A x0||^2 / (2 (noise^2 + r^2)) with r^2 = sigma^2 / (1 + sigma^2), how uncertain
    a predicted image of unit variance still is (Song 2023, Pi-GDM, with r^2 A A^T taken as r^2,
    which is careful where A averages).  residual: y - A x0, shape [B, ...], 0 where y was cut off.
    """
    spread = noise**2 + float(sigma**2 / (1 + sigma**2))
    return residual.square().flatten(1).sum(1) * (-scale / (2 * spread))
