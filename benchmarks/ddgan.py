"""Denoising diffusion GANs at their few calls: modes covered, and how near to them samples are.

Of eight normals around a circle the modes are known; of digits the Frechet distance and the recall
stand for both. A run without a latent (latent.size=0) beside one with it shows what it is for.
"""

import json
import math
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

import click
import torch
from cells import markdown
from command_line import show
from torch import Tensor

import ddpm_cli

NEAR = 3.0  # deviations from a mode within which a sample belongs to it: 98.9 % of true ones
COVERED = 0.25  # of its share that a mode has at least

Row = dict[str, Any]


def modes(x: Tensor, radius: float, deviation: float) -> Row:
    """Which of eight normals are covered by points [N, 2], and how well."""
    angle = torch.arange(8) * (math.pi / 4)
    centres = radius * torch.stack([angle.cos(), angle.sin()], dim=1)
    distance, which = torch.cdist(x.float(), centres).min(1)
    near = distance < NEAR * deviation
    shares = torch.bincount(which[near], minlength=8) / len(x)
    spread = (distance[near].square().mean() / 2).sqrt() / deviation
    return {
        "modes": int((shares > COVERED / 8).sum()),
        "near": float(near.float().mean()),
        "least": float(shares.min()),
        "most": float(shares.max()),
        "spread": float(spread),
    }


def points(name: str, count: int) -> Row:
    """Samples of a run on eight-gaussians."""
    model = ddpm_cli.load(name)
    data = model.config["data"]
    began = time.perf_counter()
    x = model.sample(range(count), batch=count)
    seconds = time.perf_counter() - began
    return {"seconds": round(seconds, 2)} | modes(x, data["radius"], data["deviation"])


def digits(name: str, count: int) -> Row:
    """Samples of a run on digits, measured by `ddpm eval` under the protocol digits."""
    words = [sys.executable, "-m", "ddpm_cli", "eval", name, "--protocol", "digits"]
    began = time.perf_counter()
    done = subprocess.run([*words, "-n", str(count), "--json"], stdout=subprocess.PIPE, check=True)
    seconds = time.perf_counter() - began
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    values = {line["metric"]: line["value"] for line in lines if "metric" in line}
    return {"seconds": round(seconds, 1)} | values


def report(rows: Sequence[Row]) -> str:
    """A row for each run, all that any of them has in columns."""
    keys = list(dict.fromkeys(key for row in rows for key in row))
    shown = [[_shown(row.get(key, "")) for key in keys] for row in rows]
    return markdown(keys, shown)


def _shown(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


@click.command(context_settings={"max_content_width": 99})
@click.argument("models", nargs=-1, required=True)
@click.option("-n", "--count", type=click.IntRange(20), default=2048, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def main(models: tuple[str, ...], count: int, as_json: bool) -> None:
    """Measure MODELS, runs on eight-gaussians or on digits, with their own walk."""
    rows = []
    for name in models:
        model = ddpm_cli.load(name)
        steps = model.config["levels"].get("count")
        measure = digits if model.info.is_image else points
        rows.append({"model": name, "calls": steps, "n": count} | measure(name, count))
    show(rows, lambda: report(rows), as_json)


if __name__ == "__main__":
    main()
