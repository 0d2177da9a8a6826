"""The guide that knows the class of a noisy image."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from torch import Tensor

from ddpm_cli.diffusion.denoiser import Label
from ddpm_cli.diffusion.guidance import Judge, log_probability
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.diffusion.shapes import column, double, rows
from ddpm_cli.files.checkpoints import checkpoint
from ddpm_cli.guides.parts import classifiers
from ddpm_cli.guides.parts.context import Context, Guide
from ddpm_cli.guides.parts.user_functions import Function
from ddpm_cli.models import build, saved
from ddpm_cli.settings.code_names import CODE
from ddpm_cli.settings.knobs import Strength

# (x [B, ...], sigma [], classes [B]) -> log p(classes given x) [B].
Likelihood = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class _Trained:
    """The likelihood of a classifier that ddpm trained."""

    network: Callable[[Tensor, Tensor], Tensor]

    def __call__(self, x: Tensor, sigma: Tensor, classes: Tensor) -> Tensor:
        return log_probability(self.network(x, sigma), classes)


@dataclass(frozen=True)
class _OfUser:
    """The likelihood of a user's classifier, told of x_t = alpha x and its level as a network."""

    function: Function
    schedule: Schedule
    label: Label

    def __call__(self, x: Tensor, sigma: Tensor, classes: Tensor) -> Tensor:
        label = rows(self.label(double(sigma), self.schedule).float(), x)

        def likelihood(x: Tensor) -> Tensor:
            scale = column(self.schedule.alpha(sigma), x)
            return log_probability(self.function((scale * x).float(), label), classes)

        return self.function.objective(likelihood, x)


@dataclass(frozen=True)
class Classifying:
    """Pulls noisy images towards the classes of their seeds."""

    likelihood: Likelihood
    targets: Callable[[Sequence[int]], Tensor]
    scale: float
    at_mean: bool
    of: Literal["noisy"] = "noisy"

    def judge(self, seeds: Sequence[int]) -> Judge:
        """What it says of the images of these seeds."""
        return partial(self.score, classes=self.targets(seeds))

    def score(self, x: Tensor, sigma: Tensor, classes: Tensor) -> Tensor:
        """Scale times log p(y given x) [B] of noisy images x [B, ...] and classes [B]."""
        return self.scale * self.likelihood(x, sigma, classes)


def classifier(
    context: Context, *, model: str = "", scale: Strength = 4.0, at: Literal["x", "mean"] = "x"
) -> Guide:
    """A classifier of noisy images pulls towards its class: scale times d log p(y given x) / dx.

    model: a run, file or name of one trained by ddpm; "--classifier" is the function that this
    flag gives.  at: whether the gradient is taken at the state, or where an ancestral step would
    go without it (Dhariwal 2021).
    """
    likelihood = _of_user(context) if model == CODE else _trained(model, context)
    return Classifying(likelihood, context.targets, scale, at_mean=at == "mean")


def _trained(model: str, context: Context) -> Likelihood:
    path = classifiers.named(model, context.info)[0].path
    header, weights = checkpoint.load(path, str(context.compute.device))
    return _Trained(saved.classifier(header, weights, context.compute, path))


def _of_user(context: Context) -> Likelihood:
    return _OfUser(context.code["classifier"], context.schedule, build.label(context.config))
