"""Parts of transformers on tokens [B, N, D]: where tokens stand, attention, adaptive blocks."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ddpm_cli.networks.conditions import NOTHING, Seen
from ddpm_cli.networks.parts.attention import CrossAttention, attend
from ddpm_cli.networks.parts.embeddings import sinusoid
from ddpm_cli.networks.parts.layers import zero

EPSILON = 1e-6  # of all norms here, as in DiT
PERIOD = 100.0  # of the slowest rotation, in tokens: images are not long (Heo 2024)


def xavier(layer: nn.Linear) -> nn.Linear:
    """Draw weights as Glorot 2010 does, uniformly, and start without a bias (Peebles 2023)."""
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def small(layer: nn.Linear) -> nn.Linear:
    """Draw weights of standard deviation 0.02 and start without a bias (Peebles 2023)."""
    nn.init.uniform_(layer.weight, -0.02 * 3**0.5, 0.02 * 3**0.5)
    nn.init.zeros_(layer.bias)
    return layer


def apart(stem: nn.Conv2d) -> nn.Conv2d:
    """Read patches of pixels evenly, and their neighbours not at all, until it is learned.

    What a patch says then arrives undiluted, which the low noise levels need.
    """
    bound = stem.in_channels**-0.5
    centre = [side // 2 for side in stem.kernel_size]
    nn.init.zeros_(stem.weight)
    nn.init.uniform_(stem.weight[:, :, centre[0], centre[1]].detach(), -bound, bound)
    return stem


def places(rows: int, columns: int, width: int, device: torch.device) -> Tensor:
    """Sines and cosines of where each token stands, [rows * columns, width] (Peebles 2023).

    One half of the width is for the column, one for the row.  Rounded to float32, as files of
    DiT hold them.
    """
    return _grid(rows, columns, width // 2, 10000.0, device).float()


def rotations(rows: int, columns: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosines and sines [rows * columns, width / 2] that turn queries and keys (Su 2021).

    Half of the pairs turn with the column, half with the row (Heo 2024, axial).
    """
    across_sin, across_cos, down_sin, down_cos = _grid(
        rows, columns, width // 2, PERIOD, device
    ).chunk(4, dim=1)
    cosines, sines = (across_cos, down_cos), (across_sin, down_sin)
    return torch.cat(cosines, 1).float(), torch.cat(sines, 1).float()


