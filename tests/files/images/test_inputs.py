"""Images to be edited: read in the shape of a model, and given back bit by bit as they came."""

import io
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from image_files import (
    CHANNELS,
    GREY,
    HEIGHT,
    RANDOM,
    RGB,
    WIDTH,
    chunk,
    header,
    interlaced_grey,
    noise,
    png,
    put_back,
    read,
    stored,
)
from PIL import Image
from torch import Tensor

from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files.images import given_back, inputs
from ddpm_cli.files.images import pixels as images
from ddpm_cli.files.images.inputs import Input, Source

SHAPES = [(1, HEIGHT, WIDTH), (3, HEIGHT, WIDTH), (4, HEIGHT, WIDTH)]


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def palette(transparent: bool) -> Image.Image:
    """Four colours, of which one may be transparent."""
    image = Image.new("P", (WIDTH, HEIGHT))
    image.putpalette([0, 0, 0, 200, 100, 50, 10, 20, 30, 250, 250, 10])
    image.putdata((RANDOM.integers(0, 4, WIDTH * HEIGHT)).tolist())
    if transparent:
        image.info["transparency"] = bytes([255, 0, 255, 128])
    return image


def wide(depth: type = np.uint16) -> Image.Image:
    return Image.fromarray(RANDOM.integers(0, 65536, (HEIGHT, WIDTH)).astype(depth))


def wide_rgb() -> bytes:
    rows = [RANDOM.integers(0, 65536, 3 * WIDTH).astype(">u2").tobytes() for _ in range(HEIGHT)]
    return png(header(WIDTH, HEIGHT, 16, RGB), rows)


def wide_clear() -> bytes:
    """16-bit grey with a transparent value."""
    rows = [struct.pack(f">{WIDTH}H", *[4369, 0] * 6, 65535)] * HEIGHT
    return png(header(WIDTH, HEIGHT, 16, GREY), rows, chunk(b"tRNS", struct.pack(">H", 4369)))


def film() -> bytes:
    frames = [images.to_pillow(noise("RGB")).quantize(8) for _ in range(3)]
    return saved(frames[0], "GIF", save_all=True, append_images=frames[1:])


def plain(mode: str) -> Image.Image:
    return images.to_pillow(noise(mode))


def bits() -> Image.Image:
    return Image.fromarray(RANDOM.integers(0, 2, (HEIGHT, WIDTH)).astype(bool))


# Every kind of file, and the mode in which it comes back.
FILES: dict[str, tuple[bytes, str]] = {
    "png-L": (saved(plain("L"), "PNG"), "L"),
    "png-LA": (saved(plain("LA"), "PNG"), "LA"),
    "png-RGB": (saved(plain("RGB"), "PNG"), "RGB"),
    "png-RGBA": (saved(plain("RGBA"), "PNG"), "RGBA"),
    "png-1": (saved(bits(), "PNG"), "L"),
    "png-P": (saved(palette(False), "PNG"), "RGB"),
    "png-P-clear": (saved(palette(True), "PNG"), "RGBA"),
    "png-L-clear": (saved(plain("L"), "PNG", transparency=7), "LA"),
    "png-16": (saved(wide(), "PNG"), "I;16"),
    "png-16-clear": (wide_clear(), "LA"),
    "png-16-RGB": (wide_rgb(), "RGB"),
    "png-interlaced": (interlaced_grey(noise("L")[0].tolist()), "L"),
    "jpeg-L": (saved(plain("L"), "JPEG"), "L"),
    "jpeg-RGB": (saved(plain("RGB"), "JPEG"), "RGB"),
    "jpeg-CMYK": (saved(plain("RGB").convert("CMYK"), "JPEG"), "RGB"),
    "webp-RGB": (saved(plain("RGB"), "WEBP", lossless=True), "RGB"),
    "webp-RGBA": (saved(plain("RGBA"), "WEBP", lossless=True, exact=True), "RGBA"),
    "tiff-1": (saved(bits(), "TIFF", compression="group4"), "L"),
    "tiff-L": (saved(plain("L"), "TIFF"), "L"),
    "tiff-LA": (saved(plain("LA"), "TIFF"), "LA"),
    "tiff-RGB": (saved(plain("RGB"), "TIFF", compression="tiff_lzw"), "RGB"),
    "tiff-RGBA": (saved(plain("RGBA"), "TIFF"), "RGBA"),
    "tiff-CMYK": (saved(plain("RGB").convert("CMYK"), "TIFF"), "RGB"),
    "tiff-P": (saved(palette(False), "TIFF"), "RGB"),
    "tiff-16": (saved(wide(), "TIFF"), "I;16"),
    "gif-P": (saved(palette(False), "GIF"), "RGB"),
    "gif-clear": (saved(palette(False), "GIF", transparency=1), "RGBA"),
    "gif-film": (film(), "RGB"),
    "bmp-RGB": (saved(plain("RGB"), "BMP"), "RGB"),
}


