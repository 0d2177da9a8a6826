"""Samples found in files and folders, in the order of their seeds: which are double or missing."""

import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from ddpm_cli import console
from ddpm_cli.data import sources
from ddpm_cli.data.sources import Archive
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.failures import Failures
from ddpm_cli.files.images.opening import SUFFIXES, is_image_name
from ddpm_cli.files.records import Record, compact
from ddpm_cli.foreign import missing
from ddpm_cli.pipelines import array_stores, stores
from ddpm_cli.pipelines.lines import digest
from ddpm_cli.pipelines.stores import Sample, Shelf
from ddpm_cli.settings.collecting import NUMBERS, ZIP, Collect

# What two machines may do differently for the same job.
PLACE = ("batch", "threads", "device", "dtype", "compute", "version")
SHOWN = 10  # names in a message


Pair = tuple[Sample, Sample]


class Gathered(NamedTuple):
    """Samples in their order, and what is said of them.

    missing: seeds that are not there, in words; doubled: those that were there twice; files: how
    many there were.
    """

    samples: Sequence[Sample]
    missing: str | None
    doubled: str | None
    files: int

    @property
    def seeds(self) -> list[int]:
        """The seeds, if all have one."""
        found = [each.seed for each in self.samples if each.seed is not None]
        return found if len(found) == len(self.samples) else []

    @property
    def labels(self) -> list[str]:
        """The classes, if all have one."""
        found = [each.label for each in self.samples if each.label is not None]
        return found if len(found) == len(self.samples) else []


def places(inputs: Sequence[str], output: str) -> list[Path]:
    """The files that arguments name, each once, without the output itself."""
    own, found = Path(output).absolute(), dict[Path, None]()
    for text in inputs:
        if text in ("", "-"):
            raise ConfigError("INPUT: name files or folders; standard input is none of them")
        path = Path(text)
        if path.is_dir():
            below = [path / name for name in sorted(sources.below(path, _is_wanted))]
            if not below:
                fix = f"names must end in {' '.join((*SUFFIXES, *NUMBERS, ZIP))}"
                raise Refusal(f"{path}: no samples in this folder", fix)
        elif not path.exists():
            raise missing.refusal(path, "image")
        else:
            below = [path]
        found |= dict.fromkeys(each for each in below if each.absolute() != own)
    if not found:
        raise Refusal(f"{output}: is all that was named", "name what is to be collected")
    return list(found)


def _is_wanted(name: str) -> bool:
    """Whether a file in a folder is looked at, from its name: no hidden ones."""
    hidden = any(part.startswith(".") for part in Path(name).parts)
    return is_image_name(name) or (Path(name).suffix.lower() in (*NUMBERS, ZIP) and not hidden)


def read(paths: Sequence[Path], failures: Failures, shelf: Shelf) -> Iterator[Sample]:
    """All samples in files; one that cannot be read fails alone."""
    with console.progress(len(paths), "files") as bar:
        for path in paths:
            suffix = path.suffix.lower()
            if suffix == ZIP or (suffix not in NUMBERS and zipfile.is_zipfile(path)):
                with failures.caught():
                    archive = Archive(path)
                    yield from _archived(archive, shelf, failures)
            elif suffix in NUMBERS:
                with failures.caught():
                    yield from array_stores.rows(path, shelf)
            else:
                with failures.caught():
                    yield stores.picture(str(path), shelf)
            bar.advance()


def _archived(archive: Archive, shelf: Shelf, failures: Failures) -> Iterator[Sample]:
    for name in archive.names:
        with failures.caught():
            yield stores.picture(name, shelf, archive)


def gathered(
    found: Sequence[Sample],
    files: int,
    wanted: Sequence[int] | None,
    *,
    is_merged: bool,
    by_group: bool,
    force: bool,
) -> Gathered:
    """Samples in order: seeds if all have one, otherwise as they were found.

    is_merged: they become one set, in which a seed stands once, however it was made; else those
    of other settings, or by_group of other files, are samples of their own. wanted: the seeds
    that must be there, and no others.
    """
    refuse_mixed(found)
    if not all(each.seed is not None for each in found):
        if wanted is not None:
            nameless = next(each.place for each in found if each.seed is None)
            raise Refusal(f"{nameless}: says no seed", "leave --seeds out")
        if any(each.seed is not None for each in found):
            console.say("some samples say no seed: all stay in the order given")
        return Gathered(found, None, None, files)
    groups: dict[object, dict[int, Sample]] = {}
    made, equal, replaced = dict[int, str](), list[Pair](), list[Pair]()
    for each in found:
        group = groups.setdefault(_group(each, made, is_merged, by_group), {})
        seed = int(each.seed or 0)
        if seed in group:
            pair = (group[seed], each)
            if each.source.values().equal(group[seed].source.values()):
                equal.append(pair)
                continue
            _refuse_unforced(*pair, force)
            replaced.append(pair)
        group[seed] = each
    samples = [group[seed] for group in groups.values() for seed in sorted(group)]
    lost = [_lost(sorted(group), wanted) for group in groups.values()]
    gaps = "; ".join(_of(name, text) for name, text in zip(groups, lost, strict=True) if text)
    if wanted is not None:
        asked = set(wanted)
        samples = [each for each in samples if each.seed in asked]
        if not samples:
            raise Refusal(f"--seeds: none of them is there, of {len(found)} samples")
    twice = _tell_doubled(equal, replaced)
    return Gathered(samples, gaps or None, twice, files)


