"""`ddpm nll`: how likely a model finds images, in bits per dimension."""

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from ddpm_cli import console
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.options import completion, shared, walking
from ddpm_cli.settings import config as configuration
from ddpm_cli.settings.config import Config, Layer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ddpm_cli.diffusion.schedules import Schedule
    from ddpm_cli.files.checkpoints.checkpoint import Header
    from ddpm_cli.files.checkpoints.find import Found
    from ddpm_cli.pipelines.nll import Asked, Meter
    from ddpm_cli.pipelines.rows import Given, Rows

BATCH = 64
COUNT = 100  # rows of a data set, unless told otherwise
EXACT_ONLY = ("trace", "probes")
BOUND_ONLY = ("variance", "moments", "terms", "rate_distortion")
_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command(
    "nll",
    epilog=shared.examples(
        "ddpm nll a.png digits/ --json",
        "ddpm nll --split test -n 1000",
        "ddpm nll --split test --method vlb --terms terms.csv",
        "ddpm nll --split test --method vlb --steps 100 --class own",
        "ddpm nll a.png --method vlb --rate-distortion curve.csv",
        "ddpm nll --data fashion-mnist --sampler ode --repeats 3",
    ),
)
@click.argument("inputs", metavar="[INPUT...]", nargs=-1, shell_complete=completion.paths)
@shared.component("data", "--data", help="Measure on a data set, by default the model's own.")
@click.option(
    "--split", type=click.Choice(["train", "test"]), help="Of the data; test unless told."
)
@click.option(
    "-n",
    "--count",
    type=click.IntRange(min=1),
    help=f"How many rows of the data, from the first on; {COUNT} unless told.",
)
@shared.model("Model to measure.")
@click.option(
    "--method",
    type=click.Choice(["ode", "vlb"]),
    default="ode",
    show_default=True,
    help="The exact likelihood of the ODE, or the variational bound of ancestral sampling.",
)
@walking.steps(" of the ODE, dpm-solver of order 3 unless told; ode is adaptive")
@click.option("--class", "label", metavar="NAME", help="Class of the images, or own: their own.")
@click.option(
    "--trace",
    type=click.Choice(["exact", "rademacher", "gaussian"]),
    help="Exact, or estimated from random probes; exact unless told for few dimensions.",
)
@click.option(
    "--probes", type=click.IntRange(min=1), default=1, show_default=True, help="An image."
)
@click.option(
    "--repeats",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Average so many draws of all noise for each image.",
)
@click.option(
    "--bits",
    type=click.IntRange(1, 8),
    default=8,
    show_default=True,
    help="The images have 2^BITS even levels from black to white.",
)
@click.option(
    "--variance",
    type=click.Choice(["small", "large", "learned", "optimal"]),
    help="Of the bound's steps; as trained unless told.",
)
@click.option("--moments", metavar="FILE", type=_FILE, help="Moments for --variance optimal.")
@click.option("--terms", metavar="FILE", type=_FILE, help="Write the bound's terms, .csv.")
@click.option(
    "--rate-distortion",
    metavar="FILE",
    type=_FILE,
    help="Write bits received against the error of the image predicted, .csv or .png.",
)
@shared.fitting
@shared.seed(0, "Seed of the first image's noise.")
@shared.batch()
@walking.rest()
@click.pass_context
def command(
    ctx: click.Context,
    /,
    inputs: tuple[str, ...],
    model: str | None,
    dry_run: bool,
    **_: Any,
) -> None:
    """Measure how likely a model finds images, in bits per dimension: less is better.

    --method ode solves the probability-flow ODE up to noise on 50 levels evenly spaced in
    log-SNR, by dpm-solver of order 3, and integrates the trace of its derivative on the way.
    Bytes become real numbers by uniform noise within their bins. Nothing is clamped.

    --method vlb sums the terms of the variational bound over all levels, or over --steps of
    them, evenly spaced in log-SNR, with the model's own wrappers (--set wrappers=[] leaves
    them out).

    The network computes in float32 unless told: what bfloat16 rounds off shows in the second
    decimal. Images are those of INPUT, or the first of a data set in its order; they are
    given the null class unless told. Standard errors are over images. Of data that are no
    images the density is measured, in their own units. Exit code 3: some inputs failed.
    """
    from ddpm_cli.files.checkpoints import checkpoint, find
    from ddpm_cli.models import build
    from ddpm_cli.models.walks import refuse_conditional
    from ddpm_cli.pipelines import rows

    found = find.find(model)
    if model is None:
        console.say(f"model: {found.name}")
    header = checkpoint.read_header(found.path)
    refuse_conditional(header, found.name)
    task = _task(ctx, found, header, build.schedule_of(header, found.path))
    batch = ctx.params["batch"] or BATCH
    given = rows.given(ctx, task.config, header.data, batch, COUNT)
    console.say(f"{given.what}, {walking.cost(task.calls)}")
    if dry_run:
        console.result(configuration.dump_toml(task.config).rstrip("\n"))
        return
    _measure(ctx, task, given)


