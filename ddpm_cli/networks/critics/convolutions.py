"""Critics of images."""

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from ddpm_cli.networks.parts.embeddings import as_exact, sinusoid
from ddpm_cli.networks.parts.layers import dense, layout, lookup, refuse_no_images, with_classes
from ddpm_cli.networks.parts.resampling import halve
from ddpm_cli.networks.parts.stages import fold, widths_of
from ddpm_cli.settings.knobs import Multipliers, Patch, Width

SLOPE = 0.2  # of the leaky nonlinearity, as in Xiao 2022


class residual(nn.Module):  # noqa: N801  (a component is named as it is called in a config)
    """Residual convolutions that halve the images, their mean made one logit (Xiao 2022, table 7).

    shape: [C, H, W] of one state; count: classes, which are added to the label's embedding.
    multipliers: of `width` at each level, the image halved from one to the next; patch: so many
    pixels a side become channels.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        count: int = 0,
        *,
        width: Width = 32,
        multipliers: Multipliers = [1, 2, 4],  # noqa: B006  (read, never changed)
        patch: Patch = 1,
    ) -> None:
        super().__init__()
        refuse_no_images(shape)
        self.patch, self.width, self.layout = patch, width, layout("pixel")
        embedded = 4 * width
        self.embed = nn.Sequential(
            nn.Linear(width, embedded), nn.LeakyReLU(SLOPE), nn.Linear(embedded, embedded)
        )
        self.class_embed = lookup(count + 1, embedded) if count else None
        widths = widths_of(width, multipliers)
        self.stem = nn.Conv2d(2 * shape[0] * patch**2, widths[0], 3, padding=1)
        self.blocks = nn.ModuleList(
            Block(before, now, embedded, halves=number > 0)
            for number, (before, now) in enumerate(pairwise([widths[0], *widths]))
        )
        self.final = nn.Conv2d(widths[-1], widths[-1], 3, padding=1)
        self.out = nn.Linear(widths[-1], 1)

    def forward(self, x: Tensor, label: Tensor, classes: Tensor | None = None) -> Tensor:
        """x [B, 2 C, H, W], noise label [B], classes [B] (None: null class) -> logits [B]."""
        dtype = self.stem.weight.dtype
        features = sinusoid(as_exact(label, self.stem.weight), self.width).to(dtype)
        embedding = with_classes(self.embed(features), self.class_embed, classes)
        embedding = F.leaky_relu(embedding, SLOPE)
        h = self.stem(dense(fold(x.to(dtype), self.patch), self.layout))
        for block in self.blocks:
            h = block(h, embedding)
        h = F.leaky_relu(self.final(F.leaky_relu(h, SLOPE)), SLOPE)
        logits: Tensor = self.out(h.sum((2, 3)))
        return logits[:, 0]


class Block(nn.Module):
    """Two convolutions, between them the embedding added and, if it halves, the size halved."""

    def __init__(self, width_in: int, width: int, embedding: int, *, halves: bool) -> None:
        super().__init__()
        self.halves = halves
        self.conv1 = nn.Conv2d(width_in, width, 3, padding=1)
        self.embed = nn.Linear(embedding, width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.skip = nn.Conv2d(width_in, width, 1, bias=False)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """x [B, C, H, W], embedding [B, E] already activated -> [B, width, H', W']."""
        h = self.conv1(F.leaky_relu(x, SLOPE)) + self.embed(embedding)[:, :, None, None]
        if self.halves:
            h, x = halve(h), halve(x)
        h = self.conv2(F.leaky_relu(h, SLOPE))
        out: Tensor = (h + self.skip(x)) * 0.5**0.5
        return out
