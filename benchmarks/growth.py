"""How time and memory of training and sampling grow with batch, image side and number of images.

Each cell is one `ddpm train` or `ddpm sample` in a process of its own, from start to end; the
memory is the most that the process held at once. Pictures are noise: neither depends on them.
"""

import json
import math
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
from command_line import show
from PIL import Image

PICTURES = 256  # of each side, to train with
NETWORK = ("--preset", "mnist", "--set", "network.classes=0", "--set", "data.labels=none")
QUIET = ("train.sheet_count=0", "train.warmup=0", "train.measure_every=1000000")


class Cell(NamedTuple):
    """A row of the table: train so many steps, or sample so many images."""

    verb: str
    side: int
    batch: int
    count: int


class Scale(NamedTuple):
    """Which cells there are; each of the three grows while the others stay."""

    batches: tuple[int, ...] = (16, 32, 64, 128, 256)
    sides: tuple[int, ...] = (28, 64, 128, 256)
    counts: tuple[int, ...] = (64, 256, 1024)
    steps: tuple[int, ...] = (10, 40, 160)
    at_side: int = 8  # the batch while the side grows

    def cells(self) -> Iterator[Cell]:
        """Training cells of a side come before its sampling cells, which take their model."""
        small, middle = self.sides[0], self.batches[len(self.batches) // 2]
        yield from (Cell("train", small, batch, self.steps[0]) for batch in self.batches)
        yield from (Cell("train", side, self.at_side, self.steps[0]) for side in self.sides)
        yield from (Cell("train", small, middle, steps) for steps in self.steps[1:])
        yield from (Cell("sample", small, batch, self.batches[-1]) for batch in self.batches)
        yield from (Cell("sample", side, self.at_side, self.at_side) for side in self.sides)
        yield from (Cell("sample", small, middle, count) for count in self.counts)


def pictures(path: Path, side: int) -> Path:
    """An archive of grey noise, the same at every call."""
    noise = np.random.default_rng(side).integers(0, 256, (PICTURES, side, side), np.uint8)
    with zipfile.ZipFile(path, "w") as archive:
        for number, pixels in enumerate(noise):
            file = BytesIO()
            Image.fromarray(pixels).save(file, "PNG")
            archive.writestr(f"{number:04}.png", file.getvalue())
    return path


def command(cell: Cell, folder: Path, calls: int, compute: Iterable[str]) -> list[str]:
    """What a user would type."""
    run = folder / f"side{cell.side}"
    words = [sys.executable, "-m", "ddpm_cli", cell.verb, "--quiet", "--batch", str(cell.batch)]
    if cell.verb == "train":
        data = f'data={{name="archive", path="{run}.zip", mode="L"}}'
        words += [*NETWORK, "--set", data, "--steps", str(cell.count), "-o", str(run), "--force"]
        settings = [*QUIET, f"train.log_every={max(cell.count // 2, 1)}"]
    else:
        words += ["-m", str(run), "-n", str(cell.count), "-o", str(folder / "drawn"), "--force"]
        settings = [f"levels.count={calls}"]
    return words + [word for one in (*settings, *compute) for word in ("--set", one)]


def measure(cell: Cell, folder: Path, calls: int, compute: Iterable[str]) -> dict[str, Any]:
    """Run a cell: seconds of the whole command, most megabytes, images a second of training."""
    archive = folder / f"side{cell.side}.zip"
    if not archive.exists():
        pictures(archive, cell.side)
    began = time.perf_counter()
    words = command(cell, folder, calls, compute)
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise click.ClickException(f"{cell} ended with {process.returncode}")
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes
    row = {**cell._asdict(), "seconds": seconds, "megabytes": usage.ru_maxrss * unit / 1e6}
    if cell.verb == "train":
        last = (folder / f"side{cell.side}" / "metrics.jsonl").read_text().splitlines()[-1]
        row["images_per_second"] = json.loads(last)["images_per_second"]
    return row


def report(rows: list[dict[str, Any]], calls: int) -> str:
    """The table of docs/measured.md."""
    lines = [
        f"| | side | batch | steps, or images of {calls} calls | seconds | images/s | MB |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        rate = row.get("images_per_second", math.nan)
        speed = "" if math.isnan(rate) else f"{rate:.{0 if rate >= 10 else 1}f}"
        lines.append(
            "| {verb} | {side} | {batch} | {count} | {seconds:.1f} | ".format(**row)
            + f"{speed} | {row['megabytes']:.0f} |"
        )
    return "\n".join(lines)


def _numbers(_: Any, parameter: click.Parameter, value: str) -> tuple[int, ...]:
    try:
        found = tuple(int(part) for part in value.split(",") if int(part) > 0)
    except ValueError:
        found = ()
    if not found:
        raise click.BadParameter(f"give whole numbers as {parameter.default}")
    return found


def _listed(name: str, default: tuple[int, ...], help: str) -> Any:
    return click.option(
        name, callback=_numbers, default=",".join(map(str, default)), show_default=True, help=help
    )


@click.command()
@_listed("--batches", Scale().batches, "Batches, at the first side.")
@_listed("--sides", Scale().sides, "Sides of the images, in pixels.")
@_listed("--counts", Scale().counts, "Images drawn.")
@_listed("--steps", Scale().steps, "Steps trained; the first in all cells but those of time.")
@click.option("--at-side", type=click.IntRange(1), default=Scale().at_side, show_default=True,
              help="The batch while the side grows.")  # fmt: skip
@click.option("--calls", type=click.IntRange(1), default=4, show_default=True)
@click.option("--dtype", default="auto", show_default=True, help="Of the network's numbers.")
@click.option("--threads", type=click.IntRange(0), default=0, help="0: torch's choice.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def main(calls: int, dtype: str, threads: int, as_json: bool, **scale: Any) -> None:
    """Measure seconds and peak memory of `ddpm train` and `ddpm sample` as a job grows.

    The network is the preset mnist's, without classes; seconds are those of the whole command.
    """
    compute = (f"compute.dtype={dtype}", f"compute.threads={threads}")
    with tempfile.TemporaryDirectory() as folder:
        cells = Scale(**scale).cells()
        rows = [measure(cell, Path(folder), calls, compute) for cell in dict.fromkeys(cells)]
    show(rows, lambda: report(rows, calls), as_json)


if __name__ == "__main__":
    main()
