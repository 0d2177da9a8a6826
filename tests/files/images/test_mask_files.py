"""Masks are read as they are meant, or refused, whatever they are painted with."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from ddpm_cli.errors import Refusal
from ddpm_cli.files.images import mask_files
from ddpm_cli.files.images.mask_files import Keeps

SIDE = 24


def disc(low: Any, high: Any, kind: Any = np.uint8) -> Any:
    """A disc of one value on another, [h,w] or with channels."""
    y, x = np.mgrid[:SIDE, :SIDE]
    inside = (y - 12) ** 2 + (x - 10) ** 2 < 36
    if np.ndim(low):
        inside = inside[..., None]
    return np.where(inside, np.array(high, kind), np.array(low, kind))


DISC = torch.from_numpy(disc(0, 1)).bool()


def anew(path: Path, keeps: Keeps = "auto", threshold: float = 0.5) -> Tensor:
    plane = mask_files.read(path, keeps, threshold).plane
    assert plane.dtype == torch.uint8
    return plane[0] >= 255 * threshold


def saved(path: Path, values: Any, mode: str | None = None, **options: Any) -> Path:
    image = Image.fromarray(values)
    (image.convert(mode) if mode else image).save(path, **options)
    return path


def palette(path: Path, dark: tuple[int, ...], light: tuple[int, ...]) -> Path:
    image = Image.fromarray(disc(0, 1)).convert("P")
    image.putdata(disc(0, 1).ravel().tolist())
    image.putpalette([*dark, *light])
    image.save(path)
    return path


class TestTwoLevels:
    @pytest.mark.parametrize(("low", "high"), [(0, 255), (0, 1), (56, 200), (254, 255), (3, 9)])
    def test_any_levels(self, tmp_path: Path, low: int, high: int) -> None:
        path = saved(tmp_path / "m.png", disc(low, high))
        assert torch.equal(anew(path), DISC)
        assert torch.equal(anew(path, "white"), ~DISC)
        assert torch.equal(anew(path, threshold=0.9), DISC)
        words = mask_files.read(path, "auto", 0.5).words
        usual = (low, high) == (0, 255)
        assert words == ("" if usual else f"two levels, {low} stays and {high} is anew")

    @pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 4095), (0, 65535), (1000, 1001)])
    def test_sixteen_bits(self, tmp_path: Path, low: int, high: int) -> None:
        path = saved(tmp_path / "m.png", disc(low, high, np.uint16))
        assert torch.equal(anew(path), DISC)
        assert torch.equal(anew(path, "white"), ~DISC)

    def test_one_bit(self, tmp_path: Path) -> None:
        assert torch.equal(anew(saved(tmp_path / "m.png", disc(0, 255), "1")), DISC)

    @pytest.mark.parametrize("light", [(255, 255, 255), (1, 1, 1), (128, 0, 0), (0, 0, 1)])
    def test_palettes(self, tmp_path: Path, light: tuple[int, ...]) -> None:
        assert torch.equal(anew(palette(tmp_path / "m.png", (0, 0, 0), light)), DISC)

    def test_colours_that_are_equally_light_are_refused(self, tmp_path: Path) -> None:
        path = palette(tmp_path / "m.png", (0, 0, 255), (255, 0, 0))
        with pytest.raises(Refusal, match="#0000ff and #ff0000 are about equally light"):
            anew(path)

    @pytest.mark.parametrize("name", ["m.jpg", "m.webp"])
    @pytest.mark.parametrize(("low", "high"), [(0, 255), (56, 200), (10, 90)])
    @pytest.mark.parametrize("mode", ["L", "RGB"])
    def test_what_is_lost_by_jpeg(
        self, tmp_path: Path, name: str, low: int, high: int, mode: str
    ) -> None:
        path = saved(tmp_path / name, disc(low, high), mode, quality=80)
        assert len(np.unique(np.array(Image.open(path)))) > 2
        assert torch.equal(anew(path), DISC)

    def test_soft_edges_between_other_levels(self, tmp_path: Path) -> None:
        large = Image.fromarray(disc(56, 200)).resize((96, 96), Image.Resampling.NEAREST)
        soft = large.resize((48, 48), Image.Resampling.BILINEAR)
        soft.save(tmp_path / "m.png")
        assert torch.equal(anew(tmp_path / "m.png"), torch.from_numpy(np.array(soft)) > 127)


class TestSoft:
    def test_the_threshold_is_of_white(self, tmp_path: Path) -> None:
        ramp = np.tile(np.arange(24, dtype=np.uint8) * 10, (SIDE, 1))
        path = saved(tmp_path / "m.png", ramp)
        for threshold, keeps in ((0.5, "black"), (0.1, "black"), (0.3, "white")):
            share = (255 - ramp if keeps == "white" else ramp) / 255
            assert np.array_equal(anew(path, keeps, threshold).numpy(), share >= threshold)  # type: ignore[arg-type]

    def test_levels_on_one_side_of_the_threshold_are_refused(self, tmp_path: Path) -> None:
        for kind in (np.uint8, np.uint16):
            ramp = np.tile((np.arange(24) % 3).astype(kind), (SIDE, 1))
            path = saved(tmp_path / "m.png", ramp)
            with pytest.raises(Refusal, match="levels, 0 to 2, are all on one side"):
                anew(path)

    def test_one_level_is_all_or_nothing_or_refused(self, tmp_path: Path) -> None:
        for level, want in ((0, False), (255, True)):
            path = saved(tmp_path / "m.png", disc(level, level))
            assert bool((anew(path) == want).all())
            assert bool((anew(path, "white") != want).all())
        with pytest.raises(Refusal, match="all of it has the level 1, neither black nor white"):
            anew(saved(tmp_path / "m.png", disc(1, 1)))


class TestLayers:
    @pytest.mark.parametrize("paint", [(0, 0, 0), (255, 255, 255), (200, 30, 30)])
    @pytest.mark.parametrize("ground", [(0, 0, 0), (255, 255, 255), (9, 99, 200)])
    def test_the_paint_is_the_hole(
        self, tmp_path: Path, paint: tuple[int, ...], ground: tuple[int, ...]
    ) -> None:
        """In whatever colour, and whatever colour nobody sees."""
        path = saved(tmp_path / "m.png", disc((*ground, 0), (*paint, 255)))
        assert torch.equal(anew(path), DISC)
        assert torch.equal(anew(path, "clear"), DISC)
        assert torch.equal(anew(path, "opaque"), ~DISC)
        words = mask_files.read(path, "auto", 0.5).words
        assert words.startswith(
            "the #{:02x}{:02x}{:02x} paint on transparent ground".format(*paint)
        )

    @pytest.mark.parametrize("paint", [(128, 128, 128), (30, 90, 200), (255, 105, 180)])
    def test_a_layer_that_was_resized(self, tmp_path: Path, paint: tuple[int, ...]) -> None:
        layer = Image.fromarray(disc((0, 0, 0, 0), (*paint, 255)))
        small = layer.resize((12, 12), Image.Resampling.LANCZOS)
        small.save(tmp_path / "m.png")
        wanted = np.asarray(small)[..., 3] > 127
        assert torch.equal(anew(tmp_path / "m.png"), torch.from_numpy(wanted))

    def test_black_and_white_are_of_the_paint(self, tmp_path: Path) -> None:
        black = saved(tmp_path / "black.png", disc((0, 0, 0, 0), (0, 0, 0, 255)))
        white = saved(tmp_path / "white.png", disc((0, 0, 0, 0), (255, 255, 255, 255)))
        assert torch.equal(anew(black, "white"), DISC)
        assert torch.equal(anew(white, "black"), DISC)
        assert torch.equal(anew(black, "black"), ~DISC)
        assert torch.equal(anew(white, "white"), ~DISC)

    def test_grey_layers_and_transparent_palettes(self, tmp_path: Path) -> None:
        path = saved(tmp_path / "la.png", disc((0, 0), (40, 255)))
        assert Image.open(path).mode == "LA"
        assert torch.equal(anew(path), DISC)
        clear = palette(tmp_path / "p.png", (0, 0, 0), (0, 0, 0))
        image = Image.open(clear)
        image.save(tmp_path / "q.png", transparency=0)
        assert torch.equal(anew(tmp_path / "q.png"), DISC)

    def test_colours_under_varying_transparency_ask(self, tmp_path: Path) -> None:
        """A photograph with a hole rubbed into it, or a drawing on a layer?"""
        photo = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 4), dtype=np.uint8)
        photo[..., 3] = disc(255, 0)
        path = saved(tmp_path / "m.png", photo)
        with pytest.raises(Refusal, match="which is the mask") as refusal:
            anew(path)
        assert "--mask-keeps clear" in str(refusal.value)
        assert torch.equal(anew(path, "opaque"), DISC)
        assert torch.equal(anew(path, "clear"), ~DISC)

    def test_colours_on_transparent_ground_if_asked_for(self, tmp_path: Path) -> None:
        """What is transparent then stays."""
        values = disc((0, 0, 0, 255), (255, 255, 255, 255))
        values[:3] = 0, 255, 0, 0
        path = saved(tmp_path / "m.png", values)
        assert torch.equal(anew(path, "black"), DISC)
        stays = ~DISC
        stays[:3] = False
        assert torch.equal(anew(path, "white"), stays)

    def test_opaque_layers_go_by_their_colour(self, tmp_path: Path) -> None:
        for alpha in (255, 128):
            path = saved(tmp_path / "m.png", disc((0, 0, 0, alpha), (255, 255, 255, alpha)))
            assert torch.equal(anew(path), DISC)

    def test_an_empty_layer_is_nothing(self, tmp_path: Path) -> None:
        path = saved(tmp_path / "m.png", disc((0, 0, 0, 0), (255, 255, 255, 0)))
        assert not bool(anew(path).any())

    def test_soft_brushes(self, tmp_path: Path) -> None:
        """Colours of faint pixels are rounded off."""
        values = np.zeros((SIDE, SIDE, 4), np.uint8)
        values[..., 3] = np.arange(SIDE) * 11
        values[..., :3] = (
            (60 * values[..., 3:].astype(int) // 255) * 255 // np.maximum(values[..., 3:], 1)
        )
        path = saved(tmp_path / "m.png", values)
        assert torch.equal(anew(path), torch.from_numpy(values[..., 3] > 127))

    def test_no_transparency_to_go_by(self, tmp_path: Path) -> None:
        with pytest.raises(Refusal, match="has no transparency for --mask-keeps clear"):
            anew(saved(tmp_path / "m.png", disc(0, 255)), "clear")
