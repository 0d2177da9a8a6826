"""DAPS: the walk goes down, steps on images, and climbs again."""

import pytest
import torch
from posteriors import DATA, SIZE, SUMS, drawn, known, numbers

from ddpm_cli.data import operators
from ddpm_cli.diffusion import edits
from ddpm_cli.diffusion.measuring import Measured
from ddpm_cli.diffusion.methods import daps
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.diffusion.samplers import heun
from ddpm_cli.diffusion.steps import Move

LEVELS = torch.tensor([10.0, 1.0, 0.1, 0.0], dtype=torch.float64)


def test_langevin_steps_have_the_moments_of_their_target() -> None:
    """Of |x0 - D|^2 / (2 r^2) + |y - A x0|^2 / (2 n^2), to the error of small steps."""
    count, t, noise = 4000, 1.0, 0.5
    seen = known(count, noise)
    anchor = numbers(1, SIZE).expand(count, -1)
    along = torch.tensor([t, 0.0, 0.0], dtype=torch.float64)
    step = daps(seen, steps=200, size=0.1).corrector
    assert step is not None
    got = step(DATA, anchor, Move(along[1], along[2], 1, along), Rng(range(count)), [])
    prior = type(DATA)(anchor[0], torch.eye(SIZE).double() * t**2 / (1 + t**2))
    matrix = SUMS(torch.eye(SIZE).double()).T
    exact = prior.given(matrix, seen.y[0], noise)
    assert torch.allclose(got.mean(0), exact.mean, atol=0.06)
    assert float((torch.cov(got.T) - exact.covariance).norm() / exact.covariance.norm()) < 0.12


def test_a_walk_ends_near_what_is_known_and_rows_are_their_own() -> None:
    seen = known(3, 0.05)
    along = edits.daps(LEVELS)
    every = drawn(daps(seen), DATA, heun, 3, along)
    assert float((SUMS(every) - seen.y).abs().max()) < 0.3
    alone = drawn(daps(seen._replace(y=seen.y[:1])), DATA, heun, 1, along)
    assert torch.allclose(alone[0], every[0], atol=1e-9)


def test_steps_at_other_levels_are_refused() -> None:
    step = daps(known(1)).corrector
    assert step is not None
    with pytest.raises(ValueError, match="on images alone"):
        step(DATA, numbers(1, SIZE), Move.of(1.0, 1.0), Rng([0]), [])


def test_needs_a_linear_map() -> None:
    with pytest.raises(ValueError, match="JPEG is none"):
        daps(Measured(operators.jpeg((1, 8, 8)), torch.zeros(1, 1, 8, 8)))
