"""Measurements y = A x + noise: adjoints, singular values and conjugate gradients."""

import torch
from torch import Tensor

from ddpm_cli.data import operators
from ddpm_cli.diffusion.linear_maps import Saved
from ddpm_cli.diffusion.measuring import Measured, conjugate, solved
from ddpm_cli.diffusion.restoration import Separable


def numbers(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


SUMS = Separable([torch.eye(3), numbers(8, 30)], whole=(3, 5, 6), is_bounded=False)


def test_a_ridge_of_each_row() -> None:
    operator, y = SUMS, numbers(2, 3, 8)
    both = solved(operator, y, torch.tensor([0.1, 2.0]))
    for row, ridge in enumerate((0.1, 2.0)):
        assert torch.allclose(both[row], solved(operator, y[row : row + 1], ridge)[0])


class TestConjugate:
    def test_each_row_stops_by_itself(self) -> None:
        scale = torch.linspace(1, 9, 6, dtype=torch.float64)
        b = numbers(3, 6)
        b[1] = 0
        b[2, 1:] = 0  # solved after a round
        made = conjugate(lambda p: p * scale, b, 30, 1e-10)
        assert torch.allclose(made, b / scale, atol=1e-9)
        for row in range(3):
            alone = conjugate(lambda p: p * scale, b[row : row + 1], 30, 1e-10)
            assert torch.equal(alone[0], made[row])

    def test_stops_where_it_bends_down(self) -> None:
        scale = torch.tensor([1.0, -2.0], dtype=torch.float64)
        made = conjugate(lambda p: p * scale, torch.ones(1, 2).double(), 30, 1e-10)
        assert torch.equal(made, torch.zeros(1, 2).double())


class TestMeasured:
    def test_black_and_white_are_bounds_without_noise_alone(self) -> None:
        operator = operators.upscale((1, 4, 4), filter="area")
        x, y = torch.full((1, 1, 4, 4), 1.2).double(), torch.ones(1, 1, 2, 2)
        assert torch.equal(Measured(operator, y).missing(x), torch.zeros(1, 1, 2, 2).double())
        noisy = Measured(operator, y, 0.1).missing(x)
        assert torch.allclose(noisy, torch.full((1, 1, 2, 2), -0.2).double())

    def test_what_a_lossy_file_keeps(self) -> None:
        saved = Saved(lambda x: (x * 4).round() / 4, (1, 2, 2))
        x = numbers(2, 1, 2, 2)
        assert torch.equal(saved(saved(x)), saved(x))
        made = Measured(saved, saved(x)).pulled(saved.missing(x, saved(x)), 0.0)
        assert torch.equal(made, torch.zeros_like(x))
        assert not saved.is_linear
