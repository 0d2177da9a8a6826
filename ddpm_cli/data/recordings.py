"""Long recordings of one or more channels, to be cut into windows: files of rows, and of sound."""

import wave
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ddpm_cli.data import array_files, column_files
from ddpm_cli.data.array_set import VALUE_LIMIT
from ddpm_cli.data.column_files import Text
from ddpm_cli.data.columns import Wish, chosen
from ddpm_cli.errors import Refusal
from ddpm_cli.files import row_places
from ddpm_cli.files.titles import is_number

SOUND = ".wav"
SUFFIXES = (*row_places.SUFFIXES, SOUND)
WIDTHS = {1: "u1", 2: "<i2", 4: "<i4"}  # bytes of a value of sound, and what they are


class Recording(NamedTuple):
    """One recording: values [C, T] in float64, and the file it is from; rate: moments a second."""

    values: Tensor
    file: Path
    rate: int = 0


def read(place: Path, wish: Wish) -> list[Recording]:
    """The recordings of a file or a folder, in the order of their names.

    An array is [T], [C, T] or [N, C, T]; .wav: sound in [-1, 1]; a table has a line each moment,
    and a wish says of which columns.
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
    with array_files.reading(file, SUFFIXES):
        if file.suffix.lower() == SOUND:
            return [_sound(file)]
        stored = array_files.array(file)
        if stored is not None:
            return _of_array(file, stored)
        with column_files.opened(file) as text:
            return [_of_table(file, text, wish)]


def _of_array(file: Path, stored: Any) -> list[Recording]:
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


def _of_table(file: Path, text: Text, wish: Wish) -> Recording:
    """Numbers of a moment a line; names of the columns may stand first."""
    first = column_files.first(text, file)
    named = column_files.names_columns(text, first)
    columns = chosen(wish, first if named else None, len(first), file)
    values = []
    for line, row in column_files.body(text, file, len(first), is_named=named):
        for at in columns.values:
            if not is_number(row[at]):
                where = f"{row_places.called(file, line)}, {columns.called(at)}"
                what = f"{where}: {row[at].strip()[:40]!r} is no number"
                raise Refusal(f"{what}; leave it out: {columns.without([at])}")
        values.append([float(row[at]) for at in columns.values])
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
