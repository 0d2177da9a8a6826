"""What image files say of their depth, their scale and their frames."""

import io
import struct
from typing import Any

import numpy as np
import pytest
import torch
from image_files import GREY, RGB, chunk, header, png
from PIL import Image

from ddpm_cli.files.images import pixels
from ddpm_cli.files.images.facts import Facts
from ddpm_cli.files.images.scales import BYTES, WIDE, Scale

DEEP = Image.fromarray(np.arange(64, dtype=np.uint16).reshape(8, 8) * 60)


def saved(image: Image.Image, kind: str, **options: Any) -> io.BytesIO:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return io.BytesIO(buffer.getvalue())


def facts(stream: io.BytesIO) -> Facts:
    return pixels.inspected(stream, name="x")[1]


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bits_of_grey(kind: str) -> None:
    known = facts(saved(DEEP, kind))
    assert known.is_deep
    assert not known.is_narrowed
    assert known.scale == WIDE


@pytest.mark.parametrize(
    ("tags", "scale"),
    [
        ({281: 4095}, Scale(0, 4095)),
        ({280: 16, 281: 1023}, Scale(16, 1023)),
        ({341: 4095.0}, Scale(0, 4095)),
        ({340: 10.0, 341: 4095.0, 281: 9}, Scale(10, 4095)),
        ({281: 0}, WIDE),
        ({341: 0.5}, WIDE),
    ],
)
def test_tags_of_a_tiff(tags: dict[int, float], scale: Scale) -> None:
    assert facts(saved(DEEP, "TIFF", tiffinfo=tags)).scale == scale


def test_tags_say_nothing_of_8_bits() -> None:
    assert facts(saved(Image.new("L", (4, 4)), "TIFF", tiffinfo={281: 100})).scale == BYTES


def test_twelve_bits_of_a_tiff() -> None:
    entries = [
        (256, 3, 2), (257, 3, 1), (258, 3, 12), (259, 3, 1), (262, 3, 1), (273, 4, 8),
        (277, 3, 1), (278, 3, 1), (279, 4, 3),
    ]  # fmt: skip
    table = struct.pack("<H", len(entries))
    for tag, kind, value in entries:
        table += struct.pack("<HHII", tag, kind, 1, value)
    rows = bytes([0xFF, 0xF1, 0x23, 0])  # two samples of 12 bits: 4095 and 0x123
    file = io.BytesIO(struct.pack("<2sHI", b"II", 42, 12) + rows + table + bytes(4))
    known = facts(file)
    assert known.is_deep
    assert known.scale == Scale(0, 4095)
    file.seek(0)
    assert np.asarray(pixels.decoded(file)[0]).tolist() == [[4095, 0x123]]


def test_what_ddpm_wrote_down() -> None:
    grey = torch.zeros(1, 4, 4, dtype=torch.int32)
    known = facts(io.BytesIO(pixels.encode_png(grey, {"range": [0, 4095]})))
    assert known.scale == known.written == Scale(0, 4095)
    for wrong in ([0, 70000], [9, 1], "x", [0, 4095]):
        data = pixels.encode_png(grey.to(torch.uint8), {"range": wrong})
        assert facts(io.BytesIO(data)).scale == BYTES


def test_sbit_says_nothing() -> None:
    rows = [struct.pack(">3H", 0, 4095, 100)]
    data = png(header(3, 1, 16, GREY), rows, chunk(b"sBIT", bytes([12])))
    assert facts(io.BytesIO(data)).scale == WIDE


def test_16_bits_of_colour_are_narrowed() -> None:
    data = png(header(1, 1, 16, RGB), [bytes(6)])
    assert facts(io.BytesIO(data)).is_narrowed
    assert not facts(saved(Image.new("RGB", (2, 2)), "PNG")).is_narrowed


def test_16_bits_with_a_transparent_value_are_narrowed() -> None:
    data = png(header(1, 1, 16, GREY), [bytes(2)], chunk(b"tRNS", bytes(2)))
    known = facts(io.BytesIO(data))
    assert (known.is_deep, known.is_narrowed) == (False, True)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "TIFF", "WEBP"])
def test_films(kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    assert facts(saved(frames[0], kind, save_all=True, append_images=frames[1:])).is_film
    assert not facts(saved(frames[0], kind)).is_film


def test_damage_behind_the_first_image_is_none_to_it() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    data = saved(frames[0], "GIF", save_all=True, append_images=frames[1:]).getvalue()
    first = len(saved(frames[0], "GIF").getvalue())
    for end in range(first + 1, len(data)):
        facts(io.BytesIO(data[:end]))
        assert pixels.open_image(io.BytesIO(data[:end]), "L")[0, 0, 0] == 76


@pytest.mark.parametrize(("tags", "top"), [({}, 65535), ({281: 4095}, 4095)])
def test_a_negative_of_16_bits_is_turned(tags: dict[int, int], top: int) -> None:
    """Pillow turns negatives (WhiteIsZero) of 8 bits alone."""
    data = saved(DEEP, "TIFF", tiffinfo=tags).getvalue()
    entry = struct.pack("<HHIHH", 262, 3, 1, 1, 0)  # BlackIsZero
    assert data.count(entry) == 1
    negative = io.BytesIO(data.replace(entry, struct.pack("<HHIHH", 262, 3, 1, 0, 0)))
    image, _ = pixels.decoded(negative, name="x")
    assert image.mode == "I;16"
    assert np.asarray(image).tolist() == (top - np.asarray(DEEP).astype(int)).tolist()
