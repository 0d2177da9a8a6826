"""Maximum mean discrepancy between two sets of features."""

from typing import cast

import numpy as np
import torch
from torch import Tensor

from ddpm_cli.errors import Refusal
from ddpm_cli.evaluation.evidence import Evidence, doubled
from ddpm_cli.evaluation.measures import Measure, at_least, takes
from ddpm_cli.settings.knobs import Count, Index, Seed

_ROWS = 1024  # of a kernel matrix at a time


@takes("features")
def kid(
    samples: Evidence,
    reference: Evidence,
    *,
    subsets: Index = 100,
    size: Count = 1000,
    seed: Seed = 2020,
) -> Measure:
    """Squared maximum mean discrepancy without bias, KID in Inception's features (Binkowski 2018).

    kid is the U-statistic of all images with the kernel k(x, y) = (x.y / d + 1)^3:
    mean k(x, x') + mean k(y, y') - 2 mean k(x, y) over x != x', y != y'; about 0, below it as
    often as above, for sets that are alike. Its error is the jackknife's, which errs upwards for
    these. kid_subsets is the mean over random subsets, as torch-fidelity and torchmetrics give
    it, to 1e-6 of the first with its seed; their deviation beside it is no error of the mean.
    """
    for side in (samples, reference):
        at_least(3, side, "kid")
    x, y = doubled(cast(Tensor, samples.features)), doubled(cast(Tensor, reference.features))
    if x.shape[1] != y.shape[1]:
        raise Refusal(f"{x.shape[1]} and {y.shape[1]} features a side: not of one feature network")
    y = y.to(x.device)
    whole, error = _whole(x, y)
    values, details = {"kid": whole}, {}
    notes: tuple[str, ...] = ()
    if subsets:
        least = min(len(x), len(y))
        if size > least:
            notes = (f"kid: subsets of all {least} images, not of {size}",)
        each = _each(x, y, subsets, min(size, least), seed)
        values["kid_subsets"] = float(np.mean(each))
        details["kid"] = {"subset_deviation": float(np.std(each)), "subsets": subsets}
    return Measure(values, {"kid": error}, details, notes)


def _whole(x: Tensor, y: Tensor) -> tuple[float, float]:
    """The U-statistic of all rows and its jackknife error, from the sums of kernel rows."""
    m, n = len(x), len(y)
    xx, yy = _sums(x, x)[0] - _own(x), _sums(y, y)[0] - _own(y)
    xy, yx = _sums(x, y)
    within, beyond, across = xx.sum(), yy.sum(), xy.sum()
    whole = within / (m * (m - 1)) + beyond / (n * (n - 1)) - 2 * across / (m * n)
    # Without x_i its row and its column are missing of the first sum, its row of the last.
    fewer_x = (within - 2 * xx) / ((m - 1) * (m - 2)) - 2 * (across - xy) / ((m - 1) * n)
    fewer_y = (beyond - 2 * yy) / ((n - 1) * (n - 2)) - 2 * (across - yx) / (m * (n - 1))
    variance = (m - 1) * fewer_x.var(correction=0) + (n - 1) * fewer_y.var(correction=0)
    return float(whole), float(variance.sqrt())


def _each(x: Tensor, y: Tensor, subsets: int, size: int, seed: int) -> list[float]:
    """The statistic of random subsets, drawn as torch-fidelity does."""
    rng = np.random.RandomState(seed)
    each = []
    for _ in range(subsets):
        a, b = (
            rows[torch.from_numpy(rng.choice(len(rows), size, replace=False)).to(rows.device)]
            for rows in (x, y)
        )
        inner = sum(float(_kernel(part, part).sum() - _own(part).sum()) for part in (a, b))
        each.append(inner / (size * (size - 1)) - 2 * float(_kernel(a, b).mean()))
    return each


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    """(x.y / d + 1)^3 of all rows [n, d] and [m, d]: [n, m]."""
    base = x @ y.T
    base = base.div_(x.shape[1]).add_(1)
    return base * base.square()


def _own(x: Tensor) -> Tensor:
    """The kernel of each row with itself."""
    return (x.square().sum(1) / x.shape[1] + 1) ** 3


def _sums(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Sums of the kernel over each row [n] and each column [m]."""
    rows, columns = [], x.new_zeros(len(y))
    for block in torch.split(x, _ROWS):
        matrix = _kernel(block, y)
        rows.append(matrix.sum(1))
        columns += matrix.sum(0)
    return torch.cat(rows), columns