def colours(original: Tensor) -> Tensor:
    """Native pixels as RGB in float64, as if they were opaque."""
    pixels = original.double()
    return pixels[:1].expand(3, -1, -1) if len(pixels) < 3 else pixels[:3]


def opacity(original: Tensor) -> Tensor:
    """The opacity of native pixels, float64 [1,h,w] from 0 to 255."""
    last = original[-1:].double()
    return last if len(original) in (2, 4) else torch.full_like(last, 255)


def composited(original: Tensor, background: tuple[int, int, int]) -> Tensor:
    """Native pixels over a background as RGB in float64: the formula, without Pillow."""
    share = opacity(original) / 255
    behind = torch.tensor(background, dtype=torch.float64).reshape(3, 1, 1)
    return share * colours(original) + (1 - share) * behind


def luma(rgb: Tensor) -> Tensor:
    weights = torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64)
    return torch.einsum("c,chw->hw", weights, rgb)[None]


@pytest.mark.parametrize("what", FILES)
@pytest.mark.parametrize("shape", SHAPES, ids=["grey", "rgb", "rgba"])
class TestEveryFile:
    def test_the_model_sees_it(self, what: str, shape: tuple[int, ...], tmp_path: Path) -> None:
        data, mode = FILES[what]
        found = inputs.read(stored(tmp_path, data), shape, background="#204080")
        assert found.image.shape == shape
        assert found.image.dtype == found.original.dtype
        assert found.is_deep == (mode == "I;16")
        assert found.original.shape == (CHANNELS.get(mode, 1), HEIGHT, WIDTH)
        unit = 257 if found.is_deep else 1
        original = found.original.double() / unit
        seen = composited(original, (0x20, 0x40, 0x80))
        if shape[0] == 1:
            seen = luma(seen)
        if shape[0] == 4:
            seen = torch.cat([colours(original), opacity(original)])
        assert (found.image.double() - unit * seen).abs().max() <= 1

    def test_it_comes_back_bit_by_bit(
        self, what: str, shape: tuple[int, ...], tmp_path: Path
    ) -> None:
        found = inputs.read(stored(tmp_path, FILES[what][0]), shape)
        assert put_back(found, found.image.clone()).equal(found.original)
        written = stored(tmp_path, images.encode_png(found.original), "again.png")
        assert images.decoded(written.name)[0].mode == FILES[what][1]
        assert inputs.read(written, shape).original.equal(found.original)

    def test_an_edit_changes_nothing_else(
        self, what: str, shape: tuple[int, ...], tmp_path: Path
    ) -> None:
        found = inputs.read(stored(tmp_path, FILES[what][0]), shape)
        made = found.image.clone()
        made[:3, 2:5, 3:9] = found.scale.high - made[:3, 2:5, 3:9]
        hole = torch.zeros(1, HEIGHT, WIDTH, dtype=torch.bool)
        hole[:, 2:5, 3:9] = True
        for new in (put_back(found, made), given_back.paste(found, made, hole)):
            assert new.shape == found.original.shape
            outside = ~hole.expand_as(new)
            assert new[outside].equal(found.original[outside])
            # what the file now shows is what was made
            if shape[0] == 1 or len(new) >= 3:
                again = read(tmp_path, new, shape)
                assert again.image[:, 2:5, 3:9].equal(made[:, 2:5, 3:9])


