"""From the name of a metric to what it says."""

from collections.abc import Mapping
from typing import Any

from ddpm_cli.evaluation.evidence import Evidence
from ddpm_cli.evaluation.measures import Measure, Needs
from ddpm_cli.evaluation.measures import needs as told
from ddpm_cli.settings import catalog
from ddpm_cli.settings.config import picked


def needs(name: str) -> Needs:
    """What the metric of this name takes of each side."""
    return told(catalog.load(catalog.find("metric", name)))


def measure(
    name: str,
    samples: Evidence,
    reference: Evidence,
    *,
    train: Evidence | None = None,
    settings: Mapping[str, Any] | None = None,
    source: str = "settings",
) -> Measure:
    """What the metric of this name says of the samples beside the reference.

    settings: some of its knobs, from a `source` that errors name; train: the images that the model
    was trained on, for those metrics that look for copies.
    """
    knobs = picked("metric", {"name": name, **(settings or {})}, source)
    metric = catalog.load(catalog.find("metric", knobs.pop("name")))
    sides = {"train": train} if told(metric).train else {}
    said: Measure = metric(samples, reference, **sides, **knobs)
    return said
