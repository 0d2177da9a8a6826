"""What a network sees of its own input beside the values themselves."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ddpm_cli.settings.knobs import Exponents


class fourier:  # noqa: N801  (a table is named as it is called in a config)
    """Fourier features of the noisy image, which tell neighbouring levels of pixels apart.

    sin(2^k pi z) and cos(2^k pi z) of each value z that a network is given, as channels beside
    the values (Kingma 2021, appendix C). exponents: those k. Bytes lie 2/255 apart: at 7, waves
    of one byte are opposite to those of the next.
    """

    def __init__(self, *, exponents: Exponents = [6, 7]) -> None:  # noqa: B006  (read, never changed)
        if len(set(exponents)) < len(exponents):
            raise ValueError("exponents name a wave twice; give each once")
        self.exponents = tuple(exponents)

    def channels(self, count: int) -> int:
        """How many channels stand beside `count` channels."""
        return 2 * len(self.exponents) * count

    def beside(self, network: nn.Module) -> nn.Module:
        """The same network, shown its features in front of a conditioning image at each call.

        It is made to see `channels` more, and the names of its weights stay.
        """
        network.forward = partial(_shown, network.forward, self.exponents)
        return network


def _shown(
    forward: Callable[..., Tensor],
    exponents: Sequence[int],
    x: Tensor,
    *inputs: Any,
    image: Tensor | None = None,
    **told: Any,
) -> Tensor:
    seen = waves(x, exponents)
    if image is not None:
        seen = torch.cat([seen, image.to(seen.dtype)], dim=1)
    return forward(x, *inputs, image=seen, **told)


def waves(z: Tensor, exponents: Sequence[int]) -> Tensor:
    """sin, then cos, of 2^k pi z for z [B, C, ...] and each k: [B, 2 K C, ...].

    In the number format of z, not that of weights: 16 bits would lose the fine waves.
    """
    angles = torch.cat([z * (2.0**k * math.pi) for k in exponents], dim=1)
    return torch.cat([angles.sin(), angles.cos()], dim=1)