class TestLossless:
    """The values of lossless files, as they were before they were saved."""

    @pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
    @pytest.mark.parametrize("mode", ["RGB", "RGBA"])
    def test_colours(self, kind: str, mode: str, tmp_path: Path) -> None:
        pixels = noise(mode)
        options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
        source = stored(tmp_path, saved(images.to_pillow(pixels), kind, **options))
        assert inputs.read(source, (3, HEIGHT, WIDTH)).original.equal(pixels)

    @pytest.mark.parametrize("kind", ["PNG", "TIFF"])
    def test_16_bits_are_kept(self, kind: str, tmp_path: Path) -> None:
        values = RANDOM.integers(0, 65536, (HEIGHT, WIDTH)).astype(np.uint16)
        source = stored(tmp_path, saved(Image.fromarray(values), kind))
        found = inputs.read(source, (1, HEIGHT, WIDTH))
        assert found.image[0].tolist() == found.original[0].tolist() == values.tolist()
        assert np.abs(found.values[0].numpy() - (values / 32767.5 - 1)).max() < 1e-6

    @pytest.mark.parametrize("fit", ["crop", "resize", "pad"])
    @pytest.mark.parametrize("shape", [(1, 16, 20), (3, 16, 20)])
    def test_16_bits_are_fitted_as_8_are(
        self, fit: inputs.Fit, shape: tuple[int, ...], tmp_path: Path
    ) -> None:
        smooth = Image.linear_gradient("L").resize((WIDTH, HEIGHT))
        grey = images.from_pillow(smooth)
        wide = inputs.read(
            stored(tmp_path, images.encode_png(grey.int() * 257)), shape, fit, "#204080"
        )
        narrow = read(tmp_path, grey, shape, fit, "#204080")
        assert (wide.image / 257 - narrow.image).abs().max() <= 1
        assert wide.image.shape == narrow.image.shape

    def test_one_bit_is_black_and_white(self, tmp_path: Path) -> None:
        values = RANDOM.integers(0, 2, (HEIGHT, WIDTH)).astype(bool)
        source = stored(tmp_path, saved(Image.fromarray(values), "PNG"))
        assert inputs.read(source, (1, HEIGHT, WIDTH)).image[0].tolist() == (values * 255).tolist()

    def test_light_and_dark_are_not_exchanged(self, tmp_path: Path) -> None:
        white = torch.full((1, 4, 4), 255, dtype=torch.uint8)
        assert read(tmp_path, white, (1, 4, 4)).image.equal(white)

    def test_rotation_is_applied(self, tmp_path: Path) -> None:
        exif, pixels = Image.Exif(), noise("L")
        exif[0x0112] = 6
        source = stored(tmp_path, saved(images.to_pillow(pixels), "PNG", exif=exif))
        found = inputs.read(source, (1, WIDTH, HEIGHT))
        assert found.image.equal(pixels.transpose(1, 2).flip(2))
        assert found.size == (HEIGHT, WIDTH)
        assert put_back(found, found.image).shape == (1, WIDTH, HEIGHT)


