"""Langevin steps at one noise level: (denoise, x, move, rng, past, *, knobs) -> x at move.t.

They leave the distribution of x at that level as it is, to first order in the step.  Scores are
gradients with respect to x = x_t / alpha.  With x_t = alpha x a native score is score / alpha and
a native step alpha^2 times the step here; rules that measure a step in units of the noise level,
or of the score's own norm, are therefore the same numbers in both scales, for VP as for VE.
"""

from torch import Tensor

from ddpm_cli.diffusion.denoiser import Denoise
from ddpm_cli.diffusion.shapes import column
from ddpm_cli.diffusion.steps import Draws, Move, Visited
from ddpm_cli.settings.knobs import Ratio


def langevin(
    denoise: Denoise,
    x: Tensor,
    move: Move,
    rng: Draws,
    past: list[Visited],
    *,
    snr: Ratio = 0.16,
) -> Tensor:
    """Langevin step whose size keeps the ratio of signal to noise at snr for each image.

    step = 2 (snr ||z|| / ||score||)^2 (Song 2021, algorithms 4 and 5).  The norms are each
    image's own, not means over the batch, and the factor 1 - beta, which tends to 1, is left out.
    """
    gradient, z = _score(denoise, x, move), rng.normal(x)
    step = 2 * (snr * _norm(z) / _norm(gradient)) ** 2
    return _moved(x, gradient, z, column(step, x))


def ald(
    denoise: Denoise,
    x: Tensor,
    move: Move,
    rng: Draws,
    past: list[Visited],
    *,
    snr: Ratio = 0.16,
) -> Tensor:
    """Annealed Langevin step of a size proportional to the noise level squared.

    step = 2 (snr sigma)^2 (Song 2021's code for the steps of Song 2019).
    """
    step = 2 * (snr * float(move.t)) ** 2
    return _moved(x, _score(denoise, x, move), rng.normal(x), column(step, x))


def ncsn(
    denoise: Denoise,
    x: Tensor,
    move: Move,
    rng: Draws,
    past: list[Visited],
    *,
    step: Ratio = 2e-5,
) -> Tensor:
    """Annealed Langevin step of NCSN: step is the size at the lowest level of the walk.

    a = step sigma^2 / sigma_low^2, x + a / 2 score + sqrt(a) z (Song 2019, algorithm 1).  On a
    single level this is plain Langevin dynamics with the step size a = step.
    """
    levels = move.t[None] if move.levels is None else move.levels
    lowest = float(levels[levels > 0].min())
    size = step * (float(move.t) / lowest) ** 2
    return _moved(x, _score(denoise, x, move), rng.normal(x), column(size / 2, x))


def _score(denoise: Denoise, x: Tensor, move: Move) -> Tensor:
    """(x0 - x) / sigma^2, guidance included: Tweedie's formula."""
    return (denoise(x, move.t).guided(float(move.t)) - x) / column(move.t, x) ** 2


def _moved(x: Tensor, gradient: Tensor, z: Tensor, step: Tensor) -> Tensor:
    """x + step * score + sqrt(2 step) * z."""
    return x + step * gradient + (2 * step).sqrt() * z


def _norm(x: Tensor) -> Tensor:
    """The Euclidean norm of each image [B]."""
    return x.flatten(1).square().sum(1).sqrt()
