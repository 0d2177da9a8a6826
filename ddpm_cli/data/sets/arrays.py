"""Arrays of numbers from the user's own file: .npy of any shape, or .csv."""

import csv
import math
import shlex
import warnings
from array import array as packed
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ddpm_cli.data.array_set import VALUE_LIMIT, ArraySet, statistics
from ddpm_cli.data.class_tables import is_number, numbered
from ddpm_cli.diffusion.rng import keyed
from ddpm_cli.errors import ConfigError, Refusal, nearest
from ddpm_cli.foreign import telling
from ddpm_cli.foreign.kinds import NPY
from ddpm_cli.settings.knobs import Fraction, Seed

Split = Literal["train", "test"]
Header = Literal["auto", "yes", "no"]
BYTE_LIMIT = 2**31  # of a file
SIDE_LIMIT = 2**16


def array(
    split: Split,
    *,
    path: str = "",
    header: Header = "auto",
    label: str = "",
    normalize: bool = True,
    holdout: Fraction = 0.05,
    seed: Seed = 0,
) -> ArraySet:
    """The rows of a .npy or .csv file of your own: [N, D], or [N, ...] in a .npy file.

    header: whether the first line of a .csv names its columns; auto looks for a word in it.
    label: name or number (from 1) of the column that holds the class. normalize: scale each
    column, or each channel of [N, C, ...], to mean 0 and deviation 1; samples are scaled back.
    holdout: the share of the rows, drawn by `seed`, that is kept for test.
    """
    if not path or "\0" in path:
        raise ConfigError("data.path: the data set needs it; add --set data.path=FILE")
    place = Path(path).expanduser()
    values, labels, classes = _read(place, header, label)
    chosen = {part: _rows(part, len(values), holdout, seed, place) for part in ("train", "test")}
    if normalize:
        mean, std = statistics(values[chosen["train"]], str(place))
    else:
        mean, std = torch.zeros(values.shape[1]), torch.ones(values.shape[1])
    rows = chosen[split]
    part = ArraySet(values[rows], mean, std, None if labels is None else labels[rows], classes)
    if not math.isfinite(part.reach):
        raise Refusal(f"{place}: values beyond the range of 32-bit floats", "rescale them")
    return part


class _Table(NamedTuple):
    """Values [N, ...] in float64 and, if there is a column of classes, their numbers and names."""

    values: Tensor
    labels: Tensor | None = None
    classes: tuple[str, ...] | None = None


def _read(place: Path, header: Header, label: str) -> _Table:
    try:
        if not place.is_file():
            raise _no_file(place)
        if place.stat().st_size > BYTE_LIMIT:
            raise Refusal(f"{place}: larger than the limit of {BYTE_LIMIT} bytes")
        if place.suffix.lower() == ".npy":
            return _read_npy(place, label)
        if place.suffix.lower() == ".csv":
            return _read_csv(place, header, label)
    except OSError as error:
        raise Refusal(f"{place}: {error.strerror or error}") from error
    told, copy = telling.told(place, "data", texts=False), place.with_suffix(".csv")
    fix = f"if it is a table of numbers: cp {shlex.quote(str(place))} {shlex.quote(str(copy))}"
    what = f"{place}: unknown ending; give a .npy or .csv file"
    raise told.refusal(place, "no .npy or .csv file") if told else Refusal(what, fix)


def _no_file(place: Path) -> Refusal:
    """The refusal of a path where no file is."""
    if told := telling.address(place, "data") or telling.repository(place, "data"):
        return told.refusal(place)
    if place.is_dir():
        fix = "data.name=array takes a .npy or .csv file, data.name=folder a folder of images"
        return Refusal(f"{place}: a folder", fix)
    what = "not a regular file" if place.exists() else "no such file"
    return Refusal(f"{place}: {what}", f"paths begin in {Path.cwd()}")


def _refuse_foreign(place: Path) -> None:
    """Refuse a file whose ending does not say what it is."""
    told = telling.told(place, "data", texts=False)
    if told is not None and told.what != NPY.name:
        raise told.refusal(place, f"no {place.suffix} file")


def _read_npy(place: Path, label: str) -> _Table:
    """Read a .npy file; one that holds Python objects is refused, never unpickled."""
    _refuse_foreign(place)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            stored = np.load(place, mmap_mode="r", allow_pickle=False)
    except OSError:
        raise
    except Exception as error:  # NumPy reads the header with Python's own parser
        why = (str(error).splitlines() or ["damaged"])[0]
        fix = (
            "copy it again if it was cut; or save numbers: numpy.save('FILE.npy', a.astype(float))"
        )
        raise Refusal(f"{place}: no readable .npy file: {why}", fix) from error
    if stored.dtype.kind not in "biuf":
        raise Refusal(f"{place}: values of type {stored.dtype}; expected numbers", _typed(stored))
    if stored.ndim == 1:
        stored = stored[:, None]
    _refuse_shape(place, stored.shape)
    values = torch.from_numpy(np.array(stored, dtype=np.float64))
    _refuse_not_finite(place, values)
    column = _column(label, [], values.shape[1], place) if label else None
    if column is None:
        return _Table(values)
    if values.ndim != 2:
        raise ConfigError(
            f"data.label: {place} has {values.ndim} axes, so no columns; leave it out"
        )
    words = [f"{value:g}" for value in values[:, column].tolist()]
    kept = [number for number in range(values.shape[1]) if number != column]
    return _Table(values[:, kept], *numbered(words, place))


