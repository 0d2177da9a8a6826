"""What CLIP guidance measures: cutouts of images, and how far they are from prompts."""

import math

import pytest
import torch
from probes import x0
from torch import Tensor

from ddpm_cli.diffusion import cutouts
from ddpm_cli.diffusion.rng import Rng


def test_the_distance_is_half_the_squared_angle() -> None:
    angle = torch.linspace(0, math.pi - 0.01, 20, dtype=torch.float64)
    a = torch.stack([angle.cos(), angle.sin(), torch.zeros_like(angle)], 1)
    b = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)
    assert torch.allclose(cutouts.great_circle(a, b), angle**2 / 2, atol=1e-12)


def test_the_distance_has_a_gradient_everywhere() -> None:
    b = torch.tensor([1.0, 0.0])
    a = torch.stack([b, -b, b.flip(0)]).requires_grad_()
    (found,) = torch.autograd.grad(cutouts.great_circle(a, b).sum(), a)
    assert bool(found.isfinite().all())


def test_the_score_is_minus_the_weighted_mean_distance() -> None:
    generator = torch.manual_seed(3)
    made, wanted = (
        torch.nn.functional.normalize(torch.randn(*shape, 5, generator=generator).double(), dim=-1)
        for shape in ((2, 4), (3,))
    )
    weights = torch.tensor([0.7, -0.1, 0.2], dtype=torch.float64)
    expected = [
        -sum(
            weight * sum(math.acos(float(one @ other)) ** 2 / 2 for one in row) / 4
            for weight, other in zip(weights.tolist(), wanted, strict=True)
        )
        for row in made
    ]
    found = cutouts.similarity(made, wanted, weights)
    wanted = torch.tensor(expected, dtype=torch.float64)
    assert torch.allclose(found, wanted, rtol=0, atol=1e-12)


def test_colours_are_three() -> None:
    grey = x0(2, 1)
    assert torch.equal(cutouts.colours(grey), torch.cat([grey] * 3, 1))
    rgba = torch.cat([x0(), torch.full((2, 1, 28, 28), -1.0)], 1)
    assert torch.equal(cutouts.colours(rgba), torch.ones(2, 3, 28, 28))
    rgba[:, 3] = 1
    assert torch.equal(cutouts.colours(rgba), x0())


@pytest.mark.parametrize(("height", "width"), [(28, 28), (5, 40), (1, 1), (256, 64)])
def test_cutouts_are_squares_of_the_size_asked_for(height: int, width: int) -> None:
    made = cutouts.crops(x0(2, 3, height, width), 5, (16, 16), Rng([3, 4]))
    assert made.shape == (10, 3, 16, 16)
    # Every crop lies within its image: of a plane that grows to the right, it grows, too.
    plane = torch.linspace(-1, 1, width).expand(1, 1, height, width)
    for crop in cutouts.crops(plane, 20, (8, 8), Rng([7])):
        assert float(crop.min()) >= -1.2
        assert float(crop.max()) <= 1.2


def test_cutouts_show_places_and_sizes_all_over_the_image() -> None:
    plane = torch.linspace(-1, 1, 64).expand(1, 1, 64, 64)
    made = cutouts.crops(plane, 300, (8, 8), Rng([7]))[:, 0]
    left, right = made[:, :, 0].mean(1), made[:, :, -1].mean(1)
    assert float(left.min()) < -0.9
    assert float(right.max()) > 0.9
    assert float((right - left).min()) == pytest.approx(7 / 8, abs=0.1)
    assert float((right - left).max()) == pytest.approx(7 / 4, abs=0.1)


@pytest.mark.parametrize(("height", "width"), [(9, 9), (6, 9), (9, 4)])
def test_overviews_come_first_and_show_all(height: int, width: int) -> None:
    given = x0(2, 3, height, width)
    side = max(height, width)
    made = cutouts.crops(given, 6, (side, side), Rng([3, 4]), overviews=4)
    made = made.reshape(2, 6, 3, side, side)
    top, left = (side - height) // 2, (side - width) // 2
    inside = made[:, 0, :, top : top + height, left : left + width]
    torch.testing.assert_close(inside, given)
    assert float(made[:, 0].abs().sum()) == pytest.approx(float(given.abs().sum()), rel=1e-5)
    torch.testing.assert_close(made[:, 1], made[:, 0].flip(-1))
    torch.testing.assert_close(made[:, 2, 1], given_grey(made[:, 0]))
    torch.testing.assert_close(made[:, 3], made[:, 2].flip(-1))
    rest = cutouts.crops(given, 2, (side, side), Rng([3, 4])).reshape(2, 2, 3, side, side)
    assert torch.equal(made[:, 4:], rest)


def given_grey(images: Tensor) -> Tensor:
    return images.mean(1)


def test_numbers_of_parts_of_a_walk() -> None:
    levels = torch.tensor([8.0, 4.0, 2.0, 1.0, 0.5, 0.0])
    spread = cutouts.Spread(levels, [16, 8, 4])
    asked = [8.0, 6.0, 4.0, 3.0, 2.0, 1.5, 1.0, 0.5, 0.1, 9.0]
    found = [spread.at(torch.tensor(sigma)) for sigma in asked]
    assert found == [16, 16, 16, 16, 8, 8, 8, 4, 4, 16]
    assert cutouts.Spread(levels, [5]).at(torch.tensor(0.7)) == 5


def test_cutouts_of_an_image_depend_on_its_own_seed_only() -> None:
    images_ = x0(3)
    whole = cutouts.crops(images_, 4, (16, 16), Rng([1, 2, 3])).reshape(3, 4, -1)
    alone = cutouts.crops(images_[1:2], 4, (16, 16), Rng([2])).reshape(1, 4, -1)
    assert torch.equal(whole[1:2], alone)
    other = cutouts.crops(images_[1:2], 4, (16, 16), Rng([5])).reshape(1, 4, -1)
    assert not torch.equal(alone, other)
