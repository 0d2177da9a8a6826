"""Known values of a row, and what they say of its others by how these vary together."""

import torch
from torch import Tensor

from ddpm_cli.diffusion.denoiser import Denoise, Prediction, Wrapped
from ddpm_cli.diffusion.shapes import double, rows

RIDGE = 1e-3  # least variance of a known value given x, of sigma^2 / (1 + sigma^2)


def conditioned(denoise: Denoise, known: Tensor, mask: Tensor) -> Denoise:
    """E[x0 given x, y] of rows x [B, ...], whose values are `known` where `mask` [B, ...] is true.

    D + C A^T (A C A^T)^-1 (y - A D), where A picks what is known and C = sigma^2 dD/dx is
    Var[x0 given x] by the second formula of Tweedie (Boys 2023, TMPD; Rozet 2024, MMPS). It is
    exact where x0 given x is normal, as of normal data, and then any walk draws from the exact
    posterior. One gradient for each value that is known in some row of the batch.
    """
    flat = mask.flatten(1)
    places = flat.any(0).nonzero()[:, 0].tolist()

    def call(x: Tensor, sigma: Tensor) -> Prediction:
        with torch.enable_grad():
            at = x if x.requires_grad else x.detach().requires_grad_()
            prediction = denoise(at, sigma)
            slopes = _slopes(prediction.x0, at, places)
        x0 = prediction.x0 if x.requires_grad else prediction.x0.detach()
        y = known.to(x0)
        missing = (y - x0).where(mask, 0.0).flatten(1)
        least = RIDGE / (1 + rows(double(sigma), x).double() ** 2)
        shift = _shift(slopes, missing, flat, places, least)
        return prediction._replace(x0=y.where(mask, x0 + shift.reshape(x0.shape).to(x0)))

    return Wrapped(denoise, call)


def held(denoise: Denoise, mask: Tensor) -> Denoise:
    """Guides that leave what is known alone: their gradient counts where `mask` is not true."""

    def call(x: Tensor, sigma: Tensor) -> Prediction:
        prediction = denoise(x, sigma)
        score = None if prediction.score is None else prediction.score.masked_fill(mask, 0.0)
        return prediction._replace(score=score)

    return Wrapped(denoise, call)


def _slopes(x0: Tensor, x: Tensor, places: list[int]) -> Tensor:
    """d x0[place] / dx float64 [B, K, D] for each of K places of a row."""
    every = []
    for place in places:
        vector = torch.zeros_like(x0)
        vector.view(len(x0), -1)[:, place] = 1
        (slope,) = torch.autograd.grad(x0, x, vector, retain_graph=True)
        every.append(slope.detach().flatten(1).double())
    return torch.stack(every, 1) if every else x.new_zeros(len(x), 0, x[0].numel()).double()


def _shift(
    slopes: Tensor, missing: Tensor, mask: Tensor, places: list[int], least: Tensor
) -> Tensor:
    """C A^T (A C A^T)^-1 missing, float64 [B, D]; sigma^2 stands on both sides, and is left out.

    slopes: [B, K, D]; missing: y - A D [B, D]; mask: [B, D]; least: [B]. A network's Jacobian is
    no covariance: it is made symmetric, and its eigenvalues are at least `least`.
    """
    if not places:
        return missing.new_zeros(missing.shape).double()
    known = mask[:, places]
    inner = slopes[:, :, places]
    inner = (inner + inner.transpose(1, 2)) / 2
    both = known[:, :, None] & known[:, None]
    inner = torch.where(both, inner, torch.eye(len(places), dtype=inner.dtype).to(inner))
    values, vectors = torch.linalg.eigh(inner)
    values = torch.maximum(values, least[:, None].to(values))
    along = vectors.transpose(1, 2) @ missing[:, places, None].double()
    weights = vectors @ (along / values[:, :, None])
    return (weights.transpose(1, 2) @ slopes.masked_fill(~known[:, :, None], 0.0))[:, 0]