def _typed(stored: "np.ndarray[Any, Any]") -> str:
    """How to make numbers of values of another type."""
    if stored.dtype.kind == "c":
        return "save both parts: numpy.save('FILE.npy', numpy.stack([a.real, a.imag], 1))"
    if stored.dtype.names:
        return "save a column: numpy.save('FILE.npy', a['NAME']), or stack several"
    return "save numbers: numpy.save('FILE.npy', a.astype('float32'))"


def _refuse_shape(place: Path, shape: tuple[int, ...]) -> None:
    claimed = "x".join(map(str, shape))
    if not shape or 0 in shape:
        raise Refusal(f"{place}: it holds nothing ({claimed or 'a single number'})")
    if math.prod(shape) > VALUE_LIMIT or max(shape[1:]) > SIDE_LIMIT:
        limits = f"{VALUE_LIMIT} values and {SIDE_LIMIT} columns"
        raise Refusal(f"{place}: {claimed} values are too many; the limit is {limits}")


def _refuse_not_finite(place: Path, values: Tensor) -> None:
    wrong = ~values.isfinite()
    if wrong.any():
        at = [int(index) + 1 for index in wrong.nonzero()[0]]
        where = f"row {at[0]}, column {at[1]}" if len(at) > 1 else f"row {at[0]}"
        count = int(wrong.sum())
        fix = f"remove or fill in the {count} values that are NaN or infinite"
        raise Refusal(f"{place}: {where}: not a finite number", fix)


def _read_csv(place: Path, header: Header, label: str) -> _Table:
    """Read rows of numbers, separated by commas, semicolons or tabs."""
    _refuse_foreign(place)
    with place.open(encoding="utf-8-sig", newline="") as stream:
        try:
            start = stream.read(2**16)
            first = start.splitlines()[0] if start.strip() else ""
            stream.seek(0)
            reader = csv.reader(stream, delimiter=max(",;\t", key=first.count))
            rows = ((reader.line_num, row) for row in reader if any(map(str.strip, row)))
            return _numbers(place, rows, header, label)
        except UnicodeDecodeError:
            fix = f"if it is from Windows: iconv -f cp1252 -t utf-8 {shlex.quote(str(place))}"
            raise Refusal(f"{place}: not UTF-8 text", f"{fix} > utf8.csv") from None
        except csv.Error as error:
            raise Refusal(f"{place}: line {reader.line_num}: {error}") from None


def _numbers(
    place: Path, rows: Iterator[tuple[int, list[str]]], header: Header, label: str
) -> _Table:
    """Collect the numbers of all rows, each as long as the first, and the words of the classes."""
    first = next(rows, None)
    if first is None:
        raise Refusal(f"{place}: it holds nothing")
    names = [cell.strip() for cell in first[1]]
    column = _column(label, names, len(names), place) if label else None
    numbers = names if column is None else names[:column] + names[column + 1 :]
    named = header == "yes" or (header == "auto" and not any(map(is_number, numbers)))
    cells, words = packed("d"), list[str]()
    for line, row in rows if named else chain([first], rows):
        if len(row) != len(names):
            fix = "every line needs as many values as the first"
            raise Refusal(f"{place}: line {line}: {len(row)} values, expected {len(names)}", fix)
        for index, cell in enumerate(row):
            if index == column:
                words.append(cell.strip())
            elif not is_number(cell):
                raise _no_number(place, line, index, cell)
            else:
                cells.append(float(cell))
        if len(cells) > VALUE_LIMIT:
            raise Refusal(f"{place}: more than the limit of {VALUE_LIMIT} values")
    if not cells:
        raise Refusal(f"{place}: it holds a header and nothing else")
    values = torch.frombuffer(cells, dtype=torch.float64).reshape(-1, len(numbers)).clone()
    _refuse_shape(place, tuple(values.shape))
    return _Table(values) if column is None else _Table(values, *numbered(words, place))


def _no_number(place: Path, line: int, column: int, cell: str) -> Refusal:
    shown = repr(cell.strip()[:40]) if cell.strip() else "an empty cell"
    fix = "every cell must be a finite number; --set data.header=yes skips the first line"
    return Refusal(f"{place}: line {line}, column {column + 1}: {shown} is no number", fix)


def _column(label: str, names: list[str], count: int, place: Path) -> int:
    """The index of the column of classes, given by its name or its number from 1."""
    numbers = [str(number + 1) for number in range(count)]
    if count < 2:
        raise ConfigError(f"data.label: {place} has one column, none to spare; leave it out")
    if label not in names and label not in numbers:
        choices = [] if any(map(is_number, names)) else names
        fix = nearest(label, [*choices, *numbers])
        raise ConfigError(f"data.label: no column is named {label!r}; {fix}")
    return names.index(label) if label in names else int(label) - 1


def _rows(part: str, count: int, holdout: float, seed: int, place: Path) -> Tensor:
    """The numbers of the rows of a split, in the order of the file."""
    generator = torch.Generator().manual_seed(keyed(seed, "holdout"))
    shuffled = torch.randperm(count, generator=generator)
    held = max(1, round(count * holdout)) if holdout else 0
    chosen = shuffled[:held] if part == "test" else shuffled[held:]
    if not len(chosen):
        what = f"{place}: none of its {count} rows is for {part}"
        raise Refusal(what, f"Change data.holdout (now {holdout}), the share that is for test.")
    return chosen.sort().values
