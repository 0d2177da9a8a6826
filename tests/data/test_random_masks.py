"""Random masks for training: what each kind cuts, and that images do not share them."""

import pytest
import torch

from ddpm_cli.data.random_masks import random_known
from ddpm_cli.diffusion.rng import Rng


def test_each_kind_cuts_what_it_says() -> None:
    """A box and a side are rectangles of bounded size; all leave something known."""
    for kind in ("boxes", "strokes", "sides"):
        weights = {name: float(name == kind) for name in ("boxes", "strokes", "sides")}
        known = random_known(200, (28, 20), Rng(range(200)), **weights)
        assert known.shape == (200, 1, 28, 20)
        assert set(known.unique().tolist()) == {0.0, 1.0}
        share = 1 - known.mean((1, 2, 3))
        low, high = {"boxes": (0.04, 0.6), "strokes": (0, 0.7), "sides": (0.2, 0.8)}[kind]
        assert low <= float(share.min()) < float(share.max()) <= high
        holes = known == 0
        for hole in holes[:, 0]:
            rows, columns = hole.any(1), hole.any(0)
            whole = int(hole.sum()) == int(rows.sum()) * int(columns.sum())
            assert whole or kind == "strokes"
        edges = [holes[..., 0, :], holes[..., -1, :], holes[..., :, 0], holes[..., :, -1]]
        if kind == "sides":  # each of the four sides is cut from some images
            assert all(edge.all(-1).any() for edge in edges)


def test_are_an_images_own() -> None:
    weights = {"boxes": 1.0, "strokes": 1.0, "sides": 1.0}
    many = random_known(6, (16, 16), Rng(range(6)), **weights)
    (one,) = random_known(1, (16, 16), Rng([4]), **weights)
    assert torch.equal(many[4], one)
    assert not torch.equal(many[3], one)


def test_nothing_to_draw_is_refused() -> None:
    with pytest.raises(ValueError, match="all 0"):
        random_known(1, (8, 8), Rng([0]), boxes=0.0, strokes=0.0, sides=0.0)
