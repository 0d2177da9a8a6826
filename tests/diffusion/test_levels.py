"""What every list of noise levels of the catalog must do."""

from typing import Any

import pytest
import torch
from declared import load
from exact import entries, tables

from ddpm_cli.diffusion.labels import index
from ddpm_cli.diffusion.levels import explicit, karras, leading, logsnr, trailing
from ddpm_cli.diffusion.schedules.processes import flow, vp
from ddpm_cli.diffusion.schedules.tables import cosine, linear
from ddpm_cli.settings import catalog

# Knobs of level lists that have no default.
LEVELS: dict[str, dict[str, Any]] = {
    "explicit": {"timesteps": [0, 3, 11, 19]},
    "sections": {"counts": [1]},
    "fitted": {"sigmas": [n / 11 for n in range(1, 11)]},
}
FREE = {"karras", "logsnr"}  # levels that lie between the trained ones


@pytest.mark.parametrize("rule", catalog.names("levels"))
def test_levels_fall_to_0_within_the_range(rule: str, subtests: pytest.Subtests) -> None:
    for name, table in tables().items():
        steps = table.steps or 0
        _, sigma = entries(table)
        for count in {1, min(2, steps), min(10, steps), steps}:
            knobs = {"count": count}
            if rule in LEVELS:
                ((knob, values),) = LEVELS[rule].items()
                knobs = {knob: [value for value in values if value < steps or knob == "counts"]}
            with subtests.test(table=name, **knobs):
                levels = load("levels", rule, **knobs)(table)
                assert levels.dtype == torch.float64
                assert (levels.diff() < 0).all()
                assert levels[-1] == 0
                assert 2 <= len(levels) <= count + 1 or rule in LEVELS
                assert levels[-2] >= sigma[0] * (1 - 1e-12)
                assert levels[0] <= sigma[-1] * (1 + 1e-12)


@pytest.mark.parametrize("rule", sorted(set(catalog.names("levels")) - FREE - {*LEVELS}))
def test_more_levels_than_the_model_has_are_refused(rule: str) -> None:
    with pytest.raises(ValueError, match=r"41 steps asked for, but .* trained with 40; use at mo"):
        load("levels", rule, count=41)(linear(steps=40))


def test_all_levels_of_a_table_are_visited_in_full_walks() -> None:
    _, sigma = entries(linear(steps=40))
    want = torch.cat([sigma.flip(0), torch.zeros(1).double()])
    for rule in (leading, trailing, load("levels", "linspace")):
        assert torch.equal(rule(linear(steps=40), count=40), want)


def test_levels_of_solvers_leave_index_0_out() -> None:
    """The indices that DPMSolverMultistepScheduler visits in 4 steps."""
    got = load("levels", "linspace", count=4, ends="top")(linear())
    assert torch.equal(got, explicit(linear(), timesteps=[999, 749, 500, 250]))
    got = leading(linear(), count=4, ends="none", offset=1)
    assert torch.equal(got, explicit(linear(), timesteps=[801, 601, 401, 201]))


def test_shifted_levels_of_a_flow() -> None:
    """t -> 3 t / (1 + 2 t), between ends that are those of the process (Esser 2024, eq. 23)."""
    got = load("levels", "linspace", count=10, shift=3.0)(flow())[:-1]
    low = 3e-3 / 1.002  # diffusers shifts the lowest before it spaces the levels, too
    t = torch.linspace(1, low, 10, dtype=torch.float64).clamp(max=0.99999)
    want = (3 * t / (1 + 2 * t)).clamp(max=0.99999)
    assert torch.allclose(got / (1 + got), want, atol=1e-9)


