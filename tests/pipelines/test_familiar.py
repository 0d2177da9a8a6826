"""Photographs are told from digits before work begins, and digits are never warned of."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from runs import ddpm
from torch import Tensor

from ddpm_cli.data.degradations import shrink
from ddpm_cli.files.images.pixels import encode_png, from_pillow
from ddpm_cli.pipelines import familiar

WARNED = "unlike all that mnist"


def clouds(height: int, width: int) -> Tensor:
    """A picture as photographs are: most of its contrast is coarse, and greys are everywhere."""
    generator = torch.Generator().manual_seed(3)
    picture = torch.zeros(1, 1, height, width)
    for cells in (2, 4, 8):
        coarse = torch.randn(1, 1, cells, cells, generator=generator) / cells
        picture += torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic")
    return (127.5 + 90 * picture).clamp(0, 255).byte()[0]


def png(path: Path, pixels: Tensor) -> Path:
    path.write_bytes(encode_png(pixels))
    return path


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("digits")
    done = ddpm("sample", "-m", "mnist", "-n", 4, "--calls", 20, "-o", f"{folder}/")
    assert done.code == 0, done.err
    return folder


@pytest.mark.parametrize("model", ["mnist", "mnist-inpaint"])
def test_what_fills_holes_tells_clouds_from_digits(
    model: str, digits: Path, tmp_path: Path
) -> None:
    words = ("--mask", "8,8,20,20", "-m", model, "--calls", 1)
    done = ddpm("inpaint", digits, *words, "-o", f"{tmp_path}/digits/")
    assert done.code == 0
    assert WARNED not in done.err
    large = png(tmp_path / "clouds.png", clouds(40, 28))
    done = ddpm("inpaint", large, *words, "-o", tmp_path / "filled.png")
    assert done.code == 0
    assert f"Warning: {large}: {WARNED}" in done.err
    assert done.err.count("Warning") == 1
    assert "-m chooses another" in done.err


@pytest.mark.parametrize("words", [(), ("-m", "mnist", "--method", "zero-shot")])
@pytest.mark.parametrize("height", [14, 18])
def test_what_enlarges_tells_clouds_from_digits(
    words: tuple[str, ...], height: int, digits: Path, tmp_path: Path
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    for path in sorted(digits.iterdir()):
        with Image.open(path) as image:
            half = shrink(from_pillow(image)[None].double() / 127.5 - 1, 2.0, "bicubic")
        planes = (127.5 * half[0] + 127.5).round().clamp(0, 255).byte()
        wide = torch.cat([planes, planes[:, : height - 14]], dim=1)
        png(small / path.name, wide)
    words = (*words, "--calls", "1")
    done = ddpm("upscale", small, *words, "-o", f"{tmp_path}/large/")
    assert done.code == 0, done.err
    assert WARNED not in done.err
    sky = png(tmp_path / "clouds.png", clouds(height, 14))
    done = ddpm("upscale", sky, *words, "-o", tmp_path / "large.png")
    assert done.code == 0
    assert f"Warning: {sky}: {WARNED}" in done.err


@pytest.mark.parametrize("method", [(), ("--method", "pigdm")])
@pytest.mark.parametrize("height", [28, 40])
def test_what_guides_tells_clouds_from_digits(
    method: tuple[str, ...], height: int, digits: Path, tmp_path: Path
) -> None:
    known = ("--restore", "mask", "--mask", "8,8,20,20", *method, "--calls", "2", "-n", 1)
    digit = min(digits.iterdir())
    done = ddpm("guide", "-m", "mnist", *known, "--image", digit, "-o", tmp_path / "a.png")
    assert done.code == 0, done.err
    assert WARNED not in done.err
    sky = png(tmp_path / "clouds.png", clouds(height, 28))
    done = ddpm("guide", "-m", "mnist", *known, "--image", sky, "-o", tmp_path / "b.png")
    assert done.code == 0, done.err
    assert f"Warning: {sky}: {WARNED}" in done.err
    assert done.err.count("made anew") == 1


def test_few_known_pixels_are_no_ground_for_a_warning(tmp_path: Path) -> None:
    sky = png(tmp_path / "clouds.png", clouds(28, 28))
    words = ("--mask", "0,0,28,25", "-m", "mnist", "--calls", 1)
    done = ddpm("inpaint", sky, *words, "-o", tmp_path / "out.png")
    assert done.code == 0
    assert WARNED not in done.err


def test_the_warning_changes_no_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sky = png(tmp_path / "clouds.png", clouds(28, 28))
    made = []
    for name in ("with.png", "without.png"):
        words = ("--mask", "8,8,20,20", "-m", "mnist", "--calls", 2, "-o", tmp_path / name)
        assert ddpm("inpaint", sky, *words).code == 0
        with Image.open(tmp_path / name) as image:
            made.append(from_pillow(image))
        monkeypatch.setattr(familiar, "judge", lambda model: None)
    assert torch.equal(*made)
