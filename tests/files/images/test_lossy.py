"""JPEG and WebP keep what an image looks like, and the record of its making."""

import io
from typing import Any

import pytest
import torch
from PIL import Image

from ddpm_cli.errors import Refusal
from ddpm_cli.files.images import lossy
from ddpm_cli.files.images.pixels import from_pillow

RECORD = {"command": "sample", "seeds": "0-3", "model": "größe"}


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


@pytest.mark.parametrize("suffix", [".jpg", ".JPEG", ".webp"])
def test_pixels_and_record(suffix: str) -> None:
    ramp = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16).expand(3, 16, 16)
    data = lossy.encode(ramp, suffix, RECORD)
    assert data == lossy.encode(ramp, suffix, RECORD)
    image = opened(data)
    assert lossy.read_record(image) == RECORD
    assert int((from_pillow(image.convert("RGB")).int() - ramp.int()).abs().max()) < 24


def test_what_is_transparent_is_white_in_jpeg_and_stays_in_webp() -> None:
    clear = torch.zeros(4, 16, 16, dtype=torch.uint8)
    jpeg = opened(lossy.encode(clear, ".jpg", {}))
    assert jpeg.mode == "RGB"
    assert from_pillow(jpeg).min() == 255
    assert from_pillow(opened(lossy.encode(clear, ".webp", {})).convert("RGBA"))[3].max() == 0
    assert opened(lossy.encode(clear[:2], ".jpg", {})).mode == "L"


def test_sides_that_webp_does_not_have() -> None:
    with pytest.raises(Refusal, match="a side of a WEBP has 16383 at most"):
        lossy.encode(torch.zeros(1, 1, 20000, dtype=torch.uint8), ".webp", {})


def test_a_record_too_long_is_said_not_to_be_kept(capsys: pytest.CaptureFixture[str]) -> None:
    data = lossy.encode(torch.zeros(1, 8, 8, dtype=torch.uint8), ".jpg", {"seeds": "1," * 40000})
    assert lossy.read_record(opened(data)) == {}
    assert "too long" in capsys.readouterr().err


@pytest.mark.parametrize("comment", [b"", b"ASCII\0\0\0{", b"ASCII\0\0\0[]", b"UNICODE\0{}", 3])
def test_comments_of_others(comment: Any) -> None:
    exif = Image.Exif()
    exif.get_ifd(lossy.EXIF_IFD)[lossy.USER_COMMENT] = comment
    buffer = io.BytesIO()
    Image.new("L", (8, 8)).save(buffer, "JPEG", exif=exif)
    assert lossy.read_record(opened(buffer.getvalue())) == {}
