"""Distances are those of all pairs, however many are taken at a time."""

import pytest
import torch
from feature_rows import normals

from ddpm_cli.evaluation.metrics.parts import distances


@pytest.mark.parametrize("cells", [1, 100, 1 << 24])
def test_blocks_are_all_pairs(cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distances, "_CELLS", cells)
    x, y = normals(23, 4, 0) + 50, normals(31, 4, 1) + 50
    found = torch.cat([far for _, _, far in distances.blocks(x.float(), y.float())])
    wanted = (x.float().double()[:, None] - y.float().double()).square().sum(2)
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10)


def test_the_nearest_are_those_of_a_full_search() -> None:
    x, y = normals(23, 4, 0), normals(31, 4, 1)
    wanted = torch.cdist(x, y).square().topk(3, largest=False)
    found = distances.nearest(x, y, 3)
    torch.testing.assert_close(found.squared, wanted.values)
    assert found.places.tolist() == wanted.indices.tolist()


def test_copies_are_at_no_distance_at_all() -> None:
    y = (normals(50, 64, 0) + 1000).float()
    assert distances.nearest(y[:5], y, 1).squared.tolist() == [[0]] * 5


def test_own_places_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distances, "_CELLS", 200)
    y = normals(50, 3, 0)
    far = torch.cdist(y, y).fill_diagonal_(torch.inf).square()
    torch.testing.assert_close(distances.radii(y, 2), far.sort(1).values[:, 1])
