"""One U-Net whose knobs reach from a small MNIST model to DDPM, ADM, DDPM++ and NCSN++."""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from ddpm_cli.networks.conditions import NONE, Recipe, Seen, Told, added, speaks, tokens
from ddpm_cli.networks.parts.attention import Attention
from ddpm_cli.networks.parts.embeddings import Fourier, as_exact, sinusoid
from ddpm_cli.networks.parts.grids import PLANE, Grid, cut, spread
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
from ddpm_cli.networks.parts.stages import Parts, fold, sides, unfold, widths_of
from ddpm_cli.settings.knobs import (
    Blocks,
    Bottleneck,
    Classes,
    Epsilon,
    Fraction,
    Heads,
    HeadWidth,
    Multipliers,
    Patch,
    Resolutions,
    Scale,
    Width,
)


class unet(nn.Module):  # noqa: N801  (a component is named as it is called in a config)
    """U-Net of residual blocks with concatenated skips, attention by resolution, patch stem.

    shape: [C, H, W] of the images; extra: channels of a conditioning image, seen beside the noisy
    one; told: what else it is told; grid: unet1d's alone. attention: the resolutions that have it,
    in the decoder behind every block or only the last; attention_up: those of the decoder, if they
    are others.
    middle: with attention, with attention that lacks its norm, blocks alone, or nothing;
    middle_groups: of the norm of its attention, 0 for as many as elsewhere.
    decoder_heads: of the decoder, 0 for as many as elsewhere.
    qkv: the rows of an attention layer, queries, keys and values each in one piece (parts) or
    head by head (heads), as in Nichol 2021's files. cross: how attention sees the sequence of a
    text: its keys and values beside those of pixels in one softmax, as in GLIDE, or by a layer of
    its own behind each of pixels, as in Imagen, which at first adds nothing.
    patch: so many pixels a side become channels.
    embedding: of the label, by sinusoids as in ADM, by sinusoids whose last frequency is 1/10000
    as in DDPM, DDPM++ and EDM (endpoint), or by random Fourier features as in NCSN++, of the label
    or of its logarithm (log-fourier); embedded: how wide it becomes, 0 for four times `width`.
    nonlinearity: of the blocks.
    inject: the vector of what it is told, as numbers, is added to that of the label, or scales and
    shifts each block's norm by itself (adaptive); classes are added.
    center_input: it takes images in [0, 1] to [-1, 1] itself. per_label: its output is divided by
    the label, as scores of processes whose variance explodes.
    scale_shift, resample_blocks: adaptive norm and resampling inside blocks (Dhariwal 2021).
    conv_down, conv_up: resolutions that convolutions halve and double nevertheless.
    project_resampled, fir, rescale, progressive_input: convolutions around resampling blocks,
    low-pass filters, sums divided by sqrt(2), and the image fed in at each resolution (Song 2021,
    appendix H). same_padding: DDPM's strided convolutions. plain_resampling: no convolutions
    where images are halved and doubled. wide_skip: 3x3 convolutions around blocks that change
    the width, not 1x1. stem: as wide as `width`, or as the first level, which ADM has narrower
    at 512x512. group_width: channels that each group of the norms has at least. Otherwise Ho
    2020, appendix B.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        extra: int = 0,
        told: Mapping[str, Recipe] = NONE,
        grid: Grid = PLANE,
        *,
        width: Width = 64,
        multipliers: Multipliers = [1, 2],  # noqa: B006  (read, never changed)
        blocks: Blocks = 2,
        attention: Resolutions = [7],  # noqa: B006
        attention_up: Resolutions | None = None,
        decoder_attention: Literal["every", "last"] = "every",
        middle: Literal["attention", "unnormed", "blocks", "none"] = "attention",
        middle_groups: Bottleneck = 0,
        heads: Heads = 1,
        decoder_heads: Heads = 0,
        head_width: HeadWidth = 0,
        qkv: Literal["parts", "heads"] = "parts",
        cross: Literal["beside", "behind"] = "beside",
        dropout: Fraction = 0.0,
        classes: Classes = 0,
        patch: Patch = 1,
        embedding: Literal["sinusoid", "endpoint", "fourier", "log-fourier"] = "sinusoid",
        fourier_scale: Scale = 16.0,
        embedded: HeadWidth = 0,
        nonlinearity: Literal["silu", "elu", "relu", "leaky-relu", "gelu", "mish"] = "silu",
        inject: Literal["add", "adaptive"] = "add",
        center_input: bool = False,
        per_label: bool = False,
        scale_shift: bool = False,
        resample_blocks: bool = False,
        conv_down: Resolutions = [],  # noqa: B006
        conv_up: Resolutions = [],  # noqa: B006
        project_resampled: bool = False,
        same_padding: bool = False,
        plain_resampling: bool = False,
        wide_skip: bool = False,
        stem: Literal["width", "level"] = "width",
        fir: bool = False,
        rescale: bool = False,
        progressive_input: Literal["none", "sum", "residual"] = "none",
        norm: Literal["group", "pixel"] = "group",
        groups: Width = 32,
        group_width: Width = 1,
        epsilon: Epsilon = 1e-5,
        learned_variance: bool = False,
    ) -> None:
        super().__init__()
        refuse_no_images(shape, grid)
        channels, *size = shape
        self.patch, self.classes, self.width, self.embedding = patch, classes, width, embedding
        self.extra, self.layout = extra, layout(norm)
        self.center_input, self.per_label = center_input, per_label
        outputs = 2 * channels if learned_variance else channels
        features, embedded = width, embedded or 4 * width
        self.activate = activation(nonlinearity)
        if embedding.endswith("fourier"):
            features = 2 * width
            self.fourier = Fourier(features, fourier_scale)
        self.embed = nn.Sequential(
            nn.Linear(features, embedded), nn.SiLU(), nn.Linear(embedded, embedded)
        )
        # The last row is the null class: what label dropout and guidance use.
        self.class_embed = lookup(classes + 1, embedded) if classes else None
        self.told, self.inject = Told(told, embedded, features), inject
        parts = Parts(
            embedded=embedded,
            dropout=dropout,
            heads=heads,
            head_width=head_width,
            scale_shift=scale_shift,
            resample_blocks=resample_blocks,
            norm=norm,
            groups=groups,
            group_width=group_width,
            nonlinearity=nonlinearity,
            epsilon=epsilon,
            project_resampled=project_resampled,
            same_padding=same_padding,
            fir=fir,
            rescale=rescale,
            plain_resampling=plain_resampling,
            wide_skip=wide_skip,
            qkv=qkv,
            grid=grid,
            tokens=tokens(told),
            cross=cross,
            told=inject == "adaptive" and speaks(told),
        )
        levels = sides(size[0], patch, len(multipliers))
        attends = [at in attention for at in levels]
        attends_up = attends if attention_up is None else [at in attention_up for at in levels]
        widths = widths_of(width, multipliers)
        first = widths[0] if stem == "level" else width

        seen = (channels + extra) * patch**grid.axes  # width of the image beside the encoder
        self.stem = grid.conv(seen, first, 3, padding=1)
        convolved = [at in conv_down for at in levels]
        self.down, skips = parts.encoder(first, widths, blocks, attends, convolved)
        self.pyramid = nn.ModuleDict()
        if progressive_input != "none":
            residual = progressive_input == "residual"
            for level, wide in enumerate(widths[:-1]):
                behind = (level + 1) * (blocks + 1) - 1  # the stage that halves the image
                self.pyramid[str(behind)] = parts.pyramid(seen, wide, residual)
                seen = wide if residual else seen
        now = widths[-1]
        self.middle = parts.middle(now, middle, middle_groups)
        if decoder_heads and not head_width:
            parts = parts._replace(heads=decoder_heads)
        self.up = nn.ModuleList()
        for level, wide in reversed(list(enumerate(widths))):
            for number in range(blocks + 1):
                last = number == blocks
                here = attends_up[level] and (last or decoder_attention == "every")
                stage = parts.stage(now + skips.pop(), wide, here)
                now = wide
                if level and last:
                    doubles = parts.convolving() if levels[level] in conv_up else parts
                    stage.parts.append(doubles.up(now))
                self.up.append(stage)
        final = normalization(norm, now, groups, epsilon, group_width)
        self.head = nn.Sequential(final, nn.SiLU())
        self.out = zero(grid.conv(now, outputs * patch**grid.axes, 3, padding=1))
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
        seen = self.told(told, x)
        embedding = self._embedded(label, classes, seen)
        size = x.shape[2:]
        if seen.vector is not None:
            seen = seen._replace(vector=self.activate(seen.vector))
        x = x.to(self.stem.weight.dtype)
        if self.center_input:
            x = 2 * x - 1
        x = beside(x, image)
        image = dense(fold(x, self.patch), self.layout)
        h = self.stem(image)
        skips = [h]
        for number, stage in enumerate(self.down):
            h = stage(h, embedding, seen=seen)
            if str(number) in self.pyramid:
                h, image = self.pyramid[str(number)](h, image)
            skips.append(h)
        h = self.middle(h, embedding, seen=seen)
        for stage in self.up:
            skip = skips.pop()
            reach = skips[-1].shape[2:] if skips else None
            h = stage(torch.cat([h, skip], dim=1), embedding, reach, seen)
        h = cut(unfold(self.out(self.head(h)), self.patch), size)
        return h / spread(label.to(h.dtype)[:, None], h) if self.per_label else h

    def _embedded(self, label: Tensor, classes: Tensor | None, seen: Seen) -> Tensor:
        """The noise label and what is told as one vector [B, E], already activated."""
        label = as_exact(label, self.stem.weight)
        if self.embedding.endswith("fourier"):
            is_log = self.embedding == "log-fourier"
            features = self.fourier(label.log() if is_log else label)
        else:
            features = sinusoid(label, self.width, endpoint=self.embedding == "endpoint")
        features = added(features.to(self.stem.weight.dtype), seen.features)
        embedding: Tensor = self.embed(features)
        embedding = with_classes(embedding, self.class_embed, classes)
        vector = seen.vector if self.inject == "add" else None
        activated: Tensor = self.activate(added(embedding, vector))
        return activated
