"""An exact Gaussian-mixture diffusion model in float64: the "network" of every sampler fixture.

Data: p(x0) = sum_k w_k N(x0; m_k, diag(v_k)).  Noised to x = alpha * x0 + sigma * eps it is
sum_k w_k N(x; alpha m_k, diag(c_k)) with c_k = alpha^2 v_k + sigma^2.

Every method takes x [B, ...] and alpha, sigma as numbers or tensors [B]; `label` [B] keeps only
the components of that class.
"""

import json
import math
from pathlib import Path

import torch
from torch import Tensor


class Mixture:
    """Weights [K], means [K, d], variances [K, d], the class of each component [K]."""

    def __init__(
        self,
        weights: list[float],
        means: list[list[float]],
        variances: list[list[float]],
        classes: list[int] | None = None,
        shape: tuple[int, ...] | None = None,
    ) -> None:
        self.weights = torch.tensor(weights, dtype=torch.float64)
        self.weights = self.weights / self.weights.sum()
        self.means = torch.tensor(means, dtype=torch.float64)
        self.variances = torch.tensor(variances, dtype=torch.float64)
        self.classes = torch.tensor(classes or [0] * len(weights))
        self.shape = tuple(shape or self.means.shape[1:])

    @classmethod
    def load(cls, path: Path, name: str) -> "Mixture":
        """Read a mixture from mixtures.json."""
        found = json.loads(path.read_text(encoding="utf-8"))["mixtures"][name]
        return cls(**found)

    def _terms(
        self, x: Tensor, alpha: Tensor | float, sigma: Tensor | float, label: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """alpha [B, 1, 1], variances and residuals [B, K, d], responsibilities [B, K, 1]."""
        flat = x.flatten(1).double()
        a, s = (
            torch.as_tensor(value, dtype=torch.float64).expand(len(x)).reshape(-1, 1, 1)
            for value in (alpha, sigma)
        )
        variance = a**2 * self.variances + s**2
        residual = flat[:, None] - a * self.means
        log_weight = self.weights.log().expand(len(x), -1)
        if label is not None:
            other = label.reshape(-1, 1) != self.classes
            log_weight = log_weight.masked_fill(other, -math.inf)
        density = (residual**2 / variance + variance.log()).sum(-1) / 2
        return a, variance, residual, (log_weight - density).softmax(1)[..., None]

    def log_prob(self, x: Tensor, alpha: Tensor | float, sigma: Tensor | float) -> Tensor:
        """log p at x in nats, shape [B]."""
        _, variance, residual, _ = self._terms(x, alpha, sigma, None)
        density = (residual**2 / variance + (2 * math.pi * variance).log()).sum(-1) / 2
        return (self.weights.log() - density).logsumexp(1)

    def score(
        self,
        x: Tensor,
        alpha: Tensor | float,
        sigma: Tensor | float,
        label: Tensor | None = None,
    ) -> Tensor:
        """Gradient of log p at x."""
        _, variance, residual, share = self._terms(x, alpha, sigma, label)
        return -(share * residual / variance).sum(1).reshape(x.shape)

    def x0(self, x: Tensor, alpha: Tensor | float, sigma: Tensor | float) -> Tensor:
        """E[x0 given x]."""
        a, variance, residual, share = self._terms(x, alpha, sigma, None)
        means = self.means + a * self.variances / variance * residual
        return (share * means).sum(1).reshape(x.shape)

    def x0_variance(self, x: Tensor, alpha: Tensor | float, sigma: Tensor | float) -> Tensor:
        """The diagonal of Var[x0 given x]."""
        a, variance, residual, share = self._terms(x, alpha, sigma, None)
        means = self.means + a * self.variances / variance * residual
        within = self.variances * (1 - a**2 * self.variances / variance)
        mean = (share * means).sum(1, keepdim=True)
        return (share * (within + (means - mean) ** 2)).sum(1).reshape(x.shape)

    def eps(self, x: Tensor, alpha: Tensor | float, sigma: Tensor | float) -> Tensor:
        """E[eps given x] = -sigma * score."""
        return -_column(sigma, x) * self.score(x, alpha, sigma)

    def v(self, x: Tensor, alpha: Tensor | float, sigma: Tensor | float) -> Tensor:
        """E[alpha * eps - sigma * x0 given x]."""
        noise, clean = self.eps(x, alpha, sigma), self.x0(x, alpha, sigma)
        return _column(alpha, x) * noise - _column(sigma, x) * clean

    def class_score(
        self, x: Tensor, alpha: Tensor | float, sigma: Tensor | float, label: Tensor
    ) -> Tensor:
        """Gradient of log p(label given x), the exact noisy classifier's."""
        return self.score(x, alpha, sigma, label) - self.score(x, alpha, sigma)


def _column(value: Tensor | float, x: Tensor) -> Tensor:
    return torch.as_tensor(value, dtype=torch.float64).reshape(-1, *[1] * (x.ndim - 1))
