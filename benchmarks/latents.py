"""How well test digits come back from their latents, and whether two models agree on them.

Every cell is kept in a record as soon as it is measured, so a stopped run goes on.
"""

from collections.abc import Sequence
from typing import Any

import click
import torch
from cells import Record, Row, markdown, number, say
from command_line import Job, measuring
from torch import Tensor

from ddpm_cli.api.handle import finished
from ddpm_cli.data.image_set import Conditions
from ddpm_cli.data.sets import images as sets
from ddpm_cli.evaluation.fidelity import psnr
from ddpm_cli.files.checkpoints import find
from ddpm_cli.files.checkpoints.header import read_header
from ddpm_cli.files.images.pixels import from_uint8
from ddpm_cli.models import model, saved
from ddpm_cli.models.asked import Asked
from ddpm_cli.pipelines import inversion
from ddpm_cli.pipelines.inversion import Coder
from ddpm_cli.settings.config import Layer, resolve
from ddpm_cli.settings.request_parts import Use
from ddpm_cli.settings.usual import CODING

SAMPLERS: dict[str, dict[str, Any]] = {
    "ddim": {"name": "ddim"},
    "heun": {"name": "heun"},
    "dpm-solver-2": {"name": "dpm-solver-single", "order": 2},
    "dpm-solver-3": {"name": "dpm-solver-single", "order": 3},
    "dpm++2m": {"name": "dpm-solver-pp-multi", "order": 2},
}
STEPS = (10, 20, 50, 100)


def load(name: str, sampler: str, levels: dict[str, Any], job: Job) -> Coder:
    """A model with a way to encode."""
    place = find.find(name)
    header = read_header(place.path)
    tables = {"sampler": SAMPLERS[sampler], "levels": levels, "compute": job.compute}
    layers = [Layer(name, header.config), CODING, Layer("benchmark", tables)]
    return Coder.of(model.opened(place, resolve(layers)))


def digits(count: int) -> Tensor:
    """The first test digits uint8 [count, 1, 28, 28]."""
    return sets.mnist("test")[torch.arange(count)][0]


def untold(coder: Coder, count: int) -> Conditions:
    """The null class of each image, if the model takes classes."""
    return Asked.given(Use(), coder.model.config, coder.model.info).conditions(range(count))


def round_trip(coder: Coder, pixels: Tensor, batch: int) -> Row:
    """PSNR of each digit after encoding and decoding, in dB, and what that cost."""
    decibels: list[float] = []
    for part in pixels.split(batch):
        x0 = from_uint8(part)
        z = finished(coder.encode(x0, untold(coder, len(part)), {}))
        again = finished(coder.decode(z, untold(coder, len(part)), {}))
        decibels += psnr(again.cpu(), x0).tolist()
    values = torch.tensor(decibels)
    calls = inversion.plan(coder.model.config, coder.model.schedule).calls
    spread = {"median": float(values.median()), "least": float(values.min())}
    return {**spread, "calls": calls, "images": len(values)}


def encoded(coder: Coder, pixels: Tensor, batch: int) -> Tensor:
    """Latents of digits, flattened: [N, D]."""
    latents = [
        finished(coder.encode(from_uint8(part), untold(coder, len(part)), {}))
        for part in pixels.split(batch)
    ]
    return torch.cat([z.cpu().flatten(1) for z in latents])


def correlations(a: Tensor, b: Tensor) -> Tensor:
    """Pearson's correlation of each row of a [N, D] with each of b [M, D]: [N, M]."""
    a, b = (v - v.mean(1, keepdim=True) for v in (a.double(), b.double()))
    return a @ b.T / (a.norm(dim=1)[:, None] * b.norm(dim=1))


def agreement(table: Tensor) -> Row:
    """Correlations [N, N] between two models: of the same digits, and of others.

    identified: the share of digits whose latent is closest to the other model's of that digit.
    """
    count = len(table)
    same, others = table.diagonal(), table[~torch.eye(count, dtype=torch.bool)]
    right = table.argmax(1) == torch.arange(count)
    return {
        "same": float(same.mean()),
        "same_error": float(same.std() / count**0.5),
        "different": float(others.mean()),
        "different_spread": float(others.std()),
        "identified": float(right.float().mean()),
        "images": count,
    }


