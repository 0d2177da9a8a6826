"""The U-Nets of Score SDE (DDPM, DDPM++, NCSN++) and those that EDM made of them."""

import math
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from ddpm_cli.networks.conditions import NONE, Recipe, Seen, Told, added, speaks, tokens
from ddpm_cli.networks.parts.attention import Attention
from ddpm_cli.networks.parts.embeddings import Fourier, as_exact, sinusoid
from ddpm_cli.networks.parts.layers import (
    activation,
    beside,
    dense,
    layout,
    lookup,
    normalization,
    refuse_no_images,
    with_classes,
    zero,
)
from ddpm_cli.networks.parts.resampling import (
    Downsample,
    Enlarge,
    Pyramid,
    Shrink,
    Upsample,
    enlarge,
)
from ddpm_cli.networks.parts.stages import Parts, Stage, sides, widths_of
from ddpm_cli.settings.knobs import (
    Blocks,
    Classes,
    Epsilon,
    Fraction,
    HeadWidth,
    LevelCount,
    Multipliers,
    Resolutions,
    Scale,
    Sigma,
    Width,
)


class ncsnpp(nn.Module):  # noqa: N801  (a component is named as it is called in a config)
    """NCSN++ and DDPM++ in every option of their code (Song 2021, appendix H; Karras 2022).

    shape: [C, H, W] of the images; extra: channels of a conditioning image, seen beside the noisy
    one. attention: the resolutions that have it, one head, in the decoder behind the last block.
    told, inject: as for unet. embedding: of the label, by sinusoids, by random Fourier features,
    or by those of its logarithm; features, embedded: how many there are, and the width behind
    them (0: as usual).
    resample: inside blocks, by convolutions, or without weights; fir: filtered by [1, 3, 3, 1].
    progressive_input, progressive_output: the image is fed in, images are summed up, at each
    resolution; strided: without fir that input is halved by strides, not means over pixels.
    rescale: divide sums by sqrt(2). centered: off, the network makes 2x - 1 of data in [0, 1].
    scale_by_sigma: divide the output by the level, which is the label of Fourier features, and
    else that of the label's index among `steps` levels from high down to low.
    """

    patch = 1

    def __init__(
        self,
        shape: tuple[int, ...],
        extra: int = 0,
        told: Mapping[str, Recipe] = NONE,
        *,
        width: Width = 128,
        multipliers: Multipliers = [1, 2, 2, 2],  # noqa: B006  (read, never changed)
        blocks: Blocks = 4,
        attention: Resolutions = [16],  # noqa: B006
        dropout: Fraction = 0.0,
        classes: Classes = 0,
        inject: Literal["add", "adaptive"] = "add",
        embedding: Literal["sinusoid", "fourier", "log-fourier"] = "fourier",
        fourier_scale: Scale = 16.0,
        features: HeadWidth = 0,
        embedded: HeadWidth = 0,
        resample: Literal["block", "conv", "plain"] = "block",
        fir: bool = True,
        rescale: bool = True,
        progressive_input: Literal["none", "sum", "residual"] = "residual",
        progressive_output: Literal["none", "sum"] = "none",
        strided: bool = True,
        nonlinearity: Literal["silu", "elu", "relu", "leaky-relu"] = "silu",
        groups: Width = 32,
        group_width: Width = 4,
        epsilon: Epsilon = 1e-6,
        centered: bool = True,
        scale_by_sigma: bool = False,
        low: Sigma = 0.01,
        high: Sigma = 50.0,
        steps: LevelCount = 1000,
        learned_variance: bool = False,
    ) -> None:
        super().__init__()
        refuse_no_images(shape)
        channels, *size = shape
        self.extra, self.layout, self.classes = extra, layout("group"), classes
        self.embedding, self.fir = embedding, fir
        self.centered, self.scale_by_sigma = centered, scale_by_sigma
        self.high, self.ratio = high, math.log(low / high) / max(steps - 1, 1)
        outputs = 2 * channels if learned_variance else channels
        self.features = features or (width if embedding == "sinusoid" else 2 * width)
        wide = embedded or 4 * width
        if embedding != "sinusoid":
            self.fourier = Fourier(self.features, fourier_scale)
        self.activate = activation(nonlinearity)
        self.embed = nn.Sequential(
            nn.Linear(self.features, wide), activation(nonlinearity), nn.Linear(wide, wide)
        )
        # The last row is the null class: what label dropout and guidance use.
        self.class_embed, self.class_bias = _class_rows(classes, self.features)
        self.told, self.inject = Told(told, wide, self.features), inject
        parts = Parts(
            embedded=wide,
            dropout=dropout,
            heads=1,
            head_width=0,
            scale_shift=False,
            resample_blocks=resample == "block",
            norm="group",
            groups=groups,
            group_width=group_width,
            epsilon=epsilon,
            nonlinearity=nonlinearity,
            project_resampled=True,
            fir=fir,
            rescale=rescale,
            tokens=tokens(told),
            told=inject == "adaptive" and speaks(told),
        )
        attends = [at in attention for at in sides(size[0], 1, len(multipliers))]
        widths = widths_of(width, multipliers)

        def head(now: int) -> nn.Sequential:
            norm = normalization("group", now, groups, epsilon, group_width)
            return nn.Sequential(norm, activation(nonlinearity))

        seen = channels + extra  # width of the image beside the encoder
        self.stem = nn.Conv2d(seen, width, 3, padding=1)
        self.down, self.pyramid, skips = nn.ModuleList(), nn.ModuleDict(), [width]
        now = width
        for level, wide in enumerate(widths):
            if level:
                self.down.append(Stage([_halving(parts, now, resample)]))
                skips.append(now)
            if level and progressive_input != "none":
                residual = progressive_input == "residual"
                self.pyramid[str(len(self.down) - 1)] = Pyramid(
                    seen,
                    now,
                    residual=residual,
                    fir=fir,
                    rescale=rescale,
                    same=strided,
                    mean=not strided,
                )
                seen = now if residual else seen
            for _ in range(blocks):
                self.down.append(parts.stage(now, wide, attends[level]))
                now = wide
                skips.append(now)
        self.middle = parts.middle(now)
        self.up, self.rise, self.outputs = nn.ModuleList(), nn.ModuleDict(), nn.ModuleDict()
        for level, wide in reversed(list(enumerate(widths))):
            for number in range(blocks + 1):
                here = attends[level] and number == blocks
                self.up.append(parts.stage(now + skips.pop(), wide, here))
                now = wide
            if level:
                last = str(len(self.up) - 1)
                self.rise[last] = Stage([_doubling(parts, now, resample)])
                if progressive_output == "sum":
                    out = zero(nn.Conv2d(now, outputs, 3, padding=1))
                    self.outputs[last] = nn.Sequential(*head(now), out)
        self.head = head(now)
        self.out = zero(nn.Conv2d(now, outputs, 3, padding=1))
        if not any(isinstance(part, Attention) for part in self.modules()):
            self.told.refuse_unseen()

    def forward(
        self,
        x: Tensor,
        label: Tensor,
        classes: Tensor | None = None,
        image: Tensor | None = None,
        **told: Tensor | None,
    ) -> Tensor:
        """x [B, C, H, W], noise label [B], classes [B] (None: null class) -> [B, out, H, W].

        image: the conditioning image [B, extra, H, W]; told: the other conditions, by kind.
        """
        dtype = self.stem.weight.dtype
        label = as_exact(label, self.stem.weight)
        seen = self.told(told, x)
        embedding = self._embedded(label, classes, seen)
        if seen.vector is not None:
            seen = seen._replace(vector=self.activate(seen.vector))
        x = x.to(dtype) if self.centered else 2 * x.to(dtype) - 1
        x = beside(x, image)
        image = dense(x, self.layout)
        h = self.stem(image)
        skips = [h]
        for number, stage in enumerate(self.down):
            h = stage(h, embedding, seen=seen)
            if str(number) in self.pyramid:
                h, image = self.pyramid[str(number)](h, image)
            skips.append(h)
        h = self.middle(h, embedding, seen=seen)
        summed = None
        for number, stage in enumerate(self.up):
            h = stage(torch.cat([h, skips.pop()], dim=1), embedding, seen=seen)
            if (at := str(number)) in self.outputs:
                summed = self._summed(self.outputs[at](h), summed)
            if at in self.rise:
                h = self.rise[at](h, embedding, skips[-1].shape[-2:], seen)
        out = self._summed(self.out(self.head(h)), summed)
        return out / self._level(label, out) if self.scale_by_sigma else out

    def _embedded(self, label: Tensor, classes: Tensor | None, seen: Seen) -> Tensor:
        """The noise label and what is told as one vector, already activated."""
        if self.embedding == "sinusoid":
            features = sinusoid(label, self.features, endpoint=True)
        else:
            features = self.fourier(label.log() if self.embedding == "log-fourier" else label)
        features = features.to(self.stem.weight.dtype)
        if self.class_bias is not None:
            # A vector of zeros and one sqrt(K) in front of a linear layer (Karras 2022's code).
            none = torch.zeros_like(features)
            row = with_classes(none, self.class_embed, classes)
            features = features + self.classes**0.5 * row + self.class_bias
        embedding: Tensor = self.embed(added(features, seen.features))
        vector = seen.vector if self.inject == "add" else None
        activated: Tensor = self.activate(added(embedding, vector))
        return activated

    def _summed(self, image: Tensor, below: Tensor | None) -> Tensor:
        """An image and the one of half its size below it, if there is one."""
        if below is None:
            return image
        return image + enlarge(below, (image.shape[-2], image.shape[-1]), self.fir)

    def _level(self, label: Tensor, like: Tensor) -> Tensor:
        """The noise level [B, 1, 1, 1] of the label [B], which may be an index among levels.

        An index that lacks but a rounding error of the next is that one.
        """
        if self.embedding == "sinusoid":
            label = self.high * torch.exp(self.ratio * (label + 1e-4).floor())
        return label.to(like.dtype).reshape(-1, 1, 1, 1)


def _class_rows(count: int, width: int) -> tuple[nn.Embedding | None, nn.Parameter | None]:
    """A row for each class and the null class, which sqrt(count) will multiply, and what is added.

    Starts as it would without that factor.
    """
    if not count:
        return None, None
    rows = lookup(count + 1, width)
    rows.weight.data.mul_(count**-0.5)
    return rows, nn.Parameter(torch.zeros(width))


def _halving(parts: Parts, width: int, resample: str) -> nn.Module:
    """What halves the image in the encoder."""
    if resample == "block":
        return parts.block(width, width, "down")
    if resample == "conv":
        return Downsample(width, width, fir=parts.fir, same=True)
    return Shrink(fir=parts.fir)


def _doubling(parts: Parts, width: int, resample: str) -> nn.Module:
    """What doubles the image in the decoder."""
    if resample == "block":
        return parts.block(width, width, "up")
    if resample == "conv":
        return Upsample(width, fir=parts.fir, spill=parts.fir)
    return Enlarge(fir=parts.fir)
