"""How far images are from what a denoiser knows, where all can be computed."""

import pytest
import torch
from exact import by_sigma
from golden.analytic_model import Mixture
from torch import Tensor

from ddpm_cli.diffusion.familiarity import STRANGE, strangeness
from ddpm_cli.diffusion.schedules.tables import linear

SIDE = 16
STRIPES = torch.tensor([1.0, -1.0]).repeat(SIDE // 2).expand(SIDE, SIDE).double()
CHECKS = STRIPES * STRIPES.T
# Pictures of a few kinds with grain: upright stripes, or lying ones.
KNOWN = Mixture(
    [0.5, 0.5],
    [STRIPES.flatten().tolist(), STRIPES.T.flatten().tolist()],
    [[0.05] * SIDE**2] * 2,
    shape=(1, SIDE, SIDE),
)


def found(images: Tensor, sigma: float, **others: object) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(images.shape, generator=generator, dtype=torch.float64)
    level = torch.full((len(images),), sigma, dtype=torch.float64)
    return strangeness(by_sigma(KNOWN, linear()), images, level, noise, **others)


def own(count: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    grain = torch.randn(count, 1, SIDE, SIDE, generator=generator, dtype=torch.float64)
    kinds = torch.stack([STRIPES, STRIPES.T]).repeat(count // 2, 1, 1)[:, None]
    return kinds + 0.05**0.5 * grain


@pytest.mark.parametrize("sigma", [0.1, 0.2, 0.4, 1.0])
def test_is_zero_on_average_of_own_images_and_small_of_each(sigma: float) -> None:
    got = found(own(400), sigma)
    assert float(got.mean()) == pytest.approx(0, abs=0.02)
    assert float(got.abs().max()) < STRANGE


@pytest.mark.parametrize("sigma", [0.2, 0.4])
def test_is_large_of_what_was_never_seen(sigma: float) -> None:
    grey, checks = torch.zeros(1, 1, SIDE, SIDE).double(), CHECKS[None, None]
    assert float(found(grey, sigma).min()) > STRANGE
    assert float(found(checks, sigma).min()) > STRANGE


def test_looks_at_what_is_seen_alone() -> None:
    """A half that is known and another that is strange: of each by itself."""
    images = torch.cat([own(2), own(2)], dim=2)[:, :, :SIDE]
    images[..., SIDE // 2 :] = 0
    left, right = (torch.zeros(1, SIDE) for _ in range(2))
    left[:, : SIDE // 2], right[:, SIDE // 2 :] = 1, 1
    assert float(found(images, 0.2, seen=lambda x: x * left).abs().max()) < STRANGE
    assert float(found(images, 0.2, seen=lambda x: x * right).min()) > STRANGE


def test_is_of_each_image_alone() -> None:
    images = own(4)
    noise = torch.ones_like(images)
    levels = torch.tensor([0.1, 0.2, 0.4, 0.8]).double()
    denoise = by_sigma(KNOWN, linear())
    together = strangeness(denoise, images, levels, noise)
    for row in range(4):
        alone = strangeness(
            denoise, images[row : row + 1], levels[row : row + 1], noise[row : row + 1]
        )
        assert torch.allclose(alone, together[row : row + 1], rtol=1e-12)
