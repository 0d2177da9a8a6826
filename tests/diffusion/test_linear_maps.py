"""Linear maps: adjoints, singular values and inverses are those of their dense matrix."""

import pytest
import torch
from torch import Tensor

from ddpm_cli.data import operators
from ddpm_cli.diffusion.linear_maps import Frequencies, Given, Masked, Saved
from ddpm_cli.diffusion.measuring import Adjoint, Operator, Spectral, solved
from ddpm_cli.diffusion.restoration import Separable


def numbers(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def maps(width: int) -> dict[str, Operator]:
    shape = (3, 5, width)
    some = torch.arange(width) % 3 != 1
    seen = Frequencies(shape, some)
    return {
        "frequencies": seen,
        "mask": Masked(torch.rand(1, 1, 5, width) < 0.5, shape),
        "sums": Separable([torch.eye(3), numbers(8, 5 * width)], whole=shape, is_bounded=False),
        "grey": operators.colorize(shape),
        "shrunk": operators.upscale(shape),
        "given": Given(seen, seen.adjoint, seen.shape),
    }


@pytest.mark.parametrize("width", [1, 6, 7])
@pytest.mark.parametrize("name", maps(6))
class TestOperators:
    def dense(self, operator: Operator, width: int) -> Tensor:
        units = torch.eye(15 * width, dtype=torch.float64).reshape(-1, 3, 5, width)
        return operator(units).flatten(1).T

    def test_adjoint_is_the_transpose(self, name: str, width: int) -> None:
        operator = maps(width)[name]
        found = Adjoint.of(operator, torch.empty(1, 3, 5, width))
        assert found.gap < (1e-6 if name == "given" else 1e-14)
        dense, y = self.dense(operator, width), numbers(2, *operator.shape)
        assert torch.allclose(operator.adjoint(y).flatten(1), y.flatten(1) @ dense, atol=1e-12)

    def test_peak_is_the_largest_singular_value(self, name: str, width: int) -> None:
        operator = maps(width)[name]
        exact = float(torch.linalg.matrix_norm(self.dense(operator, width), 2)) ** 2
        assert operator.peak == pytest.approx(exact, rel=1e-3)

    def test_singular_values_are_those_of_the_map(self, name: str, width: int) -> None:
        operator, x = maps(width)[name], numbers(2, 3, 5, width)
        if name == "given":
            assert not isinstance(operator, Spectral)
            return
        assert isinstance(operator, Spectral)
        y = numbers(2, *operator.shape)
        sizes = operator.sizes(x)
        assert torch.allclose(operator.out(sizes * operator.seen(y)), operator.adjoint(y))
        known = operator.into(operator.out(operator.into(x)))
        assert torch.allclose(known * sizes, operator.seen(operator(x)), atol=1e-12)

    @pytest.mark.parametrize("ridge", [0.0, 0.3])
    def test_solves_with_and_without_a_ridge(self, name: str, width: int, ridge: float) -> None:
        operator = maps(width)[name]
        dense, y = self.dense(operator, width), numbers(3, *operator.shape)
        inner = dense @ dense.T + ridge * torch.eye(len(dense), dtype=torch.float64)
        exact = y.flatten(1) @ torch.linalg.pinv(inner, rtol=1e-10) @ dense
        found = solved(operator, y, ridge).flatten(1)
        assert torch.allclose(found, exact, atol=1e-5 if name == "given" else 1e-10)


def test_saved_keeps_what_it_saved() -> None:
    saved = Saved(lambda x: (x * 4).round() / 4, (1, 2, 2))
    x = numbers(2, 1, 2, 2)
    assert torch.equal(saved(saved(x)), saved(x))
    assert torch.equal(saved.missing(x, saved(x)), torch.zeros_like(x))
    assert torch.equal(saved.adjoint(x), x)
