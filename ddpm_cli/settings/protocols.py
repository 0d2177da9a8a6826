"""Protocols: what a measurement fixes so that it can be compared, each a TOML file by its name.

They lie in the folder `protocols` of the presets that come with the package: a name must mean the
same everywhere, so nobody's own file can stand in for one.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ddpm_cli.errors import ConfigError, nearest
from ddpm_cli.settings import catalog, presets
from ddpm_cli.settings.config import Layer, picked
from ddpm_cli.settings.toml import parse_set, read_file

FEW = 10_000  # images: distances of fewer are labelled, as their bias is no longer small
NONE = "none"


class Protocol(NamedTuple):
    """What is fixed: images a side, feature network and metrics with all their knobs.

    reference: what stands for --ref if it is not given; split: that of a data set which is the
    reference, "" if any is; blocks: how many runs of n seeds each are measured.
    """

    name: str
    summary: str
    n: int
    features: dict[str, Any]
    metrics: tuple[dict[str, Any], ...]
    reference: str | None = None
    split: str = ""
    blocks: int = 1


def names() -> list[str]:
    """The names of all protocols, sorted."""
    return sorted(path.stem for path in _folder().glob("*.toml"))


def read(name: str) -> Protocol:
    """The protocol of a name, all knobs of its parts written out."""
    if name not in names():
        raise ConfigError(
            f"--protocol {name}: there is none of this name; {nearest(name, names())}"
        )
    path = _folder() / f"{name}.toml"
    table = read_file(path)
    table["features"] = picked("features", table["features"], name)
    table["metrics"] = tuple(picked("metric", metric, name) for metric in table["metrics"])
    return Protocol(name, **table)


def own(features: dict[str, Any], metrics: Sequence[str], n: int) -> Protocol:
    """What is asked for part by part, which has no name that others would know."""
    return Protocol(NONE, "", n, features, tuple(map(metric, metrics)))


def apart(layers: Sequence[Layer]) -> tuple[list[Layer], dict[str, Any]]:
    """Layers without what they say of features, which no model has, and all that they say."""
    knobs = dict[str, Any]()
    rest = []
    for layer in layers:
        knobs |= dict(layer.values.get("features", {}))
        others = {key: value for key, value in layer.values.items() if key != "features"}
        rest += [layer._replace(values=others)] if others else []
    return rest, knobs


def metric(text: str) -> dict[str, Any]:
    """A metric with its knobs, of NAME or NAME:knob=value,knob=value."""
    return picked("metric", given(text, "--metric"), "--metric")


def given(text: str, source: str) -> dict[str, Any]:
    """The name and the knobs in NAME or NAME:knob=value,knob=value."""
    name, colon, knobs = text.partition(":")
    settings: dict[str, Any] = {"name": name}
    for item in re.split(r",(?=\s*[\w.-]+=)", knobs) if colon else ():
        knob, equals, value = item.partition("=")
        if not equals:
            raise ConfigError(f"{source} {text}: write NAME:knob=value")
        settings |= parse_set(f"{knob.strip()}={value}")
    return settings


def _folder() -> Path:
    """Where they lie: with the packaged presets."""
    return presets.folders()[-1][1] / "protocols"


def describe() -> list[str]:
    """A line for each protocol."""
    return [f"{name}: {read(name).summary}." for name in names()]


def metrics() -> list[str]:
    """The names of all metrics."""
    return catalog.names("metric")
