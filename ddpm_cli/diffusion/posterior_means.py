"""What methods of restoring have in common: gradients through the network, and what they need."""

from collections.abc import Callable

import torch
from torch import Tensor

from ddpm_cli.diffusion.denoiser import Denoise, Prediction, Wrapped
from ddpm_cli.diffusion.measuring import Measured, Operator, Spectral
from ddpm_cli.diffusion.shapes import double, rows

OTHERS = "pigdm or diffpir, or, where there is no noise, ddnm or dps"


class Traced:
    """A denoiser whose first prediction can be followed back to where it was made."""

    def __init__(self, denoise: Denoise) -> None:
        self.schedule = denoise.schedule
        self._denoise = denoise
        self._at: Tensor | None = None
        self._first: Prediction | None = None

    def __call__(self, x: Tensor, sigma: Tensor) -> Prediction:
        """Predict the clean image; where guides go back through here, it keeps its gradient."""
        if self._first is not None:
            return self._denoise(x, sigma)
        with torch.enable_grad():
            self._at = x if x.requires_grad else x.detach().requires_grad_()
            self._first = self._denoise(self._at, sigma)
        first = self._first
        return first if x.requires_grad else first._replace(x0=first.x0.detach())

    @property
    def first(self) -> Prediction:
        """The first prediction, with its clean image alone."""
        if self._first is None:
            raise ValueError("a step that asks for no prediction has none to follow back")
        return self._first._replace(x0=self._first.x0.detach())

    def slope(self, v: Tensor) -> Tensor:
        """(dD/dx)^T v at the first prediction D."""
        if self._first is None or self._at is None:
            raise ValueError("a step that asks for no prediction has none to follow back")
        x0 = self._first.x0
        (found,) = torch.autograd.grad(x0, self._at, v.detach(), retain_graph=True)
        return found.detach()


Shift = Callable[[Traced, Tensor, Tensor], Tensor]


def moved(shift: Shift) -> Callable[[Denoise], Denoise]:
    """A wrapper that moves each predicted image by shift(traced, x0, sigma^2 [B])."""

    def wrap(denoise: Denoise) -> Denoise:
        def call(x: Tensor, sigma: Tensor) -> Prediction:
            traced = Traced(denoise)
            prediction = traced(x, sigma)
            variance = rows(double(sigma), x).to(x) ** 2
            change = shift(traced, prediction.x0.detach(), variance)
            return prediction._replace(x0=prediction.x0 + change)

        return Wrapped(denoise, call)

    return wrap


def spectral(operator: Operator) -> Spectral:
    """An operator whose singular values are known; others are refused."""
    if not isinstance(operator, Spectral):
        if operator.is_linear:
            what, others = "these are not known of this operator", f"mmps, {OTHERS}"
        else:
            what, others = "JPEG has none", OTHERS
        raise ValueError(f"it needs singular values, and {what}; use {others}")
    return operator


def refuse_not_linear(seen: Measured) -> None:
    """Refuse an operator that is no linear map."""
    if not seen.operator.is_linear:
        raise ValueError(f"it needs a linear map, and JPEG is none; use {OTHERS}")
