"""What a metric sees of a set of images: their rows in the space of a feature network."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ddpm_cli.errors import Refusal


@dataclass(frozen=True)
class Moments:
    """Mean [d] and unbiased covariance [d, d] of n rows of features, in float64."""

    mean: Tensor
    covariance: Tensor
    count: int

    @staticmethod
    def of(rows: Tensor) -> "Moments":
        """The moments of rows [n, d], n >= 2; in float64, where a covariance does not cancel."""
        if len(rows) < 2:
            raise Refusal(f"{len(rows)} image: a covariance takes two or more")
        rows = doubled(rows)
        return Moments(rows.mean(0), torch.cov(rows.T).reshape(2 * rows.shape[1:]), len(rows))


@dataclass(frozen=True)
class Evidence:
    """One side of a comparison: n images through a feature network, or the moments of them alone.

    features [n, d] pooled features, spatial [n, d'] those that keep places (sFID's), probabilities
    [n, k] of the network's classes, labels [n] the classes that were asked for or are written
    beside the images, images [n, C, H, W] uint8 where a metric needs pixels. `moments` and
    `spatial_moments` stand alone where a file of statistics is all there is, or beside the
    features of a part of the images that they tell of.
    """

    name: str
    count: int
    features: Tensor | None = None
    spatial: Tensor | None = None
    probabilities: Tensor | None = None
    labels: Tensor | None = None
    images: Tensor | None = None
    moments: Moments | None = None
    spatial_moments: Moments | None = None

    def only(self, places: Tensor) -> "Evidence":
        """Some of its images, by their places [m]; moments alone cannot be divided."""
        parts = (self.features, self.spatial, self.probabilities, self.labels, self.images)
        if all(part is None for part in parts):
            raise Refusal(f"{self.name}: statistics alone cannot be divided", "give the images")
        chosen = [None if part is None else part[places.to(part.device)] for part in parts]
        features, spatial, probabilities, labels, images = chosen
        return Evidence(self.name, len(places), features, spatial, probabilities, labels, images)


def doubled(rows: Tensor) -> Tensor:
    """Numbers in float64; on the CPU where their device has none."""
    return (rows.cpu() if rows.device.type == "mps" else rows).double()