def _grid(rows: int, columns: int, width: int, period: float, device: torch.device) -> Tensor:
    """[sin, cos] of the column, then of the row, each `width` wide: [rows * columns, 2 width]."""
    wide = torch.float32 if device.type == "mps" else torch.float64

    def waves(count: int) -> Tensor:
        at = torch.arange(count, dtype=wide, device=device)
        return sinusoid(at, width, period).roll(width // 2, 1)

    across = waves(columns).expand(rows, columns, width)
    down = waves(rows)[:, None].expand(rows, columns, width)
    return torch.cat([across, down], dim=2).reshape(rows * columns, 2 * width)


def turned(x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """x [..., N, d] with its pairs (i, i + d / 2) turned by the angles of each token."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cosines - second * sines, second * cosines + first * sines], dim=-1)


def normed(x: Tensor, kind: str) -> Tensor:
    """Each token of unit variance ("layer") or unit mean square ("rms"), without weights."""
    if kind == "rms":
        return F.rms_norm(x, x.shape[-1:], eps=EPSILON)
    return F.layer_norm(x, x.shape[-1:], eps=EPSILON)


class Mixing(nn.Module):
    """Attention among all tokens of an image.

    qk_norm: queries and keys of unit mean square times a learned gain, which keeps the softmax
    from saturating (Dehghani 2023).
    """

    def __init__(self, width: int, *, heads: int, qk_norm: bool, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = xavier(nn.Linear(width, 3 * width))
        self.gains = nn.Parameter(torch.ones(2, width // heads)) if qk_norm else None
        self.dropout = nn.Dropout(dropout)
        self.project = xavier(nn.Linear(width, width))

    def forward(
        self, x: Tensor, turns: tuple[Tensor, Tensor] | None, seen: Tensor | None = None
    ) -> Tensor:
        """x [B, N, D], cosines and sines of `rotations` or None -> [B, N, D].

        seen: which tokens others see, bool [B, 1, 1, N]; None of all.
        """
        batch, count, width = x.shape
        parts = self.qkv(x).reshape(batch, count, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        query, key, value = parts
        if self.gains is not None:
            query, key = (
                F.rms_norm(part, part.shape[-1:], gain.to(part.dtype), EPSILON)
                for part, gain in zip((query, key), self.gains, strict=True)
            )
        if turns is not None:
            cosines, sines = (angles.to(value.dtype) for angles in turns)
            query, key = turned(query, cosines, sines), turned(key, cosines, sines)
        mixed = attend(query, key, value, seen=seen)
        mixed = mixed.transpose(1, 2).reshape(batch, count, width)
        out: Tensor = self.project(self.dropout(mixed))
        return out


class Perceptron(nn.Module):
    """Two layers on each token alone, with a GELU between them, or gated as SwiGLU.

    The gate takes a third layer, so a gated one is two thirds as wide (Shazeer 2020).
    """

    def __init__(self, width: int, *, ratio: float, activation: str, dropout: float) -> None:
        super().__init__()
        self.gated = activation == "swiglu"
        # The exact GELU takes a third of the time of the one that DiT's weights want, on CPUs.
        self.approximate = "tanh" if activation == "gelu-tanh" else "none"
        hidden = math.ceil(ratio * width * 2 / 3 / 8) * 8 if self.gated else round(ratio * width)
        hidden = max(hidden, 1)
        self.expand = xavier(nn.Linear(width, 2 * hidden if self.gated else hidden))
        self.dropout = nn.Dropout(dropout)
        self.project = xavier(nn.Linear(hidden, width))

    def forward(self, x: Tensor) -> Tensor:
        """x [B, N, D] -> the same shape."""
        h = self.expand(x)
        if self.gated:
            gate, h = h.chunk(2, dim=-1)
            h = F.silu(gate) * h
        else:
            h = F.gelu(h, approximate=self.approximate)
        out: Tensor = self.project(self.dropout(h))
        return out


class AdaptiveBlock(nn.Module):
    """Attention and perceptron whose norms and gates follow the noise level: adaLN-zero.

    x + gate * branch(shift + (1 + scale) * norm(x)), every gate 0 at first (Peebles 2023).
    tokens: how wide what is told is, which is seen between the two, at first without effect
    (Chen 2024, PixArt-alpha); 0 of nothing.
    """

    def __init__(
        self,
        width: int,
        *,
        heads: int,
        ratio: float,
        norm: str,
        activation: str,
        qk_norm: bool,
        dropout: float,
        tokens: int = 0,
    ) -> None:
        super().__init__()
        self.norm = norm
        self.modulate = zero(nn.Linear(width, 6 * width))
        self.mix = Mixing(width, heads=heads, qk_norm=qk_norm, dropout=dropout)
        self.cross = CrossAttention(width, tokens, heads=heads) if tokens else None
        self.perceptron = Perceptron(width, ratio=ratio, activation=activation, dropout=dropout)

    def forward(
        self,
        x: Tensor,
        embedding: Tensor,
        turns: tuple[Tensor, Tensor] | None,
        seen: Seen = NOTHING,
    ) -> Tensor:
        """x [B, N, D], embedding [B, D] already activated, what is told -> [B, N, D]."""
        shift, scale, gate, *rest = self.modulate(embedding)[:, None].chunk(6, dim=-1)
        h = torch.addcmul(shift, normed(x, self.norm), 1 + scale)
        x = torch.addcmul(x, gate, self.mix(h, turns))
        if self.cross is not None and seen.tokens is not None and seen.present is not None:
            x = x + self.cross(normed(x, self.norm), seen.tokens, seen.present)
        shift, scale, gate = rest
        h = torch.addcmul(shift, normed(x, self.norm), 1 + scale)
        return torch.addcmul(x, gate, self.perceptron(h))
