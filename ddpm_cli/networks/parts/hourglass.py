"""Parts of the hourglass transformer on grids of tokens [B, H, W, D] (Crowson 2024, HDiT)."""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ddpm_cli.errors import ConfigError
from ddpm_cli.networks.parts import regions
from ddpm_cli.networks.parts.attention import attend
from ddpm_cli.networks.parts.embeddings import exactly
from ddpm_cli.networks.parts.layers import zero
from ddpm_cli.networks.parts.regions import Tiles
from ddpm_cli.networks.parts.tokens import EPSILON, normed, turned

SHARPNESS = 10.0  # of attention at first: what the cosine of a query and a key is multiplied by
SLOWEST, FASTEST = math.pi, 10 * math.pi  # rotations, over half of an image that is square


class Attending(NamedTuple):
    """How the tokens of a level see each other.

    kind: all of them ("global"), those of a window that is shifted in every other block
    ("window"), those around each ("neighborhood") or themselves alone ("none"); head: channels of
    a head; reach: tokens along a side of a window or a neighbourhood.
    """

    kind: str
    head: int
    reach: int


class Rms(nn.Module):
    """Each token of unit mean square, times a learned gain."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """x [..., D] -> the same shape."""
        return F.rms_norm(x, x.shape[-1:], self.gain.to(x.dtype), EPSILON)


class Gated(nn.Module):
    """Two layers on each token alone without biases, gated as GEGLU: a GELU(b) (Shazeer 2020)."""

    def __init__(self, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.expand = nn.Linear(width, 2 * hidden, bias=False)
        self.dropout = nn.Dropout(dropout)
        self.project = zero(nn.Linear(hidden, width, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """x [..., D] -> the same shape."""
        h, gate = self.expand(x).chunk(2, dim=-1)
        out: Tensor = self.project(self.dropout(h * F.gelu(gate)))
        return out


class Mapping(nn.Module):
    """What all blocks are told: gated perceptrons on the sum of the conditions, between norms."""

    def __init__(self, width: int, depth: int, hidden: int) -> None:
        super().__init__()
        self.first, self.last = Rms(width), Rms(width)
        self.norms = nn.ModuleList(Rms(width) for _ in range(depth))
        self.blocks = nn.ModuleList(Gated(width, hidden, 0.0) for _ in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        """[B, M] -> [B, M]."""
        x = self.first(x)
        for norm, block in zip(self.norms, self.blocks, strict=True):
            x = x + block(norm(x))
        out: Tensor = self.last(x)
        return out


class Rotation(nn.Module):
    """Turns half of the channels of queries and keys by where a token stands (Su 2021, axial).

    Each head has frequencies of its own, from SLOWEST to FASTEST evenly in their logarithm, half
    for the row and half for the column. They are kept in the checkpoint.
    """

    frequencies: Tensor
    _apply = exactly

    def __init__(self, heads: int, head: int) -> None:
        super().__init__()
        count = heads * (head // 8)
        at = torch.arange(count) / max(count, 1)
        values = (math.log(SLOWEST) + at * math.log(FASTEST / SLOWEST)).exp()
        self.register_buffer("frequencies", values.reshape(head // 8, heads).T.contiguous())

    def forward(self, x: Tensor, places: tuple[Tensor, Tensor]) -> Tensor:
        """x [B, heads, H, W, d] at rows [H] and columns [W] of `standing`."""
        rows, columns = places
        turns = self.frequencies.to(rows.dtype)[:, None, None]
        down = (turns * rows[:, None, None]).expand(-1, -1, len(columns), -1)
        across = (turns * columns[:, None]).expand(-1, len(rows), -1, -1)
        angles = torch.cat([down, across], dim=-1)
        half = 2 * angles.shape[-1]
        moved = turned(x[..., :half], angles.cos().to(x.dtype), angles.sin().to(x.dtype))
        return torch.cat([moved, x[..., half:]], dim=-1)


def standing(rows: int, columns: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Where the centres of rows [H] and columns [W] of tokens lie; the longer side is [-1, 1]."""
    wide = torch.float64 if like.dtype == torch.float64 else torch.float32
    down, across = (
        (2 * torch.arange(count, device=like.device, dtype=wide) + 1 - count) / max(rows, columns)
        for count in (rows, columns)
    )
    return down, across


