"""A U-Net all of whose norms follow the noise level, as in k-diffusion's first models."""

import torch
from torch import Tensor, nn

from ddpm_cli.networks.parts.adaptive import AdaptiveAttention, AdaptiveResBlock, AdaptiveStage
from ddpm_cli.networks.parts.embeddings import Fourier, as_exact
from ddpm_cli.networks.parts.layers import (
    beside,
    dense,
    each,
    layout,
    lookup,
    refuse_no_images,
    with_classes,
    zero,
)
from ddpm_cli.networks.parts.resampling import enlarge_mirrored, shrink_mirrored
from ddpm_cli.networks.parts.stages import fold, sides, unfold
from ddpm_cli.settings.knobs import (
    Classes,
    Depths,
    Fraction,
    Patch,
    Resolutions,
    Width,
    Widths,
)


class adagn_unet(nn.Module):  # noqa: N801  (a component is named as it is called in a config)
    """U-Net with adaptive group norms throughout and one skip a level (Crowson, k-diffusion).

    shape: [C, H, W] of the images; extra: channels of a conditioning image, seen beside the noisy
    one. patch: so many pixels a side become channels. widths: of the levels, each of half the
    resolution, by a filter whose outside is a mirror. depths: residual blocks of each level, on
    the way down and as many on the way up; one item counts for all. attention: the resolutions
    that have it, behind every block. head_width, group_width: channels of a head and of a group,
    as far as there are so many. mapping_width: of what all norms are told. dropout: of whole
    channels, and of attention. classes, learned_variance: as for unet.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        extra: int = 0,
        *,
        patch: Patch = 1,
        widths: Widths = [64, 128],  # noqa: B006  (read, never changed)
        depths: Depths = [2],  # noqa: B006
        attention: Resolutions = [7],  # noqa: B006
        head_width: Width = 64,
        group_width: Width = 32,
        mapping_width: Width = 256,
        dropout: Fraction = 0.0,
        classes: Classes = 0,
        learned_variance: bool = False,
    ) -> None:
        super().__init__()
        refuse_no_images(shape)
        channels, *size = shape
        outputs = 2 * channels if learned_variance else channels
        self.patch, self.classes, self.extra, self.layout = patch, classes, extra, layout("group")
        self.fourier = Fourier(mapping_width, 1.0)
        self.embed = nn.Sequential(
            nn.Linear(mapping_width, mapping_width),
            nn.GELU(),
            nn.Linear(mapping_width, mapping_width),
            nn.GELU(),
        )
        # The last row is the null class: what label dropout and guidance use.
        self.class_embed = lookup(classes + 1, mapping_width) if classes else None
        deep = each(depths, len(widths), "depths")
        attends = [at in attention for at in sides(size[0], patch, len(widths))]

        def stage(at: int, width_in: int, width: int) -> AdaptiveStage:
            """The blocks of a level, from so many channels to so many."""
            now, parts = width_in, list[AdaptiveResBlock | AdaptiveAttention]()
            for number in range(deep[at]):
                out = width if number == deep[at] - 1 else widths[at]
                block = AdaptiveResBlock(
                    now, widths[at], out, mapping_width, group=group_width, dropout=dropout
                )
                parts.append(block)
                if attends[at]:
                    mix = AdaptiveAttention(
                        out, mapping_width, head=head_width, group=group_width, dropout=dropout
                    )
                    parts.append(mix)
                now = out
            return AdaptiveStage(parts)

        above = [widths[0], *widths[:-1]]
        self.stem = nn.Conv2d((channels + extra) * patch**2, widths[0], 1)
        self.down = nn.ModuleList(stage(at, above[at], widths[at]) for at in range(len(widths)))
        self.up = nn.ModuleList()
        for at in reversed(range(len(widths))):
            seen = widths[at] if at == len(widths) - 1 else 2 * widths[at]
            self.up.append(stage(at, seen, above[at]))
        self.out = zero(nn.Conv2d(widths[0], outputs * patch**2, 1))

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
        h = self.stem(dense(fold(x, self.patch), self.layout))
        skips: list[Tensor] = []
        for stage in self.down:
            h = stage(shrink_mirrored(h) if skips else h, condition)
            skips.append(h)
        skips.pop()
        for stage in self.up:
            h = stage(h, condition)
            if skips:
                skip = skips.pop()
                high, wide = skip.shape[-2:]
                h = torch.cat([enlarge_mirrored(h, (high, wide)), skip], dim=1)
        return unfold(self.out(h), self.patch)[..., :height, :width]

    def _embedded(self, label: Tensor, classes: Tensor | None) -> Tensor:
        """The noise label and the class as one vector [B, M]."""
        features = self.fourier(as_exact(label, self.stem.weight)).to(self.stem.weight.dtype)
        embedding: Tensor = self.embed(with_classes(features, self.class_embed, classes))
        return embedding
