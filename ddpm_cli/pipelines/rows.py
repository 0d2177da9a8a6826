"""The data that a command measures a model on: images of files, or rows of a data set in order."""

import json
import shlex
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor

from ddpm_cli import console
from ddpm_cli.data import far_values, given_rows
from ddpm_cli.data.array_set import refuse_gaps
from ddpm_cli.data.image_set import Conditions, Data, numbered_as
from ddpm_cli.errors import ConfigError, Refusal, many
from ddpm_cli.failures import Failures
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.files.images import inputs
from ddpm_cli.files.images.decoding import Ranges
from ddpm_cli.files.images.inputs import Input, Source
from ddpm_cli.files.images.scales import BYTES, Scale
from ddpm_cli.files.quantities import Quantities
from ddpm_cli.models import classes, datasets, kinds
from ddpm_cli.pipelines import given
from ddpm_cli.settings import asking, shards
from ddpm_cli.settings.config import Config
from ddpm_cli.settings.nll_requests import Nll
from ddpm_cli.settings.request_parts import Use
from ddpm_cli.training.conditions import taken

COUNT = 100  # rows of a data set, unless told otherwise


class Rows(NamedTuple):
    """A batch: names and numbers of rows, values [B, ...] as a network sees them.

    told: what the data say of each, by kind, of the kinds that the network is to be told.
    places: the line or row of its file that each is, see `row_places`.
    """

    names: list[str]
    numbers: list[int]
    values: Tensor
    told: Conditions
    places: list[int] | None = None


class Sequel(NamedTuple):
    """What to measure on: its name, how many rows, and the rows in batches."""

    what: str
    total: int
    rows: Iterator[Rows]
    failures: Failures
    files: Failures | None = None  # which rows are from

    @property
    def left(self) -> int:
        """How many rows have not failed so far."""
        return self.total - self.failures.count

    @property
    def measured(self) -> str:
        """What was measured on in the end: those that failed are not in it."""
        return f"{self.left} of {self.what}" if self.failures.count else self.what

    def finish(self) -> None:
        """Raise what the command ends with if any row or file failed."""
        if self.files is not None and not self.total:
            self.files.finish()
        self.failures.finish(*([self.files] if self.files else []))


def of_request(request: Nll, config: Config, info: DataInfo, batch: int) -> Sequel:
    """The files that a request names, or else the first rows of its data set."""
    shard = request.use.shard
    if not request.inputs:
        split = request.split or "test"
        asked = own(request.use)
        data = data_set(config, split, info, asked)
        total = min(request.count or COUNT, len(data))
        if request.count and total < request.count:
            there = f"there {'is' if total == 1 else 'are'} {many(total, 'rows')}"
            console.warn(f"-n {request.count}: {there}")
        numbers = shards.part(range(total), batch, shard)
        shards.say(shard, len(numbers), total, "rows")
        what = f"{len(numbers)} of {config['data']['name']} {split}"
        known = kinds.nulls(config, info) if asked else {}
        nulls = {kind: known[kind] for kind in asked}
        rows = of_set(data, info, numbers, batch, request.bits, nulls)
        return Sequel(what, len(numbers), rows, Failures(len(numbers)))
    if not info.is_image:
        return of_tables(request, config, info, batch)
    if request.use.label == classes.OWN:
        raise ConfigError(
            "--class own: of a data set; leave out INPUT, or what is said of the data"
        )
    inputs.mode_of(info.shape)
    every = [*enumerate(inputs.sources(request.inputs))]
    sources = shards.part(every, batch, shard)
    shards.say(shard, len(sources), len(every), "images")
    failures = Failures(len(sources))
    files = of_files(request, sources, info, batch, failures)
    return Sequel(many(len(sources), "images"), len(sources), files, failures)


def own(use: Use) -> list[str]:
    """The kinds of which each row is told its own."""
    asked = {
        "classes": use.label == classes.OWN,
        "values": asking.OWN in use.values,
        "text": asking.OWN in use.texts,
    }
    return [kind for kind, is_own in asked.items() if is_own]


