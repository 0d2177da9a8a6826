"""What a run measures of its samples, by a protocol or part by part."""

from typing import Any

import pytest

from ddpm_cli.errors import ConfigError
from ddpm_cli.settings import evaluations, protocols
from ddpm_cli.settings.config import Layer, resolve
from ddpm_cli.settings.protocols import Protocol


def protocol(**settings: Any) -> Protocol | None:
    train = {"eval_every": 5, **settings}
    return evaluations.protocol(resolve([Layer("a test", {"train": train})])["train"])


def test_a_run_measures_nothing_unless_asked() -> None:
    assert protocol(eval_every=0, eval_metric="no such") is None


def test_a_protocol_is_that_of_its_name() -> None:
    assert protocol() == protocols.read("digits")


def test_one_metric_of_a_protocol_is_picked_with_its_knobs() -> None:
    picked = protocol(eval_metric="precision")
    assert picked is not None
    assert picked.metrics == ({"name": "precision", "neighbours": 3},)
    assert protocol(eval_metric="precision:neighbours=3") == picked


def test_without_a_protocol_there_are_features_and_a_metric() -> None:
    own = protocol(eval_protocol="none", eval_metric="kid", eval_count=77)
    assert own is not None
    assert (own.name, own.n, own.features["name"]) == (protocols.NONE, 77, "digits")
    assert [metric["name"] for metric in own.metrics] == ["kid"]


def test_beside_a_protocol_it_is_said_where_weights_are() -> None:
    placed = protocol(eval_protocol="edm", eval_features="inception:weights=w.pth")
    assert placed is not None
    assert placed.features == protocols.read("edm").features | {"weights": "w.pth"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"eval_every": 0, "keep_best": True}, "train.keep_best: the best by what?"),
        ({"eval_protocol": "emd"}, "train.eval_protocol: no protocol is named 'emd'; .*edm"),
        ({"eval_protocol": "edm"}, "where are the weights of inception"),
        ({"eval_features": "inception"}, "name of protocol digits is digits"),
        (
            {"eval_protocol": "edm", "eval_features": "inception:resize=pil-bicubic"},
            "resize of protocol edm is tf-bilinear",
        ),
        ({"eval_features": "mine.py:embed"}, "mine.py:embed: code runs from the command line"),
        ({"eval_metric": "sfid"}, "sfid is none of protocol digits"),
        ({"eval_metric": "precision:neighbours=5"}, "is none of protocol digits"),
        ({"eval_protocol": "none", "eval_metric": "fd"}, "no metric is named 'fd'"),
        ({"eval_protocol": "none", "eval_metric": "kid:x"}, "write NAME:knob=value"),
        ({"eval_count": 3}, "train.eval_count: 3 does not fit"),
    ],
)
def test_what_fits_nothing_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        protocol(**settings)
