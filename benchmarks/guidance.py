"""Digits guided towards a class: how many are it, and how near all are to real ones, by scale.

Image i has the seed i and the class i mod 10, so that all settings draw from the same noise.
"""

import time
from collections.abc import Sequence

import click
import torch
from cells import PLAIN, Record, Row, Subject, load, markdown, say
from command_line import Job, measuring
from scoring import Scorer

import ddpm_cli
from ddpm_cli.files.images.pixels import to_uint8
from ddpm_cli.models import cost
from ddpm_cli.models.classes import ALL
from ddpm_cli.settings import config as configuration
from ddpm_cli.settings.toml import parse_set

SCALES = (0.0, 1.0, 2.0, 4.0, 8.0)
# What the model's network is told: the class, or the null class with a classifier that knows it.
METHODS = ("classifier-free", "classifier", "both")


def settings(method: str, scale: float, classifier: str) -> Row:
    """The tables of a method at a scale."""
    if method == "classifier-free":
        return {"guidance": {"scale": scale}}
    return {"guides": [{"name": "classifier", "model": classifier, "scale": scale}]}


def measured(
    scorer: Scorer, subject: Subject, model: ddpm_cli.Model, tables: Row, told: bool, count: int
) -> Row:
    """The scores of digits of the classes 0 to 9 in turn that are guided, with their cost.

    told: the network knows the class, and not the classifier alone.
    """
    began = time.perf_counter()
    options = {"settings": PLAIN | tables, "batch": subject.batch}
    x = to_uint8(model.guide(range(count), ALL, unconditional=not told, **options))
    seconds = round(time.perf_counter() - began, 1)
    scores = scorer(x, torch.arange(count) % 10)
    calls = cost.plan(subject.config(tables), model.schedule).calls
    return {**scores, "calls": calls, "seconds": seconds}


def report(rows: Sequence[tuple[str, float, Row]]) -> str:
    """A row for each method and scale."""
    table = []
    for method, scale, row in rows:
        share, count = row["agreement"], row["n"]
        error = (share * (1 - share) / count) ** 0.5
        cells = [f"{method}, {scale:g}", str(row["calls"]), f"{share:.1%} ± {error:.1%}"]
        table.append([*cells, f"{row['frechet']:.1f}", f"{row['seconds']:.0f}"])
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
    drawer = ddpm_cli.load(model, settings={"compute": job.compute})
    common = configuration.merge(list(map(parse_set, assignments)))
    rows = []
    for method in dict.fromkeys(methods):
        for scale in dict.fromkeys(scales):
            tables = configuration.merge([common, settings(method, scale, classifier)])
            key = {"method": method, "scale": scale, "classes": "in turn", "set": common}
            key |= subject.key(subject.config(tables), images)
            told = method != "classifier"
            row = record(key, measured, scorer, subject, drawer, tables, told, images)
            rows.append((method, scale, row))
            say(f"{method} {scale:g}: {row['agreement']:.2%}, {row['frechet']:.2f}")
    flat = ({"method": method, "scale": scale, **row} for method, scale, row in rows)
    job.show(flat, lambda: report(rows))


if __name__ == "__main__":
    main()
