"""What `ddpm eval` prints: a table, one JSON object, or a badge for a README."""

import math
import platform
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ddpm_cli import __version__, console
from ddpm_cli.evaluation.extractor import Extractor
from ddpm_cli.pipelines.eval_sides import Side
from ddpm_cli.settings.eval_requests import Eval
from ddpm_cli.settings.protocols import FEW, NONE, Protocol
from ddpm_cli.settings.toml import toml_value

Result = dict[str, Any]


def result(
    request: Eval,
    protocol: Protocol,
    extractor: Extractor,
    runs: Sequence[Side],
    reference: Side,
    table: Mapping[str, Any],
    left_out: Mapping[str, str],
    notes: Sequence[str],
) -> Result:
    """All that decides the figures, and the figures."""
    samples = runs[0].record
    if len(runs) > 1:
        samples["blocks"] = [run.record["seeds"] for run in runs]
    return {
        "samples": samples,
        "reference": reference.record,
        "protocol": {"name": protocol.name, "n": protocol.n, "metrics": list(protocol.metrics)},
        "features": extractor.record,
        "metrics": {name: _finite(told) for name, told in table.items()},
        "left_out": dict(left_out),
        "labels": _labels(request, protocol, runs[0], reference),
        "notes": list(notes),
        "versions": {
            "ddpm": __version__,
            "torch": str(torch.__version__),
            "numpy": str(np.__version__),
            "python": platform.python_version(),
        },
    }


def told(values: Result, request: Eval) -> None:
    """Print a result as it is asked for."""
    if request.use.as_json:
        console.json_line(values | ({"badge": badge(values)} if request.badge else {}))
    elif request.badge:
        console.result(badge(values))
    else:
        console.result("\n".join(_lines(values)))


def badge(values: Result) -> str:
    """A line of Markdown that shows the first figure, for a README."""
    name, figure = next(iter(values["metrics"].items()))
    protocol, n = values["protocol"]["name"], values["samples"]["n"]
    label = name if protocol == NONE else f"{name} ({protocol})"
    text = f"{label} {shown(figure)}, n = {n:,}"
    words = [_escaped(part) for part in (label, f"{figure['value']:.4g} (n = {n})")]
    return f"![{text}](https://img.shields.io/badge/{words[0]}-{words[1]}-blue)"


def plan(protocol: Protocol, extractor: Extractor, count: int) -> None:
    """Print what would be measured, as TOML; count: images of a run, which may be few files."""
    lines = [
        f"protocol = {toml_value(protocol.name)}",
        f"n = {count}",
        f"blocks = {protocol.blocks}",
        f"features = {toml_value(extractor.record)}",
        f"metrics = {toml_value(list(protocol.metrics))}",
    ]
    console.result("\n".join(lines))


def _lines(values: Result) -> list[str]:
    samples, reference = values["samples"], values["reference"]
    seeds = f", seeds {samples['seeds']}" if "seeds" in samples else ""
    lines = [f"{samples['name']}: {samples['n']} images{seeds}"]
    lines += [f"against {reference['name']}: {reference['n'] or 'unknown number of'} images", ""]
    width = max(map(len, values["metrics"]))
    for name, figure in values["metrics"].items():
        lines.append(f"{name:<{width}}  {shown(figure)}{_spread(figure)}")
    features, protocol = values["features"], values["protocol"]["name"]
    lines += ["", f"protocol {protocol}, features {features['name']} {features['hash']}"]
    lines += [f"label: {label}" for label in values["labels"]]
    return lines + [f"note: {note}" for note in values["notes"]]


def shown(figure: Mapping[str, Any]) -> str:
    """A value with its error, both to the places that the error has."""
    value, error = figure["value"], figure.get("error")
    if not error:
        return f"{value:.5g}"
    places = max(0, 1 - math.floor(math.log10(error)))
    rounded = round(value, places) + 0.0  # not -0
    return f"{rounded:.{places}f} ± {error:.{places}f}"


def _spread(figure: Mapping[str, Any]) -> str:
    parts = figure.get("blocks")
    if not parts:
        return ""
    ends = ", ".join(f"{key} {parts[key]:.4g}" for key in ("mean", "min", "max"))
    return f"   {len(parts['each'])} blocks of {parts['n']}: {ends}"


def _labels(request: Eval, protocol: Protocol, samples: Side, reference: Side) -> list[str]:
    """What keeps a figure from being compared with those of papers."""
    labels = []
    if samples.count < FEW:
        labels.append(f"n = {samples.count}, below {FEW}: only to be compared at equal n")
    if protocol.name != NONE and samples.count != protocol.n:
        labels.append(f"n = {samples.count}, protocol {protocol.name} takes {protocol.n}")
    if request.floor:
        labels.append("floor: real images on both sides")
    if reference.kind == "model":
        labels.append("the reference is drawn from a model")
    made = reference.facts.get("made") or {}
    if made.get("protocol", NONE) not in (NONE, protocol.name) and protocol.name != NONE:
        labels.append(f"statistics of protocol {made['protocol']}")
    if reference.kind == "statistics" and not made:
        labels.append("the features and the number of images of the reference are not known")
    if protocol.split and reference.kind == "data" and not reference.name.endswith(protocol.split):
        labels.append(f"reference {reference.name}, protocol {protocol.name}: {protocol.split}")
    return labels


def _finite(told: Mapping[str, Any]) -> dict[str, Any]:
    """A figure as JSON can hold it."""
    return {key: _plain(value) for key, value in told.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def _escaped(text: str) -> str:
    """Text as a part of a badge's address, where dashes, underscores and spaces have a meaning."""
    from urllib.parse import quote

    return quote(text.replace("-", "--").replace("_", "__"), safe="()")
