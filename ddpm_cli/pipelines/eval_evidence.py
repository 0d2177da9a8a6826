"""From a side of `ddpm eval` to what its metrics ask for: images through the feature network."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ddpm_cli import console, signals
from ddpm_cli.errors import Refusal
from ddpm_cli.evaluation.evidence import Evidence, Moments
from ddpm_cli.evaluation.extractor import Extractor
from ddpm_cli.pipelines.eval_sides import Side

Names = tuple[str, ...] | None


def gathered(
    side: Side, extractor: Extractor, parts: Collection[str], classes: Names, batch: int
) -> Evidence | None:
    """All images of a side through a feature network; None if the process was asked to stop.

    parts: what is asked for, in the words of measures.Part; classes: the names that number the
    labels. Of the images no more than a batch is held unless they are asked for themselves.
    """
    if side.statistics is not None:
        return of_moments(side, side.statistics.moments, side.statistics.spatial)
    wanted = _wanted(parts)
    held: dict[str, list[Tensor]] = {name: [] for name in wanted}
    labels: list[int] | None = []
    numbers = _numbers(side.classes, classes)
    with console.progress(side.count, "images", quiet=side.kind == "model") as bar:
        for images, told in side.batches(batch):
            if signals.requested():
                return None
            _keep(held, images, extractor)
            labels = None if labels is None or told is None else labels + _named(told, numbers)
            bar.advance(len(images))
    count = sum(map(len, held["features"]))
    if count < side.count:
        if signals.requested():
            return None
        raise Refusal(f"{side.name}: {count} of {side.count} images could be read")
    rows: dict[str, Any] = {name: torch.cat(values) for name, values in held.items()}
    known_labels = labels if labels and min(labels) >= 0 else None
    told_labels = None if known_labels is None else torch.tensor(known_labels)
    return _with_whole(Evidence(side.name, count, labels=told_labels, **rows), side)


def of_moments(side: Side, pooled: Moments | None, spatial: Moments | None) -> Evidence:
    """What is known of a side of which there are moments alone."""
    return Evidence(side.name, side.count, moments=pooled, spatial_moments=spatial)


def prospect(side: Side, extractor: Extractor) -> Evidence:
    """What there will be of a side, told from one black image; its rows are of no use."""
    if side.statistics is not None:
        return of_moments(side, side.statistics.moments, side.statistics.spatial)
    image = torch.zeros(1, *(side.shape or (1, 32, 32)), dtype=torch.uint8)
    seen = extractor(image)
    labels = None if side.classes is None else torch.zeros(1, dtype=torch.int64)
    return _with_whole(Evidence(side.name, side.count, *seen, labels=labels, images=image), side)


def _with_whole(seen: Evidence, side: Side) -> Evidence:
    """What is seen of a part of a set, with the moments that its file tells of all."""
    if side.whole is None:
        return seen
    return replace(seen, moments=side.whole.moments, spatial_moments=side.whole.spatial)


def numbering(first: Side, second: Side, extractor: Extractor) -> Names:
    """Names that number the classes of both sides: the network's where it knows them all."""
    names = {*(first.classes or ()), *(second.classes or ())}
    if extractor.classes is not None and names <= set(extractor.classes):
        return extractor.classes
    order = dict.fromkeys([*(second.classes or ()), *(first.classes or ())])
    return tuple(order) or None


def _wanted(parts: Collection[str]) -> list[str]:
    """The rows to keep: what others follow from, and features always."""
    rows = ["features"]
    if {"spatial", "spatial_moments"} & set(parts):
        rows.append("spatial")
    if {"probabilities", "classes"} & set(parts):
        rows.append("probabilities")
    return [*rows, "images"] if "images" in parts else rows


def _keep(held: dict[str, list[Tensor]], images: Tensor, extractor: Extractor) -> None:
    seen = extractor(images)
    for name in list(held):
        values = images if name == "images" else getattr(seen, name)
        if values is None:
            del held[name]  # the metric that takes it says so
        else:
            held[name].append(values.clone())


def _numbers(own: Names, common: Names) -> Sequence[int] | None:
    """The common number of each class of a side."""
    if own is None or common is None:
        return None
    return [common.index(name) for name in own]


def _named(labels: Sequence[int], numbers: Sequence[int] | None) -> list[int]:
    """Common numbers of labels; what has no name, as the null class, becomes -1."""
    if numbers is None:
        return [-1] * len(labels)
    return [numbers[label] if label < len(numbers) else -1 for label in labels]
