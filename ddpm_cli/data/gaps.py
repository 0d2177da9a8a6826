"""Missing numbers drawn from the normal distribution given the others of their row."""

import torch
from torch import Tensor

ROUNDS = 100  # of the fit at most
SETTLED = 1e-4  # change of a mean or covariance, in deviations, at which it ends
RIDGE = 1e-6  # of the variance, as the codes of categories depend on each other
BLOCK = 2**22  # numbers of the matrices of a block of rows


def filled(x: Tensor, fit: Tensor, generator: torch.Generator) -> Tensor:
    """Rows x float64 [N, D] without their gaps (NaN), each drawn given the rest of its row.

    fit: the rows of it [N] that tell the mean and covariance, by maximum likelihood of what is
    there (EM; Little and Rubin, "Statistical Analysis with Missing Data", section 11.2). Where
    gaps lie may depend on what is there, but not on what is missing.
    """
    mean, covariance = _moments(x[fit])
    out = x.clone()
    for rows in _blocks(x.isnan().any(1).nonzero()[:, 0], x.shape[1]):
        guess, rest = _given(x[rows], mean, covariance)
        factor = torch.linalg.cholesky(_firm(rest, covariance))
        noise = torch.randn(guess.shape, generator=generator, dtype=x.dtype)
        drawn = guess + (factor @ noise[:, :, None])[:, :, 0]
        out[rows] = torch.where(x[rows].isnan(), drawn, x[rows])
    return out


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean [D] and covariance [D, D] of rows with gaps."""
    mean = x.nanmean(0)
    covariance = torch.diag((x - mean).square().nanmean(0))
    gaps = x.isnan().any(1)
    whole = x[~gaps]
    for _ in range(ROUNDS):
        sums, squares = whole.sum(0), whole.T @ whole
        for rows in _blocks(gaps.nonzero()[:, 0], x.shape[1]):
            guess, rest = _given(x[rows], mean, covariance)
            sums, squares = sums + guess.sum(0), squares + guess.T @ guess + rest.sum(0)
        before, mean = (mean, covariance), sums / len(x)
        covariance = squares / len(x) - mean[:, None] * mean
        pairs = zip(before, (mean, covariance), strict=True)
        if max(float((new - old).abs().max()) for old, new in pairs) < SETTLED:
            break
    return mean, covariance


def _given(x: Tensor, mean: Tensor, covariance: Tensor) -> tuple[Tensor, Tensor]:
    """Rows [B, D] with the mean of each gap given what is there, and the covariance of the gaps.

    The covariances [B, D, D] are 0 at what is there.
    """
    there = ~x.isnan()
    both = there[:, :, None] & there[:, None]
    firm = _firm(covariance, covariance)
    inner = torch.where(both, firm, torch.eye(len(mean), dtype=x.dtype))
    cross = torch.where(there[:, :, None] & ~there[:, None], covariance, 0.0)  # there, gap
    slopes = torch.linalg.solve(inner, cross)
    away = torch.where(there, x - mean, 0.0)
    guess = torch.where(there, x, mean + (slopes.transpose(1, 2) @ away[:, :, None])[:, :, 0])
    gaps = ~there[:, :, None] & ~there[:, None]
    rest = torch.where(gaps, covariance - slopes.transpose(1, 2) @ cross, 0.0)
    return guess, rest


def _firm(matrices: Tensor, covariance: Tensor) -> Tensor:
    """Matrices [..., D, D] that can be factored: a little of the variances is added."""
    return matrices + RIDGE * torch.diag(covariance.diagonal().clamp(min=RIDGE))


def _blocks(rows: Tensor, width: int) -> tuple[Tensor, ...]:
    """The numbers of rows in parts whose matrices fit into memory."""
    return torch.split(rows, max(1, BLOCK // width**2)) if len(rows) else ()
