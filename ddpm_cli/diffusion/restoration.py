"""Restoring images without training: what is known of them is made exact, the model adds the rest.

What is known is y = A x of a linear map A: small or grey or blurred images.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ddpm_cli.diffusion.denoiser import Denoise, Prediction, Wrapped
from ddpm_cli.diffusion.measuring import Operator, nearest

LEAST = 1e-6
ROUNDS = 200


class _Factors(NamedTuple):
    """The matrices of a separable map in the number format and place of what it acts on."""

    left: list[Tensor]
    right: list[Tensor]
    matrices: list[Tensor]
    sizes: Tensor


class Separable:
    """A linear map y = A x of images x [B, n1, n2, ...] that acts on each axis by its own matrix.

    With the singular value decomposition A = U S V^T, made axis by axis in float64, the
    pseudo-inverse is A^+ = V S^+ U^T.  Singular values below `least` count as 0: what the map
    dims that much is left to the model, as rounding errors would grow by 1 / least.

    whole: the shape of x where its last axes count as one, which the last matrix acts on;
    is_bounded: y is an image in [-1, 1], cut off where it would be more.
    """

    is_linear = True

    def __init__(
        self,
        matrices: Sequence[Tensor],
        least: float = LEAST,
        *,
        whole: Sequence[int] | None = None,
        is_bounded: bool = True,
    ) -> None:
        self._matrices = [matrix.double() for matrix in matrices]
        self._whole, self._is_bounded = None if whole is None else tuple(whole), is_bounded
        parts = [torch.linalg.svd(matrix, full_matrices=False) for matrix in self._matrices]
        self._left, self._right = [u.T for u, _, _ in parts], [v.T for _, _, v in parts]
        sizes = parts[0][1]
        for _, size, _ in parts[1:]:
            sizes = sizes[..., None] * size
        self._sizes = sizes * (sizes >= least)
        self._placed: dict[tuple[torch.device, torch.dtype], _Factors] = {}

    @property
    def peak(self) -> float:
        """The largest eigenvalue of A^T A."""
        return float(self._sizes.max()) ** 2

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape [m1, m2, ...] of one y."""
        return tuple(len(matrix) for matrix in self._matrices)

    def __call__(self, x: Tensor) -> Tensor:
        """A x, shape [B, m1, m2, ...]."""
        return _along(self._at(x).matrices, self._flat(x))

    def adjoint(self, y: Tensor) -> Tensor:
        """A^T y, shape [B, n1, n2, ...]."""
        return self._back(_along([matrix.T for matrix in self._at(y).matrices], y))

    def sizes(self, like: Tensor) -> Tensor:
        """The singular values S, 0 where they are below `least`."""
        return self._at(like).sizes

    def into(self, x: Tensor) -> Tensor:
        """V^T x."""
        return _along([v.T for v in self._at(x).right], self._flat(x))

    def out(self, c: Tensor) -> Tensor:
        """V c."""
        return self._back(_along(self._at(c).right, c))

    def seen(self, y: Tensor) -> Tensor:
        """U^T y."""
        return _along(self._at(y).left, y)

    def _flat(self, x: Tensor) -> Tensor:
        return x if self._whole is None else x.flatten(len(self._matrices))

    def _back(self, x: Tensor) -> Tensor:
        return x if self._whole is None else x.reshape(-1, *self._whole)

    def _at(self, like: Tensor) -> _Factors:
        """The matrices where `like` is and as exact, brought there once: every call asks."""
        key = like.device, like.dtype
        if key not in self._placed:
            left, right, matrices = (
                [matrix.to(like) for matrix in kind]
                for kind in (self._left, self._right, self._matrices)
            )
            self._placed[key] = _Factors(left, right, matrices, self._sizes.to(like))
        return self._placed[key]

    def missing(self, x: Tensor, y: Tensor) -> Tensor:
        """y - A x: what is known and x lacks.

        Values of y at -1 or 1 bound A x, and no more: what lay beyond was cut off.
        """
        lacks = y - self(x)
        if not self._is_bounded:
            return lacks
        cut = ((y <= -1) & (lacks > 0)) | ((y >= 1) & (lacks < 0))
        return lacks.masked_fill(cut, 0)


def _along(matrices: Sequence[Tensor], x: Tensor) -> Tensor:
    """Apply a matrix to each axis of x [B, n1, n2, ...]."""
    for matrix in matrices:
        # The axis in front is contracted, and its result goes to the end: all come round.
        x = torch.tensordot(x, matrix, dims=([1], [1]))
    return x


def consistent(denoise: Denoise, operator: Operator, y: Tensor) -> Denoise:
    """Replace in each predicted clean image what A sees of it by what is known.

    x0 <- x0 + A^+ (y - A x0): range and null space of DDNM (Wang 2023, eq. 13).
    """

    def call(x: Tensor, sigma: Tensor) -> Prediction:
        prediction = denoise(x, sigma)
        return prediction._replace(x0=nearest(operator, prediction.x0, y))

    return Wrapped(denoise, call)


def projected(operator: Operator, x: Tensor, y: Tensor, rounds: int = ROUNDS) -> Tensor:
    """An image in [-1, 1] near x that agrees with y, or comes as near to it as any does.

    Alternate projections on both sets, a gradient descent on the squared distance between them
    with steps of 1, accelerated as in Beck and Teboulle 2009 (FISTA).
    """
    at = ahead = x.clamp(-1, 1)
    momentum = 1.0
    for _ in range(rounds):
        last, at = at, nearest(operator, ahead, y).clamp(-1, 1)
        faster = (1 + math.sqrt(1 + 4 * momentum**2)) / 2
        ahead = at + (momentum - 1) / faster * (at - last)
        momentum = faster
    return at