class TestFit:
    @pytest.mark.parametrize("mode", CHANNELS)
    @pytest.mark.parametrize("shape", [(1, 16, 16), (3, 11, 14), (4, 10, 40)])
    def test_pad_keeps_size_and_mode(
        self, mode: str, shape: tuple[int, ...], tmp_path: Path
    ) -> None:
        found = read(tmp_path, pixels := noise(mode), shape, "pad", "black")
        assert found.image.shape == shape
        assert found.original.equal(pixels)
        assert put_back(found, found.image).equal(pixels)
        made = 255 - found.image
        new = put_back(found, made)
        assert new.shape == pixels.shape
        everywhere = torch.ones(1, *shape[1:], dtype=torch.bool)
        assert given_back.paste(found, made, everywhere).equal(new)

    def test_padding_is_centred_and_coloured(self, tmp_path: Path) -> None:
        pixels = noise("RGB", 3, 4)
        found = read(tmp_path, pixels, (3, 6, 8), "pad", "#0a0b0c")
        assert found.image[:, 1:4, 2:6].equal(pixels)
        around = found.image.clone()
        around[:, 1:4, 2:6] = torch.tensor([10, 11, 12]).reshape(3, 1, 1)
        assert around.flatten(1).unique(dim=1).flatten().tolist() == [10, 11, 12]

    @pytest.mark.parametrize(
        ("background", "grey"), [("white", 255), ("black", 0), ("red", 76), ("#00f", 29)]
    )
    def test_padding_of_a_grey_model(self, background: str, grey: int, tmp_path: Path) -> None:
        found = read(tmp_path, noise("L", 2, 2), (1, 4, 4), "pad", background)
        assert found.image[0, 0].tolist() == [grey] * 4

    def test_padding_of_an_rgba_model_is_opaque(self, tmp_path: Path) -> None:
        found = read(tmp_path, noise("RGBA", 2, 2), (4, 4, 4), "pad")
        assert found.image[:, 0, 0].tolist() == [255] * 4

    def test_crop_keeps_the_middle(self, tmp_path: Path) -> None:
        pixels = torch.zeros(1, 8, 20, dtype=torch.uint8)
        pixels[:, :, 6:14] = 200
        found = read(tmp_path, pixels, (1, 8, 8), "crop")
        assert found.image.equal(torch.full((1, 8, 8), 200, dtype=torch.uint8))
        larger = read(tmp_path, pixels, (1, 16, 16), "crop")
        inner = larger.image[:, :, 1:-1].int()  # the filter mixes and rings at the edges
        assert (inner - 200).abs().max() <= 25

    def test_resize_stretches(self, tmp_path: Path) -> None:
        pixels = torch.zeros(1, 8, 20, dtype=torch.uint8)
        pixels[:, :, 10:] = 200
        found = read(tmp_path, pixels, (1, 8, 8), "resize")
        assert found.image[0, :, :3].max() <= 20
        assert found.image[0, :, 5:].min() >= 180

    @pytest.mark.parametrize("fit", ["crop", "resize"])
    @pytest.mark.parametrize("mode", CHANNELS)
    def test_crop_and_resize_give_the_fitted_size(
        self, fit: str, mode: str, tmp_path: Path
    ) -> None:
        found = read(tmp_path, noise(mode), (1, 8, 8), fit)
        assert found.original.shape == (CHANNELS[mode], 8, 8)
        assert found.size == (WIDTH, HEIGHT)
        assert put_back(found, found.image).equal(found.original)

    def test_clear_pixels_do_not_bleed_when_resized(self, tmp_path: Path) -> None:
        pixels = torch.zeros(4, 8, 8, dtype=torch.uint8)
        pixels[:, :, 4:] = 255  # white beside black that nobody sees
        found = read(tmp_path, pixels, (3, 4, 4), "resize")
        assert found.image.eq(255).all()

    @pytest.mark.parametrize("fit", ["error", "pad", "crop", "resize"])
    def test_the_right_size_is_left_alone(self, fit: str, tmp_path: Path) -> None:
        assert read(tmp_path, pixels := noise("L"), SHAPES[0], fit).image.equal(pixels)

    @pytest.mark.parametrize(
        ("fit", "size", "fix"),
        [
            ("error", (5, 6), "choose --fit pad, crop or resize"),
            ("error", (5, 9), "choose --fit crop or resize"),
            ("pad", (9, 5), "choose --fit crop or resize"),
        ],
    )
    def test_a_mismatch_names_both_sizes(
        self, fit: str, size: tuple[int, int], fix: str, tmp_path: Path
    ) -> None:
        with pytest.raises(Refusal) as refused:
            read(tmp_path, noise("L", size[1], size[0]), (1, 7, 8), fit)
        what = f"some.image: {size[0]}x{size[1]} pixels, the model takes 8x7"
        assert refused.value.message == f"{tmp_path}/{what}\n{fix}"

    @pytest.mark.parametrize("background", ["nosuch", "#12", "", "#11223344", "x" * 200])
    def test_no_such_colour(self, background: str, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="--background") as refused:
            read(tmp_path, noise("L"), SHAPES[0], "pad", background)
        assert "#rrggbb" in refused.value.message

    @pytest.mark.parametrize("shape", [(2,), (2, 8, 8), (8, 8)])
    def test_models_of_anything_else(self, shape: tuple[int, ...], tmp_path: Path) -> None:
        with pytest.raises(Refusal, match="no images"):
            read(tmp_path, noise("L"), shape)


class TestPlanes:
    @pytest.mark.parametrize("fit", ["pad", "crop", "resize"])
    def test_a_plane_follows_its_image(self, fit: str, tmp_path: Path) -> None:
        pixels = noise("L")
        found = read(tmp_path, pixels, (1, 16, 18), fit, "black")
        assert inputs.follow(found, pixels).equal(found.image)

    def test_a_plane_of_another_size(self, tmp_path: Path) -> None:
        found = read(tmp_path, noise("L"), (1, 16, 18), "pad")
        with pytest.raises(ValueError, match="size"):
            inputs.follow(found, noise("L", 16, 18))

    def test_opacity(self, tmp_path: Path) -> None:
        pixels = noise("LA", 2, 2)
        opacity = inputs.opacity(read(tmp_path, pixels, (1, 4, 4), "pad"))
        assert opacity is not None
        assert opacity[:, 1:3, 1:3].equal(pixels[1:])
        assert opacity[0, 0].tolist() == [255] * 4
        assert inputs.opacity(read(tmp_path, noise("RGB"), (3, HEIGHT, WIDTH))) is None


