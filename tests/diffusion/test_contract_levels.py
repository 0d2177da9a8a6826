"""What every schedule, parameterization, label and level list of the catalog must do."""

from functools import partial
from typing import Any

import pytest
import torch
from exact import by_sigma, schedules
from golden.analytic_model import Mixture
from torch import Tensor

from ddpm_cli.diffusion import parameterizations
from ddpm_cli.diffusion.denoiser import Denoiser, Prediction, Wrapped
from ddpm_cli.diffusion.labels import index
from ddpm_cli.diffusion.levels import explicit, karras, leading, logsnr, trailing
from ddpm_cli.diffusion.rates import rate
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.diffusion.schedules.processes import vp
from ddpm_cli.diffusion.schedules.tables import Table, cosine, linear
from ddpm_cli.diffusion.wrappers import clamp
from ddpm_cli.settings import catalog

MIXTURE = Mixture([0.4, 0.6], [[0.5, -0.3], [-0.6, 0.4]], [[0.02, 0.05], [0.04, 0.03]])
# Knobs of level lists that have no default.
LEVELS: dict[str, dict[str, Any]] = {
    "explicit": {"timesteps": [0, 3, 11, 19]},
    "sections": {"counts": [1]},
}
FREE = {"karras", "logsnr"}  # levels that lie between the trained ones


def load(kind: str, name: str, **settings: Any) -> Any:
    return partial(catalog.load(catalog.find(kind, name)), **settings)


PROCESSES = schedules()
TABLES = {
    **{k: v for k, v in PROCESSES.items() if isinstance(v, Table) and v.steps},
    "T = 4000": cosine(steps=4000),
    "T = 40": linear(steps=40),
    "T = 2": cosine(steps=2),
    "T = 1": cosine(steps=1),
}
every_table = pytest.mark.parametrize("table", TABLES.values(), ids=list(TABLES))
every_process = pytest.mark.parametrize("process", PROCESSES.values(), ids=list(PROCESSES))
every_rule = pytest.mark.parametrize("rule", catalog.names("levels"))


def entries(process: Schedule) -> tuple[Tensor, Tensor]:
    """The times and levels of a table, or a hundred of a continuous process."""
    steps = process.steps or 100
    t = torch.arange(1, steps + 1, dtype=torch.float64) / steps
    with torch.no_grad():
        return t, process.sigma(t)


@every_process
def test_levels_rise_with_time_and_are_finite(process: Schedule) -> None:
    _, sigma = entries(process)
    assert sigma.dtype == torch.float64
    assert sigma.isfinite().all()
    assert (sigma.diff() > 0).all()
    assert sigma[0] > 0


@every_process
def test_time_is_the_inverse_of_sigma(process: Schedule) -> None:
    t, sigma = entries(process)
    assert torch.allclose(process.time(sigma), t, rtol=0, atol=1e-9)
    between = torch.linspace(1 / len(t), 1, 777, dtype=torch.float64)
    assert torch.allclose(process.time(process.sigma(between)), between, rtol=0, atol=1e-9)


@every_process
def test_rate_is_the_slope_of_the_log_signal_to_noise_ratio(process: Schedule) -> None:
    t = torch.tensor([0.3033, 0.5055, 0.9011], dtype=torch.float64)
    step = 1e-6
    with torch.no_grad():
        rise = process.sigma(t + step).log() - process.sigma(t - step).log()
    got = rate(process, t).detach()
    assert torch.allclose(got, rise / step, rtol=1e-6)
    assert (got > 0).all()


@every_process
def test_prior_is_that_of_unit_data_or_of_pure_noise(process: Schedule) -> None:
    _, sigma = entries(process)
    prior = process.prior(sigma)
    assert (prior >= sigma).all()
    # sub-VP's is exact at the last time alone, where x is a unit normal in the native scale.
    assert (prior <= 1 + sigma).all()
    if sigma[-1] > 100:
        assert float(prior[-1] / sigma[-1]) == pytest.approx(1, abs=1e-4)


@every_table
def test_times_of_entries_are_the_entries_themselves(table: Table) -> None:
    """0.3 * 1000 is not 300 in floating point, and must not be a level beside the trained one."""
    _, sigma = entries(table)
    assert torch.equal(sigma, torch.expm1(-2 * table.log_alpha).sqrt())


@every_table
def test_times_and_levels_outside_the_table_are_its_ends(table: Table) -> None:
    t, sigma = entries(table)
    outside = torch.tensor([0.0, -1.0, 1.0, 2.0], dtype=torch.float64)
    assert torch.equal(table.sigma(outside), sigma[[0, 0, -1, -1]])
    levels = torch.tensor([0.0, 1e-9, 1e12], dtype=torch.float64)
    assert torch.allclose(table.time(levels), t[[0, 0, -1]], rtol=1e-12)


@every_table
def test_native_scale_keeps_the_variance(table: Table) -> None:
    _, sigma = entries(table)
    alpha = table.alpha(sigma)
    assert torch.allclose(alpha**2 * (1 + sigma**2), torch.ones_like(sigma), rtol=1e-12)
    assert torch.allclose(alpha * table.prior(sigma), torch.ones_like(sigma), rtol=1e-12)


def test_log_alpha_is_linear_between_entries() -> None:
    table = linear()
    low, middle, high = table.sigma(
        torch.tensor([500.0, 500.3, 501.0], dtype=torch.float64) / 1000
    )
    logs = [float(table.alpha(sigma).log()) for sigma in (low, middle, high)]
    assert logs[1] == pytest.approx(0.7 * logs[0] + 0.3 * logs[2], rel=1e-12)


