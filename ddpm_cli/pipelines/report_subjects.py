"""What a report is about: runs with all that they noted, and pictures of samples."""

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ddpm_cli import console
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files import metrics
from ddpm_cli.files.checkpoints import find, pieces
from ddpm_cli.files.checkpoints.header import Header, read_header
from ddpm_cli.files.images.opening import is_image_name
from ddpm_cli.files.metrics import Row
from ddpm_cli.foreign import telling
from ddpm_cli.pipelines import standing
from ddpm_cli.settings import config as configuration
from ddpm_cli.settings.config import Config, Layer
from ddpm_cli.settings.toml import read_file

SHEET = re.compile(r"step-(\d{1,18})\.png", re.ASCII)


class RunFolder(NamedTuple):
    """A run, or a model alone: its settings, the numbers of its steps, and its sheets by step.

    target: what commands call it; minutes: of training at each row, NaN where it is not known;
    header: of the newest file that can be read, None of a run that has not saved yet.
    """

    name: str
    target: str
    path: Path
    config: Config
    header: Header | None
    rows: Sequence[Row]
    minutes: Sequence[float]
    sheets: Mapping[int, Path]

    @property
    def standing(self) -> dict[str, Any]:
        """How it stands; nothing without metrics."""
        return standing.told(self.rows, self.config) if self.rows else {}


class Pictures(NamedTuple):
    """Samples: a picture, or those in a folder."""

    name: str
    path: Path
    files: Sequence[Path]


class Subjects(NamedTuple):
    """All that a report is about."""

    runs: list[RunFolder]
    samples: list[Pictures]


def subjects(inputs: Sequence[str]) -> Subjects:
    """Find what was named; what is neither a run nor samples is refused."""
    found = [_found(name) for name in inputs]
    paths = [item.path.resolve() for item in found]
    if len(set(paths)) < len(paths):
        twice = next(str(found[n].path) for n, path in enumerate(paths) if path in paths[:n])
        raise ConfigError(f"{twice}: named twice; name each run and folder once")
    runs = [item for item in found if isinstance(item, RunFolder)]
    samples = [item for item in found if isinstance(item, Pictures)]
    names = distinct([run.path for run in runs])
    runs = [run._replace(name=name) for run, name in zip(runs, names, strict=True)]
    return Subjects(runs, samples)


def distinct(paths: Sequence[Path]) -> list[str]:
    """Names of paths: their last part, with as many before it as tell them apart."""
    parts = [path.resolve().parts for path in paths]
    return [next(_names(each, [*parts[:n], *parts[n + 1 :]])) for n, each in enumerate(parts)]


def _names(mine: tuple[str, ...], others: Sequence[tuple[str, ...]]) -> Iterator[str]:
    for count in range(1, len(mine) + 1):
        if count == len(mine) or all(mine[-count:] != other[-count:] for other in others):
            yield "/".join(mine[-count:])


def _found(name: str) -> RunFolder | Pictures:
    if not name.strip():
        raise ConfigError("RUN: an empty name; name runs and samples")
    path = Path(name)
    if path.name == standing.FILE and path.is_file():
        path = path.parent
    if path.is_dir():
        return _folder(path)
    if path.is_file() and is_image_name(path.name):
        return Pictures(path.name, path, [path])
    if not path.exists() and _is_run(find.RUNS / name):
        return _run(find.RUNS / name)
    is_model = path.suffix.lower() == ".safetensors" or pieces.is_index(path)
    if path.is_file() and not is_model:
        fix = "give a run, a folder of pictures or a picture"
        raise Refusal(f"{path}: neither a run nor a picture", fix)
    place = find.find(name).path
    return _run(place.parent) if _is_run(place.parent) else _model(place)


def _folder(path: Path) -> RunFolder | Pictures:
    if _is_run(path):
        return _run(path)
    files = sorted(file for file in path.iterdir() if is_image_name(file.name) and file.is_file())
    if files:
        return Pictures(path.name or str(path.resolve().name), path, files)
    if known := telling.folder(path):
        raise known.refusal(str(path))
    fix = "a run has metrics.jsonl, config.toml or model.safetensors in it"
    raise Refusal(f"{path}: neither a run nor pictures are in this folder", fix)


def _is_run(path: Path) -> bool:
    own = (path / standing.FILE, path / "config.toml", find.model_in(path))
    return any(file.is_file() for file in own) and path.resolve() != find.BUNDLED.resolve()


def _run(path: Path) -> RunFolder:
    """All that a run left; parts that cannot be read are left out with a warning."""
    header = _newest(path)
    config = _settings(path) if header is None else header.config
    rows = metrics.rows(path / standing.FILE)
    batch = config.get("train", {}).get("batch", 0)
    passed = metrics.seconds(rows, batch if isinstance(batch, int) else 0)
    minutes, sheets = [second / 60 for second in passed], _sheets(path / "samples")
    return RunFolder(path.name, str(path), path, config, header, rows, minutes, sheets)


def _model(path: Path) -> RunFolder:
    """A model without a run."""
    header = read_header(path)
    if header.kind not in ("model", "state"):
        raise Refusal(f"{path}: {header.kind}, and no model or run")
    target = path.stem if path.parent == find.BUNDLED else str(path)
    return RunFolder(path.stem, target, path, header.config, header, [], [], {})


def _newest(path: Path) -> Header | None:
    for file in (path / "state.safetensors", path / "state.previous.safetensors",
                 find.model_in(path)):  # fmt: skip
        if file.exists():
            try:
                return read_header(file)
            except (Refusal, OSError) as fault:
                console.warn("; ".join(f"{fault}".splitlines()))
    return None


def _settings(path: Path) -> Config:
    """What config.toml says, of a run that has not saved yet."""
    file = path / "config.toml"
    if file.is_file():
        try:
            return configuration.resolve([Layer(str(file), read_file(file))])
        except (Refusal, ConfigError) as fault:
            console.warn("; ".join(f"{fault}".splitlines()))
    return {}


def _sheets(folder: Path) -> dict[int, Path]:
    """The sheets that are pictures, by their steps."""
    found = {}
    with contextlib.suppress(OSError):
        for file in folder.iterdir():
            if (name := SHEET.fullmatch(file.name)) and file.is_file():
                found[int(name[1])] = file
    return dict(sorted(found.items()))


def numbers(runs: Sequence[RunFolder]) -> list[str]:
    """The names of all numbers that any run noted, in their order there."""
    return list(dict.fromkeys(key for run in runs for row in run.rows for key in row))
