"""What a network predicts, told by the weights of its training loss at each level."""

from typing import NamedTuple

from torch import Tensor

CLOSE = 1e-3  # relative, of numbers that were rounded to float32


class Objective(NamedTuple):
    """A prediction, and the signal-to-noise ratio that its weights are cut at, if they are."""

    name: str
    gamma: float | None = None


def objective(weights: Tensor, sigma: Tensor) -> Objective | None:
    """The prediction that loss weights [T] belong to at the levels sigma [T]; None of none.

    With snr = 1 / sigma^2 the weights are 1 of eps, snr of x0, snr / (snr + 1) of v; with
    min-SNR-gamma each times min(snr, gamma) / snr (Hang 2023, section 3.4).
    """
    sigma, weights = sigma.double(), weights.double()
    snr = sigma**-2
    bases = {"eps": snr / snr, "x0": snr, "v": snr / (snr + 1)}
    found = [one for name, base in bases.items() if (one := _cut(name, weights / base, snr))]
    return found[0] if len(found) == 1 else None


def _cut(name: str, ratio: Tensor, snr: Tensor) -> Objective | None:
    """Whether a ratio to uncut weights is 1, or min(1, gamma / snr) with some gamma."""
    if not bool((ratio * snr).isfinite().all()):
        return None
    cut = ratio < 1 - CLOSE
    if not bool(cut.any()):
        return Objective(name) if float((ratio - 1).abs().max()) < CLOSE else None
    gamma = float((ratio * snr)[cut].median())
    off = (ratio / (gamma / snr).clamp(max=1) - 1).abs()
    return Objective(name, float(f"{gamma:.5g}")) if float(off.max()) < 2 * CLOSE else None
