"""Digits that are told a number: how well the number is read off them again, by guidance.

Image i has the seed i, the class i mod 10 and the value number i of an even list.
"""

import time
from collections.abc import Sequence

import click
import torch
from cells import PLAIN, Record, Row, Subject, load, markdown, say
from command_line import Job, measuring
from torch import Tensor

import ddpm_cli
from ddpm_cli.data.measures import MEASURES

SCALES = (0.0, 1.0, 2.0, 4.0)
WIDE = 1.5  # deviations of the training digits that values reach to


def asked(model: ddpm_cli.Model, name: str, count: int) -> Tensor:
    """Values [N] of a name, evenly from -1.5 to 1.5 deviations, in another order than seeds."""
    about = model.info.values
    if about is None:
        raise click.UsageError("this model is told no numbers")
    at = about.names.index(name)
    even = torch.linspace(-WIDE, WIDE, count, dtype=torch.float64)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
    return about.mean[at] + about.std[at] * even[order]


def measured(model: ddpm_cli.Model, subject: Subject, name: str, count: int) -> Row:
    """Correlation of what was asked and what is there, its slope, and the error, with the cost."""
    began, wanted = time.perf_counter(), asked(model, name, count)
    x = model.sample(
        range(count),
        [str(number % 10) for number in range(count)],
        values={name: wanted.tolist()},
        batch=subject.batch,
    )
    found = MEASURES[name](((x.float() + 1) / 2).clamp(0, 1)).double()
    apart = found - wanted
    slope = torch.cov(torch.stack([wanted, found]))
    return {
        "n": count,
        "correlation": float(torch.corrcoef(torch.stack([wanted, found]))[0, 1]),
        "slope": float(slope[0, 1] / slope[0, 0]),
        "bias": float(apart.mean()),
        "error": float(apart.square().mean().sqrt()),
        "seconds": round(time.perf_counter() - began, 1),
    }


def report(rows: Sequence[tuple[str, float, Row]]) -> str:
    """A row for each number and scale."""
    table = [
        [
            f"{name}, {scale:g}",
            f"{row['correlation']:.3f}",
            f"{row['slope']:.2f}",
            f"{row['bias']:+.2f}",
            f"{row['error']:.2f}",
            f"{row['seconds']:.0f}",
        ]
        for name, scale, row in rows
    ]
    heading = ["number, scale", "correlation", "slope", "bias", "error", "seconds"]
    return markdown(heading, table)


@click.command(context_settings={"max_content_width": 99})
@click.option("-m", "--model", default="runs/mnist-values", show_default=True)
@click.option("--scale", "scales", multiple=True, type=click.FloatRange(0), default=SCALES)
@click.option("-n", "--images", type=click.IntRange(10), default=1000, show_default=True)
@measuring("bfloat16")
def main(model: str, scales: tuple[float, ...], images: int, job: Job) -> None:
    """Measure of samples what they were told, one number at a time, at scales of guidance.

    At scale 0 nothing is told: what is there by chance.
    """
    subject, record = load(model, job), Record(job.output)
    about, rows = subject.model.info.values, []
    for name in about.names if about else ():
        for scale in dict.fromkeys(scales):
            tables = PLAIN | {"guidance": {"scale": scale}}
            drawer = ddpm_cli.load(model, settings={"compute": job.compute} | tables)
            key = {"value": name, "scale": scale}
            key |= subject.key(subject.config(tables), images)
            row = record(key, measured, drawer, subject, name, images)
            rows.append((name, scale, row))
            say(f"{name} {scale:g}: correlation {row['correlation']:.3f}")
    flat = ({"value": name, "scale": scale, **row} for name, scale, row in rows)
    job.show(flat, lambda: report(rows))


if __name__ == "__main__":
    main()