class _Task(NamedTuple):
    """How to measure: label is the class of all images, or classes.OWN."""

    found: "Found"
    header: "Header"
    config: Config
    asked: "Asked"
    schedule: "Schedule"
    label: str | None
    calls: int | None


def _task(ctx: click.Context, found: "Found", header: "Header", schedule: "Schedule") -> _Task:
    """What the options ask for; those that would have no effect are refused."""
    from ddpm_cli.models import build, classes
    from ddpm_cli.models.classes import OWN
    from ddpm_cli.pipelines import nll

    asked, is_exact = ctx.params, ctx.params["method"] == "ode"
    idle = BOUND_ONLY if is_exact else ("sampler", *EXACT_ONLY)
    _refuse_idle(ctx, header.data.is_image, *idle)
    keys = {"variance": "sampler.variance", "data": "data.name"}
    read = walking.layers(ctx, Layer(str(found.path), header.config), keys)

    def resolved(own: Layer) -> Config:
        return walking.settled(ctx, read, own, free=("data",))

    if is_exact:
        config = resolved(nll.ODE)
    else:
        whole = nll.bound(header.config, schedule, respaced=False)
        config = resolved(whole)
        every = config["levels"].get("count") == whole.values["levels"]["count"]
        if asked["calls"] is not None or not every:
            config = resolved(nll.bound(header.config, schedule, respaced=True))
    if build.is_adaptive(config) and asked["steps"] is not None:
        name = config["sampler"]["name"]
        raise ConfigError(f"--steps: {name} takes as many as its tolerance needs; leave it out")
    config = walking.sized(ctx, config, schedule)
    _check_files(ctx, header.data.is_image)
    how = nll.Asked(
        asked["method"],
        asked["trace"] or nll.trace(header.data),
        *(asked[key] for key in ("probes", "repeats", "bits", "seed")),
    )
    calls = nll.plan(config, how, header.data, schedule)
    label = asked["label"]
    if label != OWN:
        label = classes.fixed(label, config)
        classes.numbers(label, [0], config, header.data)  # an unknown class is refused here
    elif not config["network"].get("classes"):
        raise ConfigError("--class own: this model was trained without classes; leave it out")
    return _Task(found, header, config, how, schedule, label, calls)


def _refuse_idle(ctx: click.Context, is_image: bool, *names: str) -> None:
    """Refuse options that the method, or data that are no images, have no use for."""
    from ddpm_cli.files import provenance

    if words := provenance.given(ctx, *names):
        method = ctx.params["method"]
        raise ConfigError(f"{words[0]}: of no use with --method {method}; leave it out")
    if provenance.given(ctx, "bits") and not is_image:
        raise ConfigError("--bits: of images alone; leave it out")
    if ctx.params["fit"] == "pad":
        raise ConfigError("--fit pad: padding would count as image; use crop or resize")
    if ctx.params["trace"] == "exact" and provenance.given(ctx, "probes"):
        raise ConfigError("--probes: of no use with --trace exact; leave it out")


