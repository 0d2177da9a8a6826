"""Attention near by, against attention among all tokens of which each sees the right ones."""

import pytest
import torch
from torch import Tensor

from ddpm_cli.networks.parts import regions

CPU = torch.device("cpu")


def tokens(rows: int, columns: int) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    return tuple(
        torch.randn(2, 3, rows, columns, 4, generator=generator, dtype=torch.float64)
        for _ in range(3)
    )


def by_all(parts: tuple[Tensor, ...], down: Tensor, across: Tensor) -> Tensor:
    """Softmax over all tokens; down [H, H] and across [W, W]: which row sees which."""
    query, key, value = (part.flatten(2, 3) for part in parts)
    seen = (down[:, None, :, None] & across[None, :, None, :]).flatten(2).flatten(0, 1)
    weight = (query @ key.mT).masked_fill(~seen, -torch.inf).softmax(-1)
    return (weight @ value).reshape(parts[0].shape)


def in_one_window(count: int, side: int, shift: int) -> Tensor:
    window = (torch.arange(count) + shift) // side
    return window[:, None] == window


def near(count: int, reach: int) -> Tensor:
    """NATTEN's rule: `reach` places around each, moved inwards at the ends."""
    reach = min(reach, count)
    rows = []
    for place in range(count):
        start = min(max(place - reach // 2, 0), count - reach)
        rows.append([start <= other < start + reach for other in range(count)])
    return torch.tensor(rows)


@pytest.mark.parametrize("shift", [0, 2])
@pytest.mark.parametrize(("rows", "columns"), [(8, 8), (4, 12), (7, 10), (3, 1)])
def test_windows(rows: int, columns: int, shift: int) -> None:
    parts = tokens(rows, columns)
    tiles = [regions.windows(count, 4, shift, CPU) for count in (rows, columns)]
    want = by_all(parts, in_one_window(rows, 4, shift), in_one_window(columns, 4, shift))
    assert torch.allclose(regions.attend_within(*parts, *tiles), want, atol=1e-12)


def test_windows_larger_than_an_axis_are_as_large_as_it() -> None:
    assert regions.windows(6, 16_384, 0, CPU).queries.shape == (1, 6)
    assert regions.windows(6, 10, 5, CPU).queries.shape == (2, 10)
    assert regions.windows(5, 10, 5, CPU).queries.shape == (1, 5)


@pytest.mark.parametrize("reach", [1, 3, 4, 7])
@pytest.mark.parametrize(("rows", "columns"), [(8, 8), (17, 9), (5, 24), (2, 1)])
def test_neighbours(rows: int, columns: int, reach: int) -> None:
    parts = tokens(rows, columns)
    tiles = [regions.neighbours(count, reach, CPU) for count in (rows, columns)]
    want = by_all(parts, near(rows, reach), near(columns, reach))
    assert torch.allclose(regions.attend_within(*parts, *tiles), want, atol=1e-12)


def test_gradient_and_fused_kernel_agree() -> None:
    parts = tuple(part.float().requires_grad_() for part in tokens(9, 9))
    tiles = [regions.neighbours(9, 3, CPU)] * 2
    learning = regions.attend_within(*parts, *tiles)
    with torch.no_grad():
        assert torch.allclose(learning, regions.attend_within(*parts, *tiles), atol=1e-6)
    learning.sum().backward()
    assert all(part.grad is not None and part.grad.isfinite().all() for part in parts)