def test_explicit_levels_are_sorted_and_distinct() -> None:
    _, sigma = entries(linear())
    got = explicit(linear(), timesteps=[5, 900, 5, 0])
    assert torch.equal(got, torch.cat([sigma[[900, 5, 0]], torch.zeros(1).double()]))
    got = explicit(linear(), sigmas=[0.5, 30.0, 0.0, 30.0])
    assert got.tolist() == [30.0, 0.5, 0.0]


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({}, "either timesteps or sigmas"),
        ({"timesteps": [1], "sigmas": [1.0]}, "either timesteps or sigmas"),
        ({"timesteps": [1000]}, "between 0 and 999"),
        ({"timesteps": [-1, 5]}, "between 0 and 999"),
        ({"timesteps": []}, "no positive noise level"),
        ({"sigmas": [0.0]}, "no positive noise level"),
    ],
)
def test_explicit_levels_that_make_no_sense(knobs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        explicit(linear(), **knobs)


def test_levels_beyond_the_schedule_are_its_ends() -> None:
    _, sigma = entries(linear())
    want = [pytest.approx(float(sigma[-1])), 1.0, pytest.approx(float(sigma[0])), 0.0]
    assert explicit(linear(), sigmas=[1e-6, 1.0, 1e6, 2e6]).tolist() == want
    ends = karras(linear(), count=3, low=1e-6, high=1e6)
    assert ends[[0, 2]].tolist() == [want[0], want[2]]


@pytest.mark.parametrize("rule", [karras, logsnr])
def test_levels_the_wrong_way_round_are_refused(rule: Any) -> None:
    with pytest.raises(ValueError, match="low 10 is above high 1"):
        rule(linear(), low=10.0, high=1.0)


def test_log_snr_falls_in_equal_steps_between_the_trained_levels() -> None:
    _, sigma = entries(cosine())
    levels = logsnr(cosine(), count=9)
    steps = levels[:-1].log().diff()
    assert torch.allclose(steps, steps[0].expand(8), rtol=1e-12)
    assert levels[[0, -2]].tolist() == pytest.approx([160, float(sigma[0])], rel=1e-12)
    levels = logsnr(cosine(), count=2, low=0.1, high=1e9)
    assert levels.tolist() == pytest.approx([float(sigma[-1]), 0.1, 0], rel=1e-12)


def test_an_offset_beyond_the_table_is_refused() -> None:
    with pytest.raises(ValueError, match="beyond the last of 1000 levels"):
        leading(linear(), count=10, offset=100)


def test_empty_sections_are_refused() -> None:
    with pytest.raises(ValueError, match="counts is empty"):
        load("levels", "sections", counts=[])(linear())


def test_leading_offset_shifts_every_index() -> None:
    table = linear()
    got = leading(table, count=10, offset=7)
    assert torch.equal(got, explicit(table, timesteps=[100 * i + 7 for i in range(10)]))


@pytest.mark.parametrize("rule", ["leading", "linspace", "quadratic", "trailing"])
def test_continuous_processes_take_any_number_of_levels(rule: str) -> None:
    """Real times lie between the places of a table, and none is lost to rounding."""
    for count in (7, 999, 1500):
        levels = load("levels", rule, count=count)(vp())
        assert len(levels) == count + 1
        assert (levels.diff() < 0).all()
        assert levels[-2] >= float(vp().sigma(torch.tensor(0.0)))


def test_a_power_beyond_all_numbers_is_named() -> None:
    with pytest.raises(ValueError, match="rho 1e-09"):
        karras(cosine(), rho=1e-9)
    for rho in (0.01, 1e9):
        levels = karras(cosine(), count=5, rho=rho)
        assert levels.isfinite().all()
        assert (levels.diff() < 0).all()


@pytest.mark.parametrize("count", [10, 20, 50, 100, 500])
def test_karras_levels_of_the_cosine_schedule_have_labels_of_their_own(count: int) -> None:
    """Rounded to trained levels, 100 of them would be 94 and 500 be 346."""
    levels = karras(cosine(), count=count)
    assert len(levels) == count + 1
    assert (levels.diff() < 0).all()
    label = index(levels[:-1], cosine())
    # The gap of the closest two, in units of the trained levels, is far above float32's rounding.
    assert label.diff().max() < -30 / count
    assert len(label.round().unique()) == {100: 94, 500: 346}.get(count, count)
