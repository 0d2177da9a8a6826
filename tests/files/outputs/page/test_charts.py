"""Charts: round ticks, places of points, breaks, and sentences for those who cannot see them."""

import math
import re

import pytest

from ddpm_cli.files.outputs.page import charts
from ddpm_cli.files.outputs.page.charts import Axis, Curve

STEPS = [0.0, 10.0, 20.0, 30.0]


def curve(values: list[float], minutes: list[float] | None = None) -> Curve:
    return Curve("a", 0, STEPS, minutes or [0, 1, 2, 3], values)


def paths(made: charts.Markup) -> list[str]:
    return re.findall(r'<path d="([^"]*)" class="line ', made.html)


def test_points_lie_where_they_belong() -> None:
    across = Axis(0, 10, 100, 200)
    assert [across.at(x) for x in (0, 5, 10)] == [100, 150, 200]
    up = Axis(1, 100, 200, 0, is_log=True)
    assert [up.at(y) for y in (1, 10, 100)] == pytest.approx([200, 100, 0])


@pytest.mark.parametrize(
    ("axis", "ticks"),
    [
        (Axis(0, 300, 0, 1), [0, 100, 200, 300]),
        (Axis(-0.4, 1.1, 0, 1), [0, 0.5, 1]),
        (Axis(1e-7, 1e-3, 0, 1, is_log=True), [1e-7, 1e-6, 1e-5, 1e-4, 1e-3]),
        (Axis(1, 60, 0, 1, is_log=True), [1, 2, 5, 10, 20, 50]),
        (Axis(3, 3, 0, 1), [3]),
    ],
)
def test_ticks_are_round(axis: Axis, ticks: list[float]) -> None:
    assert axis.ticks() == pytest.approx(ticks)


def test_a_curve_breaks_where_it_is_not_finite() -> None:
    (steps, minutes) = paths(charts.chart("loss", [curve([3, math.nan, 2, 1])]))
    assert [part.endswith(charts.RING) for part in steps.split("M")[1:]] == [True, False]
    assert re.sub(r"[\d. -]", "", steps) == "MmaaML"
    assert steps == minutes


def test_values_are_told_in_words() -> None:
    made = charts.chart("loss", [curve([3, 0.5, 2, 1])]).html
    assert 'aria-label="loss over steps. a: 3 at 0, 1 at 30 steps, least 0.5."' in made
    assert 'aria-label="loss over minutes. a: 3 at 0, 1 at 3 minutes, least 0.5."' in made


def test_where_no_time_is_known() -> None:
    made = charts.chart("loss", [curve([3, 2, 1, 0], [math.nan] * 4)])
    assert len(paths(made)) == 1
    assert "no minutes are known" in made.html


@pytest.mark.parametrize(
    "values",
    [[1e308, -1e308, 0, 1], [1e-320, 1, 2, 3], [math.inf] * 4, [5.0] * 4, [0.0] * 4, [1e100] * 4],
)
def test_extreme_values(values: list[float]) -> None:
    for path in paths(charts.chart("loss", [curve(values)])):
        assert all(abs(float(n)) <= 400 for n in re.findall(r"-?[\d.]+", path))


def test_wide_values_are_drawn_by_their_logarithm() -> None:
    assert "logarithmic" in charts.chart("lr", [curve([1e-5, 1, 2, 3])]).html
    assert "logarithmic" not in charts.chart("lr", [curve([0, 1, 2, 300])]).html
