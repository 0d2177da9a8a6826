"""Paths through two rooms."""

import pytest
import torch

from ddpm_cli.data import rooms


def test_paths_go_through_their_doors_at_an_even_pace() -> None:
    starts, goals = torch.tensor([[-0.8, 0.9], [-0.5, -0.5]]), torch.tensor([[0.6, -0.3]] * 2)
    routes = rooms.paths(starts, goals, torch.tensor([0.5, -0.5]), 64)
    assert routes.shape == (2, 2, 64)
    assert torch.allclose(routes[..., 0], starts)
    assert torch.allclose(routes[..., -1], goals)
    steps = routes.diff(dim=2).norm(dim=1)
    assert steps.amax() < 1.001 * steps.median(dim=1).values.amax(), "but shorter where they turn"
    assert not rooms.hits(routes).any()
    assert rooms.chosen(routes).tolist() == pytest.approx([0.5, -0.5], abs=0.02)


def test_a_path_through_the_wall_is_seen_between_its_points() -> None:
    straight = torch.stack([torch.linspace(-1, 1, 6), torch.zeros(6)])[None]
    assert rooms.hits(straight).tolist() == [True]
    assert rooms.hits(straight + torch.tensor([[[0.0], [0.5]]])).tolist() == [False]
