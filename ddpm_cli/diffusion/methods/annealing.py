"""The method that is an edit of the walk: down to an image, Langevin steps, up again."""

from torch import Tensor

from ddpm_cli.diffusion.denoiser import Denoise
from ddpm_cli.diffusion.measuring import Measured, Method
from ddpm_cli.diffusion.posterior_means import refuse_not_linear
from ddpm_cli.diffusion.steps import Draws, Move, Visited
from ddpm_cli.settings.knobs import Fraction, Positive, Times

LEAST = 0.01  # least noise, where none is told: Langevin steps would be as small as it


def daps(
    seen: Measured, *, steps: Times = 100, size: Fraction = 0.5, noise: Positive = LEAST
) -> Method:
    """Decoupled annealing: from the image D that a descent from t ends at, Langevin steps.

    x0 + h grad + sqrt(2 h) z on |x0 - D|^2 / (2 r^2) + |y - A x0|^2 / (2 n^2), with
    r^2 = t^2 / (1 + t^2), n the noise told, but at least `noise`, and h the share `size` of the
    step at which they diverge (Zhang 2024, algorithm 1). It needs the edit daps of the levels,
    by which the walk then climbs to the next lower t.
    """
    refuse_not_linear(seen)
    n = max(seen.noise, noise)

    def step(denoise: Denoise, x: Tensor, move: Move, rng: Draws, past: list[Visited]) -> Tensor:
        if float(move.t) > 0:
            raise ValueError("it steps on images alone; leave other repeated levels out")
        t = _top(move)
        r = (t**2 / (1 + t**2)) ** 0.5
        h = size / (1 / r**2 + seen.operator.peak / n**2)
        x0, y = x, seen.y.to(x)
        for _ in range(steps):
            pull = (x - x0) / r**2 + seen.operator.adjoint(y - seen.operator(x0)) / n**2
            x0 = x0 + h * pull + (2 * h) ** 0.5 * rng.normal(x)
        return x0

    return Method(corrector=step)


def _top(move: Move) -> float:
    """The level from which a walk came down to 0."""
    if move.levels is None:
        raise ValueError("a move by itself did not come down from any level")
    before = move.levels[: move.number + 1]
    climbs = (before.diff() > 0).nonzero()
    return float(before[int(climbs[-1]) + 1 if len(climbs) else 0])