def common_top(paths: Sequence[str]) -> float:
    """The highest level that all models know, at most the one that encoding starts from."""
    tops = [160.0]
    for path in paths:
        place = find.find(path)
        schedule = saved.schedule_of(read_header(place.path), place.path)
        tops.append(float(schedule.sigma(torch.ones((), dtype=torch.float64))))
    return min(tops)


def compare(first: str, second: str, steps: int, pixels: Tensor, job: Job) -> Row:
    """How two models' latents of the same digits, at the same level, correlate."""
    levels = {"name": "logsnr", "count": steps, "high": common_top([first, second])}
    both = [
        encoded(load(name, "heun", levels, job), pixels, job.batch) for name in (first, second)
    ]
    return agreement(correlations(*both))


def report(trips: dict[str, dict[int, Row]], compared: Row | None) -> str:
    """The tables in Markdown."""
    steps = sorted({count for row in trips.values() for count in row})
    parts = []
    if trips:
        cells = [
            [name, *(number(row[n]["median"] if n in row else None, 1) for n in steps)]
            for name, row in trips.items()
        ]
        parts.append(markdown(["median PSNR, dB", *(f"{n} steps" for n in steps)], cells))
    if compared is not None:
        same, error = number(compared["same"], 3), number(compared["same_error"], 3)
        other, spread = number(compared["different"], 3), number(compared["different_spread"], 3)
        parts.append(
            f"Correlation of two models' latents, {compared['images']} digits: of the same digit "
            f"{same} +- {error}, of different ones {other} (standard deviation {spread}); "
            f"{100 * compared['identified']:.0f}% are closest to the other model's of that digit."
        )
    return "\n\n".join(parts)


@click.command(context_settings={"max_content_width": 99})
@click.argument("name", metavar="[MODEL]", default="mnist")
@click.argument("other", required=False)
@click.option("-n", "--images", type=click.IntRange(min=2), default=100, show_default=True)
@click.option("--steps", type=click.IntRange(min=3), multiple=True, default=STEPS)
@click.option(
    "--sampler", "samplers", type=click.Choice(list(SAMPLERS)), multiple=True, default=[*SAMPLERS]
)
@click.option("--compare-only", is_flag=True, help="Leave the round trips out.")
@click.option("--compare-steps", type=click.IntRange(min=3), default=50, show_default=True)
@measuring()
def main(
    name: str,
    other: str | None,
    images: int,
    steps: tuple[int, ...],
    samplers: tuple[str, ...],
    compare_only: bool,
    compare_steps: int,
    job: Job,
) -> None:
    """Print the round-trip PSNR of test digits by sampler and steps.

    With OTHER, a model trained apart from MODEL: how the latents of the same digits correlate,
    and those of different digits (score SDE, Song 2021: encodings are unique).
    """
    record, pixels = Record(job.output), digits(images)
    trips: dict[str, dict[int, Row]] = {}
    for sampler in () if compare_only else samplers:
        for count in sorted({*steps}):
            coder = load(name, sampler, {"name": "logsnr", "count": count}, job)
            key = {"model": coder.model.header.hash, "sampler": sampler, "steps": count}
            key |= {"images": images, "dtype": job.dtype}
            row = record(key, round_trip, coder, pixels, job.batch)
            trips.setdefault(sampler, {})[count] = row
            say(f"{sampler}, {count} steps, {row['calls']} calls: {row['median']:.1f} dB")
    compared = None
    if other is not None:
        hashes = [read_header(find.find(m).path).hash for m in (name, other)]
        key = {"models": hashes, "steps": compare_steps, "images": images, "dtype": job.dtype}
        compared = record(key, compare, name, other, compare_steps, pixels, job)
    rows = [{"sampler": k, "steps": n, **row[n]} for k, row in trips.items() for n in row]
    job.show(rows + ([compared] if compared else []), lambda: report(trips, compared))


if __name__ == "__main__":
    main()