def _check_files(ctx: click.Context, is_image: bool) -> None:
    """Refuse files that could not be written at the end."""
    from ddpm_cli.files.outputs import curves

    terms, curve, force = (ctx.params[key] for key in ("terms", "rate_distortion", "force"))
    if terms is not None:
        curves.check(terms, "--terms", [".csv"], force)
    if curve is not None:
        if not is_image:
            raise ConfigError("--rate-distortion: of images alone; leave it out")
        curves.check(curve, "--rate-distortion", [".csv", ".png"], force)
    if terms is not None and curve is not None and terms.absolute() == curve.absolute():
        raise ConfigError(f"--rate-distortion {curve}: --terms names the same file; give another")


def _measure(ctx: click.Context, task: _Task, given: "Given") -> None:
    """Measure batch by batch, report each row, and sum up."""
    from ddpm_cli.models import walks
    from ddpm_cli.pipelines.nll import Meter

    found = walks.ready(task.found, task.config, moments_file=ctx.params["moments"])
    began, bits = time.monotonic(), list[float]()
    total = None if task.calls is None else task.calls * given.total
    with console.progress(total, "network calls") as bar:
        meter = Meter(found, task.asked, bar.advance)
        for batch in given.rows:
            made = meter(batch.values, batch.numbers, _classes(task, batch))
            if made is None:
                return
            for name, value in zip(batch.names, made.tolist(), strict=True):
                with given.failures.caught():
                    _report(name, value, ctx.params["as_json"])
                    bits.append(value)
    if bits:
        _sum_up(ctx, task, given, bits, meter, time.monotonic() - began)
    given.failures.finish()


def _classes(task: _Task, batch: "Rows") -> "Sequence[int] | None":
    """The class that each row is given."""
    from ddpm_cli.models import classes
    from ddpm_cli.models.classes import OWN

    if task.label == OWN:
        return batch.labels
    return classes.numbers(task.label, batch.numbers, task.config, task.header.data)


def _report(name: str, bits: float, as_json: bool) -> None:
    """Print what one row takes, as JSON or with -v."""
    if not math.isfinite(bits):
        what = f"{name}: its likelihood is no finite number"
        raise Refusal(what, "try --dtype float32, or more --steps")
    if as_json:
        console.json_line({"input": name, "bits": bits, "nats": bits * math.log(2)})
    else:
        console.detail(f"{name}  {bits:.4f} bits/dim")


def _sum_up(
    ctx: click.Context,
    task: _Task,
    given: "Given",
    bits: list[float],
    meter: "Meter",
    seconds: float,
) -> None:
    """Print the mean, then write the files that are asked for."""
    from ddpm_cli.files.outputs import curves
    from ddpm_cli.pipelines import nll

    mean, error = nll.mean(bits)
    calls = meter.calls / meter.rows
    values = {
        "model": task.found.name,
        "hash": task.header.hash,
        "data": given.what,
        "class": task.label,
        "seed": task.asked.seed,
        "images": len(bits),
        "bits": mean,
        "bits_error": error,
        "nats": mean * math.log(2),
        "levels": 2**task.asked.bits if task.header.data.is_image else None,
        "offset": meter.offset,
        "method": nll.described(task.config, task.asked),
        "calls": calls,
        "seconds": round(seconds, 1),
    }
    if ctx.params["as_json"]:
        console.json_line(values)
    else:
        _say(task, given, values)
    terms, curve, force = (ctx.params[key] for key in ("terms", "rate_distortion", "force"))
    if terms is not None:
        curves.write(terms, meter.curve.terms(task.schedule), force)
    if curve is not None:
        rates = meter.curve.rates(task.schedule)
        (curves.plot if curve.suffix == ".png" else curves.write)(curve, rates, force)


def _say(task: _Task, given: "Given", values: "dict[str, Any]") -> None:
    """Print the mean, and on stderr how it was measured."""
    from ddpm_cli.pipelines import nll

    mean, error = values["bits"], values["bits_error"]
    unit = "bits/dim" if task.header.data.is_image else "bits/dim of density"
    within = f", standard error {error:.4f}" if error is not None else ""
    console.result(f"{mean:.4f} {unit}{within} ({mean * math.log(2):.4f} nats)")
    console.say(f"{given.what}; {values['method']}; {values['calls']:.0f} network calls an image")
    console.say(f"{nll.unit(task.header.data, task.asked)}; {values['seconds']:.1f} s")