def of_tables(request: Nll, config: Config, info: DataInfo, batch: int) -> Sequel:
    """The rows of files of numbers; one with a gap is reported and left out."""
    given.refuse_pictures(request.use, request.look)
    sources, shard = given_rows.sources(request.inputs, info), request.use.shard
    files = Failures(len(sources), "files")
    classed = "classes" in own(request.use)
    every = [*enumerate(given.rows(sources, info, files, classed=classed))]
    chosen = shards.part(every, batch, shard)
    shards.say(shard, len(chosen), len(every), "rows")
    names = classes.known(config, info) if classed else None
    failures = Failures(len(chosen), "rows")

    def read(one: tuple[int, given.Row]) -> tuple[int, given.Row, int]:
        number, row = one
        if bool(row.values.isnan().any()):
            raise given.gap(row.place, row.name, request.use)
        if found := far_values.first(row.values[None], info):
            place = found[1:]
            raise far_values.refusal(row.place, place, float(row.values[place]), info)
        return number, row, 0 if names is None else given.class_number(row, names)

    passed = [*failures.passing(read, chosen)]  # what is wrong is said before any work

    def batches() -> Iterator[Rows]:
        passing = iter(passed)
        while some := list(islice(passing, batch)):
            numbers, rows, labels = (list(each) for each in zip(*some, strict=True))
            named, places = [row.name for row in rows], [row.number for row in rows]
            told = {} if names is None else {"classes": torch.tensor(labels)}
            yield Rows(named, numbers, given.seen(rows, info), told, places)

    return Sequel(many(len(chosen), "rows"), len(chosen), batches(), failures, files)


def of_files(
    request: Nll,
    numbered: Sequence[tuple[int, Source]],
    info: DataInfo,
    batch: int,
    failures: Failures,
) -> Iterator[Rows]:
    """Batches of image files; those that cannot be read, or scaled, are reported and left out."""

    look, ranges = request.look, Ranges.of(request.use.range, info.range)

    def read(one: tuple[int, Source]) -> tuple[int, str, Tensor]:
        number, source = one
        image = inputs.read(source, info.shape, look.fit, look.background, ranges)
        name = inputs.shown(source)
        return number, source.name, scaled(_counted(image, info, name), request.bits, name, info)

    images = failures.passing(read, numbered)
    while some := list(islice(images, batch)):
        numbers, names, values = zip(*some, strict=True)
        yield Rows(list(names), list(numbers), torch.stack(values), {})


def of_set(
    data: Data,
    info: DataInfo,
    rows: Sequence[int],
    batch: int,
    bits: int | None,
    nulls: Conditions,
) -> Iterator[Rows]:
    """Batches of these rows of a set, in order, nothing dropped or augmented.

    nulls: of the kinds that rows are told of themselves, of several captions the first.
    """
    for first in range(0, len(rows), batch):
        numbers = torch.tensor(rows[first : first + batch])
        values, conditions = data[numbers]
        told = {kind: rows for kind, rows in taken(conditions, nulls).items() if kind in nulls}
        if "values" in told and data.values and info.values:
            told["values"] = _in_scale(told["values"], data.values, info.values)
        listed: list[int] = numbers.tolist()
        if info.is_image:
            pixels = values if values.dtype == torch.uint8 else info.scale.pixels(values)
            values = scaled(pixels, bits, f"rows {listed[0]} to {listed[-1]}", info)
        else:
            values = _renormalized(values, data, info)
        names = [*map(str, listed)]
        yield Rows(names, listed, values, told)


def _in_scale(values: Tensor, theirs: Quantities, ours: Quantities) -> Tensor:
    """Numbers as another set has normalized them, in the scale of the model's."""
    mean, std = (torch.tensor(each, dtype=torch.float64) for each in theirs[1:3])
    return ours.normalized(values.double() * std + mean)


