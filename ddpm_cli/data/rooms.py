"""Paths in the plane through two rooms, between which a wall has two doors."""

import torch
from torch import Tensor

DOORS = (-0.5, 0.5)  # heights of their middles
HALF = 0.15  # of a door
WALL = 0.05  # half of what the wall is thick, around x = 0
AHEAD = 0.1  # where a path turns into a door


def paths(starts: Tensor, goals: Tensor, doors: Tensor, length: int) -> Tensor:
    """Paths [N, 2, length] at an even pace from starts to goals [N, 2], each through its door.

    They are straight but where they turn before and behind the doors, whose heights [N] are given.
    """
    turns = [torch.stack([torch.full_like(doors, x), doors], dim=1) for x in (-AHEAD, AHEAD)]
    corners = torch.stack([starts, *turns, goals], dim=1)
    steps = corners.diff(dim=1)
    far = torch.cat([torch.zeros(len(steps), 1), steps.norm(dim=2).cumsum(1)], dim=1)
    at = torch.linspace(0, 1, length) * far[:, -1:]
    part = torch.searchsorted(far[:, 1:-1].contiguous(), at.contiguous())
    share = (at - far.gather(1, part)) / (far.gather(1, part + 1) - far.gather(1, part))
    pick = part[..., None].expand(-1, -1, 2)
    points = corners.gather(1, pick) + share[..., None] * steps.gather(1, pick)
    return points.transpose(1, 2)


def hits(routes: Tensor, pieces: int = 8) -> Tensor:
    """Which paths [N, 2, L] go through the wall, bool [N]; looked at between their points, too."""
    shares = torch.arange(pieces) / pieces
    between = routes[..., :-1, None] + shares * routes.diff(dim=2)[..., None]
    x, y = between.flatten(2).unbind(1)
    inside = torch.stack([(y - door).abs() <= HALF for door in DOORS]).any(0)
    return ((x.abs() < WALL) & ~inside).any(1)


def chosen(routes: Tensor) -> Tensor:
    """The height [N] at which each path [N, 2, L] is nearest to the wall."""
    nearest = routes[:, 0].abs().argmin(1, keepdim=True)
    return routes[:, 1].gather(1, nearest)[:, 0]
