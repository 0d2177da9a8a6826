"""Enlarge held-back colour pictures with a trained model: how close they come, and a sheet.

All methods get the same small pictures and, for picture i, the seed i.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import click
import torch
from cells import Row, compared, markdown, mean, say
from command_line import Job, measuring
from torch import Tensor
from upscaling import enlarged, load

from ddpm_cli.data.degradations import enlarge, shrink
from ddpm_cli.data.image_set import ImageSet
from ddpm_cli.data.sets import images as sets
from ddpm_cli.evaluation.fidelity import psnr
from ddpm_cli.files.checkpoints import find
from ddpm_cli.files.checkpoints.header import read_header
from ddpm_cli.files.images.pixels import encode_png, from_uint8, to_uint8
from ddpm_cli.settings.config import Layer, resolve

METHODS = ("bicubic", "model", "consistent model")
COLUMNS = 8  # of a sheet


def pictures(name: str, path: str, count: int) -> Tensor:
    """The first pictures uint8 [N, C, H, W] that a model's training kept back, or all of them."""
    header = read_header(find.find(name).path)
    data = {"data": {"name": "archive", "path": path}}
    settings = resolve([Layer(name, header.config), Layer("benchmark", data)])["data"]
    kept: ImageSet = sets.archive("test", **{k: v for k, v in settings.items() if k != "name"})
    return kept[torch.arange(min(count or len(kept), len(kept)))][0]


def results_of(
    method: str, name: str, small: Tensor, factor: float, steps: int, job: Job
) -> Tensor:
    """The pictures that a method makes of small ones."""
    if method == "bicubic":
        size = (round(small.shape[-2] * factor), round(small.shape[-1] * factor))
        return to_uint8(enlarge(from_uint8(small).double(), size))
    subject = load(name, steps, job, exact=method.startswith("consistent"))
    return enlarged(subject, small, job.batch)


def sheet(rows: list[Tensor]) -> bytes:
    """A PNG with a row for each method, of pictures spread over all."""
    chosen = torch.linspace(0, len(rows[0]) - 1, COLUMNS).long()
    lines = [torch.cat(list(row[chosen]), dim=-1) for row in rows]
    return encode_png(torch.cat(lines, dim=1))


def report(rows: Mapping[str, Row]) -> str:
    """A row a method, and the paired differences to bicubic."""
    table = []
    for method, row in rows.items():
        near, more = mean(row["psnr"]), compared(row, rows["bicubic"], "psnr")
        less = "" if method == "bicubic" else f"{more[0]:+.2f} ± {more[1]:.2f}"
        table.append([method, f"{near[0]:.2f} ± {near[1]:.2f}", less])
    return markdown(["", "PSNR, dB", "less bicubic"], table)


@click.command(context_settings={"max_content_width": 99})
@click.argument("model")
@click.argument("archive", type=click.Path(exists=True, dir_okay=False))
@click.option("-n", "--images", type=click.IntRange(0), default=0, help="How many; 0 takes all.")
@click.option("--steps", type=click.IntRange(min=1), default=50, show_default=True)
@click.option("--sheet", "drawn", type=click.Path(path_type=Path), help="Rows: methods, original.")
@measuring()
def main(
    model: str,
    archive: str,
    images: int,
    steps: int,
    drawn: Path | None,
    job: Job,
) -> None:
    """Enlarge the pictures of an ARCHIVE that MODEL, trained on the rest of it, never saw."""
    whole = pictures(model, archive, images)
    factor = read_header(find.find(model).path).config["task"]["factor"]
    small = to_uint8(shrink(from_uint8(whole), factor))
    rows: dict[str, Row] = {}
    results = []
    for method in METHODS:
        results.append(results_of(method, model, small, factor, steps, job))
        rows[method] = {"psnr": psnr(from_uint8(results[-1]), from_uint8(whole)).tolist()}
        say(f"{method}: {mean(rows[method]['psnr'])[0]:.2f} dB")
    if drawn is not None:
        drawn.write_bytes(sheet([*results, whole]))
    if job.output is not None:
        job.output.write_text("".join(json.dumps({"key": m, **r}) + "\n" for m, r in rows.items()))
    flat = (
        {"method": method, "pictures": len(whole), "psnr": mean(row["psnr"])[0]}
        for method, row in rows.items()
    )
    job.show(flat, lambda: report(rows))


if __name__ == "__main__":
    main()
