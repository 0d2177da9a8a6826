"""Digits guided towards a class: how many are it, and how near all are to real ones, by scale.

Image i has the seed i and the class i mod 10, so that all settings draw from the same noise.
"""

import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import cells
import click
import torch
from cells import PLAIN, Record, Row, Subject, load, markdown, say
from command_line import Job, measuring
from score_digits import Scorer

from ddpm_cli.files.images.pixels import from_uint8, to_uint8
from ddpm_cli.guides.parts import steering
from ddpm_cli.guides.parts.context import Context
from ddpm_cli.models import classes, cost
from ddpm_cli.models.walks import Batch
from ddpm_cli.settings import config as configuration
from ddpm_cli.settings.config import Config, Layer, resolve
from ddpm_cli.settings.toml import parse_set

SCALES = (0.0, 1.0, 2.0, 4.0, 8.0)
# What the model's network is told: the class, or the null class with a classifier that knows it.
METHODS = ("classifier-free", "classifier", "both")


def settings(method: str, scale: float, classifier: str) -> Row:
    """The tables of a method at a scale."""
    if method == "classifier-free":
        return {"guidance": {"scale": scale}}
    return {"guides": [{"name": "classifier", "model": classifier, "scale": scale}]}


def configured(subject: Subject, tables: Mapping[str, Any]) -> Config:
    """The model's configuration with these tables."""
    model = Layer("the checkpoint", subject.model.config)
    return resolve([model, Layer("benchmark", {**PLAIN, **tables})])


def digits(subject: Subject, config: Config, method: str, count: int) -> torch.Tensor:
    """Digits float32 [count, 1, 28, 28] of the classes 0 to 9 in turn."""
    model = subject.model._replace(config=config)
    told = classes.NULL if method == "classifier" else classes.ALL

    def numbers(label: str, seeds: Sequence[int]) -> list[int] | None:
        return classes.numbers(label, seeds, config, model.info)

    wanted = partial(numbers, classes.ALL)
    context = Context(config, model.info, model.compute, model.schedule, wanted)
    guides = steering.loaded(context)

    def batch(seeds: Sequence[int]) -> Batch:
        plain = Batch(seeds, model.conditions(numbers(told, seeds)))
        return steering.completed(guides, plain) if guides else plain

    return cells.drawn(model, count, subject.batch, batch)


def measured(scorer: Scorer, subject: Subject, config: Config, method: str, count: int) -> Row:
    """The scores of guided digits, with their cost."""
    began = time.perf_counter()
    x = from_uint8(to_uint8(digits(subject, config, method, count)))
    seconds = round(time.perf_counter() - began, 1)
    scores = scorer(x, torch.arange(count) % 10)
    calls = cost.plan(config, subject.model.schedule)[1]
    return {**scores, "calls": calls, "seconds": seconds}


def report(rows: Sequence[tuple[str, float, Row]]) -> str:
    """A row for each method and scale."""
    table = []
    for method, scale, row in rows:
        share, count = row["agreement"], row["n"]
        error = (share * (1 - share) / count) ** 0.5
        line = [f"{method}, {scale:g}", str(row["calls"]), f"{share:.1%} ± {error:.1%}"]
        table.append([*line, f"{row['frechet']:.1f}", f"{row['seconds']:.0f}"])
    heading = ["method, scale", "calls", "the class asked for", "Frechet distance", "seconds"]
    return markdown(heading, table)


@click.command(context_settings={"max_content_width": 99})
@click.option("-m", "--model", default="mnist", show_default=True)
@click.option("--classifier", default="mnist-classifier", show_default=True)
@click.option("--method", "methods", multiple=True, type=click.Choice(METHODS), default=METHODS)
@click.option("--scale", "scales", multiple=True, type=click.FloatRange(0), default=SCALES)
@click.option("--set", "assignments", multiple=True, help="As of ddpm sample, for all methods.")
@click.option("-n", "--images", type=click.IntRange(10), default=1000, show_default=True)
@measuring("bfloat16")
def main(
    model: str,
    classifier: str,
    methods: tuple[str, ...],
    scales: tuple[float, ...],
    assignments: tuple[str, ...],
    images: int,
    job: Job,
) -> None:
    """Measure guidance at several scales on MNIST digits, class by class in turn.

    The sampler is the model's own. both: the network and the classifier know the class.
    """
    subject, record, scorer = load(model, job), Record(job.output), Scorer()
    common = configuration.merge(list(map(parse_set, assignments)))
    rows = []
    for method in dict.fromkeys(methods):
        for scale in dict.fromkeys(scales):
            tables = configuration.merge([common, settings(method, scale, classifier)])
            config = configured(subject, tables)
            key = {"method": method, "scale": scale, "classes": "in turn", "set": common}
            key |= subject.key(config, images)
            row = record(key, measured, scorer, subject, config, method, images)
            rows.append((method, scale, row))
            say(f"{method} {scale:g}: {row['agreement']:.2%}, {row['frechet']:.2f}")
    flat = ({"method": method, "scale": scale, **row} for method, scale, row in rows)
    job.show(flat, lambda: report(rows))


if __name__ == "__main__":
    main()
