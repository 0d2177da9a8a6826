"""Mixtures of normals, of which all that a network learns is known exactly at every level."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ddpm_cli.diffusion.shapes import column


class Mixture(NamedTuple):
    """Normals of these weights [K], centres [K, D] and deviations [D], in a network's units.

    names: of the components, if they have some.
    """

    weights: Tensor
    centres: Tensor
    deviations: Tensor
    names: tuple[str, ...] = ()

    def log_density(self, x: Tensor, sigma: Tensor) -> Tensor:
        """log p(x) [N] of data with noise, x = x0 + sigma eps [N, D]."""
        return torch.logsumexp(self._terms(x, sigma), 1)

    def chances(self, x: Tensor, sigma: Tensor) -> Tensor:
        """p(component | x) [N, K]."""
        return torch.softmax(self._terms(x, sigma), 1)

    def score(self, x: Tensor, sigma: Tensor) -> Tensor:
        """The gradient of log p(x) [N, D]: (E[centre | x] - x) / (deviation^2 + sigma^2).

        E[x0 | x] = x + sigma^2 score (Tweedie's formula).
        """
        mean = self.chances(x, sigma) @ self.centres.to(x)
        return (mean - x) / self._variances(x, sigma)

    def _variances(self, x: Tensor, sigma: Tensor) -> Tensor:
        return self.deviations.to(x) ** 2 + column(sigma, x).to(x) ** 2

    def _terms(self, x: Tensor, sigma: Tensor) -> Tensor:
        """log (weight N(x; centre, deviation^2 + sigma^2)) [N, K]."""
        variances = self._variances(x, sigma)
        apart = (x[:, None] - self.centres.to(x)) ** 2 / variances[..., None, :]
        scale = torch.log(2 * math.pi * variances).expand_as(x).sum(1, keepdim=True)
        return self.weights.to(x).log() - (apart.sum(2) + scale) / 2
