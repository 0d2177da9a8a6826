"""Which scale counts, what is said of a file that is read, and 16 bits in the modes of models."""

import io
from typing import Any

import numpy as np
import pytest
import torch
from image_files import RGB, header, png
from PIL import Image

from ddpm_cli.files.images import decoding, deep, pixels
from ddpm_cli.files.images.decoding import Ranges
from ddpm_cli.files.images.scales import BYTES, WIDE, OutOfRange, Scale

TWELVE = Scale(0, 4095)
GREY12 = Image.fromarray(np.linspace(50, 4090, 64).astype(np.uint16).reshape(8, 8))
GREY8 = Image.linear_gradient("L").resize((8, 8))


def saved(image: Image.Image, kind: str = "PNG", **options: Any) -> io.BytesIO:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return io.BytesIO(buffer.getvalue())


def ours(scale: Scale) -> io.BytesIO:
    """A PNG that ddpm made."""
    grey = pixels.from_pillow(GREY12)
    return io.BytesIO(pixels.encode_png(grey, {"range": list(scale)}))


@pytest.mark.parametrize(
    ("stream", "ranges", "scale"),
    [
        (saved(GREY12), Ranges(), WIDE),
        (saved(GREY12), Ranges(asked=TWELVE), TWELVE),
        (saved(GREY12), Ranges(trained=TWELVE), TWELVE),
        (saved(GREY12), Ranges(WIDE, TWELVE), WIDE),
        (saved(GREY12, "TIFF", tiffinfo={281: 8191}), Ranges(), Scale(0, 8191)),
        (saved(GREY12, "TIFF", tiffinfo={281: 8191}), Ranges(trained=TWELVE), TWELVE),
        (ours(TWELVE), Ranges(), TWELVE),
        (ours(TWELVE), Ranges(trained=WIDE), TWELVE),
        (ours(TWELVE), Ranges(asked=WIDE), WIDE),
        (saved(GREY8), Ranges(), BYTES),
        (saved(GREY8), Ranges(asked=TWELVE), BYTES),
        (saved(GREY8), Ranges(trained=TWELVE), BYTES),
        (saved(GREY12), Ranges(trained=Scale(0, 127)), WIDE),
    ],
)
def test_the_scale_asked_for_then_what_ddpm_wrote_then_the_models_then_the_files_own(
    stream: io.BytesIO, ranges: Ranges, scale: Scale
) -> None:
    stream.seek(0)
    assert decoding.decode(stream, "x", ranges).scale == scale


def test_values_outside_are_refused() -> None:
    with pytest.raises(OutOfRange, match=r"x: has values from 50 to 4090, outside of .* 0 to 255"):
        decoding.decode(saved(GREY12), "x", Ranges(asked=BYTES))


def said(capsys: pytest.CaptureFixture[str], stream: io.BytesIO, *how: Any, **more: Any) -> str:
    decoding.decode(stream, "x", *how, **more)
    return capsys.readouterr().err


def test_little_of_16_bits_is_named_with_the_setting(capsys: pytest.CaptureFixture[str]) -> None:
    line = said(capsys, saved(GREY12))
    assert line.startswith("Warning: x: values 50 to 4090, under a quarter of 0 to 65535; ")
    assert "--set data.range=[0,4095]" in line
    assert said(capsys, saved(GREY12), Ranges(asked=TWELVE)) == ""
    assert said(capsys, saved(GREY12), Ranges(trained=TWELVE)) == ""
    assert said(capsys, ours(TWELVE)) == ""


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (GREY8.convert("1"), "x: black and white of 1 bit comes back as L"),
        (GREY8.convert("P"), "x: a palette comes back as RGB"),
        (GREY8, ""),
        (GREY8.convert("LA"), ""),
        (GREY8.convert("RGBA"), ""),
    ],
)
def test_other_modes_are_said_of_what_comes_back(
    image: Image.Image, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said(capsys, saved(image)) == ""
    assert said(capsys, saved(image), comes_back=True).strip() == words


def test_cmyk(capsys: pytest.CaptureFixture[str]) -> None:
    line = said(capsys, saved(GREY8.convert("CMYK"), "TIFF"), comes_back=True)
    assert line.strip() == "x: CMYK comes back as RGB"


def test_16_bits_that_become_8_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    line = said(capsys, io.BytesIO(png(header(2, 1, 16, RGB), [bytes(12)])))
    assert line.startswith("Warning: x: 16 bits become 8")


def test_further_frames_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    film = saved(GREY8, "GIF", save_all=True, append_images=[GREY8.rotate(90)])
    assert "x: several images are in the file, the first is taken" in said(capsys, film)


@pytest.mark.parametrize("ranges", [Ranges(asked=TWELVE), Ranges(trained=TWELVE)])
def test_8_bits_for_16_are_said(ranges: Ranges, capsys: pytest.CaptureFixture[str]) -> None:
    assert "x: 8 bits, read as 0 to 255" in said(capsys, saved(GREY8), ranges)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_grey_of_16_bits_in_the_modes_of_models_and_back(mode: pixels.Mode) -> None:
    planes = deep.seen(GREY12, mode, TWELVE, (4095, 0, 0))
    assert len(planes) == {"L": 1, "RGB": 3, "RGBA": 4}[mode]
    assert deep.grey(planes, TWELVE, (0, 0, 0)).equal(pixels.from_pillow(GREY12))


def test_luma_and_opacity_in_16_bits() -> None:
    clear = torch.tensor([4000, 2000, 1000, 0]).reshape(4, 1, 1)
    assert deep.grey(clear[:3], TWELVE, (0, 0, 0)).item() == round(
        0.299 * 4000 + 0.587 * 2000 + 0.114 * 1000
    )
    assert deep.grey(clear, TWELVE, (7, 7, 7)).item() == 7