def data_set(config: Config, split: str, info: DataInfo, kinds: Sequence[str]) -> Data:
    """The data set of a configuration; one that is unlike the model's own is refused.

    kinds: what the model is to be told of the rows.
    """
    needed = {k: v for k, v in config.items() if k != "text" or "text" in kinds}
    data = numbered_as(datasets.images(needed, split), info.classes)
    shape = datasets.data_info(data).row
    if shape != info.row or (data.mean is None) != info.is_image:
        have, want = ("x".join(map(str, each)) for each in (shape, info.row))
        kind = "images" if info.is_image else "arrays"
        raise ConfigError(f"data: {have} values a row, the model is one of {kind} of {want}")
    _refuse_other_columns(data, info)
    refuse_gaps(data, "a likelihood")
    if info.is_image and data.range != info.range:
        theirs = BYTES if data.range is None else Scale(*data.range)
        fix = "their bits do not compare; see data.range"
        raise ConfigError(f"data: pixels of {theirs}, the model's are {info.scale}; {fix}")
    for note in data.notes:
        console.warn(note)
    _refuse_untold(data, info, kinds)
    if "classes" in kinds and (data.labels is None or data.classes != info.classes):
        raise ConfigError("--class own: these data have no classes, or others than the model")
    return data


def _refuse_untold(data: Data, info: DataInfo, kinds: Sequence[str]) -> None:
    """Refuse data that say other numbers of their rows than those that the model is told."""
    have, want = (each.names if each else () for each in (data.values, info.values))
    if "values" in kinds and have != want:
        fix = f"the model is told {', '.join(want)}"
        raise ConfigError(f"--value own: these data say {', '.join(have) or 'none'}; {fix}")


def _refuse_other_columns(data: Data, info: DataInfo) -> None:
    """Refuse a table of other columns than those that a model learned, or in another order."""
    have, want = (titles.columns if titles else None for titles in (data.titles, info.titles))
    if have and want and have != want:
        listed = json.dumps(list(want), ensure_ascii=False)
        fix = f"--set {shlex.quote(f'data.columns={listed}')}"
        raise ConfigError(f"data: columns {', '.join(have)}, the model knows others; {fix}")


def _counted(image: Input, info: DataInfo, name: str) -> Tensor:
    """The pixels of an image in the levels that the model counts."""
    have, want = image.scale, info.scale
    if have == want:
        return image.image
    if have.high - have.low < want.high - want.low:
        what = f"{name}: has {have.high - have.low + 1} levels, the model's images are {want}"
        raise Refusal(what, "give images of as many bits, their likelihoods do not compare")
    console.warn(f"{name}: rounded from {have} to {want}, the levels of the model")
    return want.pixels(image.values)


def scaled(pixels: Tensor, bits: int | None, name: str, info: DataInfo) -> Tensor:
    """Pixels [...] as float64 in [-1, 1].

    Bytes have 2^bits even levels, and lie exactly on them; bits: 8 unless told.
    """
    if info.range is not None:
        levels: Tensor = pixels.double() - info.scale.low
        return levels * (2 / (info.scale.high - info.scale.low)) - 1
    top = 2 ** (bits or 8) - 1
    level = (pixels.double() * (top / 255)).round()
    if bool(((level * (255 / top)).round() != pixels).any()):
        fix = "quantize them first, or leave --bits out"
        raise Refusal(f"{name}: has other values than {top + 1} levels from 0 to 255", fix)
    values: Tensor = level * (2 / top) - 1
    return values


def _renormalized(values: Tensor, data: Data, info: DataInfo) -> Tensor:
    """Values in float64 as the model was trained to see them, whatever part of the set this is."""
    theirs = datasets.data_info(data)
    if theirs.columns.is_typed or info.columns.is_typed:
        return info.normalized(info.values_of(theirs.cells(theirs.finished(values)), "data"))
    wide = [-1, *[1] * (values.ndim - 2)]
    mean, std, own_mean, own_std = (
        torch.tensor(numbers, dtype=torch.float64).reshape(wide)
        for numbers in (data.mean, data.std, info.mean, info.std)
    )
    normalized: Tensor = (values.double() * std + mean - own_mean) / own_std
    return normalized
