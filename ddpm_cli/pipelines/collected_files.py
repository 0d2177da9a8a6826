"""What `ddpm collect` writes: a sheet, a file of arrays, a folder or an archive of pictures."""

import csv
import io
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import torch

from ddpm_cli import __version__, console
from ddpm_cli.errors import Refusal
from ddpm_cli.files import records
from ddpm_cli.files.images import scales
from ddpm_cli.files.images.scales import BYTES, WIDE, Scale
from ddpm_cli.files.images.sheets import Page
from ddpm_cli.files.outputs import encoding, numbers, targets
from ddpm_cli.files.outputs.numbers import Rows
from ddpm_cli.files.outputs.targets import Existing
from ddpm_cli.files.records import Record, compact
from ddpm_cli.pipelines import gathering
from ddpm_cli.pipelines.contact_sheets import arranged
from ddpm_cli.pipelines.gathering import Gathered
from ddpm_cli.pipelines.stores import Picture, Sample
from ddpm_cli.settings.collecting import STDOUT, Collect

MAKERS = ("sample", "guide")  # whose records say all, without inputs
TOLD = {"model", "class", "settings", "batch", "dtype", "device", "threads"}  # to make it again
TEXTS = tuple(records.TOLD)
TABLE = "labels.csv"  # of the classes in an archive, which ddpm train reads

Write = Callable[[], None]


def refuse_outside(samples: Sequence[Sample]) -> None:
    """Refuse numbers that are no pixels: images lie in [-1, 1]."""
    for each in samples:
        values = each.source.values()
        if not bool((values.abs() <= 1.001).all()):
            low, high = values.min(), values.max()
            raise Refusal(f"{each.place}: values {low:.3g} to {high:.3g} are no image", "use .npz")


def _scale(samples: Sequence[Sample]) -> Scale:
    """The scale of the pixels of all samples."""
    whole = WIDE if samples[0].kind == "I;16" else BYTES
    return scales.of(samples[0].record.get("range")) or whole


def _pixels(sample: Sample) -> torch.Tensor:
    """The pixels of an image."""
    values = sample.source.values()
    return values if sample.is_picture else BYTES.pixels(values)


def _record(together: Gathered, *, is_whole: bool = True) -> Record:
    """What can be said of all samples; is_whole: whether the command that made them says it."""
    alike = dict(gathering.common(together.samples))
    alike.pop("range", None)
    # Of single files each has a text of its own, and no command makes all of them.
    is_told = all(key in alike for key in TEXTS if key in together.samples[0].record)
    if (
        is_whole
        and is_told
        and alike.get("command") in MAKERS
        and together.seeds
        and alike.keys() >= TOLD
    ):
        return alike
    kept = {key: value for key, value in alike.items() if key in ("model", "hash", "settings")}
    return {"version": __version__, "command": "collect", **kept}


def sheet(together: Gathered, request: Collect) -> Write:
    """One picture of all."""
    samples, path = together.samples, Path(request.output)
    targets.refuse_sheet(len(samples), "collect them into a folder, or an .npz file")
    plan = arranged(samples, request)
    plan.grid.refuse_large(request.output)
    scale = _scale(samples)
    is_plain = not request.rows and not request.columns
    about = dict(_record(together, is_whole=is_plain))
    if words := request.layout.words:
        about["arguments"] = [*about.get("arguments", []), *words]
    if together.seeds:
        about |= {"seeds": compact(together.seeds), "classes": together.labels or None}
        about |= records.each([sample.told for sample in samples], about)

    def write() -> None:
        dtype = torch.int32 if samples[0].kind == "I;16" else torch.uint8
        page = Page(plan.grid, dtype, scale.high)
        for number, (sample, place) in enumerate(zip(samples, plan.places, strict=True)):
            page.put(*place, _pixels(sample), plan.lines[number] if plan.lines else ())
        target = None if request.output == STDOUT else path
        data = encoding.encode(page.pixels, target, about, scale)
        if target is None:
            console.binary(data)
        else:
            targets.put(target, data, Existing(request.force))

    return write


