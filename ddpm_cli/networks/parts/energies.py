"""Networks whose answer is the slope of a number: energies."""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

Form = Literal["distance", "product"]


class energy:  # noqa: N801  (a table is named as it is called in a config)
    """A network that answers with a gradient, so that its score is that of a density.

    form: the number whose gradient it is, of what the network f makes of the noisy image z:
    z f(z) - |f(z)|^2 / 2, which is |z|^2 / 2 less half the squared distance of f(z) to z (Salimans
    2021), or z f(z) alone (product).
    """

    def __init__(self, *, form: Form = "distance") -> None:
        self.form: Form = form

    def around(self, network: nn.Module, channels: int) -> nn.Module:
        """The same network with a slope for its answer; the names of its weights stay.

        channels: of an image; what the network says beside is passed on.
        """
        network.forward = partial(_slope, network.forward, channels, self.form)
        return network


def number(z: Tensor, f: Tensor, form: Form) -> Tensor:
    """The number [B] whose gradient with respect to z the answer is, up to a sign and a scale."""
    each = z * f if form == "product" else z * f - f**2 / 2
    return each.flatten(1).sum(1)


def _slope(
    forward: Callable[..., Tensor], channels: int, form: Form, z: Tensor, *told: Any, **more: Any
) -> Tensor:
    """f + J^T (z - f), or f + J^T z, in one forward and one backward pass."""

    def split(z: Tensor) -> tuple[Tensor, Tensor]:
        out = forward(z, *told, **more)
        return out[:, :channels], out[:, channels:]

    with sdpa_kernel(SDPBackend.MATH):  # fused kernels have no second derivative
        f, pull, rest = torch.func.vjp(split, z, has_aux=True)  # type: ignore[misc]
        seen = z.to(f.dtype)
        (slope,) = pull(seen if form == "product" else seen - f)
    return torch.cat([f + slope.to(f.dtype), rest], dim=1)
