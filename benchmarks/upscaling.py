"""Enlarge test digits from 14x14 to 28x28 by every method: how close, and what is read there.

All methods get the same small digits and, for digit i, the seed i.
"""

import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import click
from cells import PLAIN, Record, Row, markdown, mean, sampling, say
from command_line import Job, measuring
from edited_digits import closeness, difference, labelled, summaries
from scoring import Scorer
from torch import Tensor

import ddpm_cli
from ddpm_cli.data import operators
from ddpm_cli.data.degradations import enlarge, shrink
from ddpm_cli.diffusion.restoration import projected
from ddpm_cli.evaluation.fidelity import psnr
from ddpm_cli.files.checkpoints import find
from ddpm_cli.files.checkpoints.header import read_header
from ddpm_cli.files.images.pixels import from_uint8, to_uint8
from ddpm_cli.models import cost

FACTOR = 2.0
SHAPE = (1, 28, 28)
# No model: bicubic, and the nearest image to it in 256 levels that gives the small one.
METHODS = ("bicubic", "consistent bicubic", "zero-shot", "model", "consistent model")


class Digits(NamedTuple):
    """Test digits uint8 [N, 1, 28, 28], their labels, and the small ones uint8 [N, 1, 14, 14]."""

    pixels: Tensor
    labels: Tensor
    small: Tensor


def test_digits(count: int) -> Digits:
    """The first test digits, made small as files would hold them."""
    pixels, labels = labelled(count)
    return Digits(pixels, labels, to_uint8(shrink(from_uint8(pixels), FACTOR)))


class Subject(NamedTuple):
    """A model to enlarge with, the network calls it takes, and what its results depend on.

    exact: the results shall agree with what was there.
    """

    model: ddpm_cli.Model
    exact: bool
    calls: int
    key: Row


def load(name: str, steps: int, job: Job, *, exact: bool) -> Subject:
    """Load a model; one that was not trained to enlarge always agrees with what was there."""
    tables: dict[str, Any] = PLAIN | {"levels": {"count": steps}, "compute": job.compute}
    model = ddpm_cli.load(name, settings=tables)
    calls = cost.plan(model.config, model.schedule).calls or 0
    key = {"model": read_header(find.find(name).path).hash, "dtype": job.dtype}
    return Subject(model, exact, calls, key | sampling(model.config))


def enlarged(subject: Subject, small: Tensor, batch: int) -> Tensor:
    """The digits uint8 [N, 1, 28, 28] that a model makes of small ones, without their class."""
    images = subject.model.upscale(small, consistent=subject.exact, batch=batch)
    return to_uint8(images)


def plain(method: str, small: Tensor) -> Tensor:
    """The digits enlarged without a model."""
    low = from_uint8(small).double()
    x = enlarge(low, SHAPE[1:])
    if method != "bicubic":
        x = projected(operators.upscale(SHAPE, factor=FACTOR), x, low)
    return to_uint8(x)


def scores(scorer: Scorer, digits: Digits, results: Tensor) -> Row:
    """PSNR of each digit in dB, whether it is read right, and its difference from the small one.

    The difference is the largest of the digit made small again, in levels of 255.
    """
    x = from_uint8(results)
    again = to_uint8(shrink(x.double(), FACTOR)).int()
    difference = (again - digits.small.int()).abs().flatten(1).amax(1)
    return {
        "psnr": [round(value, 3) for value in psnr(x, from_uint8(digits.pixels)).tolist()],
        "right": (scorer.classes(results) == digits.labels).int().tolist(),
        "difference": difference.tolist(),
    }


def measured(
    scorer: Scorer, method: str, subject: Subject | None, digits: Digits, batch: int
) -> Row:
    """The scores of a method, with its cost."""
    began = time.perf_counter()
    if subject is None:
        results = plain(method, digits.small)
    else:
        results = enlarged(subject, digits.small, batch)
    seconds = round(time.perf_counter() - began, 1)
    calls = subject.calls if subject else 0
    return {**scores(scorer, digits, results), "calls": calls, "seconds": seconds}


def report(rows: Mapping[str, Row]) -> str:
    """A row a method, and the paired differences to the first."""
    table, (first, base) = [], next(iter(rows.items()))
    for name, row in rows.items():
        less = "" if name == first else difference(row, base, places=2)
        cells = [name, str(row["calls"]), *closeness(row, places=2), less]
        table.append([*cells, str(max(row["difference"]))])
    heading = ["", "calls", "PSNR, dB", "read right", f"less {first}", "levels apart"]
    return markdown(heading, table)


@click.command(context_settings={"max_content_width": 99})
@click.option("-m", "--model", default="mnist", show_default=True, help="Unconditional model.")
@click.option("--trained", default="mnist-upscale", show_default=True, help="Model to enlarge.")
@click.option("--method", "methods", multiple=True, type=click.Choice(METHODS), default=METHODS)
@click.option("-n", "--images", type=click.IntRange(2, 10_000), default=2000, show_default=True)
@click.option("--steps", type=click.IntRange(min=1), default=50, show_default=True)
@measuring()
def main(
    model: str,
    trained: str,
    methods: tuple[str, ...],
    images: int,
    steps: int,
    job: Job,
) -> None:
    """Compare methods of enlarging MNIST test digits from 14x14 to 28x28 pixels.

    Differences are paired, digit by digit, to the first --method; ± is one standard error.
    """
    scorer, record, digits = Scorer(), Record(job.output), test_digits(images)
    rows: dict[str, Row] = {}
    for method in dict.fromkeys(methods):
        subject, key = None, {"method": method, "images": images, "factor": FACTOR}
        if "bicubic" not in method:
            name = model if method == "zero-shot" else trained
            subject = load(name, steps, job, exact=method == "consistent model")
            key |= subject.key
        rows[method] = record(key, measured, scorer, method, subject, digits, job.batch)
        say(f"{method}: {mean(rows[method]['right'])[0]:.2%} read right")
    job.show(summaries(rows), lambda: report(rows))


if __name__ == "__main__":
    main()