def arrays(together: Gathered, request: Collect) -> Write:
    """One file of arrays."""
    samples, path = together.samples, Path(request.output)
    first, scale = samples[0], _scale(samples)
    is_pixels = first.is_picture
    if first.kind not in ("float32",) and not is_pixels:
        console.say(f"{first.kind} becomes float32")
    if is_pixels and path.suffix == ".safetensors":
        console.say("pixels become float32 in [-1, 1], as ddpm sample writes them")
    existing = Existing(request.force)
    rows = Rows(path, len(samples), first.shape, existing, scale=scale if is_pixels else None)
    targets.refuse_too_large(path, rows.size)
    record, seeds, labels = _record(together), together.seeds, together.labels
    is_told = any(sample.told for sample in samples)

    def write() -> None:
        with rows, console.progress(len(samples), "samples") as bar:
            for number, each in enumerate(samples):
                values, one = each.source.values()[None], slice(number, number + 1)
                finished = scale.values(values) if is_pixels else values
                told = [each.told] if is_told else []
                rows.add(seeds[one], labels[one], finished, record, told)
                bar.advance()
            rows.finish()

    return write


def _names(samples: Sequence[Sample]) -> list[str]:
    """A file name for each sample: its seed's, or its own."""
    names = [_name(each) for each in samples]
    taken: dict[str, Sample] = {}
    for number, each in enumerate(samples):
        if names[number] in taken and taken[names[number]].folder != each.folder:
            names[number] = f"{each.folder}-{names[number]}"
        if names[number] in taken:
            other = taken[names[number]].place
            raise Refusal(f"{other} and {each.place} would both become {names[number]}")
        taken[names[number]] = each
    return names


def _name(sample: Sample) -> str:
    suffix = Path(sample.place).suffix if isinstance(sample.source, Picture) else ".png"
    if sample.seed is None or sample.input is not None:
        return f"{sample.name}{suffix}"
    return f"{targets.seed_name(sample.seed)}{suffix}"


def _files(samples: Sequence[Sample]) -> Iterator[bytes]:
    """The bytes of a picture of each sample: a file as it is, a row with a record of its own."""
    for each in samples:
        data = each.source.data()
        if data is None:
            about = {**each.record, **each.told}
            about["classes"] = None if each.label is None else [each.label]
            if each.told and each.label is not None and about.get("class") is not None:
                about["class"] = each.label
            if each.seed is not None:
                about["seeds"] = compact([each.seed])
            data = encoding.encode(_pixels(each), None, about, _scale([each]))
        yield data


def folder(together: Gathered, request: Collect) -> Write:
    """A file each."""
    names, place = _names(together.samples), Path(request.output)
    targets.refuse_unwritable(place, len(names) * targets.LEAST)
    read = {Path(each.place).absolute() for each in together.samples}
    for name in names:
        if (place / name).absolute() in read:
            raise Refusal(
                f"{place / name}: is an input, which stays as it is", "choose another -o"
            )
        targets.refuse_in_the_way(place / name, request.force)

    def write() -> None:
        with console.progress(len(names), "files") as bar:
            for name, data in zip(names, _files(together.samples), strict=True):
                targets.put(place / name, data, Existing(request.force))
                bar.advance()

    return write


def archive(together: Gathered, request: Collect) -> Write:
    """A file each in an archive, with a table of their classes."""
    names, path = _names(together.samples), Path(request.output)

    def fill(file: BinaryIO) -> None:
        with zipfile.ZipFile(file, "w") as entries, console.progress(len(names), "files") as bar:
            for name, data in zip(names, _files(together.samples), strict=True):
                entries.writestr(numbers.entry(name), data)
                bar.advance()
            if together.labels:
                entries.writestr(numbers.entry(TABLE), _table(names, together.labels))

    def write() -> None:
        targets.put(path, fill, Existing(request.force))

    return write


def _table(names: Sequence[str], labels: Sequence[str]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("file", "label"))
    writer.writerows(zip(names, labels, strict=True))
    return text.getvalue()
