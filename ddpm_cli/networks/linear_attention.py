"""A U-Net that attends at every level, at most of them at a cost linear in the pixels."""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ddpm_cli.errors import ConfigError
from ddpm_cli.networks.parts.embeddings import as_exact, sinusoid
from ddpm_cli.networks.parts.layers import (
    beside,
    dense,
    layout,
    lookup,
    refuse_no_images,
    with_classes,
    zero,
)
from ddpm_cli.networks.parts.postnorm import Ascent, Descent, Halving, Parts
from ddpm_cli.networks.parts.stages import widths_of
from ddpm_cli.settings.knobs import (
    Classes,
    Few,
    Fraction,
    LevelHeads,
    Levels,
    LevelWidths,
    Memory,
    Multipliers,
    Scale,
    StemWidth,
    Width,
)


class linear_attention_unet(nn.Module):  # noqa: N801  (a component is named as in a config)
    """U-Net that attends at every level, with linear attention but where `full` says.

    The network of denoising-diffusion-pytorch (github.com/lucidrains): blocks of convolution,
    norm, scale and shift, SiLU; attention also over learned tokens, `memory` of them; two skips
    a level, and one from the stem to the last block.
    shape: [C, H, W] of the images; extra: channels of a conditioning image, seen beside the noisy
    one. stem_width: of the first convolution, 0 for the width. full: the levels with full
    attention, 0 that of the whole image; the middle always has it. heads, head_width: of all
    attention; level_heads, level_head_widths: of those at the levels, one each, if they differ.
    embedding: of the label, by sinusoids whose last frequency is 1/theta, or by `frequencies`
    learned ones. downsample: 2x2 pixels become channels, or a 4x4 convolution of stride 2.
    self_condition: the network also sees an estimate of the clean image (Chen 2022); walks give
    it none, which is zeros, as in half of its training. classes, learned_variance: as for unet.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        extra: int = 0,
        *,
        width: Width = 64,
        multipliers: Multipliers = [1, 2, 4],  # noqa: B006  (read, never changed)
        stem_width: StemWidth = 0,
        full: Levels = [2],  # noqa: B006
        heads: Few = 4,
        head_width: Width = 32,
        level_heads: LevelHeads = [],  # noqa: B006
        level_head_widths: LevelWidths = [],  # noqa: B006
        memory: Memory = 4,
        dropout: Fraction = 0.0,
        classes: Classes = 0,
        embedding: Literal["sinusoid", "learned"] = "sinusoid",
        theta: Scale = 10000.0,
        frequencies: Width = 8,
        downsample: Literal["fold", "conv"] = "fold",
        self_condition: bool = False,
        norm: Literal["rms", "group"] = "rms",
        groups: Width = 8,
        learned_variance: bool = False,
    ) -> None:
        super().__init__()
        refuse_no_images(shape)
        channels, depth = shape[0], len(multipliers)
        self.classes, self.width, self.theta = classes, width, theta
        self.extra, self.self_condition, self.patch = extra, self_condition, 1
        self.layout = layout("pixel" if norm == "rms" else norm)
        stem, embedded = stem_width or width, 4 * width
        many = _of_levels("level_heads", level_heads, heads, depth)
        wide = _of_levels("level_head_widths", level_head_widths, head_width, depth)

        self.learned = Frequencies(frequencies) if embedding == "learned" else None
        features = 2 * frequencies + 1 if embedding == "learned" else width
        self.embed = _perceptron(features, embedded)
        # The last row is the null class: what label dropout and guidance use.
        self.class_embed = lookup(classes + 1, width) if classes else None
        self.class_perceptron = _perceptron(width, embedded) if classes else None
        parts = Parts((2 if classes else 1) * embedded, dropout, norm, groups, memory)
        widths = [stem, *widths_of(width, multipliers)]

        seen = channels * (2 if self_condition else 1) + extra
        self.stem = nn.Conv2d(seen, stem, 7, padding=3)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for level, (now, on) in enumerate(pairwise(widths)):
            last, linear = level == depth - 1, level not in full
            lead = nn.Conv2d(now, on, 3, padding=1) if last else Halving(now, on, downsample)
            one, two = parts.block(now, now), parts.block(now, now)
            attend = parts.attend(now, many[level], wide[level], linear)
            self.down.append(Descent(one, two, attend, lead))
        now = widths[-1]
        self.middle = nn.ModuleList(
            [parts.block(now, now), parts.attend(now, heads, head_width, False),
             parts.block(now, now)]
        )  # fmt: skip
        for level, (on, now) in reversed(list(enumerate(pairwise(widths)))):
            one, two = parts.block(now + on, now), parts.block(now + on, now)
            attend = parts.attend(now, many[level], wide[level], level not in full)
            self.up.append(Ascent(one, two, attend, nn.Conv2d(now, on, 3, padding=1)))
        self.last = parts.block(2 * stem, stem)
        self.out = zero(nn.Conv2d(stem, (2 if learned_variance else 1) * channels, 1))

    def forward(
        self,
        x: Tensor,
        label: Tensor,
        classes: Tensor | None = None,
        image: Tensor | None = None,
        estimate: Tensor | None = None,
    ) -> Tensor:
        """x [B, C, H, W], noise label [B], classes [B] (None: null class) -> [B, out, H, W].

        image: the conditioning image [B, extra, H, W]; estimate: the clean image [B, C, H, W] as
        it was predicted before, if the network is to see one, None for zeros.
        """
        embedding = self._embedded(label, classes)
        x = x.to(self.dtype)
        if self.self_condition:
            before = torch.zeros_like(x) if estimate is None else estimate.to(x.dtype)
            x = torch.cat([before, x], dim=1)
        x = beside(x, image)
        h = stem = self.stem(dense(x, self.layout))
        skips: list[tuple[Tensor, Tensor]] = []
        for level in self.down:
            h, early, late = level(h, embedding)
            skips.append((early, late))
        first, attend, second = self.middle
        h = second(attend(first(h, embedding)), embedding)
        for level in self.up:
            early, late = skips.pop()
            size = (skips[-1][0] if skips else early).shape[-2:]
            h = level(h, early, late, embedding, size)
        out: Tensor = self.out(self.last(torch.cat([h, stem], dim=1), embedding))
        return out

    @property
    def dtype(self) -> torch.dtype:
        """The number format of the weights."""
        return self.stem.weight.dtype

    def _embedded(self, label: Tensor, classes: Tensor | None) -> Tensor:
        """The noise label and the class as one vector [B, 4 width or 8 width], activated."""
        dtype = self.dtype
        label = as_exact(label, self.stem.weight)
        features = (
            self.learned(label)
            if self.learned is not None
            else sinusoid(label, self.width, self.theta, endpoint=True)
        )
        embedding: Tensor = self.embed(features.to(dtype))
        if self.class_perceptron is not None:
            none = torch.zeros(len(label), self.width, dtype=dtype, device=label.device)
            of_class = self.class_perceptron(with_classes(none, self.class_embed, classes))
            embedding = torch.cat([embedding, of_class], dim=1)
        return F.silu(embedding)


class Frequencies(nn.Module):
    """The label, then cosines and sines of 2 pi f label at learned frequencies f."""

    def __init__(self, count: int) -> None:
        super().__init__()
        drawn = torch.empty(count)
        self.frequencies = nn.Parameter(drawn if drawn.is_meta else nn.init.normal_(drawn))

    def forward(self, label: Tensor) -> Tensor:
        """Labels [B] -> [B, 2 count + 1]."""
        # Thousands of radians, of which float32 would lose the last digits that cosines show.
        wide = torch.float32 if label.device.type == "mps" else torch.float64
        angles = label[:, None].to(wide) * (2 * math.pi * self.frequencies.to(wide))
        return torch.cat([label[:, None].to(wide), angles.cos(), angles.sin()], dim=1)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Frequencies":
        # As those of `Fourier`: 16 bits would turn the highest angles.
        exact = self.frequencies.data
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if self.frequencies.dtype.itemsize < 4:
            self.frequencies.data = exact.to(self.frequencies.device)
        return self


def _perceptron(width: int, out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, out), nn.GELU(), nn.Linear(out, out))


def _of_levels(key: str, given: list[int], one: int, depth: int) -> list[int]:
    """A number for each level: those given, or one for all."""
    if given and len(given) != depth:
        raise ConfigError(f"network.{key}: {len(given)} numbers for {depth} levels; give one each")
    return given or [one] * depth
