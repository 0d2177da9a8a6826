"""Sheets: places, squares of pixels, and text that is in its own place and nowhere else."""

import pytest
import torch

from ddpm_cli.errors import Refusal
from ddpm_cli.files.images import sheets
from ddpm_cli.files.images.sheets import Grid, Page
from ddpm_cli.settings.layouts import Layout


def tiles(count: int, channels: int = 1, height: int = 8, width: int = 8) -> torch.Tensor:
    """Images, each of its own number throughout."""
    numbers = torch.arange(count, dtype=torch.uint8).reshape(-1, 1, 1, 1)
    return numbers.expand(count, channels, height, width)


def test_images_are_laid_out_row_by_row() -> None:
    images = tiles(5, 3, 2, 4)
    page = sheets.sheet(images, Layout(3), padding=1)
    assert page.shape == (3, 2 * 3 + 1, 3 * 5 + 1)
    assert page[:, 1:3, 6:10].eq(1).all()  # second image of the first row
    assert page[:, 4:6, 1:5].eq(3).all()  # first image of the second row
    assert page[:, 4:6, 11:15].eq(255).all()  # an empty place
    assert sheets.sheet(images).shape == (3, 2 * 4 + 2, 3 * 6 + 2)
    assert sheets.sheet(images[:1], padding=0).equal(images[0])
    assert sheets.sheet(images, Layout(9)).shape == (3, 2 + 4, 5 * 6 + 2)


def test_a_pixel_becomes_a_square_and_the_edges_stay_narrow() -> None:
    image = torch.arange(6, dtype=torch.uint8).reshape(1, 1, 2, 3)
    page = sheets.sheet(image, Layout(zoom=3))
    assert page.shape == (1, 2 * 3 + 4, 3 * 3 + 4)
    assert page[0, 2:-2, 2:-2][::3, ::3].equal(image[0, 0])
    assert page[0, 2:5, 2:5].eq(0).all()
    assert sheets.drawn(image, Layout(zoom=3)).equal(page[:, 2:-2, 2:-2])  # one has no page


def test_text_stands_below_its_own_image() -> None:
    images = tiles(4, 1, 8, 12) + 99
    plain = sheets.sheet(images, Layout(2))
    page = sheets.sheet(images, Layout(2), [("7",), ("",), ("",), ("8",)])
    high = 8 + 2 + 11
    assert page.shape == (1, 2 * high + 2, plain.shape[2])
    dark = (page == 0)[0]
    assert dark[10:21, 2:14].any()
    assert dark[10 + high : 21 + high, 16:28].any()
    assert not dark[10:21, 16:].any()
    assert not dark[10 + high :, :16].any()
    assert not dark[:10].any()


def test_a_place_is_as_wide_as_what_is_written_in_it() -> None:
    page = sheets.sheet(tiles(2) + 99, Layout(2), [("seed 12", "ddim"), ("seed 13", "heun")])
    assert page.shape == (1, 8 + 22 + 4, 2 * (7 * 6 + 4 + 2) + 2)
    assert page[0, 2:10, 2 + 19 : 2 + 27].eq(99).all()  # in the middle of 46 pixels
    assert len(sheets.shortened("a" * 30 + "b" * 30)) == sheets.LETTERS
    assert sheets.shortened("\N{SNOWMAN}") == "?"


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_text_is_black_and_opaque(channels: int) -> None:
    page = sheets.sheet(tiles(1, channels) + 99, Layout(), [("x",)])
    text = page[:, 10:]
    assert set(text[0].unique().tolist()) == {0, 255}
    if channels in (2, 4):
        assert text[-1].eq(255).all()


def test_rows_and_columns_have_titles() -> None:
    grid = Grid((1, 8, 8), 2, 2, row_titles=["ddim", "heun"], column_titles=["5", "20"])
    page = Page(grid)
    for number, image in enumerate(tiles(4) + 99):
        page.put(*divmod(number, 2), image)
    left, top = 4 * 6 + 2, 11
    assert page.pixels.shape == (1, top + 2 * 10 + 2, left + 2 * (12 + 2) + 2)
    dark = (page.pixels == 0)[0]
    assert dark[:, :left].any()
    assert dark[: top + 2, left:].any()
    assert not dark[:top, :left].any()
    assert page.pixels[0, top + 2 : top + 10, left + 2 + 2 : left + 2 + 10].eq(99).all()


def test_sixteen_bits_stay_sixteen() -> None:
    page = sheets.sheet(tiles(2).int() + 40000, Layout(zoom=2), white=65535)
    assert page.dtype == torch.int32
    assert page[0, 0, 0] == 65535
    assert page[0, 2, 2] == 40000


def test_a_page_that_no_memory_holds_is_refused() -> None:
    with pytest.raises(Refusal, match=r"x.png: a sheet of .* pixels; the limit is 268435456"):
        sheets.gridded(4096, (1, 512, 512), Layout(zoom=64)).refuse_large("x.png")
