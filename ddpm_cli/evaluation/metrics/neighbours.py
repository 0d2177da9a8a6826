"""How two sets cover each other, by balls that reach to the k-th nearest neighbour."""

from typing import cast

import torch
from torch import Tensor

from ddpm_cli.evaluation.evidence import Evidence, doubled
from ddpm_cli.evaluation.measures import Measure, at_least, takes
from ddpm_cli.evaluation.metrics.parts.distances import blocks, radii
from ddpm_cli.settings.knobs import Few

# Rounding must not decide whether a neighbour lies on the sphere that it defines.
_SLACK = 1e-9


@takes("features")
def precision(samples: Evidence, reference: Evidence, *, neighbours: Few = 3) -> Measure:
    """Share of samples within a ball about some reference image (Kynkäänniemi 2019, eq. 2).

    A ball reaches to the k-th nearest of its own set, and its sphere belongs to it: k = 3 in the
    paper and ADM's table, 5 in iDDPM's. The error is that of a share of n samples. Checked against
    torch-fidelity and prdc.
    """
    return _covered("precision", reference, samples, neighbours)


@takes("features")
def recall(samples: Evidence, reference: Evidence, *, neighbours: Few = 3) -> Measure:
    """Share of reference images within a ball about some sample (Kynkäänniemi 2019, eq. 2).

    As precision, the sides exchanged.
    """
    return _covered("recall", samples, reference, neighbours)


@takes("features")
def density(samples: Evidence, reference: Evidence, *, neighbours: Few = 5) -> Measure:
    """How many balls about reference images a sample is in, of k on average (Naeem 2020, eq. 3).

    1 / (k n) sum over samples and reference images of 1(sample in the open ball): 1 is expected of
    alike sets, and no ball of an outlier counts for much. Checked against prdc.
    """
    inside = _inside(reference, samples, neighbours, open_balls=True)[0] / neighbours
    error = float(inside.std()) / len(inside) ** 0.5
    return Measure({"density": float(inside.mean())}, {"density": error})


@takes("features")
def coverage(samples: Evidence, reference: Evidence, *, neighbours: Few = 5) -> Measure:
    """Share of reference images with a sample in their own ball (Naeem 2020, eq. 4).

    1 - ((m-1) ... (m-k)) / ((n+m-1) ... (n+m-k)) is expected of alike sets of n samples and m
    images (theirs, Lemma 2), about 1 - 2^-k of equal sizes. Checked against prdc.
    """
    hit = _inside(reference, samples, neighbours, open_balls=True)[1]
    n, m = samples.count, reference.count
    missed = 1.0
    for i in range(1, neighbours + 1):
        missed *= (m - i) / (n + m - i)
    said = _share("coverage", hit)
    return Measure(said.values, said.errors, {"coverage": {"expected_of_alike_sets": 1 - missed}})


def _covered(name: str, balls: Evidence, points: Evidence, k: int) -> Measure:
    return _share(name, _inside(balls, points, k, open_balls=False)[0] > 0)


def _share(name: str, yes: Tensor) -> Measure:
    share = float(yes.double().mean())
    return Measure({name: share}, {name: (share * (1 - share) / len(yes)) ** 0.5})


def _inside(balls: Evidence, points: Evidence, k: int, open_balls: bool) -> tuple[Tensor, Tensor]:
    """In how many balls each point is [n], in float64; and which balls have a point in them [m].

    The balls are about the images of one side and reach to their k-th neighbour there.
    """
    at_least(k + 1, balls, f"a ball of {k} neighbours")
    at_least(1, points, "a share")
    centres, rows = cast(Tensor, balls.features), cast(Tensor, points.features)
    reach = radii(centres, k) * (1 - _SLACK if open_balls else 1 + _SLACK)
    if not open_balls:
        reach += 1e-12 * float(doubled(centres).var(0).sum())  # a ball of copies alone is a point
    counts, hit = [], torch.zeros(len(centres), dtype=torch.bool, device=reach.device)
    for _, _, far in blocks(rows, centres):
        within = far < reach if open_balls else far <= reach
        counts.append(within.sum(1))
        hit |= within.any(0)
    return torch.cat(counts).double(), hit
