"""A network, its schedule and its parameterization as one function from noisy to clean."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from ddpm_cli.diffusion.parameterizations import Coefficients
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.diffusion.shapes import column, double, sent, told
from ddpm_cli.diffusion.units import USUAL, Units
from ddpm_cli.diffusion.weights import named, take

Parameterization = Callable[[Tensor, Schedule], Coefficients]
Label = Callable[[Tensor, Schedule], Tensor]


LATENT = "latent"  # the condition that is drawn, not told


class Prediction(NamedTuple):
    """What is known about the clean image at one noise level; each tensor is shaped like x.

    x0: the expected clean image.
    range: the learned variance channel in [-1, 1] (Nichol 2021, eq. 15).
    covariance: the diagonal of Var[x0 given x] (Bao 2022).
    score: an additional score, a gradient with respect to x, that guides the walk.
    pull: the same at other places x, for steps that are guided at their mean.
    raw: the clean image before a wrapper limited its values, if one did.
    free: the clean image that a step leaves in its direction, if it is another one (CFG++).
    """

    x0: Tensor
    range: Tensor | None = None
    covariance: Tensor | None = None
    score: Tensor | None = None
    pull: Callable[[Tensor], Tensor] | None = None
    raw: Tensor | None = None
    free: Tensor | None = None

    def guided(self, t: float) -> Tensor:
        """x0 + t^2 * score: the mean whose score is the guided one, by Tweedie's formula.

        It is the eps-shift of guided DDIM (Dhariwal 2021, algorithm 2) in sigma-space.
        """
        if self.pull is not None:
            raise ValueError("no step with a mean to take a gradient at; use ddpm")
        return self.x0 if self.score is None else self.x0 + t**2 * self.score

    @property
    def is_steered(self) -> bool:
        """Whether there is an additional score at all."""
        return self.score is not None or self.pull is not None

    def pulled(self, mean: Tensor) -> Tensor | float:
        """The additional score for an ancestral step to `mean`, which is in the scale of x."""
        here = 0.0 if self.score is None else self.score
        return here if self.pull is None else here + self.pull(mean)


class Denoise(Protocol):
    """A function (x [B, ...], sigma [] or [B]) -> Prediction that knows its schedule."""

    @property
    def schedule(self) -> Schedule:
        """The process that the network was trained on."""

    def __call__(self, x: Tensor, sigma: Tensor) -> Prediction:
        """Predict the clean image of the noisy x."""


class Bindable(Protocol):
    """A denoiser whose conditions are still open."""

    @property
    def schedule(self) -> Schedule:
        """The process that the network was trained on."""

    def bind(self, **condition: Any) -> Denoise:
        """The same denoiser with its conditions (class labels, images) fixed."""


class Memory:
    """What a denoiser keeps of a walk, which tells it of each move: see `walk`.

    number: of the move, -1 outside walks; total: a tensor that the moves before have left, None
    at first. What a move leaves is what its first call says: the second one of heun is of the same
    move.
    """

    def __init__(self) -> None:
        self.number = -1
        self.total: Tensor | None = None
        self._next: Tensor | None = None

    def begin(self, number: int, *, is_new: bool) -> None:
        """A move begins; is_new: those before were none of its kind, and are forgotten."""
        if is_new:
            self.total = None
        elif self._next is not None:
            self.total = self._next
        self.number, self._next = number, None

    def leave(self, value: Tensor) -> None:
        """Leave a tensor to the next move, if no call of this one has left any."""
        if self._next is None:
            self._next = value

    def go_on(self, rows: Tensor) -> None:
        """Keep what belongs to these rows of the batch, with which the walk goes on."""
        self.total = None if self.total is None else self.total[rows]
        self._next = None if self._next is None else self._next[rows]


class Wrapped:
    """A denoiser seen through another function, which keeps its schedule and its memories.

    others: more denoisers that the function asks, with memories of their own.
    """

    def __init__(
        self,
        inner: Denoise,
        call: Callable[[Tensor, Tensor], Prediction],
        others: Sequence[Denoise] = (),
        memory: Memory | None = None,
    ) -> None:
        self.schedule = inner.schedule
        own = () if memory is None else (memory,)
        self.memories = (*own, *(one for each in (inner, *others) for one in memories(each)))
        self._call = call

    def __call__(self, x: Tensor, sigma: Tensor) -> Prediction:
        """Predict the clean image of the noisy x."""
        return self._call(x, sigma)


def memories(denoise: Denoise) -> tuple[Memory, ...]:
    """All that a denoiser and those within it keep of a walk."""
    found: tuple[Memory, ...] = getattr(denoise, "memories", ())
    return found


class Counted:
    """A denoiser that says of each of its calls how many rows it sees.

    differentiated: is told the rows of each gradient that goes back through a call.
    """

    def __init__(
        self,
        inner: Bindable,
        count: Callable[[int], None],
        differentiated: Callable[[int], None] | None = None,
    ) -> None:
        self.schedule = inner.schedule
        self._inner, self._count, self._differentiated = inner, count, differentiated

    def bind(self, **condition: Any) -> Wrapped:
        """The same with its conditions fixed."""
        denoise = self._inner.bind(**condition)

        def call(x: Tensor, sigma: Tensor) -> Prediction:
            self._count(len(x))
            prediction, count, rows = denoise(x, sigma), self._differentiated, len(x)
            if count is not None and prediction.x0.requires_grad:
                prediction.x0.register_hook(lambda _: count(rows))  # type: ignore[no-untyped-call]
            return prediction

        return Wrapped(denoise, call)


def of_level(latents: Tensor, sigma: Tensor, schedule: Schedule) -> Tensor:
    """What a generator draws at the level sigma ([] or [B]): [B, L] of latents [B, T, L].

    Latents [B, L] are those of the level already. Between two trained levels it is the nearer one.
    """
    if latents.ndim == 2:
        return latents
    count = latents.shape[1]
    index = ((schedule.time(sigma) * count).round().long() - 1).clamp(0, count - 1)
    if index.ndim == 0:
        return latents[:, int(index)]
    return latents[torch.arange(len(latents)), sent(index, latents.device)]


class Denoiser(nn.Module):
    """x0 = skip * x + out * network(scale * x, label).

    `learned_range` says that the network's second half of channels is the variance channel;
    `units` where its data lie, for which parameterization and label are made already; `latents`
    how many numbers it draws for each image at each level, as a generator does.
    """

    weights, load_weights = named, take

    def __init__(
        self,
        network: nn.Module,
        schedule: Schedule,
        parameterization: Parameterization,
        label: Label,
        *,
        learned_range: bool = False,
        units: Units = USUAL,
        latents: int = 0,
    ) -> None:
        super().__init__()
        self.network = network
        self.schedule = schedule
        self.parameterization = parameterization
        self.label = label
        self.learned_range = learned_range
        self.units = units
        self.latents = latents

    def forward(self, x: Tensor, sigma: Tensor, **condition: Any) -> Prediction:
        """Predict the clean image of x [B, ...] at the level sigma ([] or [B])."""
        sigma = double(sigma)
        if condition.get(LATENT) is not None:
            condition[LATENT] = of_level(condition[LATENT], sigma, self.schedule)
        skip, out, scale = coefficients = self.parameterization(sigma, self.schedule)
        label = told(self.label(sigma, self.schedule), x, self.network)
        shifts = self.units.shifts(coefficients)
        seen = column(scale, x) * x
        if shifts is not None:
            seen = seen + column(shifts[0], x)
        output = self.network(seen, label, **condition)
        channel = None
        if self.learned_range:
            output, channel = output.chunk(2, dim=1)
            channel = channel.to(x.dtype)
        # In place: behind a network the caches are cold, and each pass over the state is felt.
        x0 = column(skip, x) * x
        if shifts is not None:
            x0 = x0 + column(shifts[1], x)
        # CUDA takes a number from the host as the last factor alone.
        return Prediction(x0.addcmul_(output.to(x.dtype), column(out, x)), channel)

    def bind(self, **condition: Any) -> Wrapped:
        """The same denoiser with its conditions (class labels, images) fixed."""
        return Wrapped(self, lambda x, sigma: self(x, sigma, **condition))
