"""Pictures become parts of a page: as they are, or as small PNGs."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ddpm_cli.errors import Refusal
from ddpm_cli.files.outputs.page.embedding import embedded, reduced


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "gif"])
def test_what_browsers_show_stays_as_it_is(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.new("L", (20, 10), 90).save(path)
    found = embedded(path, "grey", 64)
    assert (found.data, found.width, found.height) == (path.read_bytes(), 20, 10)
    assert found.kind == {"jpg": "jpeg"}.get(suffix, suffix)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1", "I;16"])
def test_all_else_becomes_a_png(mode: str, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    Image.new(mode, (20, 10)).save(path)
    found = embedded(path, "dark", 8)
    assert (found.kind, found.width, found.height) == ("png", 6, 3)
    assert Image.open(io.BytesIO(found.data)).size == (6, 3)


def test_pixels_are_averaged(tmp_path: Path) -> None:
    board = np.indices((8, 8)).sum(0) % 2 * 255
    Image.fromarray(board.astype(np.uint8)).save(tmp_path / "a.png")
    made = Image.open(io.BytesIO(embedded(tmp_path / "a.png", "grey", 4).data))
    assert set(np.asarray(made).flat) <= {127, 128}


def test_turned_photographs_are_turned(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    Image.new("RGB", (20, 10)).save(tmp_path / "a.jpg", exif=exif)
    found = embedded(tmp_path / "a.jpg", "photograph", 64)
    assert (found.kind, found.width, found.height) == ("png", 10, 20)


def test_a_file_that_hides_much_is_written_anew(tmp_path: Path) -> None:
    from PIL.PngImagePlugin import PngInfo

    text = PngInfo()
    text.add_text("note", "x" * 200_000)
    Image.new("L", (4, 4)).save(tmp_path / "a.png", pnginfo=text)
    assert len(embedded(tmp_path / "a.png", "small", 64).data) < 1000


def test_a_broken_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\nhalf")
    with pytest.raises(Refusal, match=r"a\.png"):
        embedded(tmp_path / "a.png", "none", 64)


def test_sizes_shrink_by_whole_numbers() -> None:
    assert reduced(100, 50, 100) == (100, 50)
    assert reduced(101, 50, 100) == (50, 25)
    assert reduced(5000, 1, 100) == (100, 1)
