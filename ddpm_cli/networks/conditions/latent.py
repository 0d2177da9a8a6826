"""What a generator draws beside the noisy image, so that it may answer variously."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ddpm_cli.networks.conditions import Seen
from ddpm_cli.settings.knobs import HeadWidth, TextDepth

TINY = 1e-8


class latent:  # noqa: N801  (a table is named as it is called in a config)
    """Unit normals that the generator of a denoising diffusion GAN sees at each step (Xiao 2022).

    Without them its answer to a noisy image is one image, and each step can reach one mode alone.
    size: how many there are, 0 for none. depth: hidden layers of the perceptron that reads them.
    """

    tokens = 0
    drop = drop_each = 0.0

    def __init__(self, *, size: HeadWidth = 100, depth: TextDepth = 2) -> None:
        self.null = torch.zeros(size, device="cpu")
        self.depth = depth

    def module(self, width: int) -> nn.Module:
        """The part of a network that reads them, with vectors of this width."""
        return Mapping(len(self.null), width, self.depth)


class Mapping(nn.Module):
    """Latents [B, L], of unit length a number, -> vectors [B, E] by a perceptron (Karras 2019)."""

    def __init__(self, size: int, width: int, depth: int) -> None:
        super().__init__()
        widths = [size, *[width] * depth]
        self.layers = nn.ModuleList(nn.Linear(*pair) for pair in pairwise(widths))
        self.out = nn.Linear(widths[-1], width)

    def forward(self, rows: Tensor) -> Seen:
        """Rows [B, L] -> Seen with a vector; zeros are the middle of all."""
        rows = rows.to(self.out.weight.dtype)
        h = rows * (rows.square().mean(-1, keepdim=True) + TINY).rsqrt()
        for layer in self.layers:
            h = F.silu(layer(h))
        return Seen(self.out(h))
