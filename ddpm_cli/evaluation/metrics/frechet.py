"""Fréchet distances between Gaussians fitted to the features of two sets."""

from dataclasses import replace
from statistics import fmean, variance
from typing import cast

import numpy as np
import torch
from torch import Tensor

from ddpm_cli.evaluation.evidence import Evidence
from ddpm_cli.evaluation.measures import Measure, at_least, takes
from ddpm_cli.evaluation.metrics.parts.gaussians import Gaussian, distance
from ddpm_cli.settings.knobs import Parts, Seed


@takes("moments")
def fid(samples: Evidence, reference: Evidence) -> Measure:
    """Fréchet distance of pooled features, FID in those of Inception (Heusel 2017, eq. 6).

    |mu_1 - mu_2|^2 + tr(S_1 + S_2 - 2 (S_1 S_2)^(1/2)) with unbiased covariances, in float64. It
    is biased upwards, by about (d + d (d + 1) / 4) / n in white features. Checked against
    torch-fidelity and torchmetrics to 1e-6.
    """
    sides = Gaussian.of(samples), Gaussian.of(reference)
    return Measure({"fid": distance(*sides)}, notes=_notes(samples, reference, len(sides[0].mean)))


@takes("spatial_moments")
def sfid(samples: Evidence, reference: Evidence) -> Measure:
    """Fréchet distance of features that keep their places (Nash 2021): sFID.

    As fid, of the first seven channels of Inception's mixed 6 as in ADM's evaluation.
    """
    ours, other = _spatial(samples), _spatial(reference)
    sides = Gaussian.of(ours), Gaussian.of(other)
    return Measure({"sfid": distance(*sides)}, notes=_notes(ours, other, len(sides[0].mean)))


@takes("features", reference=("moments",))
def fid_infinity(
    samples: Evidence, reference: Evidence, *, parts: Parts = 5, seed: Seed = 0
) -> Measure:
    """Fréchet distance extrapolated to infinitely many samples (Chong 2020, section 4).

    The intercept of a straight line in 1/n through the fid of subsets: all, halves, thirds, ... of
    one random order, j of each with the weight 1/j that their number of pairs gives. Of disjoint
    subsets it has half the noise that it has of as many random ones. Its error is what their
    scatter gives all samples, up to twice too much for alike sets. The bias that the reference's
    own number of images brings stays.
    """
    at_least(20, samples, "fid-infinity")
    other, features = Gaussian.of(reference), cast(Tensor, samples.features)
    order = torch.from_numpy(np.random.RandomState(seed).permutation(len(features)))
    sizes, means, variances = [], [], []
    for j in range(1, min(parts, len(features) // 4) + 1):
        size = len(features) // j
        subsets = torch.split(order[: j * size], size)
        each = [distance(Gaussian.of(samples.only(places)), other) for places in subsets]
        sizes.append(size)
        means.append(fmean(each))
        # Of j independent subsets: j - 1 degrees of freedom for the variance of their mean.
        variances += (j - 1) * [variance(each) / j] if j > 1 else []
    intercept, slope = _line([1 / size for size in sizes], means)
    table = [[size, value] for size, value in zip(sizes, means, strict=True)]
    return Measure(
        {"fid_infinity": intercept},
        {"fid_infinity": fmean(variances) ** 0.5},
        {"fid_infinity": {"slope": slope, "subsets": table}},
        _notes(samples, reference, features.shape[1]),
    )


def _line(x: list[float], y: list[float]) -> tuple[float, float]:
    """The intercept and slope of the line of least squares, with weights of 1 / j."""
    weights = [1 / j for j in range(1, len(x) + 1)]
    slope, intercept = np.polyfit(x, y, 1, w=np.sqrt(weights))
    return float(intercept), float(slope)


def _spatial(side: Evidence) -> Evidence:
    return replace(side, features=side.spatial, moments=side.spatial_moments)


def _notes(samples: Evidence, reference: Evidence, width: int) -> tuple[str, ...]:
    counts = {
        side.name: side.count if side.moments is None else side.moments.count
        for side in (samples, reference)
    }
    return tuple(
        f"{name}: {count} images for {width} features: their covariance is singular, "
        "and the distance is far above that of more images"
        for name, count in counts.items()
        if 0 < count <= width  # 0: a file of statistics does not say
    )