@every_table
def test_label_is_the_index_in_float32(table: Table) -> None:
    _, sigma = entries(table)
    label = index(sigma, table)
    assert label.dtype == torch.float32
    assert torch.equal(label, torch.arange(len(sigma), dtype=torch.float32))


LABELS = {
    "index": lambda t, sigma: 1000 * t - 1,
    "time": lambda t, sigma: 999 * t,
    "log-sigma": lambda t, sigma: sigma.log() / 4,
    "log-snr": lambda t, sigma: -2 * sigma.log(),
    "sigma": lambda t, sigma: sigma,
}


@pytest.mark.parametrize("name", catalog.names("label"))
def test_labels_of_a_continuous_process(name: str) -> None:
    t = torch.linspace(0.01, 1, 7, dtype=torch.float64)
    process = vp()
    label = load("label", name)(process.sigma(t), process)
    assert label.dtype == torch.float32
    assert torch.allclose(label.double(), LABELS[name](t, process.sigma(t)), rtol=1e-6)


def test_schedules_with_too_few_steps_are_refused() -> None:
    with pytest.raises(ValueError, match="steps 20 is too few: beta would reach 1"):
        linear(steps=20)


@every_process
@pytest.mark.parametrize("name", catalog.names("parameterization"))
def test_every_exact_prediction_is_the_same_clean_image(process: Schedule, name: str) -> None:
    """Also: `skip` and `out` take the clean image back to what the network predicts."""
    if name == "mu" and process.steps is None:
        pytest.skip("mu needs a discrete schedule")
    _, sigma = entries(process)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(len(sigma), 2, generator=generator, dtype=torch.float64)
    x = 0.3 + sigma[:, None] * noise
    want = MIXTURE.x0(x, 1.0, sigma)
    denoise = by_sigma(MIXTURE, process, name)
    got = denoise(x, sigma).x0
    assert torch.allclose(got, want, rtol=0, atol=1e-9)

    skip, out, scale = load("parameterization", name)(sigma, process)
    output = denoise.network(scale[:, None] * x, sigma)
    back = (want - skip[:, None] * x) / out[:, None]
    # Where little noise is left it is a small part of x, and rounding counts that much more.
    lost = 1e-13 * (1 + x.abs()) / out.abs()[:, None]
    assert ((back - output).abs() <= 1e-9 + lost).all()


def test_mu_needs_an_index_below() -> None:
    with pytest.raises(ValueError, match="discrete schedule"):
        parameterizations.mu(torch.ones(1).double(), vp())


def test_denoiser_takes_one_level_or_one_each() -> None:
    denoise = by_sigma(MIXTURE, linear(), "v", torch.tanh)
    x, sigma = torch.randn(3, 2).double(), torch.tensor([0.5, 2.0, 50.0], dtype=torch.float64)
    each = denoise(x, sigma)
    for row in range(3):
        alone = denoise(x[row : row + 1], sigma[row])
        assert torch.allclose(alone.x0[0], each.x0[row], rtol=0, atol=1e-13)
        assert torch.allclose(alone.range[0], each.range[row], rtol=0, atol=1e-13)
    assert by_sigma(MIXTURE, linear())(x, sigma).range is None


def test_bound_conditions_reach_the_network() -> None:
    seen: list[object] = []

    class Network(torch.nn.Module):
        def forward(self, x: Tensor, label: Tensor, classes: Tensor) -> Tensor:
            seen.append((label.shape, classes))
            return x

    denoise = Denoiser(Network(), linear(), parameterizations.x0, index)
    bound = denoise.bind(classes="seven")
    bound(torch.zeros(3, 1), torch.tensor(1.0))
    assert seen == [((3,), "seven")]
    assert bound.schedule is denoise.schedule


@every_rule
@every_table
def test_levels_fall_to_0_within_the_range(rule: str, table: Table) -> None:
    steps = table.steps or 0
    _, sigma = entries(table)
    for count in {1, min(2, steps), min(10, steps), steps}:
        knobs = {"count": count}
        if rule in LEVELS:
            ((knob, values),) = LEVELS[rule].items()
            knobs = {knob: [value for value in values if value < steps or knob == "counts"]}
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


class TestWrappers:
    def prediction(self, *x0: float) -> Wrapped:
        x = torch.tensor(x0)
        made = Prediction(x, range=x + 1, covariance=x + 2, score=x + 3)
        return Wrapped(by_sigma(MIXTURE, linear()), lambda x, sigma: made)

    def test_clamp_limits_the_clean_image_and_nothing_else(self) -> None:
        inner = self.prediction(-3.0, -0.5, 2.0)
        got, before = (d(torch.zeros(3), torch.tensor(1.0)) for d in (clamp(inner), inner))
        assert got.x0.tolist() == [-1.0, -0.5, 1.0]
        assert got[1:] == before[1:]
        assert clamp(inner, limit=2.5)(torch.zeros(3), torch.tensor(1.0)).x0.tolist() == [
            -2.5,
            -0.5,
            2.0,
        ]

    @pytest.mark.parametrize("name", catalog.names("wrappers"))
    def test_every_wrapper_keeps_the_schedule(self, name: str) -> None:
        inner = self.prediction(0.0)
        assert load("wrappers", name)(inner).schedule is inner.schedule


@pytest.mark.parametrize("rule", ["leading", "linspace", "quadratic", "trailing"])
def test_continuous_processes_take_any_number_of_levels(rule: str) -> None:
    """Real times lie between the places of a table, and none is lost to rounding."""
    for count in (7, 999, 1500):
        levels = load("levels", rule, count=count)(vp())
        assert len(levels) == count + 1
        assert (levels.diff() < 0).all()
        assert levels[-2] >= float(vp().sigma(torch.tensor(0.0)))
