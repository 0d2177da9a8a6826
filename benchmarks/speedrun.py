"""The digit speedrun: from nothing to a Frechet distance, by operations and by minutes.

Each cell is a run of its own length: `ddpm train --budget`, whose learning rate ends with it.
"""

import os
import platform
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import torch
from cells import Record, Row, markdown, number, say
from command_line import show
from quality import run, score
from scoring import Scorer

from ddpm_cli import hardware
from ddpm_cli.files.checkpoints.header import read_header
from ddpm_cli.models import flops as operations


def machine() -> Row:
    """What the minutes depend on: processor, instructions, cores, versions."""
    # As `ddpm train` takes it: a processor held to float32 is not one that has bfloat16.
    compute = hardware.compute(dtype=os.environ.get("DDPM_DTYPE", "auto"))
    return {
        "processor": _processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "bfloat16": compute.dtype == torch.bfloat16,
        "cores": hardware.cores(),
        "device": compute.device.type,
        "torch": torch.__version__,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def spent(folder: Path) -> float:
    """Floating-point operations that a run's steps took."""
    header = read_header(folder / "model.safetensors")
    return float(operations.training(header.config, header.data) * header.step)


def measured(
    scorer: Scorer, budget: str, seed: int, images: int, preset: str, options: Sequence[str]
) -> Row:
    """Train within a budget, then draw and score; only the time of `ddpm train` is its minutes."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "run"
        words = ["train", "--preset", preset, "--budget", budget, "--seed", str(seed)]
        seconds = run([*words, "-o", str(folder), *options])
        row = {
            "minutes": round(seconds / 60, 2),
            "steps": read_header(folder / "model.safetensors").step,
            "flops": spent(folder),
        }
        return row | score(scorer, str(folder), images, 50, []) | machine()


def report(rows: Sequence[Row]) -> str:
    """The curve: a line for each budget, the median over its seeds and all of them."""
    cells: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        cells[row["key"]["preset"], row["key"]["budget"]].append(row)
    lines = []
    for (preset, budget), each in cells.items():
        middle = {
            name: statistics.median(float(row[name]) for row in each)
            for name in ("flops", "minutes", "steps", "frechet", "agreement")
        }
        lines.append(
            [
                preset,
                budget,
                f"{middle['flops']:.2g}",
                number(middle["minutes"], 1),
                number(middle["steps"], 0),
                number(middle["frechet"]),
                " ".join(number(row["frechet"]) for row in each),
                f"{100 * middle['agreement']:.1f} %",
            ]
        )
    heading = ["preset", "budget", "FLOPs", "minutes", "steps", "Frechet", "seeds"]
    return markdown([*heading, "agreement"], lines)


@click.command(context_settings={"max_content_width": 99})
@click.option("--preset", default="mnist", show_default=True, help="What to train.")
@click.option(
    "--budget",
    "budgets",
    multiple=True,
    default=("20m",),
    show_default=True,
    help="Of training: 20m, 1h or 6e13flop; repeat it for a curve.",
)
@click.option("--seeds", type=click.IntRange(min=1), default=1, show_default=True)
@click.option("-n", "--images", type=click.IntRange(min=100), default=2048, show_default=True)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The record, .jsonl: what it holds is not measured again.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@click.argument("train_options", nargs=-1)
def main(
    preset: str,
    budgets: tuple[str, ...],
    seeds: int,
    images: int,
    output: Path | None,
    as_json: bool,
    train_options: tuple[str, ...],
) -> None:
    """Print the Frechet distance of digits against the budget of training, seeds 0 and up.

    The clock runs from the start of `ddpm train` to its end. Options of ddpm train may follow
    after --, for example -- --set data.path=FOLDER.
    """
    scorer, record, rows = Scorer(), Record(output), []
    for budget in budgets:
        for seed in range(seeds):
            key: dict[str, Any] = {"preset": preset, "budget": budget, "seed": seed}
            key |= {"images": images, "options": list(train_options)}
            began = time.perf_counter()
            rows.append(record(key, measured, scorer, budget, seed, images, preset, train_options))
            took = (time.perf_counter() - began) / 60
            say(f"{budget}, seed {seed}: {rows[-1]['frechet']:.2f} ({took:.1f} min in all)")
    floor = scorer.floor(images)
    ends = f"{images} images, at most 50 network calls; real digits score {floor:.2f}"
    show(rows, lambda: f"{report(rows)}\n{ends}", as_json)


if __name__ == "__main__":
    sys.exit(main())
