"""Where edits of images go: a file for each input and seed, named before any work is done."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ddpm_cli import console
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files.captions import caption
from ddpm_cli.files.images import sheets
from ddpm_cli.files.images.inputs import STDIN, Source
from ddpm_cli.files.images.scales import BYTES, Scale
from ddpm_cli.files.images.sheets import Lines
from ddpm_cli.files.outputs import encoding, targets
from ddpm_cli.files.outputs.targets import Existing
from ddpm_cli.files.records import Record, compact
from ddpm_cli.settings import shards
from ddpm_cli.settings.layouts import USUAL, Layout
from ddpm_cli.settings.shards import Shard

STDOUT = "-"
FIELDS = ("name", "seed")

Places = dict[str, dict[int, Path | None]]


class Skipped(NamedTuple):
    """A file that exists, of an input and of these seeds."""

    path: Path
    name: str
    seeds: list[int]


class Results:
    """Takes the results of inputs by their names; files are whole as soon as they have theirs.

    Seeds of an input that share a place become one sheet, written with the last of them.
    """

    def __init__(
        self,
        places: Places,
        existing: Existing,
        layout: Layout = USUAL,
        skipped: Sequence[Skipped] = (),
    ) -> None:
        """Take the place of each seed still wanted of each input, None for stdout.

        skipped: the files that are left out as they exist.
        """
        self.skipped = skipped
        self._places, self._existing, self._layout = places, existing, layout
        self._is_sheet = {name: len(set(seeds.values())) == 1 for name, seeds in places.items()}
        self._held: dict[str, dict[int, tuple[Tensor, Lines]]] = {name: {} for name in places}

    def missing(self, name: str) -> list[int]:
        """The seeds of the results still wanted of an input."""
        return list(self._places.get(name, {}))

    def deals(self, name: str) -> bool:
        """Whether a result of an input is wanted here, or left out as it exists."""
        return name in self._places

    def together(self, name: str, seed: int) -> list[int]:
        """The seeds of an input that one file holds, of which this is one."""
        return self.missing(name) if self._is_sheet[name] else [seed]

    @property
    def paths(self) -> list[Path]:
        """The files that are still to be written."""
        every = [path for seeds in self._places.values() for path in seeds.values() if path]
        return list(dict.fromkeys(every))

    def add(
        self, name: str, seed: int, image: Tensor, record: Record, scale: Scale = BYTES
    ) -> list[Path]:
        """Take a result of an input, pixels [C,H,W] of a scale; return files written."""
        path, held = self._places[name][seed], self._held[name]
        held[seed] = image, self._caption({"inputs": [name], **record, "seed": seed})
        together = self.together(name, seed)
        if len(held) < len(together):
            return []
        images, lines = zip(*(held.pop(number) for number in together), strict=True)
        labelled = lines if self._layout.labels else ()
        picture = sheets.drawn(torch.stack(images), self._layout, labelled, white=scale.high)
        about = {"inputs": [name], **record, "seeds": compact(together)}
        data = encoding.encode(picture, path, about, scale)
        if path is None:
            console.binary(data)
            return []
        return targets.put(path, data, self._existing)

    def _caption(self, entry: Record) -> Lines:
        name = Path(str(entry["inputs"][0])).stem
        return caption({"name": name, **entry}, self._layout.labels)


def open_results(
    place: str | None,
    inputs: Sequence[Source],
    seeds: Sequence[int],
    *,
    default: str,
    force: bool,
    skip_existing: bool,
    layout: Layout = USUAL,
    size: int = 1,
    shard: Shard | None = None,
) -> Results:
    """The results that `place` asks for: one for each of the inputs and each of the seeds.

    x.png or "-" takes one input, several seeds as a sheet; a folder gets NAME.png for each input,
    or NAME-SEED.png with several seeds; a name may hold {name}, the input's without its ending,
    and {seed}. Without a place: DEFAULT.png for one result, else a folder DEFAULT. Results are
    PNG, which loses nothing, unless their name ends like a JPEG or WebP. Files in the way are
    refused, or left out with skip_existing. layout: of several seeds in one picture. shard: which
    part of all is wanted, dealt in batches of `size`.
    """
    count = len(inputs) * len(seeds)
    if place is None:
        place = f"{default}.png" if count == 1 else f"{default}/"
    pairs = shards.part([(s.name, seed) for s in inputs for seed in seeds], size, shard)
    if place == STDOUT:
        _refuse_stdout(len(inputs), skip_existing)
        targets.refuse_sheet(len(seeds))
        wanted: Places = {name: {} for name, _ in pairs}
        for name, seed in pairs:
            wanted[name][seed] = None
        return Results(wanted, Existing(), layout)
    template = _template(shards.place(place, shard), len(seeds))
    if "{seed}" not in template:
        targets.refuse_sheet(len(seeds))
        if len(seeds) > 1:
            shards.refuse_shared(place, shard)
    elif len(seeds) > 1:
        layout.refuse_idle(place)
    every = {s.name: {n: _named(template, s.stem, n) for n in seeds} for s in inputs}
    refuse_collisions(every, place)
    left: Places = {name: {} for name, _ in pairs}
    skipped = dict[Path, Skipped]()
    for name, seed in pairs:
        path = every[name][seed]
        if skip_existing and path.is_file():
            skipped.setdefault(path, Skipped(path, name, [])).seeds.append(seed)
            continue
        targets.refuse_in_the_way(path, force)
        left[name][seed] = path
    results = Results(left, Existing(force, skip_existing), layout, [*skipped.values()])
    encoding.announce(Path(template))
    for folder in {path.parent for path in results.paths}:
        targets.refuse_unwritable(folder, len(results.paths) * targets.LEAST)
    return results


def _refuse_stdout(count: int, skip_existing: bool) -> None:
    if count > 1:
        raise ConfigError(f"-o -: {count} inputs, stdout takes one; give a folder")
    if skip_existing:
        raise ConfigError("--skip-existing: only for files; leave it out with -o -")
    console.refuse_binary_terminal()


def _template(place: str, seeds: int) -> str:
    """The file name, with {name} and {seed}, that `place` stands for."""
    path, fields = Path(place), targets.fields(place, FIELDS)
    if not fields and (place.endswith("/") or path.is_dir() or not path.suffix):
        return str(path / ("{name}.png" if seeds == 1 else "{name}-{seed}.png"))
    if not encoding.is_picture(path):
        fix = "use .png, .jpg, .webp, a folder, or a name with {name}"
        raise ConfigError(f"-o {place}: unknown ending; {fix}")
    return place


def _named(template: str, stem: str, seed: int) -> Path:
    return Path(template.format_map({"name": stem, "seed": targets.seed_name(seed)}))


def refuse_collisions(places: dict[str, dict[int, Path]], place: str) -> None:
    """Refuse two results of one name, and a result that would replace an input."""
    taken: dict[Path, str] = {}
    for name, paths in places.items():
        for path in paths.values():
            other = taken.setdefault(path, name)
            if other != name:
                fix = "give a folder, add {name}, or rename one"
                what = f"{other} and {name} would both become {path}"
                raise ConfigError(f"-o {place}: {what}; {fix}")
    read = {_identity(Path(name)) for name in places if name != STDIN} - {None}
    for path in taken:
        if _identity(path) in read:
            raise Refusal(f"{path}: is an input, which stays as it is", "choose another -o")


def _identity(path: Path) -> tuple[int, int] | None:
    """What tells one file from another, whatever its name; None if there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
