"""Text that is told of an image, read byte by byte by a transformer trained with the network."""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ddpm_cli.networks.conditions import Seen
from ddpm_cli.networks.parts.layers import lookup
from ddpm_cli.networks.parts.tokens import Mixing, Perceptron, normed
from ddpm_cli.settings.knobs import Depth, Fraction, Heads, TextLength, Width

END = -1  # behind the last byte, and all that there is of no text
BEGIN = 256  # before the first byte: an empty text is one, too


class text:  # noqa: N801  (a table is named as it is called in a config)
    """Text of each image, as UTF-8; an empty one is a text, unlike none.

    encoder: a transformer over bytes that is trained with the network, of any language. form: what
    the network gets: one vector (pooled), a sequence to attend to, or both (Nichol 2022, GLIDE).
    length: bytes that are read, what is longer is cut off. width, depth, heads: of the
    transformer. drop: how often no text is told.
    """

    drop_each = 0.0

    def __init__(
        self,
        *,
        encoder: Literal["bytes"] = "bytes",
        form: Literal["pooled", "sequence", "both"] = "both",
        length: TextLength = 64,
        width: Width = 128,
        depth: Depth = 2,
        heads: Heads = 4,
        drop: Fraction = 0.1,
    ) -> None:
        self.null = torch.full((length,), END, dtype=torch.int16, device="cpu")
        self.drop, self.length = drop, length
        self.tokens = 0 if form == "pooled" else width
        self._form = form
        self._shape = {"width": width, "depth": depth, "heads": heads}

    def rows(self, texts: Sequence[str | None]) -> Tensor:
        """Texts as rows int16 [N, length]; None is no text."""
        rows = self.null.expand(len(texts), -1).clone()
        for row, written in zip(rows, texts, strict=True):
            if written is not None:
                units = [BEGIN, *written.encode("utf-8", "replace")][: self.length]
                row[: len(units)] = torch.tensor(units, dtype=torch.int16)
        return rows

    def module(self, width: int) -> nn.Module:
        """The part of a network that reads it, with vectors of this width."""
        return Reader(self.length, width, self._form, **self._shape)


class Reader(nn.Module):
    """Rows of bytes -> a vector, tokens, or both, as `form` says."""

    def __init__(
        self, length: int, out: int, form: str, *, width: int, depth: int, heads: int
    ) -> None:
        super().__init__()
        self.form = form
        self.encode = Bytes(length, width=width, depth=depth, heads=heads)
        self.project = nn.Linear(width, out) if form != "sequence" else None

    def forward(self, rows: Tensor) -> Seen:
        """Rows [B, L] of bytes -> Seen."""
        tokens, present = self.encode(rows)
        vector = None
        if self.project is not None:
            vector = self.project(pooled(tokens, present))
        if self.form == "pooled":
            return Seen(vector)
        return Seen(vector, tokens, present)


class Bytes(nn.Module):
    """A transformer over UTF-8 bytes (Vaswani 2017, norms first): [B, L] -> tokens [B, L, D].

    No text is one learned token in the first place.
    """

    def __init__(self, length: int, *, width: int, depth: int, heads: int) -> None:
        super().__init__()
        self.embed = lookup(BEGIN + 2, width)  # bytes, the beginning, and no text
        self.places = lookup(length, width)
        self.layers = nn.ModuleList(Layer(width, heads) for _ in range(depth))

    def forward(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Rows int [B, L], END behind a text -> tokens [B, L, D] and which are there [B, L]."""
        present = rows != END
        first = torch.zeros_like(present)
        first[:, 0] = True
        nothing = first & ~present
        numbers = rows.long().masked_fill(~present, 0).masked_fill(nothing, BEGIN + 1)
        present = present | nothing
        h = self.embed(numbers) + self.places.weight
        for layer in self.layers:
            h = layer(h, present)
        return normed(h, "layer"), present


class Layer(nn.Module):
    """Attention among the tokens that are there, and a perceptron, each added."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.mix = Mixing(width, heads=heads, qk_norm=False, dropout=0.0)
        self.perceptron = Perceptron(width, ratio=4.0, activation="gelu", dropout=0.0)

    def forward(self, h: Tensor, present: Tensor) -> Tensor:
        """h [B, L, D], present [B, L] -> the same shape as h."""
        h = h + self.mix(normed(h, "layer"), None, seen=present[:, None, None])
        out: Tensor = h + self.perceptron(normed(h, "layer"))
        return out


def pooled(tokens: Tensor, present: Tensor) -> Tensor:
    """The mean [B, D] of the tokens [B, L, D] that are there."""
    weight = present.to(tokens.dtype)[..., None]
    mean: Tensor = (tokens * weight).sum(1) / weight.sum(1)
    return F.layer_norm(mean, mean.shape[-1:])
