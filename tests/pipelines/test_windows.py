"""Windows over large images: where they lie and which comes next."""

import pytest
import torch

from ddpm_cli.diffusion.denoiser import Denoise, Prediction, Wrapped
from ddpm_cli.diffusion.schedules import tables
from ddpm_cli.pipelines.windows import cover, order, starts, tiled


@pytest.mark.parametrize(
    ("length", "side", "expected"),
    [
        (28, 28, [0]),
        (29, 28, [0, 1]),
        (56, 28, [0, 14, 28]),
        (60, 28, [0, 14, 28, 32]),
        (9, 3, [0, 1, 2, 3, 4, 5, 6]),
        (3, 1, [0, 1, 2]),
    ],
)
def test_starts_overlap_by_half_and_reach_the_end(
    length: int, side: int, expected: list[int]
) -> None:
    assert starts(length, side) == expected


def test_nothing_fits_into_less_than_a_window() -> None:
    with pytest.raises(ValueError, match="27 pixels are less than a window of 28"):
        starts(27, 28)


@pytest.mark.parametrize("size", [(8, 8), (9, 8), (8, 20), (21, 17)])
def test_windows_cover_every_pixel_and_stay_inside(size: tuple[int, int]) -> None:
    seen = torch.zeros(size, dtype=torch.int64)
    grid = cover(size, (8, 8))
    for number, window in enumerate(window for row in grid for window in row):
        assert window.number == number
        assert window.of(seen).shape == (8, 8)
        window.of(seen).add_(1)
    assert int(seen.min()) >= 1


def test_palettes_panorama_takes_eight_windows_on_either_side() -> None:
    """256x256 in the middle of 2304x256, windows of 256 (Saharia 2022, figure 12)."""
    known = torch.zeros(256, 2304, dtype=torch.bool)
    known[:, 1024:1280] = True
    found = [window.left for window in order(known, (256, 256))]
    assert len(found) == 2 * 8
    assert found[:4] == [896, 768, 640, 512], "half of each is known when its turn comes"
    assert sorted(found) == [*range(0, 1024, 128), *range(1152, 2049, 128)]


def test_windows_without_unknown_pixels_are_not_filled() -> None:
    known = torch.ones(20, 30, dtype=torch.bool)
    assert order(known, (8, 8)) == []
    known[1, 1] = False
    assert [(window.top, window.left) for window in order(known, (8, 8))] == [(0, 0)]
    assert not bool(known[1, 1]), "the mask is left as it was"


def test_from_nothing_windows_go_left_to_right_and_top_to_bottom() -> None:
    found = order(torch.zeros(12, 12, dtype=torch.bool), (8, 8))
    assert [window.number for window in found] == [0, 1, 2, 3]


def test_each_window_finds_something_unknown_and_none_is_left() -> None:
    generator = torch.Generator().manual_seed(0)
    known = torch.rand(40, 33, generator=generator) < 0.9
    before = known.clone()
    for window in order(known, (8, 6)):
        assert not bool(window.of(before).all())
        window.of(before).fill_(True)
    assert bool(before.all())


class _Halved:
    """Predicts half of what it sees, whatever the noise."""

    schedule = tables.linear()

    def __call__(self, x: torch.Tensor, sigma: torch.Tensor) -> Prediction:
        return Prediction(x / 2, covariance=x * 0 + 3)


@pytest.mark.parametrize("size", [(4, 4), (5, 11), (9, 8)])
def test_windows_that_walk_together_make_one_image(size: tuple[int, int]) -> None:
    """What is seen of each pixel alone does not depend on the windows."""
    every = [window for row in cover(size, (4, 4)) for window in row]
    x = torch.randn(3, 2, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    parts = [(every[first : first + 3], _Halved()) for first in range(0, len(every), 3)]
    prediction = tiled(parts)(x, torch.tensor([1.0, 2.0, 3.0]))
    assert torch.allclose(prediction.x0, x / 2, rtol=1e-12)
    assert prediction.covariance is not None
    assert torch.allclose(prediction.covariance, torch.full_like(x, 3), rtol=1e-12)
    assert prediction.range is None


def test_where_windows_overlap_their_middles_count_most() -> None:
    """Two windows of 4 pixels, one black and one white, blend without a step."""
    every = [window for row in cover((4, 6), (4, 4)) for window in row]

    def plain(value: float) -> Denoise:
        return Wrapped(_Halved(), lambda x, sigma: Prediction(torch.full_like(x, value)))

    parts = [([every[0]], plain(0.0)), ([every[1]], plain(1.0))]
    row = tiled(parts)(torch.zeros(1, 1, 4, 6), torch.ones(())).x0[0, 0, 0]
    assert torch.allclose(row, torch.tensor([0, 0, 1 / 3, 2 / 3, 1, 1]))
