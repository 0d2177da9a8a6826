"""The hourglass diffusion transformer: tokens merged on the way in and split on the way out."""

from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ddpm_cli.networks.parts.embeddings import Fourier, as_exact
from ddpm_cli.networks.parts.hourglass import (
    Attending,
    HourglassBlock,
    Level,
    Mapping,
    Merge,
    Rms,
    Split,
)
from ddpm_cli.networks.parts.layers import (
    beside,
    each,
    lookup,
    refuse_no_images,
    with_classes,
    zero,
)
from ddpm_cli.networks.parts.stages import fold, unfold
from ddpm_cli.settings.knobs import (
    Classes,
    Depth,
    Depths,
    Fraction,
    Hidden,
    Hiddens,
    Patch,
    Range,
    Width,
    Widths,
)

Attentions = Annotated[list[Literal["global", "window", "neighborhood", "none"]], Range(1, 10)]


class hdit(nn.Module):  # noqa: N801  (a component is named as it is called in a config)
    """Hourglass diffusion transformer: attention near by at high resolutions (Crowson 2024).

    shape: [C, H, W] of the images; extra: channels of a conditioning image, seen beside the noisy
    one. patch: so many pixels a side become a token. widths: of the levels, each of half the
    resolution. Lists of one item count for all levels: depths: blocks of each, on the way down
    and as many on the way up; hidden: width of the perceptrons, 0 for three times that of the
    level; attention: among all tokens (global), in windows that are shifted in every other block
    (window), among those around each (neighborhood), or none; head_widths: channels of a head,
    best a multiple of 8; reach: tokens along a side of a window or neighborhood.
    mapping_width, mapping_depth, mapping_hidden: of the network that all conditions pass, hidden
    0 for three times its width. augmented: it was told in training how images were changed.
    classes, learned_variance: as for unet.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        extra: int = 0,
        *,
        patch: Patch = 4,
        widths: Widths = [128, 256],  # noqa: B006  (read, never changed)
        depths: Depths = [2, 4],  # noqa: B006
        hidden: Hiddens = [0],  # noqa: B006
        attention: Attentions = ["neighborhood", "global"],  # noqa: B006
        head_widths: Widths = [64],  # noqa: B006
        reach: Widths = [7],  # noqa: B006
        mapping_width: Width = 256,
        mapping_depth: Depth = 2,
        mapping_hidden: Hidden = 0,
        augmented: bool = False,
        dropout: Fraction = 0.0,
        classes: Classes = 0,
        learned_variance: bool = False,
    ) -> None:
        super().__init__()
        refuse_no_images(shape)
        channels, count = shape[0], len(widths)
        self.patch, self.classes, self.extra, self.levels = patch, classes, extra, count
        outputs = 2 * channels if learned_variance else channels
        told = mapping_width
        self.fourier = Fourier(told, 1.0)
        self.embed = nn.Linear(told, told, bias=False)
        self.augment = nn.Linear(told, told, bias=False) if augmented else None
        # The last row is the null class: what label dropout and guidance use.
        self.class_embed = lookup(classes + 1, told) if classes else None
        self.mapping = Mapping(told, mapping_depth, mapping_hidden or 3 * told)
        self.stem = nn.Conv2d((channels + extra) * patch**2, widths[0], 1, bias=False)

        attending = [
            Attending(kind, min(head, width), side)
            for kind, head, side, width in zip(
                each(attention, count, "attention"),
                each(head_widths, count, "head_widths"),
                each(reach, count, "reach"),
                widths,
                strict=True,
            )
        ]
        wide = each(hidden, count, "hidden")
        deep = each(depths, count, "depths")

        def level(at: int, first: int) -> Level:
            """The blocks of a level, numbered from `first`: every other one is shifted."""
            return Level(
                [
                    HourglassBlock(
                        widths[at],
                        wide[at] or 3 * widths[at],
                        told,
                        attending[at],
                        shifted=number % 2 == 1,
                        dropout=dropout,
                    )
                    for number in range(first, first + deep[at])
                ]
            )

        outer = range(count - 1)
        self.down = nn.ModuleList(level(at, 0) for at in outer)
        self.merges = nn.ModuleList(Merge(widths[at], widths[at + 1]) for at in outer)
        self.middle = level(count - 1, 0)
        self.splits = nn.ModuleList(Split(widths[at + 1], widths[at]) for at in outer)
        self.up = nn.ModuleList(level(at, deep[at]) for at in outer)
        self.norm = Rms(widths[0])
        self.out = zero(nn.Conv2d(widths[0], outputs * patch**2, 1, bias=False))

    def forward(
        self,
        x: Tensor,
        label: Tensor,
        classes: Tensor | None = None,
        image: Tensor | None = None,
    ) -> Tensor:
        """x [B, C, H, W], noise label [B], classes [B] (None: null class) -> [B, out, H, W].

        image: the conditioning image [B, extra, H, W].
        """
        condition = self._embedded(label, classes)
        height, width = x.shape[-2:]
        x = x.to(self.stem.weight.dtype)
        x = beside(x, image)
        h = self.stem(fold(self._whole(x), self.patch)).permute(0, 2, 3, 1)
        skips = []
        for level, merge in zip(self.down, self.merges, strict=True):
            h = level(h, condition)
            skips.append(h)
            h = merge(h)
        h = self.middle(h, condition)
        for level, split in reversed(list(zip(self.up, self.splits, strict=True))):
            h = level(split(h, skips.pop()), condition)
        h = self.out(self.norm(h).permute(0, 3, 1, 2))
        return unfold(h, self.patch)[..., :height, :width]

    def _whole(self, x: Tensor) -> Tensor:
        """x with its edges repeated, so that every level has whole tokens."""
        side = self.patch * 2 ** (self.levels - 1)
        missing = [-size % side for size in x.shape[-2:]]
        return F.pad(x, (0, missing[1], 0, missing[0]), mode="replicate") if any(missing) else x

    def _embedded(self, label: Tensor, classes: Tensor | None) -> Tensor:
        """The noise label and the class as one vector [B, M]."""
        features = self.fourier(as_exact(label, self.stem.weight)).to(self.stem.weight.dtype)
        embedding: Tensor = self.embed(features)
        if self.augment is not None:
            # Images are as they are: the cosines of nine zeros, and their sines.
            cosines, sines = torch.ones_like(features).chunk(2, dim=1)
            embedding = embedding + self.augment(torch.cat([cosines, 0 * sines], dim=1))
        condition: Tensor = self.mapping(with_classes(embedding, self.class_embed, classes))
        return condition