class TestSources:
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        for name in ("in/b.png", "in/A.JPG", "in/.c.png", "in/d.txt", "in/sub/e.png", "x"):
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).write_bytes(b"")
        Path("empty").mkdir()
        Path("in/folder.png").mkdir()

    def names(self, *paths: str) -> list[tuple[str, str]]:
        return [tuple(source) for source in inputs.sources(paths)]

    def test_files_folders_and_stdin_in_order(self) -> None:
        assert self.names("x", "in", "-", "./no/such.tar.gif") == [
            ("x", "x"),
            ("in/A.JPG", "A"),
            ("in/b.png", "b"),
            ("-", "stdin"),
            ("./no/such.tar.gif", "such.tar"),
        ]

    def test_a_pipe_in_a_folder_is_left_out_and_a_broken_link_named(self) -> None:
        os.mkfifo("in/p.png")
        Path("in/l.png").symlink_to("nowhere")
        assert [name for name, _ in self.names("in/")] == ["in/A.JPG", "in/b.png", "in/l.png"]

    @pytest.mark.parametrize(
        "paths", [("x", "x"), ("x", "./x"), ("in", "in/b.png"), ("-", "-"), ("in", "in/")]
    )
    def test_the_same_twice(self, paths: tuple[str, ...]) -> None:
        with pytest.raises(ConfigError, match="named more than once"):
            self.names(*paths)

    def test_the_same_twice_on_purpose(self) -> None:
        assert len(inputs.sources(["x", "in/b.png", "x"], repeated=True)) == 3
        with pytest.raises(ConfigError, match="named more than once"):
            inputs.sources(["-", "x", "-"], repeated=True)

    def test_nothing_found(self) -> None:
        with pytest.raises(Refusal, match=r"empty: no images in this folder") as refused:
            self.names("x", "empty")
        assert ".webp" in refused.value.message
        with pytest.raises(ConfigError, match="an empty path"):
            self.names("")

    @pytest.mark.parametrize("name", ["missing", "n" * 5000, "line\nbreak", "raw\udcff"])
    def test_what_cannot_be_read_is_named_when_it_is(self, name: str) -> None:
        (source,) = inputs.sources([name])
        with pytest.raises(Refusal) as refused:
            inputs.read(source, (1, 8, 8))
        assert refused.value.message.startswith(name[:3])
        assert refused.value.message.isprintable()

    @pytest.mark.parametrize("fit", ["error", "pad", "crop", "resize"])
    def test_damage_is_refused_whatever_the_fit(self, fit: str) -> None:
        whole = images.encode_png(noise("RGB"))
        bomb = png(header(60000, 60000, 8, RGB), [bytes(9)])
        for data in (b"", whole[:-20], whole[: len(whole) // 2], b"text" * 99, bomb):
            source = stored(Path(), data, "bad.png")
            with pytest.raises(Refusal, match=r"^bad\.png: "):
                inputs.read(source, (3, HEIGHT, WIDTH), fit)  # type: ignore[arg-type]


class TestStdin:
    def piped(self, data: bytes, monkeypatch: pytest.MonkeyPatch) -> Input:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
        (source,) = inputs.sources(["-"])
        return inputs.read(source, (1, HEIGHT, WIDTH))

    def test_an_image(self, monkeypatch: pytest.MonkeyPatch) -> None:
        pixels = noise("L")
        found = self.piped(images.encode_png(pixels), monkeypatch)
        assert (found.name, found.stem) == ("-", "stdin")
        assert found.image.equal(pixels)

    @pytest.mark.parametrize("data", [b"", b"text", images.encode_png(noise("L", 3, 3))])
    def test_no_such_image(self, data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(Refusal, match=r"^<stdin>: "):
            self.piped(data, monkeypatch)

    def test_a_terminal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        ours, theirs = os.openpty()
        with os.fdopen(theirs, "w") as terminal, os.fdopen(ours):
            monkeypatch.setattr("sys.stdin", terminal)
            with pytest.raises(Refusal, match="terminal"):
                inputs.read(Source("-", "stdin"), SHAPES[0])
