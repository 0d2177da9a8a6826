"""Which checkpoint -m means: a file, a run folder, the name of a run or of a bundled model."""

import os
import shlex
from pathlib import Path
from typing import NamedTuple

from ddpm_cli import streams
from ddpm_cli.errors import ConfigError, Refusal, nearest
from ddpm_cli.files import tensor_file
from ddpm_cli.files.checkpoints import pieces
from ddpm_cli.files.checkpoints.header import ENTRY, read_header
from ddpm_cli.foreign import missing, telling
from ddpm_cli.settings import presets

BUNDLED = Path(__file__).parents[2] / "assets"
RUNS = Path("runs")
DEFAULT = "mnist"


class Place(NamedTuple):
    """A checkpoint file and the name by which -m finds it again."""

    path: Path
    name: str


def find(model: str | None, task: str = "", special: str = "") -> Place:
    """The checkpoint that -m names; without it the newest run in ./runs, else the bundled one.

    task: what both must have been trained for, "classifier" for those; empty for unconditional
    models. special: what the bundled one is best at, where that is no task.
    """
    if model is None:
        for newest in newest_runs(RUNS):
            if read_header(newest).task == task:
                return Place(newest, str(newest.parent))
        return _default(task or special)
    if not model.strip():
        raise ConfigError("-m: an empty name; give a file, a run or a bundled model")
    path = Path(model)
    if path.is_dir() and (there := model_in(path)).exists():
        return Place(there, model)
    if path.is_file():
        return Place(path, model)
    # A bundled name means the same everywhere, whatever was trained here: runs/mnist is a path.
    if model in bundled():
        return _bundled(model)
    if (there := model_in(RUNS / model)).is_file():
        return Place(there, model)
    if path.is_dir():
        if known := telling.folder(path):
            raise known.refusal(model)
        fix = f"ddpm train -o {shlex.quote(model)} trains one there"
        raise Refusal(f"{model}: no model.safetensors is in this folder", fix)
    streams.refuse_special(path)
    raise _missing(model)


def _missing(model: str) -> Refusal:
    """The refusal of a name or path that stands for no model."""
    if known := telling.address(model, "model"):
        return known.refusal(model)
    runs = [path.parent.name for path in _models(RUNS)]
    names = list(dict.fromkeys(runs + bundled()))
    stem, path = model.removesuffix(".safetensors"), Path(model)
    if (index := pieces.index_of(path)).is_file():
        fix = f"it is in pieces: -m {shlex.quote(str(index))}"
    elif stem in names:
        fix = f"type -m {stem}"
    elif model in presets.names():
        fix = f"ddpm train --preset {model} makes it"
    elif len(path.parts) == 1 and (fix := nearest(model, names)).startswith("did"):
        pass
    elif (near := missing.neighbour(path)) and _is_model(near):
        fix = f"did you mean {shlex.quote(str(near))}?"
    elif hub := missing.on_hub(path, "model"):
        fix = hub
    else:
        fix = nearest(path.name, names)
    return Refusal(f"{model}: no such file, run or bundled model", fix)


def _is_model(path: Path) -> bool:
    """Whether a path may be given as a model."""
    is_whole = path.suffix == ".safetensors" and not pieces.is_piece(path)
    return is_whole or pieces.is_index(path) or model_in(path).exists()


def is_own(path: Path) -> bool:
    """Whether a file is a checkpoint of ddpm, be it whole or damaged behind its head."""
    try:
        with path.open("rb") as file:
            if pieces.is_index(path):
                return ENTRY in pieces.read(file).metadata
            return ENTRY in tensor_file.read(file).metadata
    except (ValueError, OSError):
        return False


def newest_runs(root: Path) -> list[Path]:
    """The models of the runs under `root`, the one that was saved last first."""
    return sorted(_models(root), key=os.path.getmtime, reverse=True)


def model_in(folder: Path) -> Path:
    """The model of a run: its file or, of one in pieces, the index; the file if there is none."""
    model = folder / "model.safetensors"
    index = pieces.index_of(model)
    return index if index.exists() and not model.exists() else model


def _models(root: Path) -> list[Path]:
    """The models of the runs under `root`."""
    folders = {path.parent for path in root.glob("*/model.safetensors*")}
    return [path for path in map(model_in, folders) if path.exists()]


def bundled() -> list[str]:
    """Names of the models that come with the package."""
    return sorted(p.stem for p in BUNDLED.glob("*.safetensors") if "." not in p.stem)


def _default(use: str) -> Place:
    """The bundled model for a use, or else the unconditional one, which can stand in for it."""
    special = f"{DEFAULT}-{use}"
    return _bundled(special if use and special in bundled() else DEFAULT)


def _bundled(name: str) -> Place:
    path = BUNDLED / f"{name}.safetensors"
    if not path.exists():
        raise Refusal("no model: none is given, trained in ./runs or bundled", "ddpm train first")
    return Place(path, name)
