"""Methods that are a step of their own from t to s, or around that of a sampler."""

from functools import partial

import torch
from torch import Tensor

from ddpm_cli.diffusion.denoiser import Denoise
from ddpm_cli.diffusion.measuring import Measured, Method, Spectral
from ddpm_cli.diffusion.posterior_means import Traced, spectral
from ddpm_cli.diffusion.shapes import column
from ddpm_cli.diffusion.steps import Draws, Move, Step, Visited
from ddpm_cli.settings.knobs import Fraction, Positive, Strength


def ddrm(seen: Measured, *, eta: Fraction = 0.85, eta_known: Fraction = 1.0) -> Method:
    """Each singular value by itself: known, as far as the noise lets, or drawn as DDIM does.

    With y' = U^T y / s_i of noise n = noise / s_i and x0, x' = V^T D, V^T x at level t, a step to
    level s (Kawar 2022, eq. 7 and 8, eta_known being eta_b):
    where s_i = 0: x0 + sqrt(1 - eta^2) s (x' - x0) / t + eta s z;
    where s < n: x0 + sqrt(1 - eta^2) s (y' - x0) / n + eta s z;
    where s >= n: (1 - eta_b) x0 + eta_b y' + sqrt(s^2 - eta_b^2 n^2) z.
    """
    operator = spectral(seen.operator)

    def step(denoise: Denoise, x: Tensor, move: Move, rng: Draws, past: list[Visited]) -> Tensor:
        t, s = float(move.t), float(move.s)
        x0 = denoise(x, move.t).guided(t)
        z = rng.normal(x) if s else torch.zeros_like(x)
        made: Tensor = x0 + (1 - eta**2) ** 0.5 * s / t * (x - x0) + eta * s * z
        y, noise, is_known = _known(operator, seen, x)
        mean, fresh = operator.into(x0), operator.into(z)
        late = mean + (1 - eta**2) ** 0.5 * s * (y - mean) / noise.clamp(min=1e-300)
        spread = (s**2 - (eta_known * noise) ** 2).clamp(min=0).sqrt()
        early = torch.lerp(mean, y, eta_known) + spread * fresh
        wanted = torch.where(s < noise, late + eta * s * fresh, early)
        now = operator.into(made)
        return made + operator.out(torch.where(is_known, wanted - now, 0.0))

    return Method(predictor=lambda own: step)


def ddnm_plus(seen: Measured) -> Method:
    """Range and null space where measurements have noise, which counts as part of the step's own.

    With V^T D moved by the share l_i of what is missing, the step of DDPM has the mean
    x_s = D + k (D' - D) + s^2 / t^2 (x - D), k = 1 - s^2 / t^2, and of the deviation
    d = s sqrt(k) that is left which k l_i noise / s_i does not fill; l_i is 1, or as large as fits
    into d (Wang 2023, section 3.3). DDNM where there is no noise.
    """
    operator = spectral(seen.operator)

    def step(denoise: Denoise, x: Tensor, move: Move, rng: Draws, past: list[Visited]) -> Tensor:
        t, s = float(move.t), float(move.s)
        share = 1 - (s / t) ** 2
        deviation = s * share**0.5
        x0 = denoise(x, move.t).guided(t)
        z = rng.normal(x) if s else torch.zeros_like(x)
        made: Tensor = x0 + (s / t) ** 2 * (x - x0) + deviation * z
        y, noise, is_known = _known(operator, seen, x)
        part = (deviation / (share * noise).clamp(min=1e-300)).clamp(max=1).where(noise > 0, 1.0)
        spread = (deviation**2 - (share * part * noise) ** 2).clamp(min=0).sqrt()
        fresh = operator.into(z)
        change = share * part * (y - operator.into(x0)) + (spread - deviation) * fresh
        return made + operator.out(torch.where(is_known, change, 0.0))

    return Method(predictor=lambda own: step)


def diffpir(seen: Measured, *, weight: Positive = 7.0, fresh: Fraction = 0.3) -> Method:
    """A proximal step on what is measured, then noise anew: C = sigma^2 / weight.

    D' = D + A^T (A A^T + weight noise^2 / t^2)^-1 (y - A D), and
    x_s = D' + s (sqrt(1 - fresh) (x - D') / t + sqrt(fresh) z)
    (Zhu 2023, DiffPIR, algorithm 1, where weight is lambda and fresh is zeta).
    """

    def step(denoise: Denoise, x: Tensor, move: Move, rng: Draws, past: list[Visited]) -> Tensor:
        t, s = float(move.t), float(move.s)
        x0 = denoise(x, move.t).guided(t)
        x0 = x0 + seen.pulled(seen.missing(x0), weight * seen.noise**2 / t**2)
        if s == 0:
            return x0
        kept: Tensor = (1 - fresh) ** 0.5 * (x - x0) / t
        made: Tensor = x0 + s * (kept + fresh**0.5 * rng.normal(x))
        return made

    return Method(predictor=lambda own: step)


def dps(seen: Measured, *, strength: Strength = 1.0) -> Method:
    """The gradient of |y - A D| through the network after each step of any sampler.

    x_s - strength / alpha_s * d |y - A D(x)| / d x_t, in the scale x_t = alpha_t x of the process
    (Chung 2023, algorithm 1, whose step size is strength over the norm of what is missing).
    """

    def around(own: Step) -> Step:
        return partial(_stepped, seen, strength, own)

    return Method(predictor=around)


def _stepped(
    seen: Measured,
    strength: float,
    own: Step,
    denoise: Denoise,
    x: Tensor,
    move: Move,
    rng: Draws,
    past: list[Visited],
) -> Tensor:
    """A step of a sampler, and the gradient at the place where it starts."""
    traced = Traced(denoise)
    made = own(traced, x, move, rng, past)
    missing = seen.missing(traced.first.x0)
    norm = missing.flatten(1).norm(dim=1).clamp(min=torch.finfo(x.dtype).tiny)
    slope = traced.slope(seen.operator.adjoint(missing / column(norm, missing)))
    alphas = [float(denoise.schedule.alpha(level)) for level in (move.s, move.t)]
    return made + strength / (alphas[0] * alphas[1]) * slope


def _known(operator: Spectral, seen: Measured, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """U^T y / s_i, its noise n = noise / s_i, and where s_i is not 0."""
    sizes = operator.sizes(x)
    is_known = sizes > 0
    safe = sizes.where(is_known, 1.0)
    return operator.seen(seen.y.to(x)) / safe, seen.noise / safe, is_known
