"""Averages of any length from snapshots of others, against averages that were made on the way."""

import math

import pytest
import torch

from ddpm_cli.training.curves import average_decay, exponent
from ddpm_cli.training.posthoc import Profile, solved

LENGTHS = (0.05, 0.10)
STEPS = 6400


def averaged(values: list[float], length: float, every: int = STEPS) -> list[float]:
    """The average of values, one a step, at every so many steps."""
    average, kept = 0.0, []
    for step, value in enumerate(values):
        decay = average_decay(step, 0.0, length)
        average = decay * average + (1 - decay) * value
        if (step + 1) % every == 0:
            kept.append(average)
    return kept


def wandering() -> list[float]:
    chance = torch.Generator().manual_seed(0)
    walk = torch.randn(STEPS, generator=chance, dtype=torch.float64).cumsum(0)
    return (walk / math.sqrt(STEPS)).tolist()


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("at", [1, 7, 16])
def test_a_profile_that_is_there_is_itself(length: float, at: int) -> None:
    profiles = [Profile(each, 500 * step) for step in range(1, 17) for each in LENGTHS]
    wanted = Profile(length, 500 * at)
    shares, error = solved(profiles, wanted)
    assert [round(share, 12) for share in shares] == [float(p == wanted) for p in profiles]
    assert error < 1e-7


@pytest.mark.parametrize(("length", "most"), [(0.075, 3e-5), (0.15, 3e-4), (0.05, 1e-12)])
def test_thirty_two_snapshots_give_other_lengths(length: float, most: float) -> None:
    every, values = STEPS // 32, wandering()
    kept = [value for each in LENGTHS for value in averaged(values, each, every)]
    profiles = [Profile(each, every * n) for each in LENGTHS for n in range(1, 33)]
    shares, error = solved(profiles, Profile(length, STEPS))
    assert sum(shares) == pytest.approx(1, abs=1e-12)
    found = sum(share * value for share, value in zip(shares, kept, strict=True))
    assert found == pytest.approx(averaged(values, length)[0], abs=most)
    assert error < 3e-3


@pytest.mark.parametrize("power", [1, 2])
def test_powers_of_the_step_average_to_their_closed_form(power: int) -> None:
    """theta = n^k averages to n^k (g + 1) / (g + 1 + k)."""
    profiles = [Profile(each, step) for step in range(1, 33) for each in LENGTHS]
    for length in (0.04, 0.08, 0.15):
        shares, _ = solved(profiles, Profile(length, 32))
        closed = [
            (p.step / 32) ** power * (exponent(p.length) + 1) / (exponent(p.length) + 1 + power)
            for p in profiles
        ]
        found = sum(share * value for share, value in zip(shares, closed, strict=True))
        gamma = exponent(length)
        assert found == pytest.approx((gamma + 1) / (gamma + 1 + power), abs=2e-5)


def test_the_error_grows_away_from_what_is_there() -> None:
    profiles = [Profile(each, step) for step in range(1, 17) for each in LENGTHS]
    errors = [solved(profiles, Profile(n, 16)).error for n in (0.04, 0.02, 0.01)]
    assert errors == sorted(errors)
    assert errors[0] < 0.02 < 0.1 < errors[1]
    fewer = solved(profiles[:8], Profile(0.04, 4)).error
    assert fewer > errors[0]
    assert solved(profiles[:1], Profile(0.2, 1)).shares == [1.0]
