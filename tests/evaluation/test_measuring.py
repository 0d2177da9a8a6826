"""Metrics are found by name, say what they need, and refuse what is missing before the work."""

import pytest
import torch
from feature_rows import side, two_sets

from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.evaluation.evidence import Evidence
from ddpm_cli.evaluation.measuring import measure, needs
from ddpm_cli.settings import catalog


def test_every_metric_says_what_it_needs() -> None:
    told = {name: needs(name) for name in catalog.names("metric")}
    assert told["fid"].samples == told["fid"].reference == ("moments",)
    assert told["inception-score"] == (("probabilities",), (), ())
    assert all(need.samples for need in told.values())


@pytest.mark.parametrize("name", catalog.names("metric"))
def test_every_metric_refuses_sides_that_have_nothing(name: str) -> None:
    nothing = Evidence("empty", 9)
    with pytest.raises(Refusal, match=r"empty: no .*, which "):
        measure(name, nothing, nothing, train=nothing)


@pytest.mark.parametrize("name", ["fid", "kid", "recall", "memorisation"])
def test_features_that_are_not_finite_are_refused(name: str) -> None:
    x, y = two_sets()
    x[3, 2] = torch.inf
    with pytest.raises(Refusal, match="bad: features that are not finite"):
        measure(name, side(x, "bad"), side(y), train=side(y))


def test_a_metric_is_measured_by_its_name_with_some_knobs() -> None:
    x, y = two_sets()
    said = measure("precision", side(x), side(y), settings={"neighbours": 5})
    assert said.values["precision"] == pytest.approx(297 / 300)
    assert measure("precision", side(x), side(y)).values["precision"] == pytest.approx(289 / 300)


@pytest.mark.parametrize(
    ("name", "settings", "what"),
    [
        ("fdi", {}, "no metric is named 'fdi' .*did you mean fid"),
        ("precision", {"k": 3}, "metric.k: unknown key for precision .*neighbours"),
        ("precision", {"neighbours": 0}, "metric.neighbours: 0 does not fit"),
    ],
)
def test_wrong_names_and_knobs_are_errors_of_usage(
    name: str, settings: dict[str, int], what: str
) -> None:
    x, y = two_sets()
    with pytest.raises(ConfigError, match=what):
        measure(name, side(x), side(y), settings=settings)


def test_a_part_of_a_side_keeps_what_belongs_to_its_images() -> None:
    rows = torch.arange(12.0).reshape(6, 2)
    whole = Evidence("whole", 6, features=rows, labels=torch.arange(6), images=rows[:, :1])
    part = whole.only(torch.tensor([4, 1]))
    assert (part.count, part.name, part.spatial) == (2, "whole", None)
    assert part.features is not None
    assert part.features.tolist() == [[8, 9], [2, 3]]
    assert part.labels is not None
    assert part.labels.tolist() == [4, 1]
