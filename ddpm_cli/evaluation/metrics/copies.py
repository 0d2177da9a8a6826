"""Whether samples are copies of the images that a model was trained on."""

from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

from ddpm_cli.errors import Refusal
from ddpm_cli.evaluation.evidence import Evidence
from ddpm_cli.evaluation.measures import Measure, at_least, takes
from ddpm_cli.evaluation.metrics.parts.distances import Nearest, nearest
from ddpm_cli.settings.knobs import Count, Few, Rank, Seed, Share


@takes("features", reference=(), train=("features",))
def memorisation(
    samples: Evidence,
    reference: Evidence,
    *,
    train: Evidence,
    rank: Rank = 2,
    chance: Share = 0.001,
    calibration: Count = 10_000,
    worst: Few = 16,
    seed: Seed = 0,
) -> Measure:
    """Share of samples that are copies of training images, and how near these are.

    A copy is much nearer to one training image than to the next: d_1 / d_rank is below a limit
    (as in Yoon 2023; Carlini 2023, eq. 2, divides by a mean), or it is no distance away. `chance`
    is what a model that copies nothing gets: the limit is that share's quantile of training images
    among the others, of which `calibration` are asked, or of the reference's if it is higher, as
    twins lower it. Equal training images count once; where many are almost equal, take a larger
    rank. auth_pct: percent of samples that are farther from their nearest training image than that
    is from its own nearest (Alaa 2022, section 3.3). The same of the reference stands beside
    them. The error is that of a share of n samples.
    """
    at_least(1, samples, "a share")
    at_least(rank + 1, train, f"a neighbour of rank {rank}")
    rows, firsts = _unlike(cast(Tensor, train.features))
    if len(rows) <= rank:
        raise Refusal(f"{train.name}: {len(rows)} different images, and rank is {rank}")
    order = np.random.RandomState(seed).permutation(len(rows))[:calibration]
    known = torch.from_numpy(order).to(rows.device)
    limit = _quantile(_ratios(nearest(rows[known], rows, rank, own=known)), chance)
    unseen = None
    if reference.features is not None and reference.features is not train.features:
        unseen = _sought(reference, rows, rank)
        if chance * len(unseen.ratios) >= 1:
            limit = max(limit, _quantile(unseen.ratios, chance))
    found = _sought(samples, rows, rank)
    share = found.copied(limit)
    values = {
        "memorisation": share,
        "auth_pct": found.authentic,
        "nearest_training_distance": float(found.distances.median()),
    }
    if unseen is not None:
        values["memorisation_of_reference"] = unseen.copied(limit)
        values["auth_pct_of_reference"] = unseen.authentic
    details = {"limit": limit, "worst": _worst(found, firsts, worst)}
    error = (share * (1 - share) / samples.count) ** 0.5
    return Measure(values, {"memorisation": error}, {"memorisation": details})


class _Sought(NamedTuple):
    """Nearest training images of the images of a side: places, distances and ratios [n]."""

    places: Tensor
    distances: Tensor
    ratios: Tensor
    authentic: float

    def copied(self, limit: float) -> float:
        """The share of copies."""
        return float(((self.ratios < limit) | (self.distances == 0)).double().mean())


def _unlike(rows: Tensor) -> tuple[Tensor, Tensor]:
    """The different ones of the rows, and the first place of each."""
    unlike, which = torch.unique(rows, dim=0, return_inverse=True)
    every = torch.arange(len(rows), device=rows.device)
    firsts = torch.full((len(unlike),), len(rows), device=rows.device)
    return unlike, firsts.scatter_reduce(0, which, every, "amin")


def _quantile(ratios: Tensor, share: float) -> float:
    """The largest number below which there is at most this share."""
    return float(ratios.sort().values[min(int(share * len(ratios)), len(ratios) - 1)])


def _sought(side: Evidence, rows: Tensor, rank: int) -> _Sought:
    found = nearest(cast(Tensor, side.features), rows, rank)
    distances, places = found.squared[:, 0].sqrt(), found.places[:, 0]
    met, which = torch.unique(places, return_inverse=True)
    own = nearest(rows[met], rows, 1, own=met).squared[:, 0].sqrt()[which]
    authentic = 100 * float((distances > own).double().mean())
    return _Sought(places, distances, _ratios(found), authentic)


def _ratios(found: Nearest) -> Tensor:
    """Distance to the nearest over that to the last of those found [n]."""
    return (found.squared[:, 0] / found.squared[:, -1]).sqrt()


def _worst(found: _Sought, firsts: Tensor, count: int) -> list[dict[str, Any]]:
    """The samples most like a training image, most of all first, by their places on each side."""
    order = found.ratios.argsort(stable=True)[:count].tolist()
    return [
        {
            "sample": i,
            "train": int(firsts[found.places[i]]),
            "distance": float(found.distances[i]),
            "ratio": float(found.ratios[i]),
        }
        for i in order
    ]
