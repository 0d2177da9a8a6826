"""What the tables share: cells measured once, sampling with any settings, Markdown."""

import json
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from command_line import Job
from scoring import Scorer
from torch import Tensor

from ddpm_cli.api import drawing
from ddpm_cli.api.telling import Telling
from ddpm_cli.files.checkpoints import find
from ddpm_cli.models import classes, cost, saved
from ddpm_cli.models.model import Model, fitted, opened
from ddpm_cli.pipelines import opening
from ddpm_cli.settings.config import SAMPLING, Config, Layer, resolve

Row = dict[str, Any]

PLAIN = {"corrector": {"name": "none"}, "edits": []}  # whatever the model was trained to use


class Record:
    """Rows measured so far, one JSON object a line: a stopped run goes on from it."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.rows: list[Row] = []
        if path is None or not path.exists():
            return
        text = path.read_text("utf-8")
        whole = text[: text.rfind("\n") + 1]  # a killed run may leave half a line
        if whole != text:
            path.write_text(whole, "utf-8")
        self.rows = [json.loads(line) for line in whole.splitlines()]

    def find(self, key: Row) -> Row | None:
        """The row measured for a key, if there is one."""
        key = json.loads(json.dumps(key))
        return next((row for row in self.rows if row["key"] == key), None)

    def __call__(self, key: Row, measure: Callable[..., Row], *arguments: Any) -> Row:
        """The row of a key: from the record, or measured now from the arguments and kept."""
        row = self.find(key)
        if row is None:
            row = {"key": key, **measure(*arguments)}
            self.rows.append(row)
            if self._path is not None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                with self._path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
        return row


class Subject(NamedTuple):
    """A loaded model, and the hash by which a record knows it."""

    model: Model
    hash: str
    batch: int

    def config(self, tables: Mapping[str, Any]) -> Config:
        """The model's configuration with other tables to sample with."""
        return resolve(
            [Layer("the checkpoint", self.model.config), Layer("benchmark", PLAIN | tables)]
        )

    def key(self, config: Config, count: int) -> Row:
        """What the images of seeds 0 to count - 1 depend on."""
        dtype = str(self.model.compute.dtype).removeprefix("torch.")
        return {"model": self.hash, "images": count, "dtype": dtype, **sampling(config)}

    def calls(self, config: Config) -> int:
        """Network calls an image of a walk of fixed length."""
        return int(cost.plan(config, self.model.schedule).calls or 0)

    def fitted(self, tables: Mapping[str, Any], calls: int) -> Config:
        """The configuration with the most levels that cost at most so many network calls."""
        return cost.fit_calls(self.config(tables), self.model.schedule, calls)

    def draw(self, config: Config, count: int) -> Tensor:
        """Images float32 [count, C, H, W], not rounded to bytes, of seeds 0 to count - 1."""
        model = self.model._replace(config=config)
        batch = drawing.batches(model, range(count), Telling())
        return drawing.samples(model, batch, count, self.batch)

    def score(self, scorer: Scorer, config: Config, count: int) -> tuple[Row, Tensor]:
        """The scores of the images as files would hold them, and the images before."""
        began = time.perf_counter()
        x = self.draw(config, count)
        seconds = round(time.perf_counter() - began, 1)
        numbers = classes.numbers(None, range(count), config, self.model.info)
        labels = None if numbers is None else torch.tensor(numbers)
        scores = scorer(self.model.to_pixels(x), labels)
        return {**scores, "calls": self.calls(config), "sampling_seconds": seconds}, x


def sampling(config: Config) -> Row:
    """The tables of a configuration that say how it samples."""
    return {table: config[table] for table in SAMPLING if config.get(table)}


def scored(subject: Subject, scorer: Scorer, config: Config, images: int) -> Row:
    """The scores of a configuration's images."""
    return subject.score(scorer, config, images)[0]


def load(name: str | None, job: Job) -> Subject:
    """Load the model that -m would name."""
    place, header = opening.chosen(name)
    config = opening.settled(place, header, [Layer("benchmark", {"compute": job.compute})])
    return Subject(opened(place, config), header.hash, job.batch)


def with_moments(
    subject: Subject, name: str | None, config: Config, file: Path | None = None
) -> Subject:
    """The same model with the moments that `ddpm fit` has put beside it or in a file."""
    fit = fitted(config, subject.model.header, find.find(name), file)
    model = subject.model._replace(denoiser=saved.known(subject.model.denoiser, fit))
    return subject._replace(model=model, hash=f"{subject.hash}+{fit.header.hash}")


def mean(values: list[float]) -> tuple[float, float]:
    """Mean and its standard error."""
    sample = torch.tensor(values, dtype=torch.float64)
    return float(sample.mean()), float(sample.std() / math.sqrt(len(sample)))


def compared(row: Row, other: Row, key: str) -> tuple[float, float]:
    """The mean difference of two methods on the images that both had, and its standard error."""
    return mean([a - b for a, b in zip(row[key], other[key], strict=False)])


def markdown(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, columns padded to equal width; all but the first are right-aligned."""
    cells = [list(heading), *map(list, rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(heading))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = [
        [row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]
        for row in [cells[0], rule, *cells[1:]]
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def number(value: float | None, digits: int = 2) -> str:
    """A number as a table shows it; a dash if there is none."""
    return "-" if value is None else f"{value:.{digits}f}"


def say(line: str) -> None:
    """Report progress."""
    print(line, file=sys.stderr, flush=True)
