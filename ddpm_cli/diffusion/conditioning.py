"""Known values of a row, and what they say of its others by how these vary together."""

import torch
from torch import Tensor

from ddpm_cli.diffusion.denoiser import Denoise, Prediction, Wrapped
from ddpm_cli.diffusion.shapes import double, rows

RIDGE = 1e-3  # least variance of a known value given x, of sigma^2 / (1 + sigma^2), up to sigma 1


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
        shift = _shift(slopes, missing, flat, places, rows(double(sigma), x).double() ** 2)
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
    slopes: Tensor, missing: Tensor, mask: Tensor, places: list[int], variance: Tensor
) -> Tensor:
    """C A^T (A C A^T)^-1 missing, float64 [B, D], whatever number C is multiplied with.

    slopes: dD/dx [B, K, D]; missing: y - A D [B, D]; mask: [B, D]; variance: sigma^2 [B]. A
    network's Jacobian is no covariance, and its error grows with sigma: what cannot be of data
    with unit variance is cut off. S = (1 + sigma^2) dD/dx is made symmetric; where it is A S A^T,
    its eigenvalues are as large at least as what was not symmetric of it, which is error alone,
    and RIDGE, above sigma 1 more and from 1 / RIDGE on 1, so that what is known there pulls the
    less; and of no other value it explains a larger variance than (1 + sigma^2) / sigma^2.
    """
    if not places:
        return missing.new_zeros(missing.shape).double()
    known, variance = mask[:, places], variance.to(slopes)
    scaled = slopes * (1 + variance)[:, None, None]
    inner = scaled[:, :, places]
    both = known[:, :, None] & known[:, None]
    skew = ((inner - inner.transpose(1, 2)) / 2).masked_fill(~both, 0.0)
    inner = (inner + inner.transpose(1, 2)) / 2
    inner = torch.where(both, inner, torch.eye(len(places), dtype=inner.dtype).to(inner))
    values, vectors = torch.linalg.eigh(inner)
    least = RIDGE * variance.clamp(1, 1 / RIDGE)
    least = torch.maximum(least, torch.linalg.matrix_norm(skew, 2))
    roots = torch.maximum(values, least[:, None]).sqrt()[:, :, None]
    white = vectors.transpose(1, 2) / roots
    explained = white @ scaled.masked_fill(~known[:, :, None], 0.0)
    most = (1 + 1 / variance).sqrt()[:, None, None]
    explained = explained * (most / explained.norm(dim=1, keepdim=True)).clamp(max=1)
    shift: Tensor = (white @ missing[:, places, None].double()).transpose(1, 2) @ explained
    return shift[:, 0]
