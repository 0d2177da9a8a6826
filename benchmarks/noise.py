"""What noise costs: Philox, which makes a batch at once, beside one generator of torch an image.

A walk makes its generators once and draws at every move; a step of training makes them anew and
draws once. Both take turns within a process.
"""

import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, get_args

import click
import torch
from command_line import show

from ddpm_cli import hardware
from ddpm_cli.diffusion.rng import Kind, Randomness

SHAPES = ("1x28x28", "3x32x32", "3x64x64", "3x256x256")
MOVES = 16  # of a walk
MOST = 2**24  # numbers of a draw


def seconds(work: Callable[[], object], finish: Callable[[], None]) -> float:
    """Time of some work."""
    finish()
    began = time.perf_counter()
    work()
    finish()
    return time.perf_counter() - began


def walk(kind: Kind, like: torch.Tensor) -> None:
    """The noise of a walk of a batch."""
    rng = Randomness(kind).rng(range(len(like)))
    for _ in range(MOVES):
        rng.normal(like)


def step(kind: Kind, like: torch.Tensor) -> None:
    """The noise of a step of training, and two uniform numbers an image."""
    rng = Randomness(kind).rng(0, "image", 5, range(len(like)))
    rng.uniform(2, like.device)
    rng.normal(like)


def row(shape: str, batch: int, device: torch.device, rounds: int) -> dict[str, Any]:
    """Medians in nanoseconds a number, the kinds taking turns; one round warms up."""
    finish = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    like = torch.empty(batch, *map(int, shape.split("x")), device=device)
    times: dict[str, list[float]] = {}
    for number in range(rounds + 1):
        for (name, work, draws), kind in itertools.product(
            (("walk", walk, MOVES), ("step", step, 1)), get_args(Kind)
        ):
            took = seconds(lambda work=work, kind=kind: work(kind, like), finish)  # type: ignore[misc]
            if number:
                times.setdefault(f"{name}_{kind}", []).append(1e9 * took / draws / like.numel())
    return {"shape": shape, "batch": batch} | {k: statistics.median(v) for k, v in times.items()}


def report(rows: Sequence[dict[str, Any]]) -> str:
    """A line a shape and batch."""
    names = [key for key in rows[0] if key not in ("shape", "batch")]
    lines = [f"{'ns a number':12}{'batch':>6}" + "".join(f"{name:>14}" for name in names)]
    for one in rows:
        figures = "".join(f"{one[name]:14.2f}" for name in names)
        lines.append(f"{one['shape']:12}{one['batch']:6}{figures}")
    return "\n".join(lines)


@click.command()
@click.option("--shape", "shapes", multiple=True, default=SHAPES, show_default=True)
@click.option(
    "--batch", "batches", multiple=True, type=click.IntRange(1), default=(1, 64, 128, 256)
)
@click.option("--rounds", type=click.IntRange(min=1), default=9, show_default=True)
@click.option("--device", default="cpu", show_default=True)
@click.option("--threads", type=click.IntRange(0), default=1, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def main(
    shapes: tuple[str, ...],
    batches: tuple[int, ...],
    rounds: int,
    device: str,
    threads: int,
    as_json: bool,
) -> None:
    """Measure what the noise of a walk and of a step of training costs, by what makes it."""
    place = hardware.compute(device=device, threads=threads).device
    sizes = {shape: torch.Size(map(int, shape.split("x"))).numel() for shape in shapes}
    rows = [
        row(shape, batch, place, rounds)
        for shape, batch in itertools.product(shapes, batches)
        if batch * sizes[shape] <= MOST
    ]
    show(rows, lambda: report(rows), as_json)


if __name__ == "__main__":
    main()
