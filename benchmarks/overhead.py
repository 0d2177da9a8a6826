"""The share of sampling time that is not the network: levels, steps, noise an image, clamping.

Each round walks once with every sampler while a clock runs inside the network's own calls, and
then makes the same number of bare calls.  Weights are random: the time does not depend on them.
"""

import statistics
import time
from collections.abc import Callable
from typing import Any

import click
import torch
from command_line import show
from torch import Tensor, nn

from ddpm_cli import hardware
from ddpm_cli.api import drawing
from ddpm_cli.api.telling import Telling
from ddpm_cli.files.checkpoints.header import Header
from ddpm_cli.models import build, cost, datasets, walks
from ddpm_cli.models.model import Model
from ddpm_cli.settings import presets
from ddpm_cli.settings.config import Config, Layer, resolve

GOAL = 3.0  # percent, of all but ddpm
SAMPLERS = {
    "ddim, eta 0": {"name": "ddim", "eta": 0.0},
    "ddim, eta 1": {"name": "ddim", "eta": 1.0},
    "ddpm": {"name": "ddpm"},
    "heun": {"name": "heun"},
    "dpm-solver++ 2M": {"name": "dpm-solver-pp-multi"},
}


class Clocked(nn.Module):
    """A network that adds up the time of its calls."""

    def __init__(self, network: nn.Module, finish: Callable[[], None]) -> None:
        super().__init__()
        self.network = network
        self.seconds, self.calls = 0.0, 0
        self.last: tuple[tuple[Tensor, ...], dict[str, Tensor]] = ((), {})
        self._finish = finish

    def forward(self, *inputs: Tensor, **condition: Tensor) -> Tensor:
        """Call the network, wait for its result and count the time."""
        self._finish()
        began = time.perf_counter()
        output: Tensor = self.network(*inputs, **condition)
        self._finish()
        self.seconds += time.perf_counter() - began
        self.calls += 1
        self.last = inputs, condition
        return output

    @torch.no_grad()
    def bare(self) -> float:
        """Time of one call with the inputs of the last one, nothing around it."""
        began = time.perf_counter()
        self.network(*self.last[0], **self.last[1])
        self._finish()
        return time.perf_counter() - began


class Bench:
    """The preset's network with random weights, and one timed walk."""

    def __init__(self, config: Config, compute: hardware.Compute, batch: int) -> None:
        self._compute, self._batch = compute, batch
        info = datasets.data_info(datasets.images(config, "test"))
        self._header = Header("model", config, info, step=0)
        network = build.network(config, info).eval().requires_grad_(False)
        finish = torch.cuda.synchronize if compute.device.type == "cuda" else lambda: None
        placed = compute.place(network, cast=True)
        self.clocked = Clocked(compute.run(placed), finish)

    def walk(self, config: Config) -> tuple[float, float, float]:
        """Seconds of making one batch, of its network calls, and of as many bare calls."""
        clocked = self.clocked
        clocked.seconds, clocked.calls = 0.0, 0
        began = time.perf_counter()
        denoiser = build.denoiser(config, clocked)
        model = Model("benchmark", self._header, config, self._compute, denoiser)
        batch = drawing.batches(model, range(self._batch), Telling())(slice(None))
        state = walks.last(model.draw(batch, model.prepared()).states)
        if state is not None:
            model.to_pixels(state.x.cpu())
        total = time.perf_counter() - began
        return total, clocked.seconds, sum(clocked.bare() for _ in range(clocked.calls))


def measure(bench: Bench, configs: dict[str, Config], rounds: int) -> list[dict[str, Any]]:
    """Medians over the rounds, samplers taking turns; one round warms up."""
    times: dict[str, list[tuple[float, float, float]]] = {name: [] for name in configs}
    calls: dict[str, int] = {}
    for number in range(rounds + 1):
        for name, config in configs.items():
            took = bench.walk(config)
            calls[name] = bench.clocked.calls
            if number:
                times[name].append(took)
    return [_row(name, calls[name], times[name]) for name in configs]


def _row(name: str, calls: int, times: list[tuple[float, float, float]]) -> dict[str, Any]:
    total, network, bare = (statistics.median(column) for column in zip(*times, strict=True))
    return {
        "sampler": name,
        "calls": calls,
        "seconds": total,
        "network_seconds": network,
        "bare_seconds": bare,
        "overhead_percent": 100 * statistics.median((t - n) / t for t, n, _ in times),
        "over_bare_percent": 100 * statistics.median((t - b) / t for t, _, b in times),
    }


def report(rows: list[dict[str, Any]]) -> str:
    """One line a sampler."""
    lines = [
        f"{'':16}{'calls':>6}{'seconds':>9}{'network':>9}{'overhead':>10}{'over bare calls':>17}"
    ]
    for row in rows:
        line = f"{row['sampler']:16}{row['calls']:6}{row['seconds']:9.3f}"
        line += f"{row['network_seconds']:9.3f}{row['overhead_percent']:9.2f}%"
        line += f"{row['over_bare_percent']:16.2f}%"
        met = row["overhead_percent"] < GOAL or row["sampler"] == "ddpm"
        lines.append(line + ("" if met else f"  goal < {GOAL:g}%"))
    return "\n".join(lines)


@click.command()
@click.option("--preset", default="mnist", show_default=True, help="Network and levels.")
@click.option("--calls", type=click.IntRange(min=2), default=50, show_default=True)
@click.option("--rounds", type=click.IntRange(min=1), default=9, show_default=True)
@click.option("--batch", type=click.IntRange(min=1), default=64, show_default=True)
@click.option("--threads", type=click.IntRange(min=0), default=0, help="0: torch's choice.")
@click.option(
    "--state",
    type=click.Choice(["float64", "float32"]),
    default="float64",
    show_default=True,
    help="Number format of the walk's state; ddpm sample takes float64.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a sampler.")
def main(
    preset: str, calls: int, rounds: int, batch: int, threads: int, state: str, as_json: bool
) -> None:
    """Measure how much of the time of a walk is spent outside the network.

    overhead: the walk's time less that of its network calls. over bare calls: less that of as
    many calls with nothing between them, so what the walk does to the caches counts as well.
    """
    compute = hardware.compute(threads=threads)._replace(state_dtype=getattr(torch, state))
    below = presets.layers(preset)
    configs = {
        name: resolve([*below, Layer("benchmark", {"sampler": settings})])
        for name, settings in SAMPLERS.items()
    }
    bench = Bench(configs["ddpm"], compute, batch)
    configs = {n: cost.fit_calls(c, build.schedule(c), calls) for n, c in configs.items()}
    rows = measure(bench, configs, rounds)
    place = f"{compute.device.type}, {torch.get_num_threads()} threads, batch {batch}, {state}"
    heading = f"preset {preset}, {place}, medians of {rounds} rounds"
    show(rows, lambda: f"{heading}\n{report(rows)}", as_json)


if __name__ == "__main__":
    main()
