"""Long recordings of one or more channels, to be cut into windows: .npy, .csv and .wav files."""

import csv
import wave
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ddpm_cli.data import array_faults
from ddpm_cli.data.array_set import VALUE_LIMIT
from ddpm_cli.data.columns import Wish, chosen
from ddpm_cli.errors import Refusal
from ddpm_cli.files.titles import is_number

SUFFIXES = (".csv", ".npy", ".wav")
WIDTHS = {1: "u1", 2: "<i2", 4: "<i4"}  # bytes of a value of sound, and what they are


class Recording(NamedTuple):
    """One recording: values [C, T] in float64, and the file it is from; rate: moments a second."""

    values: Tensor
    file: Path
    rate: int = 0


def read(place: Path, wish: Wish) -> list[Recording]:
    """The recordings of a file or a folder, in the order of their names.

    .npy: [T], [C, T] or [N, C, T]; .wav: sound in [-1, 1]; .csv: a line each moment, of
    which a wish says the columns.
    """
    files = [place]
    if place.is_dir():
        files = sorted(p for p in place.iterdir() if p.suffix.lower() in SUFFIXES)
        if not files:
            fix = f"give a file, or a folder of them: {', '.join(SUFFIXES)}"
            raise Refusal(f"{place}: no recordings in it", fix)
    found = [one for file in files for one in _read(file, wish)]
    _refuse_different(found)
    return found


def _read(file: Path, wish: Wish) -> list[Recording]:
    suffix = file.suffix.lower()
    try:
        if not file.is_file():
            raise array_faults.no_file(file)
        if suffix == ".wav":
            return [_sound(file)]
        if suffix == ".csv":
            return [_table(file, wish)]
        if suffix == ".npy":
            return _array(file)
    except OSError as error:
        raise Refusal(f"{file}: {error.strerror or error}") from error
    raise Refusal(f"{file}: unknown ending; give {', '.join(SUFFIXES)} or a folder")


def _array(file: Path) -> list[Recording]:
    array_faults.refuse_foreign(file)
    try:
        stored = np.load(file, mmap_mode="r", allow_pickle=False)
    except OSError:
        raise
    except Exception as error:  # NumPy reads the header with Python's own parser
        raise Refusal(f"{file}: no readable .npy file", array_faults.UNREADABLE) from error
    if stored.dtype.kind not in "biuf":
        raise array_faults.no_numbers(file, stored)
    shape = "x".join(map(str, stored.shape))
    if stored.ndim not in (1, 2, 3) or stored.size == 0 or stored.size > VALUE_LIMIT:
        fix = f"give [T], [C, T] or [N, C, T], of at most {VALUE_LIMIT} values"
        raise Refusal(f"{file}: no recordings, but {shape} values; {fix}")
    if stored.ndim > 1 and stored.shape[-2] > stored.shape[-1]:
        what = f"{stored.shape[-2]} channels of {stored.shape[-1]} moments"
        raise Refusal(f"{file}: {what}", "if time runs downwards, save a.T, or a .csv file")
    whole = torch.from_numpy(np.array(stored, dtype=np.float64))
    if not whole.isfinite().all():
        raise Refusal(f"{file}: holds values that are not finite; fill them in")
    return [Recording(one, file) for one in whole.reshape(-1, *([1, *whole.shape][-2:]))]


def _table(file: Path, wish: Wish) -> Recording:
    """Numbers separated by commas, semicolons or tabs; names of the columns may stand first."""
    array_faults.refuse_foreign(file)
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise array_faults.not_utf8(file) from None
    reader = csv.reader(
        text.splitlines(), delimiter=max(",;\t", key=text.partition("\n")[0].count)
    )
    rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(row)]
    first = rows[0][1] if rows else []
    named = not any(map(is_number, first))
    columns = chosen(wish, first if named else None, len(first), file)
    values = []
    for line, row in rows[named:]:
        if len(row) != len(first):
            raise Refusal(f"{file}: line {line}: {len(row)} values, expected {len(first)}")
        for at in columns.values:
            if not is_number(row[at]):
                what = f"line {line}, {columns.called(at)}: {row[at][:40]!r} is no number"
                raise Refusal(f"{file}: {what}; leave it out: {columns.without([at])}")
        values.append([float(row[at]) for at in columns.values])
    if not values:
        raise Refusal(f"{file}: it holds nothing")
    return Recording(torch.tensor(values, dtype=torch.float64).T, file)


def _sound(file: Path) -> Recording:
    """Sound as PCM of 8, 16, 24 or 32 bits, -1 to 1."""
    try:
        with wave.open(str(file), "rb") as stream:
            channels, width, rate = stream.getparams()[:3]
            data = stream.readframes(stream.getnframes())
    except (wave.Error, EOFError) as error:
        fix = "save it as PCM: ffmpeg -i IN -c:a pcm_s16le OUT.wav"
        raise Refusal(f"{file}: no sound that can be read: {error}", fix) from None
    if width == 3:  # of which NumPy has no type: the upper bytes of four
        bytes_ = np.frombuffer(data, np.uint8).reshape(-1, 3)
        values = np.pad(bytes_, ((0, 0), (1, 0))).view("<i4").astype(np.float64) / 2**31
    else:
        values = np.frombuffer(data, WIDTHS[width]).astype(np.float64)
        values = values / 128 - 1 if width == 1 else values / 2 ** (8 * width - 1)
    if not values.size:
        raise Refusal(f"{file}: it holds no sound")
    return Recording(torch.from_numpy(values.reshape(-1, channels).T.copy()), file, rate)


def _refuse_different(found: list[Recording]) -> None:
    """Refuse recordings that differ in channels or in pace."""
    first = found[0]
    for one in found:
        if len(one.values) != len(first.values):
            what = f"{one.file}: {len(one.values)} channels, {first.file} has {len(first.values)}"
            raise Refusal(what, "give recordings of the same channels")
        if one.rate != first.rate:
            what = f"{one.file}: {one.rate} values a second, {first.file} has {first.rate}"
            raise Refusal(what, "bring them to one rate: ffmpeg -i IN -ar 16000 OUT.wav")
