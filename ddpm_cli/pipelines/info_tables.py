"""Tables that ddpm wrote itself, for `ddpm info`: told by the names of their columns."""

import csv
import shlex
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from ddpm_cli.errors import Refusal
from ddpm_cli.files import metrics
from ddpm_cli.files.outputs import tables
from ddpm_cli.files.outputs.tables import Value
from ddpm_cli.pipelines import sweep_table

LOG = "metrics.jsonl"  # of a run
ANY = "any program of tables"


class Written(NamedTuple):
    """What wrote a table that has these columns among others, what it is, and what reads it."""

    columns: Collection[str]
    by: str
    what: str
    reader: str = ANY
    told: Sequence[str] = ()  # columns that are the same in all rows


KINDS = (
    Written(
        ("bits", "nats", "nll", "rank"),
        "ddpm nll -o",
        "how likely each image or row is; rank 1 is the least likely",
    ),
    Written(
        ("term", "t", "sigma", "bits", "mse_x0", "mse_eps"),
        "ddpm nll --terms",
        "the terms of the variational bound, from the noisiest on",
    ),
    Written(
        ("t", "sigma", "rate", "distortion"),
        "ddpm nll --rate-distortion",
        "bits received, and how wrong the image is that they predict",
    ),
    Written(
        sweep_table.REST,
        "ddpm eval --sweep -o",
        "figures of a model, a row for each cell of a sweep",
        f"ddpm eval --sweep ... -o {{file}} goes on with it; {ANY}",
        ("model", "protocol", "reference", "n"),
    ),
    Written(
        ("t", "sigma", "alpha", "logsnr", "beta", "abar"),
        "ddpm schedule --csv",
        "the noise levels of a schedule",
    ),
    Written(
        ("frequency", "power", "sigma", "logsnr", "t"),
        "ddpm schedule --spectrum --csv",
        "the power of an image by frequency, and the noise that is as strong",
    ),
)


def found(target: str | None) -> dict[str, Any] | None:
    """What a table says of itself by its columns; None of what is no table of ddpm."""
    path = Path(target or "")
    if path.suffix not in tables.SUFFIXES or not path.is_file():
        return None
    if path.name == LOG:
        return _log(path)
    names = _names(path)
    kind = next((kind for kind in KINDS if {*kind.columns} <= {*names}), None)
    if kind is None:
        return None
    rows = list[dict[str, Value]]()
    with suppress(Refusal, OSError):  # too large, or torn behind its first row
        rows = tables.read(path, sweep_table.TEXTS)
    own = {name: rows[0].get(name) for name in kind.told} if rows else {}
    reader = kind.reader.replace("{file}", shlex.quote(str(path)))
    if path.suffix == ".csv":
        reader += f"; ddpm info {shlex.quote(f'data:{path}')} looks at it as data"
    return _facts(path, kind.by, kind.what, len(rows) or None, reader) | own | {"columns": names}


def unrecorded(target: object, what: str = "this kind of file") -> Refusal:
    """The refusal of a file that does not say how it was made."""
    fix = "samples as .png, .npz or .safetensors say how they were made"
    return Refusal(f"{target}: {what} holds no record of its making", fix)


def _log(path: Path) -> dict[str, Any] | None:
    """What is said of the log of a run."""
    lines = metrics.lines(path)
    if not lines:
        return None
    folder = shlex.quote(str(path.parent))
    reader = f"ddpm report {folder}, which draws it; ddpm info {folder} has its last lines"
    return _facts(path, "ddpm train", "what a run noted of itself", len(lines), reader)


def _facts(path: Path, by: str, what: str, rows: int | None, reader: str) -> dict[str, Any]:
    about = {"file": str(path), "kind": "table", "written_by": by, "what": what}
    return about | {"rows": rows, "read_by": reader}


def _names(path: Path) -> list[str]:
    """The names of the columns; of a text that may be long its first row alone is read."""
    with suppress(Refusal, OSError, ValueError, csv.Error):
        if path.suffix in (".csv", ".tsv"):
            with path.open(encoding="utf-8-sig", newline="") as stream:
                mark = "," if path.suffix == ".csv" else "\t"
                return next(csv.reader(stream, delimiter=mark), [])
        return [*next(iter(tables.read(path, ())), {})]
    return []
