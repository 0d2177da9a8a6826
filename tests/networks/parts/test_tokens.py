"""Parts of transformers."""

import torch

from ddpm_cli.networks.parts.tokens import places, rotations, turned


def test_rotations_know_only_distances() -> None:
    """Attention of equal tokens is the same at every place, whatever turns them."""
    cosines, sines = rotations(5, 6, 16, torch.device("cpu"))
    query, key = torch.randn(2, 1, 16, generator=torch.Generator().manual_seed(0))
    weights = turned(query.expand(30, 16), cosines, sines) @ (
        turned(key.expand(30, 16), cosines, sines).mT
    )
    by_place = weights.reshape(5, 6, 5, 6)
    assert torch.allclose(by_place[0, 0, :3, :3], by_place[2, 3, 2:, 3:], atol=1e-5)
    assert (by_place[0, 0, 1, 0] - by_place[0, 0, 0, 1]).abs() > 1e-3


def test_places_are_all_different() -> None:
    at = places(4, 5, 8, torch.device("cpu"))
    assert at.shape == (20, 8)
    assert torch.cdist(at, at).fill_diagonal_(1).min() > 0.1
