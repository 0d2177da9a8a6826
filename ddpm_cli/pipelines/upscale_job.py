"""The work of `ddpm upscale`: which results are wanted, and all that they depend on."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from ddpm_cli.files.images.inputs import Source
from ddpm_cli.files.outputs.edits import Results
from ddpm_cli.files.records import Record
from ddpm_cli.models import classes
from ddpm_cli.models.cost import Cost
from ddpm_cli.pipelines.lines import Lines
from ddpm_cli.pipelines.opening import Opened
from ddpm_cli.pipelines.restorer import Restorer
from ddpm_cli.pipelines.sizes import Windows
from ddpm_cli.pipelines.steering import Steering
from ddpm_cli.settings.request_parts import Use
from ddpm_cli.settings.requests import Upscale


class Wanted(NamedTuple):
    """What is asked for: a result of each source with each seed and each level of noise."""

    sources: Sequence[Source]
    seeds: Sequence[int]
    noises: Sequence[float]

    @property
    def total(self) -> int:
        """How many results there are."""
        return len(self.sources) * len(self.seeds) * len(self.noises)

    @property
    def named(self) -> list[Source]:
        """The sources as results are named: each as often as there are levels of noise."""
        return [self.at(source, noise) for source in self.sources for noise in self.noises]

    def at(self, source: Source, noise: float) -> Source:
        """A source as its results at a level of noise are named."""
        if len(self.noises) == 1:
            return source
        return Source(f"{source.name} with noise {noise:g}", f"{source.stem}-noise{noise:g}")


class Job(NamedTuple):
    """All that the results depend on, and what each costs.

    cost: of a window; windows: of results, as far as they are known before; steering: the guides
    of the walks, if there are any.
    """

    request: Upscale
    opened: Opened
    restore: Restorer
    wanted: Wanted
    results: Results
    record: Record
    cost: Cost
    lines: Lines
    steering: Steering | None
    windows: Windows

    @property
    def told(self) -> Use:
        """What the model is told of all images; of a classifier's classes those it knows."""
        return told(self.request.use, self.steering)

    @property
    def about(self) -> dict[str, dict[str, Any]]:
        """What is said of results that exist, by the names of their sources."""
        return {
            self.wanted.at(source, noise).name: {
                "input": source.name,
                "class": None,
                "noise": self.noise(noise),
            }
            for source in self.wanted.sources
            for noise in self.wanted.noises
        }

    @property
    def left(self) -> Iterator[tuple[int, int]]:
        """Of each source at each noise how many results are missing, and the windows of one."""
        for source in self.wanted.sources:
            for noise in self.wanted.noises:
                missing = self.results.missing(self.wanted.at(source, noise).name)
                yield len(missing), self.windows.of.get(source.name, 1)

    def noise(self, added: float) -> float:
        """The noise of a result: of its measurement, or what was added to be told of."""
        return self.request.noise or added

    def deals(self, source: Source) -> bool:
        """Whether any result of a source is wanted here, or left out as it exists."""
        noises = self.wanted.noises
        return any(self.results.deals(self.wanted.at(source, noise).name) for noise in noises)


def told(use: Use, found: Steering | None) -> Use:
    """A request for what the model is told: with a classifier another class, or none."""
    if found is None:
        return use
    numbers = found.asked.numbers([0])
    known = [*classes.known(found.config, found.info), classes.NULL]
    return replace(use, label=known[numbers[0]] if numbers else None)
