"""Resizing, blur, noise and JPEG: closed forms, and images that do not know their batch-mates."""

import math

import numpy as np
import pytest
import torch
from pictures import pictures
from PIL import Image

from ddpm_cli.data import degradations
from ddpm_cli.data.degradations import blur, degrade, enlarge, jpeg, noise, resize, shrink
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.files.images.pixels import from_uint8, to_uint8


def test_area_of_a_whole_factor_is_the_mean_of_its_pixels() -> None:
    x = pictures(2, 3, 12, 8)
    means = x.reshape(2, 3, 6, 2, 4, 2).mean(dim=(3, 5))
    assert torch.allclose(shrink(x, 2, "area"), means, atol=1e-15)


def test_bicubic_weights_are_those_of_the_cubic_kernel_at_half_its_width() -> None:
    """Factor 2: the kernel (Keys 1981, a = -1/2) stretched to twice its width, 8 pixels wide."""

    def kernel(d: float) -> float:
        d = abs(d)
        if d < 1:
            return 1.5 * d**3 - 2.5 * d**2 + 1
        return -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2 if d < 2 else 0.0

    impulses = torch.eye(16, dtype=torch.float64).reshape(16, 1, 16, 1).expand(-1, -1, -1, 2)
    row = resize(impulses, (8, 2))[:, 0, 4, 0]  # what each pixel gives to the fifth small one
    raw = torch.tensor([kernel((j + 0.5) / 2 - 4.5) for j in range(16)], dtype=torch.float64)
    assert torch.allclose(row, raw / raw.sum(), atol=1e-12)


def test_bicubic_agrees_with_pillow() -> None:
    x = pictures(1, 1, 28, 28)[0, 0]
    picture = Image.fromarray(x.float().numpy())
    theirs = torch.tensor(np.array(picture.resize((14, 14), Image.Resampling.BICUBIC)))
    assert torch.allclose(shrink(x[None, None], 2)[0, 0].float(), theirs, atol=1e-6)


@pytest.mark.parametrize("filter", ["bicubic", "area"])
@pytest.mark.parametrize("factor", [1, 1.5, 2, 3, 4])
def test_resizing_keeps_constants_and_rounds_sides(
    filter: degradations.Filter, factor: float
) -> None:
    low = shrink(torch.full((1, 1, 28, 20), 0.3, dtype=torch.float64), factor, filter)
    assert low.shape[-2:] == (round(28 / factor), round(20 / factor))
    assert torch.allclose(low, torch.full_like(low, 0.3), atol=1e-12)
    assert torch.allclose(enlarge(low, (28, 20), filter), torch.tensor(0.3).double(), atol=1e-7)


def test_resizing_refuses_the_wrong_direction() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        shrink(pictures(1, 1, 8, 8), 0.5)
    with pytest.raises(ValueError, match="8x8 pixels are no smaller than 4x8"):
        enlarge(pictures(1, 1, 8, 8), (8, 4))


def test_blur_of_a_point_is_a_gaussian_of_the_deviation_asked_for() -> None:
    x = torch.zeros(2, 1, 41, 41, dtype=torch.float64)
    x[:, 0, 20, 20] = 1
    made = blur(x, torch.tensor([1.5, 3.0]))
    place = torch.arange(41, dtype=torch.float64) - 20
    for image, sigma in zip(made[:, 0], (1.5, 3.0), strict=True):
        assert float(image.sum()) == pytest.approx(1, abs=1e-5)
        assert float((image.sum(1) * place**2).sum()) == pytest.approx(sigma**2, rel=1e-4)
        assert torch.allclose(image, image.T, atol=1e-15)


def test_blur_keeps_constants_up_to_the_edge_and_is_nothing_at_zero() -> None:
    x = pictures(3, 2, 9, 7)
    assert torch.equal(blur(x, torch.zeros(3)), x)
    ones = torch.ones(1, 1, 9, 7, dtype=torch.float64)
    assert torch.allclose(blur(ones, torch.tensor([2.0])), ones, atol=1e-14)


def test_noise_has_the_level_of_each_image() -> None:
    x = torch.zeros(3, 1, 64, 64, dtype=torch.float64)
    made = noise(x, torch.tensor([0.0, 0.1, 0.5]), Rng([1, 2, 3]))
    found = made.std(dim=(1, 2, 3)).tolist()
    assert found == pytest.approx([0.0, 0.1, 0.5], rel=0.05)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_jpeg_loses_more_at_lower_quality(channels: int) -> None:
    x = from_uint8(to_uint8(blur(pictures(2, channels, 32, 32), torch.tensor([1.0, 1.0]))))
    loss = [
        float((jpeg(x, torch.full((2,), quality)) - x).square().mean()) for quality in (95, 50, 10)
    ]
    assert 0 < loss[0] < loss[1] < loss[2] < 0.1
    assert torch.equal(jpeg(x, torch.tensor([10, 10]))[:, 3:], x[:, 3:])


def test_jpeg_refuses_other_channels() -> None:
    with pytest.raises(ValueError, match="2 channels"):
        jpeg(pictures(1, 2, 8, 8), torch.tensor([50]))


@pytest.mark.parametrize("kind", ["none", "blur", "bsr"])
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 33, 20)])
def test_degraded_image_depends_on_its_own_seed_only(
    kind: degradations.Kind, shape: tuple[int, int, int]
) -> None:
    x, seeds = pictures(5, *shape).float(), [7, 3, 8, 1, 4]
    together = degrade(x, 2, kind, Rng(seeds))
    for row in range(5):
        alone = degrade(x[row : row + 1], 2, kind, Rng(seeds[row : row + 1]))
        assert torch.allclose(alone[0], together[row], atol=1e-6)
    assert together.abs().max() <= 1
    assert together.shape[1:] == (shape[0], round(shape[1] / 2), round(shape[2] / 2))
    assert together.dtype == x.dtype


def test_degradations_differ_between_seeds_but_for_none() -> None:
    x = pictures(1, 1, 28, 28).expand(8, -1, -1, -1)
    assert len(degrade(x, 2, "none", Rng(range(8))).unique(dim=0)) == 1
    for kind in ("blur", "bsr"):
        assert len(degrade(x, 2, kind, Rng(range(8))).unique(dim=0)) == 8


def test_bsr_stays_near_the_plainly_shrunk_image() -> None:
    x = blur(pictures(64, 1, 32, 32), torch.full((64,), 3.0)) * 8
    x = x.clamp(-1, 1)
    plain, made = degrade(x, 2, "none", Rng(range(64))), degrade(x, 2, "bsr", Rng(range(64)))
    error = (made - plain).square().mean(dim=(1, 2, 3)).sqrt()
    assert float(error.min()) > 0.02
    assert float(error.max()) < 0.35
    assert math.isclose(float(made.mean()), float(plain.mean()), abs_tol=0.01)
