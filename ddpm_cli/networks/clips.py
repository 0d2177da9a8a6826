"""Two towers, one of noisy images and one of texts, that meet in one space of unit vectors."""

import math
from collections.abc import Mapping
from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ddpm_cli.networks.classifiers import classifier
from ddpm_cli.networks.conditions import NONE, Recipe
from ddpm_cli.settings.knobs import (
    Blocks,
    Epsilon,
    Fraction,
    Heads,
    HeadWidth,
    Multipliers,
    Patch,
    Resolutions,
    Width,
)

TEMPERATURE = 0.07  # of the first step
SHARPEST = 100.0  # what similarities are multiplied by at most


class clip(nn.Module):  # noqa: N801  (a component is named as it is called in a config)
    """Images and texts as unit vectors, near to each other if they belong together (Radford 2021).

    The tower of images is a classifier's, told the noise level (Nichol 2022, section 4.2); that of
    texts is what the table text says.  embedding: the length of their vectors.  All else as for
    classifier.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        extra: int = 0,
        told: Mapping[str, Recipe] = NONE,
        *,
        embedding: Width = 128,
        width: Width = 64,
        multipliers: Multipliers = [1, 2],  # noqa: B006  (read, never changed)
        blocks: Blocks = 1,
        attention: Resolutions = [],  # noqa: B006
        heads: Heads = 1,
        head_width: HeadWidth = 64,
        dropout: Fraction = 0.0,
        patch: Patch = 1,
        pool: Literal["attention", "mean"] = "attention",
        scale_shift: bool = False,
        norm: Literal["group", "pixel"] = "group",
        groups: Width = 32,
        epsilon: Epsilon = 1e-5,
    ) -> None:
        super().__init__()
        if [*told] != ["text"]:
            raise ValueError("it compares images with texts alone; add --set text.form=pooled")
        self.image = classifier(
            shape,
            extra,
            width=width,
            multipliers=multipliers,
            blocks=blocks,
            attention=attention,
            heads=heads,
            head_width=head_width,
            dropout=dropout,
            classes=embedding,
            patch=patch,
            pool=pool,
            scale_shift=scale_shift,
            norm=norm,
            groups=groups,
            epsilon=epsilon,
        )
        out = cast(nn.Linear, self.image.out)
        nn.init.normal_(out.weight, std=out.in_features**-0.5)  # a vector of zeros points nowhere
        self.text = told["text"].module(embedding)
        self.log_scale = nn.Parameter(torch.tensor(-math.log(TEMPERATURE)))

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        """x [B, C, H, W], noise label [B] -> unit vectors [B, D] in float32."""
        return F.normalize(self.image(x, label).float(), dim=-1)

    def read(self, rows: Tensor) -> Tensor:
        """Texts [P, ...] as the table text makes rows of them -> unit vectors [P, D]."""
        vector: Tensor | None = self.text(rows).vector
        if vector is None:
            raise ValueError("it needs one vector of a text; --set text.form=pooled")
        return F.normalize(vector.float(), dim=-1)

    @property
    def scale(self) -> Tensor:
        """What similarities are multiplied by: one over the temperature, learned, at most 100."""
        return self.log_scale.float().clamp(max=math.log(SHARPEST)).exp()
