"""Sets of image files of 8 and 16 bits: their range, their rows, and what is said of them."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from image_files import RGB, header, png
from image_sets import KINDS, MEMORY, opened
from PIL import Image

from ddpm_cli.data.image_set import ImageSet, describe
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.models import datasets

TWELVE = [0, 4095]


def saved(values: Any, kind: str = "PNG", dtype: Any = np.uint16, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(values, dtype)).save(buffer, kind, **options)
    return buffer.getvalue()


def slices(count: int = 4, most: int = 4095, **options: Any) -> dict[str, bytes]:
    """Slices of 12 bits in 16."""
    rng = np.random.default_rng(0)
    files = {}
    for number in range(count):
        values = rng.integers(0, most + 1, (4, 6))
        values[0, :2] = 0, most
        files[f"{number}.png"] = saved(values, **options)
    return files


def bytes8(count: int = 2, most: int = 255) -> dict[str, bytes]:
    files = {}
    for number in range(count):
        values = np.linspace(0, most, 24).reshape(4, 6)
        files[f"b{number}.png"] = saved(values, dtype=np.uint8)
    return files


def rows(found: ImageSet) -> torch.Tensor:
    return found[torch.arange(len(found))][0]


@KINDS
@MEMORY
def test_rows_are_as_deep_as_the_files(kind: str, memory: int, tmp_path: Path) -> None:
    files = slices()
    found = opened(kind, tmp_path, files, mode="L", range=TWELVE, memory=memory, holdout=0)
    assert found.range == (0, 4095)
    assert rows(found).dtype == torch.float32
    for row, data in zip(rows(found), files.values(), strict=True):
        values = torch.from_numpy(np.array(Image.open(io.BytesIO(data))).astype(float))
        assert (row[0].double() - (values / 2047.5 - 1)).abs().max() < 1e-6
    assert found.notes == ()
    assert found.size == 4 * 24 * 4
    assert "0 to 4095" in describe(found)
    assert datasets.data_info(found).range == (0, 4095)


@MEMORY
def test_16_bits_keep_their_depth_unasked_and_few_values_are_named(
    memory: int, tmp_path: Path
) -> None:
    found = opened("folder", tmp_path, slices(), mode="L", memory=memory, holdout=0)
    assert found.range == (0, 65535)
    assert len(rows(found).unique()) > 64
    (note,) = found.notes
    assert "values 0 to 4095, under a quarter of 0 to 65535" in note
    assert "--set data.range=[0,4095]" in note


@MEMORY
def test_in_colour_they_become_bytes_which_is_said(memory: int, tmp_path: Path) -> None:
    found = opened("folder", tmp_path, slices(most=65535), memory=memory, holdout=0)
    assert found.range is None
    assert rows(found).dtype == torch.uint8
    (note,) = found.notes
    assert note.startswith("4 of 4 files have 16 bits of grey, which become 8; --set data.mode=L")


def test_few_values_in_colour_name_both_settings(tmp_path: Path) -> None:
    found = opened("folder", tmp_path, slices(), holdout=0)
    assert "--set data.mode=L --set data.range=[0,4095]" in found.notes[1]


@MEMORY
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_few_values_of_8_bits(mode: str, memory: int, tmp_path: Path) -> None:
    found = opened("folder", tmp_path, bytes8(most=15), mode=mode, memory=memory, holdout=0)
    (note,) = found.notes
    assert "values 0 to 15, under a quarter of 0 to 255; --set data.range=[0,15]" in note
    asked = {"mode": mode, "memory": memory, "holdout": 0, "range": [0, 15]}
    found = opened("folder", tmp_path, bytes8(most=15), **asked)
    assert (found.notes, found.range) == ((), (0, 15))
    assert (rows(found).min(), rows(found).max()) == (-1, 1)


@MEMORY
@pytest.mark.parametrize("skip", [False, True])
def test_values_outside_are_refused(skip: bool, memory: int, tmp_path: Path) -> None:
    asked: dict[str, Any] = {"mode": "L", "range": [0, 1023], "skip_corrupt": skip}
    with pytest.raises(Refusal, match=r"values from 0 to 4095, outside") as refused:
        rows(opened("folder", tmp_path, slices(), memory=memory, holdout=0, **asked))
    assert "--set data.range=[0,4095]" in refused.value.message


@pytest.mark.parametrize(
    ("files", "knobs", "words"),
    [
        (slices(), {"range": [9, 9], "mode": "L"}, "is no range"),
        (slices(), {"range": [4095, 0], "mode": "L"}, "is no range"),
        (slices(), {"range": [4095], "mode": "L"}, "give two integers"),
        (slices(), {"range": TWELVE}, r"--set data\.mode=L"),
        (bytes8(), {"range": TWELVE, "mode": "L"}, "leave it out"),
        (bytes8(), {"range": [0, 127], "mode": "RGBA"}, "opacity"),
    ],
)
def test_ranges_that_are_none(
    files: dict[str, bytes], knobs: dict[str, Any], words: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=words):
        opened("folder", tmp_path, files, holdout=0, **knobs)


@MEMORY
def test_8_bits_among_16_are_read_by_their_own_range(memory: int, tmp_path: Path) -> None:
    files = {**slices(), **bytes8(1)}
    found = opened("folder", tmp_path, files, mode="L", range=TWELVE, memory=memory, holdout=0)
    assert found.notes[0].startswith("1 of 5 files have 8 bits, which are read as 0 to 255")
    assert (rows(found)[-1].min(), rows(found)[-1].max()) == (-1, 1)


@pytest.mark.parametrize("kind", ["folder", "archive"])
def test_the_range_of_tags(kind: str, tmp_path: Path) -> None:
    files = {
        f"{most}.tif": saved(np.full((4, 6), most), "TIFF", tiffinfo={281: 4095})
        for most in (0, 4000)
    }
    found = opened(kind, tmp_path, files, mode="L", holdout=0)
    assert (found.range, found.notes) == ((0, 4095), ())


@MEMORY
def test_tags_that_differ_are_refused(memory: int, tmp_path: Path) -> None:
    files = {
        f"{most}.tif": saved(np.full((4, 6), most), "TIFF", tiffinfo={281: most})
        for most in (4000, 4001)
    }
    with pytest.raises(Refusal, match=r"4001\.tif: says that its values are 0 to 4001") as told:
        rows(opened("folder", tmp_path, files, mode="L", holdout=0, memory=memory))
    assert "--set data.range" in told.value.message
    asked: dict[str, Any] = {"mode": "L", "holdout": 0, "range": TWELVE}
    assert opened("folder", tmp_path, files, **asked).range == (0, 4095)


def test_16_bits_of_colour_and_films_are_said(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (6, 4), colour) for colour in ("red", "blue")]
    film = io.BytesIO()
    frames[0].save(film, "GIF", save_all=True, append_images=frames[1:])
    wide = png(header(6, 4, 16, RGB), [bytes(18) + b"\xff" * 18] * 4)
    found = opened("folder", tmp_path, {"a.gif": film.getvalue(), "b.png": wide}, holdout=0)
    assert found.notes[0].startswith("1 of 2 files: 16 bits become 8")
    assert found.notes[1].startswith("1 of 2 files: several images are in the file")


@pytest.mark.parametrize("fit", ["crop", "resize"])
def test_fitted_values_stay_in_the_range(fit: str, tmp_path: Path) -> None:
    knobs: dict[str, Any] = {"mode": "L", "range": TWELVE, "fit": fit, "size": 16}
    found = rows(opened("folder", tmp_path, slices(), holdout=0, **knobs))
    assert found.shape == (4, 1, 16, 16)
    assert found.abs().max() <= 1
    assert len(found.unique()) > 300