class CosineAttention(nn.Module):
    """Attention by the cosine of queries and keys, times a learned sharpness of each head.

    shifted: windows begin half a window before the image.
    """

    def __init__(self, width: int, attending: Attending, *, shifted: bool, dropout: float) -> None:
        super().__init__()
        heads = _heads(width, attending.head)
        self.kind, self.reach, self.heads = attending.kind, attending.reach, heads
        self.shift = attending.reach // 2 if shifted else 0
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.sharpness = nn.Parameter(torch.full([heads], SHARPNESS))
        self.rotation = Rotation(heads, width // heads)
        self.dropout = nn.Dropout(dropout)
        self.project = zero(nn.Linear(width, width, bias=False))

    def forward(self, x: Tensor, places: tuple[Tensor, Tensor]) -> Tensor:
        """x [B, H, W, D] -> the same shape."""
        batch, rows, columns, width = x.shape
        parts = self.qkv(x).reshape(batch, rows, columns, 3, self.heads, -1)
        query, key, value = parts.permute(3, 0, 4, 1, 2, 5)
        root = self.sharpness.to(x.dtype).sqrt()[:, None, None, None]
        query, key = (
            self.rotation(root * part * _inverse_length(part), places) for part in (query, key)
        )
        mixed = self._mixed(query, key, value).reshape(batch, self.heads, rows, columns, -1)
        mixed = mixed.permute(0, 2, 3, 1, 4).reshape(batch, rows, columns, width)
        out: Tensor = self.project(self.dropout(mixed))
        return out

    def _mixed(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """softmax(q k^T) v over what each token [B, heads, H, W, d] sees."""
        if self.kind == "global":
            query, key, value = (part.flatten(2, 3) for part in (query, key, value))
            return attend(query, key, value, scale=1.0)
        down, across = (self._tiles(count, query.device) for count in query.shape[2:4])
        return regions.attend_within(query, key, value, down, across)

    def _tiles(self, count: int, device: torch.device) -> Tiles:
        """What tokens see along an axis of so many."""
        if self.kind == "window":
            return regions.windows(count, self.reach, self.shift, device)
        return regions.neighbours(count, self.reach, device)


def _heads(width: int, head: int) -> int:
    if width % head:
        fix = "choose a width that does"
        raise ConfigError(f"network.head_widths: {head} does not divide {width} channels; {fix}")
    return width // head


def _inverse_length(x: Tensor) -> Tensor:
    return (x.square().sum(-1, keepdim=True) + EPSILON).rsqrt()


class HourglassBlock(nn.Module):
    """Attention and a gated perceptron, whose norms follow the conditions: x + branch(norm(x))."""

    def __init__(
        self,
        width: int,
        hidden: int,
        told: int,
        attending: Attending,
        *,
        shifted: bool,
        dropout: float,
    ) -> None:
        super().__init__()
        self.mix: CosineAttention | None = None
        if attending.kind != "none":
            self.before_mix = zero(nn.Linear(told, width, bias=False))
            self.mix = CosineAttention(width, attending, shifted=shifted, dropout=dropout)
        self.before_perceptron = zero(nn.Linear(told, width, bias=False))
        self.perceptron = Gated(width, hidden, dropout)

    def forward(self, x: Tensor, condition: Tensor, places: tuple[Tensor, Tensor]) -> Tensor:
        """x [B, H, W, D], condition [B, M], places of `standing` -> [B, H, W, D]."""
        if self.mix is not None:
            x = x + self.mix(_told(x, self.before_mix(condition)), places)
        out: Tensor = x + self.perceptron(_told(x, self.before_perceptron(condition)))
        return out


def _told(x: Tensor, scale: Tensor) -> Tensor:
    """x [B, H, W, D] of unit mean square, times 1 + scale [B, D]."""
    return normed(x, "rms") * (1 + scale[:, None, None])


class Level(nn.Module):
    """Blocks in a row at one resolution."""

    def __init__(self, blocks: list[HourglassBlock]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """x [B, H, W, D], condition [B, M] -> [B, H, W, D]."""
        places = standing(x.shape[1], x.shape[2], x)
        for block in self.blocks:
            x = block(x, condition, places)
        return x


class Merge(nn.Module):
    """2x2 tokens become one."""

    def __init__(self, width_in: int, width: int) -> None:
        super().__init__()
        self.project = nn.Linear(4 * width_in, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B, H, W, D] -> [B, H / 2, W / 2, width]."""
        batch, rows, columns, width = x.shape
        x = x.reshape(batch, rows // 2, 2, columns // 2, 2, width).transpose(2, 3)
        out: Tensor = self.project(x.reshape(batch, rows // 2, columns // 2, 4 * width))
        return out


class Split(nn.Module):
    """One token becomes 2x2, mixed with those of the way down by a learned share."""

    def __init__(self, width_in: int, width: int) -> None:
        super().__init__()
        self.project = nn.Linear(width_in, 4 * width, bias=False)
        self.share = nn.Parameter(torch.full([1], 0.5))

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """x [B, H / 2, W / 2, D], skip [B, H, W, width] -> [B, H, W, width]."""
        batch, rows, columns, _ = x.shape
        x = self.project(x).reshape(batch, rows, columns, 2, 2, -1).transpose(2, 3)
        return torch.lerp(skip, x.reshape(skip.shape), self.share.to(x.dtype))
