"""Operators that make images small, grey or blurred, and their pseudo-inverses."""

import pytest
import torch
from pictures import OPERATORS, SHAPE, pictures
from torch import Tensor

from ddpm_cli.data import operators
from ddpm_cli.data.degradations import blur, shrink
from ddpm_cli.diffusion.measuring import Operator, solved
from ddpm_cli.settings import catalog


def inverse(operator: Operator, y: Tensor) -> Tensor:
    return solved(operator, y, 0.0)


FULL = {name: operator for name, operator in OPERATORS.items() if name != "blurred"}


@pytest.mark.parametrize("name", FULL)
def test_inverse_undoes_what_the_operator_leaves(name: str) -> None:
    operator = OPERATORS[name]
    y = operator(pictures(4, *SHAPE))
    assert torch.allclose(operator(inverse(operator, y)), y, atol=1e-12)


@pytest.mark.parametrize("name", OPERATORS)
def test_inverse_is_moore_and_penroses(name: str) -> None:
    """A+ A A+ = A+ and A+ A is symmetric: what A+ gives has no part that A does not see."""
    operator = OPERATORS[name]
    x, other = pictures(2, *SHAPE)[:1], pictures(2, *SHAPE)[1:]
    once = inverse(operator, operator(x))
    assert torch.allclose(inverse(operator, operator(once)), once, atol=1e-11)
    seen = inverse(operator, operator(other))
    assert float((once * other).sum()) == pytest.approx(float((x * seen).sum()), rel=1e-10)


def test_dense_matrix_has_the_same_pseudo_inverse() -> None:
    operator = operators.upscale((1, 6, 8), factor=2.0)
    units = torch.eye(48, dtype=torch.float64).reshape(48, 1, 6, 8)
    dense = operator(units).reshape(48, 12).T
    y = pictures(1, 1, 3, 4)
    expected = torch.linalg.pinv(dense) @ y.flatten()
    assert torch.allclose(inverse(operator, y).flatten(), expected, atol=1e-12)


@pytest.mark.parametrize("factor", [1.5, 2.0, 3.0, 4.0])
@pytest.mark.parametrize("filter", ["bicubic", "area"])
def test_shrinks_as_training_data_are_shrunk(factor: float, filter: str) -> None:
    made = catalog.load(catalog.find("operator", "upscale"))
    x = pictures(2, *SHAPE)
    found = made(SHAPE, factor=factor, filter=filter)(x)
    assert torch.allclose(found, shrink(x, factor, filter), atol=1e-12)  # type: ignore[arg-type]


def test_deblur_blurs_as_degradations_do() -> None:
    x = pictures(2, *SHAPE)
    found = operators.deblur(SHAPE, sigma=2.0)(x)
    assert torch.allclose(found, blur(x, torch.tensor([2.0, 2.0])), atol=1e-12)


def test_deblur_amplifies_no_error_beyond_its_bound() -> None:
    errors = pictures(8, *SHAPE) * 0.5 / 127.5
    for least in (0.05, 0.3):
        grown = inverse(operators.deblur(SHAPE, sigma=2.0, least=least), errors)
        assert float(grown.norm() / errors.norm()) < 1 / least


def test_colours_are_weighed_as_pillow_does() -> None:
    assert torch.allclose(
        OPERATORS["grey"](torch.eye(3).reshape(3, 3, 1, 1).expand(-1, -1, 16, 12).double())[
            :, 0, 0, 0
        ],
        torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64),
        rtol=0,
        atol=1e-15,
    )
    with pytest.raises(ValueError, match="1 channels"):
        operators.colorize((1, 8, 8))


class TestFourier:
    @pytest.mark.parametrize(("width", "acceleration"), [(28, 4.0), (31, 2.0), (8, 1.0)])
    def test_sees_as_many_columns_as_the_acceleration_leaves(
        self, width: int, acceleration: float
    ) -> None:
        made = operators.fourier((2, 6, width), acceleration=acceleration)
        assert made.shape == (4, 6, round(width / acceleration))

    def test_sees_the_middle_and_others_by_the_seed(self) -> None:
        x = pictures(1, 1, 4, 32)
        first, other = (operators.fourier((1, 4, 32), center=0.2, seed=s) for s in (0, 1))
        assert not torch.equal(first(x), other(x))
        for made in (first, other):
            sizes = made.sizes(x)
            assert all(float(sizes[k]) == 1 for k in (0, 1, 2))  # -3 to 2, in the middle
            assert float(sizes[3]) > 0
        assert torch.equal(first(x), operators.fourier((1, 4, 32), center=0.2)(x))

    def test_all_columns_are_the_image(self) -> None:
        made, x = operators.fourier((1, 4, 8), acceleration=1.0), pictures(2, 1, 4, 8)
        assert torch.allclose(made.adjoint(made(x)), x)

    @pytest.mark.parametrize("knobs", [{"acceleration": 0.5}, {"acceleration": 100.0}])
    def test_refuses_what_leaves_nothing(self, knobs: dict[str, float]) -> None:
        with pytest.raises(ValueError, match="acceleration"):
            operators.fourier((1, 8, 8), **knobs)

    def test_refuses_a_middle_larger_than_all(self) -> None:
        with pytest.raises(ValueError, match=r"center 0\.5: 4 columns in the middle"):
            operators.fourier((1, 8, 8), center=0.5)


class TestSensing:
    def test_sums_have_the_norm_of_the_image_on_average(self) -> None:
        made, x = operators.sensing((2, 16, 16), ratio=0.5), pictures(4, 2, 16, 16)
        assert made.shape == (2, 128)
        ratio = made(x).square().sum() / x.square().sum()
        assert float(ratio) == pytest.approx(1, abs=0.1)

    def test_is_the_seed_alone(self) -> None:
        x = pictures(1, 1, 6, 6)
        once, again, other = (operators.sensing((1, 6, 6), seed=s)(x) for s in (3, 3, 4))
        assert torch.equal(once, again)
        assert not torch.equal(once, other)

    def test_refuses_a_matrix_that_is_too_large(self) -> None:
        with pytest.raises(ValueError, match=r"ratio 0\.5: 8192 sums of 16384 pixels"):
            operators.sensing((3, 128, 128))


def test_jpeg_changes_nothing_twice() -> None:
    x = pictures(2, 3, 16, 16)
    made = operators.jpeg((3, 16, 16), quality=20)
    once = made(x)
    assert float((once - x).abs().mean()) > 0.05
    assert float((made(once) - once).abs().mean()) < 0.02


def test_own_says_where_code_is_named() -> None:
    with pytest.raises(ValueError, match=r"FILE\.py:NAME"):
        operators.own((1, 8, 8))
