"""Changes of images that a network is told of: exact filters, labels, and what they promise."""

import math

import pytest
import torch
from torch import Tensor

from ddpm_cli.data import augmentation
from ddpm_cli.data.augmentation import Augmentation, turned, warped
from ddpm_cli.diffusion.rng import Rng

ALL = (1.0,) * 6


def smooth(side: int = 24, dx: float = 0.0, dy: float = 0.0) -> Tensor:
    """A soft blob [1, 1, H, W] off the middle, moved by dx and dy pixels."""
    axis = torch.arange(float(side), dtype=torch.float64) - (side - 1) / 2
    y, x = axis[:, None] - 2 - dy, axis[None] + 1 - dx
    image: Tensor = torch.exp(-(x**2 / 18 + y**2 / 8 + x * y / 20))
    return image[None, None]


def moved(linear: Tensor, dx: float = 0.0, dy: float = 0.0) -> Tensor:
    return torch.cat([linear, torch.tensor([[[dx], [dy]]])], dim=2)


def test_up_and_down_is_nothing() -> None:
    for side in (1, 5, 24):
        x = torch.randn(2, 3, side, side + 1, dtype=torch.float64)
        there = augmentation.enlarged(x)
        assert there.shape == (2, 3, 2 * side + 10, 2 * side + 12)
        assert torch.allclose(augmentation.shrunk(there), x, atol=1e-11)
        assert torch.allclose(warped(x, moved(torch.eye(2)[None]).expand(2, 2, 3)), x, atol=1e-5)


def test_a_constant_stays_one() -> None:
    x = torch.full((1, 1, 9, 9), 0.3, dtype=torch.float64)
    assert torch.allclose(warped(x, moved(1.7 * turned(torch.tensor([0.4])), 3.0)), x, atol=1e-6)


def test_a_translation_moves_by_so_many_pixels() -> None:
    for dx, dy in ((3.0, 0.0), (0.0, -2.0), (1.5, 0.25)):
        found = warped(smooth(), moved(torch.eye(2)[None], dx, dy))
        apart = (found - smooth(dx=dx, dy=dy)).abs()[..., 4:-4, 4:-4]
        assert float(apart.max()) < 0.01
    whole = warped(smooth(), moved(torch.eye(2)[None], 3.0, 0.0))
    assert torch.allclose(whole[..., 3:], smooth()[..., :-3], atol=1e-5)
    assert torch.allclose(whole[..., :3], smooth()[..., 1:4].flip(-1), atol=1e-2)  # mirrored


def test_rotations_by_quarters_are_those_of_pixels() -> None:
    for quarters in (1, 2, 3):
        found = warped(smooth(), moved(turned(torch.tensor([quarters * math.pi / 2]))))
        # The y axis points down, so that a positive angle turns clockwise.
        assert float((found - smooth().rot90(-quarters, (2, 3))).abs().max()) < 0.02


def test_labels_say_what_was_drawn() -> None:
    count = 4000
    x0 = torch.zeros(count, 1, 4, 8)
    labels, matrix = Augmentation(ALL).drawn(x0, Rng(range(count)))
    xflip, yflip, scale, cosine, sine, across, down, dx, dy = labels.double().unbind(1)
    for flip in (xflip, yflip):
        assert set(flip.tolist()) == {0.0, 1.0}
        assert float(flip.mean()) == pytest.approx(0.5, abs=0.03)
    assert torch.allclose((cosine + 1) ** 2 + sine**2, torch.ones(count).double(), atol=1e-5)
    # Half of the axes along which images are stretched are slanted, by any angle.
    assert float((down == 0).double().mean()) == pytest.approx(0.5, abs=0.03)
    for normal in (scale, dx, dy, across / 0.75**0.5, down / 0.25**0.5):
        assert float(normal.mean()) == pytest.approx(0, abs=0.06)
        assert float(normal.std()) == pytest.approx(1, abs=0.06)
    # What a matrix does to areas is the scale alone, and the shift is in eighths of the sides.
    areas = torch.linalg.det(matrix[:, :, :2].double())
    assert torch.allclose(areas.log2(), 2 * 0.2 * scale, atol=1e-5)
    assert torch.allclose(matrix[:, :, 2].double(), torch.stack([dx, dy / 2], dim=1), atol=1e-5)
    stretch = torch.linalg.svdvals(matrix[:, :, :2].double())
    ratio = stretch[:, 0] / stretch[:, 1]
    assert torch.allclose(ratio.log2(), 0.4 * torch.hypot(across, down), atol=1e-4)


def test_changes_have_their_chances_and_what_has_none_stays() -> None:
    count = 2000
    x0 = torch.randn(count, 1, 6, 6)
    changed, labels = Augmentation((0.0, 0.0, 0.3, 0.0, 0.0, 0.2))(x0, Rng(range(count)))
    assert not labels[:, [0, 1, 3, 4, 5, 6]].any()
    is_scaled, is_moved = labels[:, 2] != 0, labels[:, 7] != 0
    assert float(is_scaled.float().mean()) == pytest.approx(0.3, abs=0.04)
    assert float(is_moved.float().mean()) == pytest.approx(0.2, abs=0.04)
    same = ~is_scaled & ~is_moved
    assert torch.equal(changed[same], x0[same])
    assert (changed[~same] != x0[~same]).flatten(1).any(1).all()
    flipped, told = Augmentation((1.0, 0.0, 0.0, 0.0, 0.0, 0.0))(x0, Rng(range(count)))
    left = told[:, 0] == 0
    assert torch.equal(flipped[left], x0[left])
    assert torch.equal(flipped[~left], x0[~left].flip(-1))


def test_an_image_is_changed_alone_as_in_a_batch() -> None:
    x0 = torch.randn(4, 3, 8, 8)
    whole, labels = Augmentation(ALL)(x0, Rng([5, 6, 7, 8]))
    for row in range(4):
        alone, label = Augmentation(ALL)(x0[row : row + 1], Rng([5 + row]))
        assert torch.equal(label[0], labels[row])
        assert torch.allclose(alone[0], whole[row], atol=1e-5)


def test_labels_tell_the_axis_of_a_stretch_as_the_published_runs_do() -> None:
    """Labels (w cos r, w sin r) are a stretch by 2**(0.2 w) along an axis turned by -r."""
    still = Augmentation((0.0, 0.0, 0.0, 0.0, 1.0, 0.0))
    labels, matrix = still.drawn(torch.zeros(64, 1, 8, 8), Rng(range(64)))
    w, r = labels[:, 5:7].norm(dim=1), torch.atan2(labels[:, 6], labels[:, 5])
    along = torch.stack([r.cos(), -r.sin()], dim=1)
    found = torch.einsum("bij,bj->bi", matrix[:, :, :2], along)
    factor = torch.linalg.vecdot(found, along)  # w may be negative, and r then points backwards
    assert torch.allclose(found, factor[:, None] * along, atol=1e-5)
    assert torch.allclose(factor.log2().abs(), 0.2 * w, atol=1e-5)
