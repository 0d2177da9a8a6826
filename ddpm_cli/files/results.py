"""Where the edits of images go: one PNG for each input and seed, named before any work is done."""

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from ddpm_cli import console
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files import atomic, images, outputs
from ddpm_cli.files.inputs import STDIN, Source
from ddpm_cli.files.records import Record, compact

STDOUT = "-"
FIELDS = ("name", "seed")


class Results:
    """Takes the results of inputs by their names; files are whole as soon as they have theirs."""

    def __init__(self, places: dict[tuple[str, int], Path | None], *, force: bool) -> None:
        """Take the place of each (input, seed) that is still wanted, None for stdout."""
        self._places, self._force = places, force

    def missing(self, name: str) -> list[int]:
        """The seeds of the results still wanted of an input."""
        return [seed for owner, seed in self._places if owner == name]

    @property
    def paths(self) -> list[Path]:
        """The files that are still to be written."""
        return [path for path in self._places.values() if path is not None]

    def add(self, name: str, seed: int, image: Tensor, record: Record) -> list[Path]:
        """Write a result uint8 [C,H,W], C = 1 to 4, of an input; return files written."""
        path = self._places[name, seed]
        own = {"inputs": [name], **record, "seeds": compact([seed])}
        data = images.encode_png(image, own)
        if path is None:
            console.binary(data)
            return []
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic.write(path, data, replace=self._force)
        return [path]


def open_results(
    place: str | None,
    inputs: Sequence[Source],
    seeds: Sequence[int],
    *,
    default: str,
    force: bool,
    skip_existing: bool,
) -> Results:
    """The results that `place` asks for: one for each of the inputs and each of the seeds.

    x.png or "-" takes one; a folder gets NAME.png for each input, or NAME-SEED.png with several
    seeds; a name may hold {name}, the input's without its ending, and {seed}. Without a place:
    DEFAULT.png for one result, else a folder DEFAULT. Results are PNG, which loses nothing and
    says how it was made. Files in the way are refused, or left out with skip_existing.
    """
    count = len(inputs) * len(seeds)
    if place is None:
        place = f"{default}.png" if count == 1 else f"{default}/"
    if place == STDOUT:
        return Results(_to_stdout(inputs, seeds, skip_existing), force=force)
    template = _template(place, len(seeds))
    places = {(s.name, n): _named(template, s.stem, n) for s in inputs for n in seeds}
    _refuse_collisions(places, place)
    left = {}
    for key, path in places.items():
        if not (skip_existing and path.exists()):
            outputs.refuse_existing(path, force)
            left[key] = path
    if left:
        outputs.refuse_too_large(next(iter(left.values())), len(left) * outputs.LEAST)
    return Results(dict(left), force=force)


def _to_stdout(
    inputs: Sequence[Source], seeds: Sequence[int], skip_existing: bool
) -> dict[tuple[str, int], Path | None]:
    places: dict[tuple[str, int], Path | None] = {(s.name, n): None for s in inputs for n in seeds}
    if len(places) > 1:
        raise ConfigError(f"-o -: {len(places)} results, stdout takes one; give a folder")
    if skip_existing:
        raise ConfigError("--skip-existing: only for files; leave it out with -o -")
    console.refuse_binary_terminal()
    return places


def _template(place: str, seeds: int) -> str:
    """The file name, with {name} and {seed}, that `place` stands for."""
    path, fields = Path(place), outputs.fields(place, FIELDS)
    if not fields and (place.endswith("/") or path.is_dir() or not path.suffix):
        return str(path / ("{name}.png" if seeds == 1 else "{name}-{seed}.png"))
    if path.suffix.lower() != ".png":
        fix = "use .png, a folder, or a name with {name}"
        raise ConfigError(f"-o {place}: results are PNG, which loses nothing; {fix}")
    return place


def _named(template: str, stem: str, seed: int) -> Path:
    return Path(template.format_map({"name": stem, "seed": outputs.seed_name(seed)}))


def _refuse_collisions(places: dict[tuple[str, int], Path], place: str) -> None:
    """Refuse two results of one name, and a result that would replace an input."""
    taken: dict[Path, tuple[str, int]] = {}
    for (name, seed), path in places.items():
        if path in taken:
            other, other_seed = taken[path]
            if other == name:
                fix = "add {seed}, or give a folder"
                raise ConfigError(f"-o {place}: seeds {other_seed} and {seed} share it; {fix}")
            what = f"{other} and {name} would both become {path}"
            raise ConfigError(f"-o {place}: {what}; add {{name}}, give a folder or rename one")
        taken[path] = name, seed
    read = {_identity(Path(name)) for name, _ in places if name != STDIN} - {None}
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
