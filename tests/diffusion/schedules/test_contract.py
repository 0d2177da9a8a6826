"""What every schedule of the catalog must do."""

import pytest
import torch
from exact import entries, schedules, tables

from ddpm_cli.diffusion.schedules import Schedule, ve


def discrete() -> dict[str, Schedule]:
    return {name: schedule for name, schedule in schedules().items() if schedule.steps}


def test_levels_rise_with_time_and_are_finite(subtests: pytest.Subtests) -> None:
    for name, process in schedules().items():
        with subtests.test(schedule=name):
            _, sigma = entries(process)
            assert sigma.dtype == torch.float64
            assert sigma.isfinite().all()
            assert (sigma.diff() > 0).all()
            assert sigma[0] > 0


def test_time_is_the_inverse_of_sigma(subtests: pytest.Subtests) -> None:
    for name, process in schedules().items():
        with subtests.test(schedule=name):
            t, sigma = entries(process)
            assert torch.allclose(process.time(sigma), t, rtol=0, atol=1e-9)
            between = torch.linspace(1 / len(t), 1, 777, dtype=torch.float64)
            back = process.time(process.sigma(between))
            assert torch.allclose(back, between, rtol=0, atol=1e-9)


def test_bare_numbers_are_float64(subtests: pytest.Subtests) -> None:
    """Values that float32 has not are not rounded to it."""
    for name, process in schedules().items():
        with subtests.test(schedule=name):
            for ask in (process.sigma, process.time, process.alpha, process.prior):
                for value in (0.1, 0.7):
                    wanted = ask(torch.tensor(value, dtype=torch.float64))
                    assert wanted.dtype == torch.float64
                    assert torch.equal(ask(value), wanted)


def test_prior_is_that_of_unit_data_or_of_pure_noise(subtests: pytest.Subtests) -> None:
    for name, process in schedules().items():
        with subtests.test(schedule=name):
            _, sigma = entries(process)
            prior = process.prior(sigma)
            assert (prior >= sigma).all()
            # sub-VP's is exact at the last time alone, where x is a unit normal in the native
            # scale.
            assert (prior <= 1 + sigma).all()
            if sigma[-1] > 100:
                assert float(prior[-1] / sigma[-1]) == pytest.approx(1, abs=1e-4)


def test_times_of_entries_are_the_entries_themselves(subtests: pytest.Subtests) -> None:
    """0.3 * 1000 is not 300 in floating point, and must not be a level beside the trained one."""
    for name, table in tables().items():
        with subtests.test(table=name):
            _, sigma = entries(table)
            assert torch.equal(sigma, torch.expm1(-2 * table.log_alpha).sqrt())


def test_times_and_levels_outside_the_table_are_its_ends(subtests: pytest.Subtests) -> None:
    outside = torch.tensor([0.0, -1.0, 1.0, 2.0], dtype=torch.float64)
    levels = torch.tensor([0.0, 1e-9, 1e12], dtype=torch.float64)
    for name, table in tables().items():
        with subtests.test(table=name):
            t, sigma = entries(table)
            assert torch.equal(table.sigma(outside), sigma[[0, 0, -1, -1]])
            assert torch.allclose(table.time(levels), t[[0, 0, -1]], rtol=1e-12)


def test_native_scale_keeps_the_variance(subtests: pytest.Subtests) -> None:
    for name, table in tables().items():
        with subtests.test(table=name):
            _, sigma = entries(table)
            alpha, one = table.alpha(sigma), torch.ones_like(sigma)
            assert torch.allclose(alpha**2 * (1 + sigma**2), one, rtol=1e-12)
            assert torch.allclose(alpha * table.prior(sigma), one, rtol=1e-12)


def test_trained_levels_are_those_of_the_indices(subtests: pytest.Subtests) -> None:
    for name, schedule in discrete().items():
        with subtests.test(schedule=name):
            levels, steps = schedule.levels, schedule.steps or 0
            assert levels.shape == (steps,)
            assert (levels.dtype, levels.requires_grad) == (torch.float64, False)
            assert bool((levels.diff() > 0).all())
            indices = torch.arange(1, steps + 1).double()
            assert torch.allclose(schedule.time(levels) * steps, indices)


def test_the_level_below_is_the_index_before_and_at_last_the_image(
    subtests: pytest.Subtests,
) -> None:
    for name, schedule in discrete().items():
        with subtests.test(schedule=name):
            below = schedule.previous(schedule.levels)
            assert float(below.detach()[0]) == 0
            assert torch.allclose(below[1:], schedule.levels[:-1], rtol=1e-9)


def test_a_continuous_process_has_no_levels_but_one_below() -> None:
    schedule = ve()
    with pytest.raises(ValueError, match="continuous"):
        _ = schedule.levels
    t = torch.tensor([0.5, 0.0005], dtype=torch.float64)
    want = [float(schedule.sigma(t[0] - 1e-3)), 0.0]
    assert schedule.previous(schedule.sigma(t)).tolist() == pytest.approx(want)


def test_native_scale_and_back(subtests: pytest.Subtests) -> None:
    """A noised image in both scales: x = x0 + sigma z, x_t = alpha x0 + sigma_t z (Ho 2020)."""
    x0, z = torch.rand(2, 3, 1, 1, 1, dtype=torch.float64)
    for name, schedule in schedules().items():
        with subtests.test(schedule=name), torch.no_grad():
            sigma = schedule.sigma(torch.tensor([0.2, 0.5, 0.9]))
            alpha = schedule.alpha(sigma)[:, None, None, None]
            x = x0 + sigma[:, None, None, None] * z
            native = schedule.native(x, sigma)
            assert torch.allclose(native, alpha * x0 + alpha * sigma[:, None, None, None] * z)
            assert torch.allclose(schedule.from_native(native, sigma), x)
            assert schedule.native(x.float(), sigma[0]).dtype == torch.float32
