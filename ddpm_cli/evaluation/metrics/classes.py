"""What a classifier says of samples: whether it is sure, and of which classes."""

from typing import cast

import numpy as np
import torch
from torch import Tensor

from ddpm_cli.errors import Refusal
from ddpm_cli.evaluation.evidence import Evidence, doubled
from ddpm_cli.evaluation.measures import Measure, at_least, takes
from ddpm_cli.settings.knobs import Few, Seed


@takes("probabilities", reference=())
def inception_score(
    samples: Evidence, reference: Evidence, *, splits: Few = 10, seed: Seed = 2020
) -> Measure:
    """Inception score: sure of each image, of another class each (Salimans 2016, section 4).

    exp(mean KL(p(y|x) | p(y))), the mean over `splits` parts of the images in a random order; the
    error is the deviation of the parts over the root of their number. From 1 to the number of
    classes; the reference is not asked. Checked against torch-fidelity to 1e-6.
    """
    at_least(2 * splits, samples, f"an Inception score of {splits} parts")
    p = doubled(cast(Tensor, samples.probabilities))
    p = p[torch.from_numpy(np.random.RandomState(seed).permutation(len(p))).to(p.device)]
    scores = []
    for i in range(splits):
        part = p[i * len(p) // splits : (i + 1) * len(p) // splits]
        divergence = torch.xlogy(part, part) - torch.xlogy(part, part.mean(0))
        scores.append(float(divergence.sum(1).mean().exp()))
    deviation = float(np.std(scores))
    return Measure(
        {"inception_score": float(np.mean(scores))},
        {"inception_score": deviation / splits**0.5},
        {"inception_score": {"split_deviation": deviation}},
    )


@takes("classes")
def class_histogram(samples: Evidence, reference: Evidence) -> Measure:
    """How far the shares of the classes are from the reference's: total variation distance.

    Half the sum of absolute differences, 0 to 1; what chance alone gives two sets of these sizes
    is beside it. The classes are those that the feature network sees, or the labels of both
    sides where it sees none.
    """
    for side in (samples, reference):
        at_least(1, side, "a histogram")
    ours, others = _comparable(samples, reference)
    width = int(max(ours.max(), others.max())) + 1
    p, q = (torch.bincount(c, minlength=width).double() / len(c) for c in (ours, others))
    pooled = (p * len(ours) + q * len(others)) / (len(ours) + len(others))
    each = pooled * (1 - pooled) * (1 / len(ours) + 1 / len(others))
    chance = float((2 / torch.pi * each).sqrt().sum()) / 2  # E|z| = sqrt(2 / pi) of a normal
    shares = {"samples": p.tolist(), "reference": q.tolist(), "expected_by_chance": chance}
    distance = float((p - q).abs().sum()) / 2
    return Measure({"class_histogram": distance}, details={"class_histogram": shares})


@takes("probabilities", "labels", reference=())
def class_agreement(samples: Evidence, reference: Evidence) -> Measure:
    """Share of samples that the feature network takes for the class that was asked for.

    The error is that of a share of n samples; the reference is not asked.
    """
    at_least(1, samples, "a share")
    asked = cast(Tensor, samples.labels).cpu().long()
    seen = cast(Tensor, samples.probabilities).argmax(1).cpu()
    classes = cast(Tensor, samples.probabilities).shape[1]
    if int(asked.min()) < 0 or int(asked.max()) >= classes:
        raise Refusal(
            f"{samples.name}: labels from {int(asked.min())} to {int(asked.max())}, and the "
            f"feature network tells {classes} classes"
        )
    right = (asked == seen).double()
    share = float(right.mean())
    each = {int(c): float(right[asked == c].mean()) for c in asked.bincount().nonzero()[:, 0]}
    return Measure(
        {"class_agreement": share},
        {"class_agreement": (share * (1 - share) / len(right)) ** 0.5},
        {"class_agreement": {"by_class": each}},
    )


def _comparable(samples: Evidence, reference: Evidence) -> tuple[Tensor, Tensor]:
    """The classes of both sides [n], [m]: seen by the network, or written beside them."""
    sides = (samples, reference)
    if all(side.probabilities is not None for side in sides):
        seen = [cast(Tensor, side.probabilities).argmax(1).cpu() for side in sides]
        return seen[0], seen[1]
    if any(side.labels is None for side in sides):
        raise Refusal("class-histogram: classes of one side are seen, of the other written")
    written = [cast(Tensor, side.labels).cpu().long() for side in sides]
    return written[0], written[1]
