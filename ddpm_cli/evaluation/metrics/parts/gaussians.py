"""Gaussians fitted to rows of features, and the Fréchet distance between two of them."""

from typing import NamedTuple

import torch
from torch import Tensor

from ddpm_cli.errors import Refusal
from ddpm_cli.evaluation.evidence import Evidence, Moments, doubled

_ROWS = 8192  # at a time, so that no copy of all features is made


class Gaussian(NamedTuple):
    """Mean [d] and a factor F [r, d] of the covariance F^T F, in float64."""

    mean: Tensor
    factor: Tensor

    @staticmethod
    def of(side: Evidence) -> "Gaussian":
        """The Gaussian of a side: of its moments if there are any, or else of its features.

        Moments beside features are those of a larger set, to which the features belong. Of
        features F is R of their QR decomposition, whose precision squaring would halve.
        """
        if side.moments is not None:
            return _rooted(side.name, side.moments)
        assert side.features is not None  # noqa: S101  (checked by `takes`)
        if len(side.features) < 2:
            raise Refusal(f"{side.name}: {side.count} image: a covariance takes two or more")
        every = torch.split(side.features, _ROWS)
        mean = torch.stack([doubled(rows).sum(0) for rows in every]).sum(0) / len(side.features)
        factor = mean.new_zeros(0, len(mean))
        for rows in every:
            stacked = torch.cat([factor, doubled(rows) - mean])
            factor = torch.linalg.qr(stacked, mode="r").R
        return Gaussian(mean, factor / (len(side.features) - 1) ** 0.5)


def distance(first: Gaussian, second: Gaussian) -> float:
    """|mu_1 - mu_2|^2 + tr(S_1 + S_2 - 2 (S_1 S_2)^(1/2)) (Dowson 1982), never below 0.

    With S = F^T F the last trace is the sum of the singular values of F_1 F_2^T: the eigenvalues
    of S_1 S_2 are their squares. So singular covariances do no harm, and equal ones give 0.
    """
    if first.mean.shape != second.mean.shape:
        counts = f"{len(first.mean)} and {len(second.mean)}"
        raise Refusal(f"{counts} features a side: not of one feature network")
    second = Gaussian(*(part.to(first.mean.device) for part in second))
    shift = (first.mean - second.mean).square().sum()
    common = torch.linalg.svdvals(first.factor @ second.factor.T).sum()
    total = shift + first.factor.square().sum() + second.factor.square().sum() - 2 * common
    return max(0.0, float(total))


def _rooted(name: str, moments: Moments) -> Gaussian:
    """From moments alone F is the symmetric root of the covariance, by its eigenvalues."""
    mean, covariance = doubled(moments.mean), doubled(moments.covariance)
    size = len(mean)
    if covariance.shape != (size, size):
        raise Refusal(f"{name}: a covariance of {tuple(covariance.shape)} for {size} features")
    if not (mean.isfinite().all() and covariance.isfinite().all()):
        raise Refusal(f"{name}: corrupt: its statistics are not finite")
    eigenvalues, vectors = torch.linalg.eigh((covariance + covariance.T) / 2)
    if eigenvalues[0] < -1e-6 * eigenvalues[-1].abs():
        raise Refusal(f"{name}: corrupt: its covariance has negative eigenvalues")
    return Gaussian(mean, (vectors * eigenvalues.clamp(min=0).sqrt()) @ vectors.T)
