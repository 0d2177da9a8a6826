"""Operators that make images small, grey or blurred, and their pseudo-inverses."""

import pytest
import torch
from pictures import OPERATORS, SHAPE, pictures

from ddpm_cli.data import operators
from ddpm_cli.data.degradations import blur, shrink
from ddpm_cli.settings import catalog

FULL = {name: operator for name, operator in OPERATORS.items() if name != "blurred"}


@pytest.mark.parametrize("name", FULL)
def test_inverse_undoes_what_the_operator_leaves(name: str) -> None:
    operator = OPERATORS[name]
    y = operator(pictures(4, *SHAPE))
    assert torch.allclose(operator(operator.inverse(y)), y, atol=1e-12)
    assert torch.allclose(operator.reach(y), y, atol=1e-12)


@pytest.mark.parametrize("name", OPERATORS)
def test_inverse_is_moore_and_penroses(name: str) -> None:
    """A+ A A+ = A+ and A+ A is symmetric: what A+ gives has no part that A does not see."""
    operator = OPERATORS[name]
    x, other = pictures(2, *SHAPE)[:1], pictures(2, *SHAPE)[1:]
    once = operator.inverse(operator(x))
    assert torch.allclose(operator.inverse(operator(once)), once, atol=1e-11)
    seen = operator.inverse(operator(other))
    assert float((once * other).sum()) == pytest.approx(float((x * seen).sum()), rel=1e-10)


def test_dense_matrix_has_the_same_pseudo_inverse() -> None:
    operator = operators.upscale((1, 6, 8), factor=2.0)
    units = torch.eye(48, dtype=torch.float64).reshape(48, 1, 6, 8)
    dense = operator(units).reshape(48, 12).T
    y = pictures(1, 1, 3, 4)
    expected = torch.linalg.pinv(dense) @ y.flatten()
    assert torch.allclose(operator.inverse(y).flatten(), expected, atol=1e-12)


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
        grown = operators.deblur(SHAPE, sigma=2.0, least=least).inverse(errors)
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
