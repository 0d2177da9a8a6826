"""Text that is told of an image, read by a transformer that is trained with the network.

It reads bytes, or what a frozen encoder says of a text.
"""

from collections.abc import Sequence
from typing import Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ddpm_cli.errors import ConfigError
from ddpm_cli.networks.conditions import Seen, whole
from ddpm_cli.networks.parts.layers import divided, lookup
from ddpm_cli.networks.parts.tokens import Mixing, Perceptron, normed
from ddpm_cli.settings.knobs import Fraction, Heads, TextDepth, TextLength, Width

END = -1  # behind the last byte, and all that there is of no text
BEGIN = 256  # before the first byte: an empty text is one, too
BYTES = "bytes"  # the encoder that is trained with the network


class Said(Protocol):
    """What an encoder that is not trained says of texts: at most `length` tokens [D]."""

    @property
    def width(self) -> int: ...

    @property
    def length(self) -> int: ...

    def rows(self, texts: Sequence[str | None]) -> Tensor:
        """Rows [N, length, D] of floats, NaN behind the end of a text; all of no text."""

    def shortened(self, texts: Sequence[str]) -> list[str]:
        """Those texts that are cut."""


class text:  # noqa: N801  (a table is named as it is called in a config)
    """Text of each image, in any language; an empty one is a text, unlike none.

    encoder: of the UTF-8 bytes themselves, or a frozen one: the text tower of a CLIP model of
    open_clip, or a folder of transformers, as T5. model: that one, a folder, or for clip
    ARCHITECTURE/WEIGHTS in the hub's cache. form: what the network gets: one vector (pooled), a
    sequence to attend to, or both (Nichol 2022, GLIDE); pooled is of a frozen encoder its own one
    vector. length: bytes or tokens that are read; what is longer is cut off, perhaps amid a
    character. width, depth, heads: of the transformer that is trained on top of these. drop: how
    often no text is told.
    """

    drop_each = 0.0

    def __init__(
        self,
        said: Said | None = None,
        *,
        encoder: Literal["bytes", "clip", "transformers"] = "bytes",
        model: str = "",
        form: Literal["pooled", "sequence", "both"] = "both",
        length: TextLength = 64,
        width: Width = 128,
        depth: TextDepth = 2,
        heads: Heads = 4,
        drop: Fraction = 0.1,
    ) -> None:
        if model and encoder == BYTES:
            fix = "set text.encoder=clip or transformers, too, or leave it out"
            raise ConfigError(f"text.model: of no use for encoder {BYTES}; {fix}")
        divided(width, heads, "text.heads")
        self.null = torch.full((length,), END, dtype=torch.int16, device="cpu")
        if said is not None:
            self.null = said.rows([None])[0]
        self.drop, self.length = drop, len(self.null)
        self.tokens = 0 if form == "pooled" else width
        self._said, self._form = said, form
        self._shape = {"width": width, "depth": depth, "heads": heads}

    def rows(self, texts: Sequence[str | None]) -> Tensor:
        """Texts, or None, as rows [N, length] of bytes, or [N, length, D] of frozen tokens."""
        if self._said is not None:
            return self._said.rows(texts)
        rows = self.null.expand(len(texts), -1).clone()
        for row, written in zip(rows, texts, strict=True):
            if written is not None:
                units = _units(written)[: self.length]
                row[: len(units)] = torch.tensor(units, dtype=torch.int16)
        return rows

    def cut(self, texts: Sequence[str | None]) -> str:
        """What is to be said of texts that are longer than what is read; empty if none is."""
        written = list(dict.fromkeys(one for one in texts if one is not None))
        if self._said is not None:
            long, unit = self._said.shortened(written), "tokens"
        else:
            long, unit = [one for one in written if len(_units(one)) > self.length], "bytes"
        if not long:
            return ""
        many = f"{len(long)} of {len(written)} texts are" if len(written) > 1 else "the text is"
        what = f"text.length: {many} longer than {self.length} {unit}, and cut there"
        return f"{what}, as {max(long, key=len)[:60]!r}"

    def module(self, width: int) -> nn.Module:
        """The part of a network that reads it, with vectors of this width."""
        outside = None if self._said is None else self._said.width
        return Reader(self.length, width, self._form, outside, **self._shape)


def _units(written: str) -> list[int]:
    """The beginning and the bytes of a text."""
    return [BEGIN, *written.encode("utf-8", "replace")]


class Reader(nn.Module):
    """Rows of bytes, or of tokens `outside` wide -> a vector, tokens, or both, as `form` says."""

    def __init__(
        self,
        length: int,
        out: int,
        form: str,
        outside: int | None = None,
        *,
        width: int,
        depth: int,
        heads: int,
    ) -> None:
        super().__init__()
        self.form = form
        self.stem = Bytes(length, width) if outside is None else Outside(outside, width)
        self.layers = nn.ModuleList(Layer(width, heads) for _ in range(depth))
        self.project = nn.Linear(width, out) if form != "sequence" else None

    def forward(self, rows: Tensor) -> Seen:
        """Rows [B, L] of bytes, or [B, L, D] -> Seen."""
        h, present = self.stem(rows)
        for layer in self.layers:
            h = layer(h, present)
        tokens = normed(h, "layer")
        vector = None
        if self.project is not None:
            vector = self.project(pooled(tokens, present))
        if self.form == "pooled":
            return Seen(vector)
        return Seen(vector, tokens, present)


class Bytes(nn.Module):
    """UTF-8 bytes and where they stand: [B, L] -> tokens [B, L, D].

    No text is one learned token in the first place.
    """

    def __init__(self, length: int, width: int) -> None:
        super().__init__()
        self.embed = lookup(BEGIN + 2, width)  # bytes, the beginning, and no text
        self.places = lookup(length, width)

    def forward(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Rows int [B, L], END behind a text -> tokens [B, L, D] and which are there [B, L]."""
        present, nothing = _there(rows != END)
        numbers = rows.long().masked_fill(~present, 0).masked_fill(nothing, BEGIN + 1)
        return self.embed(numbers) + self.places.weight, present


class Outside(nn.Module):
    """Tokens [B, L, E] of a frozen encoder in another width: [B, L, D]; no text is a learned one.

    They are normalized first, as encoders differ in scale: T5's are a tenth of CLIP's.
    """

    def __init__(self, outside: int, width: int) -> None:
        super().__init__()
        self.project = nn.Linear(outside, width)
        self.nothing = lookup(1, width)

    def forward(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Rows [B, L, E], NaN behind a text -> tokens [B, L, D] and which are there [B, L]."""
        present, nothing = _there(whole(rows))
        told = rows.to(self.project.weight.dtype).nan_to_num(0.0)
        h = self.project(normed(told, "layer"))
        return torch.where(nothing[..., None], self.nothing.weight.to(h.dtype), h), present


def _there(told: Tensor) -> tuple[Tensor, Tensor]:
    """Which tokens [B, L] are there, of those that are told, and which stand for no text."""
    first = torch.zeros_like(told)
    first[:, 0] = True
    nothing = first & ~told
    return told | nothing, nothing


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
