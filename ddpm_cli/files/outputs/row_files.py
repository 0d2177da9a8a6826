"""Files of rows: where each goes, named before any work is done, and how it is written."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ddpm_cli import console
from ddpm_cli.errors import ConfigError
from ddpm_cli.files.images.inputs import Source
from ddpm_cli.files.outputs import targets
from ddpm_cli.files.outputs.edits import FIELDS, STDOUT, Skipped, refuse_collisions
from ddpm_cli.files.outputs.numbers import npy_bytes
from ddpm_cli.files.outputs.targets import Existing
from ddpm_cli.settings import shards
from ddpm_cli.settings.shards import Shard

SUFFIXES = (".csv", ".npy")


class RowFile(NamedTuple):
    """A file to write: of an input the results of these seeds, one below the other if several.

    path: None for stdout.
    """

    name: str
    seeds: list[int]
    path: Path | None

    @property
    def suffix(self) -> str:
        """How its name ends; stdout is text."""
        return self.path.suffix if self.path else ".csv"


def planned(
    place: str | None,
    inputs: Sequence[Source],
    seeds: Sequence[int],
    *,
    default: str,
    force: bool,
    skip_existing: bool,
    size: int = 1,
    shard: Shard | None = None,
    is_table: bool = True,
) -> tuple[list[RowFile], list[Skipped]]:
    """The files that `place` asks for, and those that are left out as they exist.

    x.csv, x.npy or "-" takes one input, a folder a file of each input's name; a name may hold
    {name} and {seed}, without which several seeds share a file. What is in the way is refused.
    is_table: rows of other files than these become .csv, else .npy.
    """
    own = {source.name: _ending(source, is_table) for source in inputs}
    files = _shared(place, inputs, seeds, default, skip_existing, shard, own)
    numbers = shards.part([*range(len(files))], size, shard)
    wanted, skipped = list[RowFile](), list[Skipped]()
    for file in (files[number] for number in numbers):
        if file.path is None:
            wanted.append(file)
        elif skip_existing and file.path.is_file():
            skipped.append(Skipped(file.path, file.name, file.seeds))
        else:
            targets.refuse_existing(file.path, force)
            wanted.append(file)
    return wanted, skipped


def _ending(source: Source, is_table: bool) -> str:
    """How the file for an input ends: as that one, if such files are written."""
    suffix = Path(source.name).suffix.lower()
    return suffix if suffix in SUFFIXES else ".csv" if is_table else ".npy"


def _shared(
    place: str | None,
    inputs: Sequence[Source],
    seeds: Sequence[int],
    default: str,
    skip_existing: bool,
    shard: Shard | None,
    endings: Mapping[str, str],
) -> list[RowFile]:
    """All files that a place stands for; endings: of a file for each input."""
    if place is None:
        ending = endings[inputs[0].name] if len(inputs) == 1 else "/"
        place = f"{default}{ending}"
    if place == STDOUT:
        if len(inputs) > 1 or skip_existing:
            what = "takes one input" if len(inputs) > 1 else "has nothing to skip"
            raise ConfigError(f"-o -: stdout {what}; give a folder")
        return [RowFile(inputs[0].name, [*seeds], None)]
    template, found = shards.place(place, shard), list[RowFile]()
    names = targets.fields(template, FIELDS)
    is_folder = not names and (
        place.endswith("/") or Path(template).is_dir() or not Path(template).suffix
    )
    for source in inputs:
        own = source.stem + endings[source.name]
        form = str(Path(template) / own) if is_folder else template
        if Path(form).suffix not in SUFFIXES:
            raise ConfigError(f"-o {place}: unknown ending; use .csv, .npy or a folder")
        parts = [[seed] for seed in seeds] if "seed" in names else [[*seeds]]
        for some in parts:
            named = {"name": source.stem, "seed": targets.seed_name(some[0])}
            found.append(RowFile(source.name, some, Path(form.format_map(named))))
    if len(found) > 1 and len({file.path for file in found}) == 1:
        fix = "give a folder, or add {name}"
        raise ConfigError(f"-o {place}: {len(inputs)} inputs would share it; {fix}")
    every: dict[str, dict[int, Path]] = {}
    for file in found:
        if file.path is not None:
            every.setdefault(file.name, {})[file.seeds[0]] = file.path
    refuse_collisions(every, place)
    return found


def write(file: RowFile, content: Any, force: bool) -> list[Path]:
    """Write text, or an array as .npy; return the files written."""
    data = content.encode() if isinstance(content, str) else npy_bytes(content)
    if file.path is None:
        console.binary(data)
        return []
    return targets.put(file.path, data, Existing(force))
