"""Undo what a filter did to held-out images, with models of task pairs: how close, how varied.

Each model gets what its filters leave of the images that its own training kept back.
"""

from collections.abc import Sequence
from pathlib import Path

import click
import torch
from cells import PLAIN, Record, Row, markdown, mean, say
from command_line import Job, measuring
from torch import Tensor

import ddpm_cli
from ddpm_cli.data.tasks import pairs
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.evaluation.fidelity import psnr
from ddpm_cli.files.images.pixels import encode_png, to_uint8
from ddpm_cli.models import build, datasets
from ddpm_cli.training.batches import scaled

COLUMNS = 8  # of a sheet


def kept(model: ddpm_cli.Model, count: int) -> Tensor:
    """The first images [N, C, H, W] in [-1, 1] that a model's training kept back, or all."""
    held = datasets.images(model.config, "test")
    return scaled(held[torch.arange(min(count, len(held)))][0])


def given(model: ddpm_cli.Model, x0: Tensor, place: int) -> Tensor:
    """What a filter leaves of images; where pixels are missing opacity is a further plane."""
    task = build.task(model.config, model.info)
    if not isinstance(task, pairs) or not task.filters:
        raise click.UsageError("the models are those of task pairs with a filter")
    made = task.filtered(x0, Rng(range(len(x0))), torch.full((len(x0),), place))
    opacity = [made.known * 2.0 - 1] * (not bool(made.known.all()))
    return torch.cat([made.images, *opacity], dim=1)


def measured(model: ddpm_cli.Model, name: str, x0: Tensor, left: Tensor, batch: int) -> Row:
    """PSNR in dB of what is given and of what is made of it, and how far two proposals differ.

    That is the root of their mean squared difference, in levels of 255.
    """
    count, channels = len(x0), x0.shape[1]
    first, second = (
        model.sample([seed + i for i in range(count)], image=left, task=name, batch=batch)
        for seed in (0, count)
    )
    apart = ((first - second) * 127.5).square().mean((1, 2, 3)).sqrt()
    return {
        "given": psnr(left[:, :channels], x0).tolist(),
        "psnr": psnr(first, x0).tolist(),
        "apart": apart.tolist(),
        "images": [sheet.tolist() for sheet in to_uint8(first[:COLUMNS])],
    }


def sheet(rows: Sequence[Tensor]) -> bytes:
    """A PNG with a row for each of what is given, made and meant."""
    lines = [torch.cat(list(row[:COLUMNS]), dim=-1) for row in rows]
    return encode_png(torch.cat(lines, dim=1))


def report(rows: Sequence[Row]) -> str:
    """A row a model and filter."""
    table = []
    for row in rows:
        cells = [f"{a:.2f} ± {b:.2f}" for a, b in (mean(row[k]) for k in ("given", "psnr"))]
        table.append(
            [row["key"]["name"], row["key"]["filter"], *cells, f"{mean(row['apart'])[0]:.1f}"]
        )
    heading = ["model", "filter", "PSNR given, dB", "PSNR made, dB", "apart"]
    return markdown(heading, table)


@click.command(context_settings={"max_content_width": 99})
@click.argument("models", nargs=-1, required=True)
@click.option("-n", "--images", type=click.IntRange(2), default=200, show_default=True)
@click.option("--steps", type=click.IntRange(min=1), default=50, show_default=True)
@click.option("--sheet", "drawn", type=click.Path(path_type=Path), help="Given, made, meant.")
@measuring()
def main(models: tuple[str, ...], images: int, steps: int, drawn: Path | None, job: Job) -> None:
    """Give MODELS what their filters leave of images that they never saw.

    ± is one standard error; proposals of two seeds differ where much is missing.
    """
    record, rows, lines = Record(job.output), list[Row](), list[Tensor]()
    for name in models:
        tables = PLAIN | {"levels": {"count": steps}, "compute": job.compute}
        model = ddpm_cli.load(name, settings=tables)
        x0 = kept(model, images)
        for place, undone in enumerate(model.config["task"]["filter"]):
            left = given(model, x0, place)
            key = {"name": name, "model": model.hash, "filter": undone, "images": len(x0)}
            row = record(key | {"steps": steps}, measured, model, undone, x0, left, job.batch)
            say(f"{name}, {undone}: {mean(row['psnr'])[0]:.2f} dB")
            rows.append(row)
            made = torch.tensor(row["images"], dtype=torch.uint8)
            lines += [to_uint8(left[:COLUMNS, : x0.shape[1]]), made, to_uint8(x0[:COLUMNS])]
    if drawn is not None:
        drawn.write_bytes(sheet(lines))
    flat = (
        {**row["key"], **{k: mean(row[k])[0] for k in ("given", "psnr", "apart")}} for row in rows
    )
    job.show(flat, lambda: report(rows))


if __name__ == "__main__":
    main()
