"""The two sides of `ddpm eval`: what their names stand for, and their images a batch at a time."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ddpm_cli.data import image_arrays
from ddpm_cli.data.image_set import Data
from ddpm_cli.diffusion.rng import keyed
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.evaluation import statistics
from ddpm_cli.evaluation.extractor import Mode
from ddpm_cli.evaluation.statistics import Statistics
from ddpm_cli.files.images.pixels import to_uint8
from ddpm_cli.models import datasets
from ddpm_cli.pipelines.eval_words import Kind
from ddpm_cli.settings.components import canonical
from ddpm_cli.settings.config import Layer, resolve

Batch = tuple[Tensor, list[int] | None]  # pixels uint8 [B, C, H, W], numbers of their classes
HASH = 16  # digits


@dataclass(frozen=True)
class Side:
    """So many images in a fixed order, or statistics of some; `batches` gives them by so many.

    shape: [C, H, W] of each; classes: the names of their labels; facts: what a result says of it;
    whole: statistics of a set of which these images are a part.
    """

    name: str
    kind: Kind
    count: int
    batches: Callable[[int], Iterator[Batch]]
    shape: tuple[int, ...] | None = None
    classes: tuple[str, ...] | None = None
    statistics: Statistics | None = None
    whole: Statistics | None = None
    data: Data | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def record(self) -> dict[str, Any]:
        """What a result says of this side."""
        return {"name": self.name, "kind": self.kind, "n": self.count, **self.facts}


def stored(word: str, what: Kind, layers: Sequence[Layer], mode: Mode) -> Side:
    """A side that is there already: images of files or of a data set, or statistics."""
    if what == "statistics":
        return _of_statistics(word)
    if what == "arrays":
        return of_data(word, what, image_arrays.image_arrays(Path(word)))
    if what == "data":
        name, _, split = word.rpartition(":")
        settings: dict[str, Any] = {"name": name}
    else:
        name, split = {"folder": "folder", "zip": "archive"}[what], "train"
        settings = {"name": name, "path": word, "mode": mode, "holdout": 0}
    own = {"path"} if "path" in settings else set[str]()  # data.path is that of a data set
    asked = [
        layer._replace(
            values={"data": {key: v for key, v in layer.values["data"].items() if key not in own}}
        )
        for layer in layers
        if "data" in layer.values
    ]
    config = resolve([Layer(word, {"data": settings}), *asked])
    if config["data"]["name"] != canonical(name):
        raise ConfigError(f"data.name: {word} says already which; leave it out")
    return of_data(word, what, datasets.images(config, split))


def of_data(name: str, what: Kind, data: Data) -> Side:
    """A side of the rows of a data set."""
    if data.mean is not None:
        raise Refusal(f"{name}: arrays, no images", "eval compares images")
    batches = _batches(data, range(len(data)))
    return Side(name, what, len(data), batches, data.shape, data.classes, data=data)


def chosen(side: Side, rows: Sequence[int], name: str) -> Side:
    """Some of the rows of a side that is a data set, by their numbers."""
    assert side.data is not None  # noqa: S101
    batches = _batches(side.data, rows)
    return replace(side, name=name, count=len(rows), batches=batches, whole=None)


def with_whole(side: Side) -> Side:
    """A reference with the statistics in its file, if its images are a part of those they tell of.

    OpenAI's reference batches hold moments of a whole data set and 10,000 images of it: fid and
    sfid take the first, precision and recall the second.
    """
    known = statistics.beside(Path(side.name)) if side.kind == "arrays" else None
    if known is None:
        return side
    return replace(side, whole=known, facts={**side.facts, "statistics": known.hash})


def some(side: Side, count: int | None, key: str, seed: int = 0) -> Side:
    """So many images of a side, in its order but drawn at random: files come class by class."""
    if count is None or count == side.count or side.data is None:
        return side
    if count > side.count:
        raise Refusal(f"{side.name}: {side.count} images, -n asks for {count}", "ask for fewer")
    rows = sorted(shuffled(side.count, key, seed)[:count])
    return replace(chosen(side, rows, side.name), facts={**side.facts, "of": side.count})


def shuffled(count: int, key: str, seed: int = 0) -> list[int]:
    """The numbers of so many rows in a random order, always the same for a key and a seed."""
    generator = torch.Generator().manual_seed(keyed(seed, key))
    order: list[int] = torch.randperm(count, generator=generator).tolist()
    return order


def hashed(side: Side, batch: int) -> Side:
    """A side with the hash of its images in their order: equal pixels, equal hash."""
    if side.data is None:
        return side
    total = hashlib.sha256(repr((side.count, side.shape)).encode())
    for images, _ in side.batches(batch):
        total.update(images.contiguous().numpy().tobytes())
    return replace(side, facts={**side.facts, "hash": total.hexdigest()[:HASH]})


def _batches(data: Data, rows: Sequence[int]) -> Callable[[int], Iterator[Batch]]:
    def batches(size: int) -> Iterator[Batch]:
        for start in range(0, len(rows), size):
            values, told = data[torch.tensor(rows[start : start + size])]
            labels = told.get("classes")
            pixels = values if values.dtype == torch.uint8 else to_uint8(values)
            yield pixels, None if labels is None else labels.tolist()

    return batches


def _of_statistics(word: str) -> Side:
    known = statistics.read(Path(word))

    def batches(size: int) -> Iterator[Batch]:
        raise Refusal(f"{word}: statistics alone, no images")

    facts = {"hash": known.hash, "made": dict(known.about) or None}
    return Side(word, "statistics", known.moments.count, batches, statistics=known, facts=facts)
