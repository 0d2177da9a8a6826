"""What the metrics of a protocol say of two sides, each with its error."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ddpm_cli import console
from ddpm_cli.diffusion.rng import keyed
from ddpm_cli.errors import Refusal
from ddpm_cli.evaluation import blocks, measures, measuring
from ddpm_cli.evaluation.evidence import Evidence
from ddpm_cli.evaluation.measures import Measure
from ddpm_cli.settings.protocols import Protocol

SMOOTH = ("fid", "sfid")  # whose errors a jackknife tells, as they bring none themselves
PARTS = 3  # blocks of the samples


class Figures:
    """The metrics of a protocol, told of one set of samples after another."""

    def __init__(self, protocol: Protocol, reference: Evidence, train: Evidence | None) -> None:
        self._protocol, self._reference, self._train = protocol, reference, train
        self.notes: list[str] = []

    def __call__(self, runs: Sequence[Evidence]) -> dict[str, Any]:
        """Each number by its name: value, error, and mean, least and spread over blocks.

        Of one run the blocks are its thirds, of several each run is one; the value is the first
        run's, as that is what others have who measure once.
        """
        table: dict[str, Any] = {}
        for settings in self._protocol.metrics:
            said = [self._measured(settings, run) for run in runs]
            errors = dict(said[0].errors)
            if settings["name"] in SMOOTH and runs[0].count >= 20 and not errors:
                errors |= self._jackknife(settings, runs[0])
            each = said if len(runs) > 1 else self._thirds(settings, runs[0])
            n = runs[0].count if len(runs) > 1 else runs[0].count // PARTS
            for name, value in said[0].values.items():
                table[name] = {"value": value, "error": errors.get(name)}
                if each:
                    spread = blocks.spread([part.values[name] for part in each])
                    table[name]["blocks"] = _told(spread, n)
                if name in said[0].details:
                    table[name]["details"] = said[0].details[name]
            self.notes += [note for note in said[0].notes if note not in self.notes]
        return table

    def _measured(self, settings: Mapping[str, Any], side: Evidence) -> Measure:
        knobs = {key: value for key, value in settings.items() if key != "name"}
        name = settings["name"]
        return measuring.measure(name, side, self._reference, train=self._train, settings=knobs)

    def _jackknife(self, settings: Mapping[str, Any], side: Evidence) -> Mapping[str, float]:
        return blocks.jackknife(lambda part: self._measured(settings, part), shuffled(side))

    def _thirds(self, settings: Mapping[str, Any], side: Evidence) -> list[Measure]:
        """The metric of each third of the samples; none where they are too few or have no rows."""
        if side.features is None or side.count < 2 * PARTS * 10:
            return []
        parts = blocks.split(shuffled(side), PARTS)
        if settings["name"] == "inception-score" and parts[0].count < 2 * settings["splits"]:
            return []
        return [self._measured(settings, part) for part in parts]


def shuffled(side: Evidence) -> Evidence:
    """A side in a random order, always the same: files often come class by class."""
    generator = torch.Generator().manual_seed(keyed(0, "blocks"))
    return side.only(torch.randperm(side.count, generator=generator))


def wanted(protocol: Protocol) -> dict[str, set[str]]:
    """What the metrics take of each side, in the words of measures.Part."""
    every: dict[str, set[str]] = {"samples": set(), "reference": set(), "train": set()}
    for settings in protocol.metrics:
        for side, parts in measuring.needs(settings["name"])._asdict().items():
            every[side] |= set(parts)
    return every


def possible(
    protocol: Protocol, sides: Mapping[str, Evidence | None], is_asked: bool
) -> tuple[Protocol, dict[str, str]]:
    """A protocol without metrics that these sides have no rows for, and why those are left out.

    is_asked: they were asked for one by one, so what is missing is refused.
    """
    kept, left_out = [], dict[str, str]()
    for settings in protocol.metrics:
        name = settings["name"]
        lack = _lack(name, sides)
        if lack and is_asked:
            raise Refusal(f"--metric {name}: {lack}")
        if lack:
            left_out[name] = lack
            console.warn(f"{name} is left out: {lack}")
        else:
            kept.append(settings)
    return protocol._replace(metrics=tuple(kept)), left_out


def _lack(metric: str, sides: Mapping[str, Evidence | None]) -> str:
    """What a metric takes and the sides do not have, in words; nothing if all is there."""
    for role, parts in measuring.needs(metric)._asdict().items():
        side = sides[role]
        if side is None and parts:
            return "it takes the images that the model was trained on; name them with --train"
        for part in parts:
            if side is not None and not measures.has(side, part):
                return f"{side.name} has no {part.replace('_', ' ')}"
    return ""


def _told(spread: blocks.Spread, n: int) -> dict[str, Any]:
    return {
        "n": n,
        "mean": spread.mean,
        "min": spread.low,
        "max": spread.high,
        "error": spread.error,
        "each": list(spread.each),
    }
