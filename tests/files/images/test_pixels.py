"""Every kind of image file is read right or refused in one line that names it."""

import io
import json
import os
import pickle
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from image_files import GREY, RGB, SIGNATURE, chunk, header, interlaced_grey, png
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from ddpm_cli.errors import Refusal
from ddpm_cli.files.images import pixels as images

PICTURE = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 13, 17), np.uint8))


def smooth(height: int = 32, width: int = 48) -> Image.Image:
    """A picture that JPEG keeps well, different in each corner."""
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    return Image.fromarray((np.stack([x, y, 1 - x * y], 2) * 255).astype(np.uint8))


def pixels(image: Image.Image) -> Tensor:
    """The pixels of an RGB or L image as uint8 [C,H,W]."""
    return torch.from_numpy(np.atleast_3d(np.array(image)).transpose(2, 0, 1).copy())


def saved(image: Image.Image, kind: str, **options: object) -> io.BytesIO:
    """An image encoded by Pillow, ready to be read."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    buffer.seek(0)
    return buffer


def read(data: bytes, mode: images.Mode = "RGB") -> Tensor:
    """Decode from memory."""
    return images.open_image(io.BytesIO(data), mode)


# ---- floats and bytes


def test_bytes_survive_the_way_to_floats_and_back() -> None:
    every = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    floats = images.from_uint8(every)
    assert floats.dtype == torch.float32
    assert (floats.min().item(), floats.max().item()) == (-1, 1)
    assert images.to_uint8(floats).equal(every)
    assert images.to_uint8(floats.double()).equal(every)


def test_floats_out_of_range_are_clamped() -> None:
    x = torch.tensor([-5.0, -1.0, 0.0, 1.0, 7.0]).reshape(1, 1, 1, 5)
    assert images.to_uint8(x).flatten().tolist() == [0, 0, 128, 255, 255]


# ---- writing


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB"), (4, "RGBA")])
def test_png_keeps_pixels_and_metadata(channels: int, mode: images.Mode, tmp_path: Path) -> None:
    image = torch.randint(0, 256, (channels, 5, 9)).to(torch.uint8)
    entry = {"seed": "7", "sampler": "ddim", "note": "é\n\0 漢"}
    path = tmp_path / "a.png"
    path.write_bytes(images.encode_png(image, entry))
    assert images.open_image(path, mode).equal(image)
    assert images.read_metadata(path) == entry


def test_png_bytes_depend_on_pixels_and_metadata_only() -> None:
    first = images.encode_png(PICTURE, {"a": "1", "b": "2"})
    again = images.encode_png(PICTURE.clone().double().to(torch.uint8), {"b": "2", "a": "1"})
    assert first == again
    kinds = [first[at + 4 : at + 8] for at in _chunk_starts(first)]
    assert kinds == [b"IHDR", b"tEXt", b"IDAT", b"IEND"]


def _chunk_starts(data: bytes) -> list[int]:
    starts, at = [], 8
    while at < len(data):
        starts.append(at)
        at += 12 + struct.unpack(">I", data[at : at + 4])[0]
    return starts


@given(st.dictionaries(st.text(), st.text(), max_size=5))
@settings(max_examples=50, deadline=None)
def test_any_text_is_a_legal_entry(entry: dict[str, str]) -> None:
    data = images.encode_png(PICTURE, entry)
    assert images.read_metadata(io.BytesIO(data)) == entry


@pytest.mark.parametrize("shape", [(0, 4, 4), (5, 4, 4)])
def test_png_has_no_five_channels(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="channels"):
        images.encode_png(torch.zeros(shape, dtype=torch.uint8))


# ---- reading what is whole


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "GIF", "WEBP"])
def test_lossless_formats_keep_grey_pixels(kind: str) -> None:
    image = images.to_pillow(PICTURE).convert("L")
    found = images.open_image(saved(image, kind, lossless=True), "L")
    assert found.equal(pixels(image))


def test_jpeg_is_close() -> None:
    found = images.open_image(saved(smooth(), "JPEG", quality=100, subsampling=0))
    assert (found.int() - pixels(smooth()).int()).abs().max() <= 3


TURNS: dict[int, Callable[[Tensor], Tensor]] = {
    1: lambda x: x,
    2: lambda x: x.flip(2),
    3: lambda x: x.flip(1, 2),
    4: lambda x: x.flip(1),
    5: lambda x: x.transpose(1, 2),
    6: lambda x: x.transpose(1, 2).flip(2),
    7: lambda x: x.transpose(1, 2).flip(1, 2),
    8: lambda x: x.transpose(1, 2).flip(1),
}


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_exif_rotation_is_applied(orientation: int, kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = saved(smooth(), kind, exif=exif)
    found = images.open_image(file)
    expected = TURNS[orientation](pixels(smooth()))
    assert found.shape == expected.shape
    assert (found.int() - expected.int()).abs().float().mean() <= 3
    file.seek(0)
    width, height, _ = images.measure(file)
    assert (height, width) == found.shape[1:]


def test_broken_exif_beside_good_pixels_is_no_rotation() -> None:
    file = saved(smooth(), "JPEG", exif=b"Exif\0\0garbage!" * 3)
    assert images.open_image(file).shape == (3, 32, 48)


def test_16_bit_grey_is_scaled() -> None:
    values = np.arange(0, 65536, 16, dtype=np.uint16).reshape(64, 64)
    found = images.open_image(saved(Image.fromarray(values), "PNG"), "L")
    assert np.abs(found[0].numpy() - values / 257.0).max() <= 0.5
    colour = images.open_image(saved(Image.fromarray(values), "PNG"), "RGB")
    assert colour.equal(found.expand(3, -1, -1))


def test_16_bit_grey_keeps_its_transparent_value() -> None:
    row = struct.pack(">3H", 0, 4369, 65535)
    data = png(header(3, 1, 16, GREY), [row], chunk(b"tRNS", struct.pack(">H", 4369)))
    assert read(data, "RGBA").tolist() == [[[0, 17, 255]]] * 3 + [[[255, 0, 255]]]
    assert read(data, "L").tolist() == [[[0, 255, 255]]]


def test_16_bit_rgb_is_scaled() -> None:
    values = np.random.default_rng(1).integers(0, 65536, (6, 7, 3))
    rows = [row.astype(">u2").tobytes() for row in values]
    found = read(png(header(7, 6, 16, RGB), rows))
    assert np.abs(found.permute(1, 2, 0).numpy() - values / 257).max() <= 1


def test_interlaced_png() -> None:
    grey = PICTURE[0].tolist()
    assert read(interlaced_grey(grey), "L").tolist() == [grey]


def test_one_bit() -> None:
    bits = np.random.default_rng(2).integers(0, 2, (9, 11)).astype(bool)
    found = images.open_image(saved(Image.fromarray(bits), "PNG"), "L")
    assert found[0].tolist() == (bits * 255).tolist()


def test_palette_with_transparency_shows_white() -> None:
    image = Image.new("P", (3, 1))
    image.putpalette([0, 0, 0, 200, 100, 50, 10, 20, 30])
    image.putdata([0, 1, 2])
    file = saved(image, "PNG", transparency=bytes([255, 0, 255]))
    assert images.open_image(file).permute(1, 2, 0).tolist() == [
        [[0, 0, 0], [255, 255, 255], [10, 20, 30]]
    ]


def test_alpha_is_composited_over_white_or_kept() -> None:
    rgba = Image.new("RGBA", (1, 1), (0, 100, 200, 51))
    assert images.open_image(saved(rgba, "PNG")).flatten().tolist() == [204, 224, 244]
    assert images.open_image(saved(rgba, "PNG"), "RGBA").flatten().tolist() == [0, 100, 200, 51]
    grey = Image.new("LA", (1, 1), (100, 0))
    assert images.open_image(saved(grey, "PNG"), "L").flatten().tolist() == [255]
    opaque = images.open_image(saved(smooth(), "PNG"), "RGBA")
    assert opaque[3].eq(255).all()


def test_rgb_with_a_transparent_colour() -> None:
    data = png(
        header(2, 1, 8, RGB), [bytes([9, 8, 7, 1, 2, 3])], chunk(b"tRNS", b"\0\x09\0\x08\0\x07")
    )
    assert read(data).permute(1, 2, 0).tolist() == [[[255, 255, 255], [1, 2, 3]]]


def test_cmyk_jpeg_has_the_right_colours() -> None:
    file = saved(smooth().convert("CMYK"), "JPEG", quality=95)
    assert (images.open_image(file).int() - pixels(smooth()).int()).abs().float().mean() <= 3


def test_the_first_frame_of_an_animation_counts() -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "green", "blue")]
    file = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert images.open_image(file)[:, 0, 0].tolist() == [255, 0, 0]


def test_a_pipe_can_be_read(tmp_path: Path) -> None:
    ours, theirs = os.pipe()
    with os.fdopen(theirs, "wb") as end:
        end.write(images.encode_png(PICTURE))
    with os.fdopen(ours, "rb") as end:
        assert images.open_image(end).equal(PICTURE)


# ---- refusing what is not

WHOLE = images.encode_png(PICTURE)
IDAT = WHOLE.index(b"IDAT")
DAMAGED = {
    "empty": b"",
    "one byte": b"\x89",
    "signature": SIGNATURE,
    "half": WHOLE[: len(WHOLE) // 2],
    "without end": WHOLE[:-12],
    "one byte short": WHOLE[:-1],
    "header sum": WHOLE[:29] + bytes([WHOLE[29] ^ 1]) + WHOLE[30:],
    "pixel sum": WHOLE[:-16] + bytes([WHOLE[-16] ^ 1]) + WHOLE[-15:],
    "garbage pixels": SIGNATURE
    + header(17, 13, 8, RGB)
    + chunk(b"IDAT", bytes(range(256)) * 4)
    + chunk(b"IEND", b""),
    "too few rows": png(header(17, 13, 8, RGB), [bytes(51)] * 12),
    "no rows": png(header(17, 13, 8, RGB), [b"garbage"]),
    "zero width": png(header(0, 13, 8, RGB), []),
    "zero height": png(header(17, 0, 8, RGB), []),
    "no such depth": png(header(17, 13, 7, RGB), [bytes(51)] * 13),
    "text": b"these are no pixels\n" * 50,
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"></svg>',
    "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n",
    "pdf": b"%PDF-1.4\n",
    "pickle": pickle.dumps({"a": 1}),
    "truncated jpeg": saved(smooth(), "JPEG").getvalue()[:-200],
    "truncated gif": saved(smooth(), "GIF").getvalue()[:-200],
    "truncated tiff": saved(smooth(), "TIFF").getvalue()[:300],
    "truncated webp": saved(smooth(), "WEBP").getvalue()[:-20],
    "32-bit tiff": saved(Image.new("F", (4, 4)), "TIFF").getvalue(),
    "text bomb": png(
        header(17, 13, 8, RGB),
        [bytes(51)] * 13,
        chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(5_000_000))),
    ),
    "60000 squared": png(header(60000, 60000, 8, RGB), [bytes(9)]),
    "13000 squared": png(header(13000, 13000, 1, GREY), [bytes(9)]),
    "4097 by 4096": png(header(4097, 4096, 1, GREY), [bytes(9)]),
}


@pytest.mark.parametrize("what", DAMAGED)
def test_damage_is_refused_by_name_without_decoding(what: str, tmp_path: Path) -> None:
    path = tmp_path / "some image.png"
    path.write_bytes(DAMAGED[what])
    with pytest.raises(Refusal, match=r"some image\.png: ") as refused:
        images.open_image(path)
    assert len(refused.value.message.splitlines()) <= 2
    assert refused.value.exit_code == 1
    if "squared" in what or "by" in what.split():
        assert "16777216" in refused.value.message
        with pytest.raises(Refusal, match="16777216"):
            images.measure(path)


def test_the_largest_legal_image_is_read() -> None:
    assert images.measure(saved(Image.new("1", (4096, 4096)), "PNG"))[:2] == (4096, 4096)


def test_no_pickle_is_ever_loaded(tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple[object, tuple[Path]]:
            return Path.touch, (tmp_path / "canary",)

    (tmp_path / "a.png").write_bytes(pickle.dumps(Payload()))
    for reader in (images.open_image, images.read_metadata, images.measure):
        with pytest.raises(Refusal, match=r"a\.png"):
            reader(tmp_path / "a.png")
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("name", ["missing.png", "folder", "line\nbreak.png", "raw\udcff.png"])
def test_places_that_cannot_be_read_are_named_in_one_line(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(Refusal) as refused:
        images.open_image(tmp_path / name)
    assert refused.value.message.isprintable()
    assert name[:3] in refused.value.message


@given(st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_mutated_file_is_read_or_refused(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["PNG", "JPEG", "GIF", "TIFF", "BMP", "WEBP"]))
    mutated = bytearray(saved(smooth(8, 8), kind).getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        mutated[data.draw(st.integers(0, len(mutated) - 1))] = data.draw(st.integers(0, 255))
    del mutated[data.draw(st.integers(1, len(mutated))) :]
    for reader in (images.open_image, images.measure, images.read_metadata):
        message = "<stdin>: "
        try:
            reader(io.BytesIO(bytes(mutated)))
        except Refusal as refused:
            message = refused.message
        assert message.startswith("<stdin>: ")


# ---- metadata of others


def test_images_of_others_have_no_metadata() -> None:
    assert images.read_metadata(saved(smooth(), "PNG")) == {}
    assert images.read_metadata(saved(smooth(), "JPEG", comment=b"ddpm")) == {}


@pytest.mark.parametrize("text", ["{", "[]", "[" * 100_000, "null"])
def test_a_damaged_entry_is_refused(text: str) -> None:
    info = PngInfo()
    info.add_text("ddpm", text)
    with pytest.raises(Refusal, match="ddpm entry"):
        images.read_metadata(saved(smooth(), "PNG", pnginfo=info))


def test_a_huge_entry_is_refused() -> None:
    info = PngInfo()
    info.add_text("ddpm", json.dumps({"a": "x" * 3_000_000}), zip=True)
    with pytest.raises(Refusal, match="<stdin>"):
        images.read_metadata(saved(smooth(), "PNG", pnginfo=info))