def _group(
    sample: Sample, made: dict[int, str], is_merged: bool, by_group: bool
) -> tuple[str | None, ...]:
    """Within what a seed is one sample's own: its input, and of a sheet how it was made.

    made: that of each record, by its identity.
    """
    if is_merged:
        return (sample.input,)
    if id(sample.record) not in made:
        made[id(sample.record)] = str(sorted(_making(sample.record).items()))
    folder = str(Path(sample.place).parent) if by_group else None
    return sample.input, made[id(sample.record)], folder


def _of(group: Any, text: str) -> str:
    return text if group[0] is None else f"{text} of {group[0]}"


def _refuse_unforced(first: Sample, second: Sample, force: bool) -> None:
    if not force:
        what = f"seed {first.seed}: {first.place} and {second.place} differ"
        raise Refusal(what, "leave one of them out, or use --force to take the last")


def _tell_doubled(equal: Sequence[Pair], replaced: Sequence[Pair]) -> str | None:
    """Say which seeds were there twice, and what became of them."""
    for pairs, tell, words in (
        (equal, console.say, "there twice and equal, taken once"),
        (replaced, console.warn, "there twice and different, of which the last is taken"),
    ):
        if pairs:
            seeds = compact(sorted({pair[0].seed or 0 for pair in pairs}))
            first, second = (each.place for each in pairs[0])
            tell(f"seeds {seeds}: {words}, as {first} and {second}")
    return compact(sorted({pair[0].seed or 0 for pair in (*equal, *replaced)})) or None


def _lost(there: Sequence[int], wanted: Sequence[int] | None) -> str:
    """The seeds that are missing: of those wanted, or between the first and the last."""
    if wanted is not None:
        have = set(there)
        return compact([seed for seed in wanted if seed not in have])
    gaps = ((a + 1, b - 1) for a, b in pairwise(there) if b > a + 1)
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in gaps)


def refuse_mixed(found: Sequence[Sample]) -> None:
    """Refuse samples of two shapes, or of two kinds of pixels or numbers."""
    first = found[0]
    for each in found:
        if (each.kind, each.shape) != (first.kind, first.shape):
            what = f"{first.place} is {_described(first)}, {each.place} is {_described(each)}"
            raise Refusal(f"{what}: one of them belongs elsewhere")


def _described(sample: Sample) -> str:
    sides = sample.shape[:0:-1] if sample.is_picture else sample.shape
    return f"{'x'.join(map(str, sides))} {sample.kind}"


def common(samples: Sequence[Sample]) -> Record:
    """What the records of all samples say alike."""
    first: dict[str, Any] = dict(samples[0].record)
    seen = {id(samples[0].record)}
    for each in samples:
        if id(each.record) in seen:
            continue
        seen.add(id(each.record))
        for key in [*first]:
            if key not in each.record or each.record[key] != first[key]:
                del first[key]
    return first


def warn_of_making(samples: Sequence[Sample]) -> None:
    """Warn of samples that one job cannot have made: of another model, or of other settings."""
    first = samples[0]
    for each in samples:
        if each.record is first.record:
            continue
        one, other = _making(first.record), _making(each.record)
        keys = [key for key in {**one, **other} if one.get(key) != other.get(key)]
        if keys:
            what = f"{first.place} and {each.place} were made differently"
            console.warn(f"{what}: {', '.join(keys[:SHOWN])}")
            return


def _making(record: Record) -> dict[str, Any]:
    """How samples were made, without what depends on the machine: settings as table.key."""
    flat: dict[str, Any] = {}
    for key, value in record.items():
        if key == "settings" and isinstance(value, Mapping):
            for table, values in value.items():
                named = values if isinstance(values, Mapping) else {"": values}
                flat |= {f"{table}.{name}".rstrip("."): _text(v) for name, v in named.items()}
        elif key not in PLACE:
            flat[key] = _text(value)
    return flat


def _text(value: Any) -> str:
    """A value of a record; the order of keys is that of the file's format, and says nothing."""
    return json.dumps(value, sort_keys=True, default=str)


def report(request: Collect, *, model_hash: Any, **facts: Any) -> None:
    """Print where all went: the path, or with --json one object of what is there."""
    if request.as_json:
        written = None if request.dry_run else digest(Path(request.output))
        row = {"path": request.output, **facts, "hash": written, "model_hash": model_hash}
        console.json_line(row | ({"dry_run": True} if request.dry_run else {}))
    elif not request.dry_run:
        console.line(request.output)
