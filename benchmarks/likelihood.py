"""Bits per dimension of test digits, by the variational bound and by the probability-flow ODE.

Every cell is kept in a record as soon as it is measured, so a stopped run goes on.
"""

import time
from typing import Any, NamedTuple

import click
from cells import Record, Row, markdown, number, say
from command_line import Job, measuring

from ddpm_cli.data.sets import images as sets
from ddpm_cli.models import build, classes, kinds
from ddpm_cli.models.kinds import of_classes
from ddpm_cli.models.model import Model, opened
from ddpm_cli.pipelines import meter, nll_plan, opening, rows
from ddpm_cli.pipelines.meter import Meter
from ddpm_cli.pipelines.nll_plan import Measure
from ddpm_cli.settings.config import Config, Layer
from ddpm_cli.settings.nll_requests import Method
from ddpm_cli.settings.usual import likelihood

ALL = "all"


class Way(NamedTuple):
    """One line of the table: method, sampler of the ODE, number of levels (0: all)."""

    method: str
    levels: int
    sampler: str = ""

    @property
    def title(self) -> str:
        """What the table calls it."""
        count = f"{self.levels or ALL} levels"
        return f"bound, {count}" if self.method == "vlb" else f"ODE, {self.sampler}, {count}"

    def layers(self, config: Config) -> list[Layer]:
        """The settings above those of the checkpoint."""
        if self.method == "vlb":
            bound = nll_plan.bound(config, build.schedule(config), respaced=bool(self.levels))
            count = {"levels": {"count": self.levels}} if self.levels else {}
            return [bound, Layer("benchmark", count)]
        sampler: dict[str, Any] = {"name": self.sampler}
        if self.sampler == "dpm-solver-single":
            sampler["order"] = 3
        tables = {"sampler": sampler, "levels": {"count": self.levels}}
        return [likelihood(config), Layer("benchmark", tables)]


def load(name: str, way: Way, job: Job) -> Model:
    """A model with the settings of a way to measure it."""
    place, header = opening.chosen(name)
    layers = [*way.layers(header.config), Layer("machine", {"compute": job.compute})]
    return opened(place, opening.settled(place, header, layers))


def measured(model: Model, measure: Measure, count: int, batch: int, is_told: bool) -> Row:
    """The mean over the first digits, its standard error, and what it cost.

    is_told: the model knows the class of each digit, instead of the null class.
    """
    counted, bits = Meter(model, measure), list[float]()
    began = time.perf_counter()
    label = classes.fixed(None, model.config)
    data, nulls = sets.mnist("test"), kinds.nulls(model.config, model.info)
    for part in rows.of_set(data, model.info, range(count), batch, measure.bits, nulls):
        numbers = classes.numbers(label, part.numbers, model.config, model.info)
        told = of_classes(part.told["classes"].tolist() if is_told else numbers)
        each = counted(part.values, part.numbers, told)
        bits += [] if each is None else each.tolist()
    seconds = time.perf_counter() - began
    mean, error = meter.mean(bits)
    return {
        "bits": mean,
        "error": error,
        "calls": counted.calls / count,
        "seconds": round(seconds / count, 3),
        "each": [round(value, 4) for value in bits],
    }


def report(results: list[tuple[str, Way, Row]]) -> str:
    """The table in Markdown."""
    heading = ["model and method", "bits/dim", "standard error", "network calls", "s an image"]
    cells = [
        [
            f"{name}: {way.title}",
            number(row["bits"], 3),
            number(row["error"], 3),
            number(row["calls"], 0),
            number(row["seconds"], 2),
        ]
        for name, way, row in results
    ]
    return markdown(heading, cells)


@click.command(context_settings={"max_content_width": 99})
@click.option("-m", "--model", "names", multiple=True, default=["mnist"], help="May be repeated.")
@click.option("-n", "--images", type=click.IntRange(min=2), default=1000, show_default=True)
@click.option(
    "--bound",
    type=click.IntRange(min=0),
    multiple=True,
    default=[0, 250, 100],
    help="Numbers of levels of the bound; 0 takes all.",
)
@click.option(
    "--ode",
    type=click.IntRange(min=3),
    multiple=True,
    default=[25, 50],
    help="Numbers of levels of the ODE.",
)
@click.option(
    "--sampler",
    "samplers",
    type=click.Choice(["heun", "dpm-solver-single"]),
    multiple=True,
    default=["dpm-solver-single"],
    help="Of the ODE.",
)
@click.option("--repeats", type=click.IntRange(min=1), default=1, show_default=True)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--class", "label", type=click.Choice(["none", "own"]), default="none")
@measuring()
def main(
    names: tuple[str, ...],
    images: int,
    bound: tuple[int, ...],
    ode: tuple[int, ...],
    samplers: tuple[str, ...],
    repeats: int,
    seed: int,
    label: str,
    job: Job,
) -> None:
    """Print bits per dimension of the first test digits, by model and method."""
    record, results = Record(job.output), list[tuple[str, Way, Row]]()
    ways = [Way("vlb", count) for count in bound]
    ways += [Way("ode", count, sampler) for sampler in samplers for count in ode]
    for name in names:
        for way in ways:
            model = load(name, way, job)
            method: Method = "vlb" if way.method == "vlb" else "ode"
            measure = Measure(method, repeats=repeats, seed=seed)
            key = {"model": model.header.hash, **way._asdict(), **measure._asdict()}
            key |= {"images": images, "class": label, "dtype": job.dtype}
            row = record(key, measured, model, measure, images, job.batch, label == "own")
            say(f"{name}, {way.title}: {row['bits']:.4f}, {row['seconds']:.2f} s an image")
            results.append((name, way, row))
    rows_of = ({"name": name, **way._asdict(), **row} for name, way, row in results)
    job.show(rows_of, lambda: report(results))


if __name__ == "__main__":
    main()
