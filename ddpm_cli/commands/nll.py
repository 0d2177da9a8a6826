"""`ddpm nll`: how likely a model finds images or rows, in bits per dimension."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from ddpm_cli.errors import ConfigError
from ddpm_cli.files import row_places
from ddpm_cli.options import completion, numbers, outputs, reading, shared, walking
from ddpm_cli.settings import asking, usual
from ddpm_cli.settings.nll_requests import Method, Nll, Trace

COUNT = 100  # rows of a data set, unless told otherwise
EXACT_ONLY = ("trace", "probes", "dequantize", "samples")
BOUND_ONLY = ("variance", "drawn", "moments", "terms", "rate_distortion")
_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command(
    "nll",
    epilog=shared.examples(
        "ddpm nll a.png digits/ --json",
        "ddpm nll --split test -n 1000 --baselines",
        "ddpm nll --split test -n 1000 -o scores.csv  # stopped, it goes on",
        "ddpm nll --split test --dequantize truncated --samples 8",
        "ddpm nll --split test --method vlb --terms terms.csv",
        "ddpm nll --split test -n 10000 --method vlb --drawn 8",
        "ddpm nll -m mnist --split test --method vlb --steps 100 --class own",
        "ddpm nll a.png --method vlb --rate-distortion curve.csv",
        "ddpm nll --data fashion-mnist --sampler ode --repeats 3",
        "ddpm nll table.csv -m runs/table -o scores.csv",
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
    type=numbers.whole(),
    help=f"How many rows of the data, from the first on; {COUNT} unless told.",
)
@outputs.output("A line for each image or row, with its rank from the least likely on: .csv, ...")
@shared.model("Model to measure.", "newest run in ./runs, else mnist-likelihood")
@click.option(
    "--method",
    type=click.Choice(["ode", "vlb"]),
    default="ode",
    show_default=True,
    help="The exact likelihood of the ODE, or the variational bound of ancestral sampling.",
)
@walking.steps(" of the ODE, dpm-solver of order 3 unless told; ode is adaptive")
@walking.one_label("Class of the images; own: their own; all: the mean over all.", "own", "all")
@walking.told(own=True, several=False)
@click.option(
    "--trace",
    type=click.Choice(["exact", "rademacher", "gaussian", "antithetic"]),
    help="Exact, or estimated from random probes, antithetic ones of neighbouring pixels; "
    "exact unless told for few dimensions.",
)
@click.option(
    "--probes",
    type=numbers.whole(1, 100_000),
    help="Random probes for each image: 1 unless told, 2 with --samples, of which half chooses.",
)
@click.option(
    "--dequantize",
    type=click.Choice(["uniform", "truncated"]),
    default="uniform",
    show_default=True,
    help="Noise that makes bytes real numbers: uniform, or normal as the process has it.",
)
@click.option(
    "--samples",
    type=numbers.whole(1, 100_000),
    default=1,
    show_default=True,
    help="States for each image; the log of the mean of their weights is a tighter bound.",
)
@click.option(
    "--repeats",
    type=numbers.whole(1, 100_000),
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
@click.option(
    "--drawn",
    metavar="K",
    type=numbers.whole(2),
    help="Of the bound's terms, measure only K for each image, drawn at random: an estimate.",
)
@click.option("--moments", metavar="FILE", type=_FILE, help="Moments for --variance optimal.")
@click.option("--terms", metavar="FILE", type=_FILE, help="Write the bound's terms, .csv.")
@click.option(
    "--rate-distortion",
    metavar="FILE",
    type=_FILE,
    help="Write bits received against the error of the image predicted, .csv or .png.",
)
@click.option(
    "--baselines",
    is_flag=True,
    help="Tell what gzip, bz2, xz, PNG and histograms make of the same images, too.",
)
@shared.fitting
@shared.seed(0, "Seed of the first image's noise.")
@shared.batch()
@walking.rest(deals=True)
@click.pass_context
def command(
    ctx: click.Context,
    /,
    inputs: tuple[str, ...],
    split: str | None,
    count: int | None,
    method: Method,
    trace: Trace | None,
    terms: Path | None,
    rate_distortion: Path | None,
    output: str | None,
    **options: Any,
) -> None:
    """Measure how likely a model finds images or rows.

    The figure is in bits per dimension: less is better.

    --method ode solves the probability-flow ODE up to noise on 50 levels evenly spaced in
    log-SNR, by dpm-solver of order 3, and integrates the trace of its derivative on the way.
    Bytes become real numbers by uniform noise within their bins, or with --dequantize truncated
    by normal noise at the lowest level; --samples K averages the weights of K draws of it, a
    bound that falls with K. Nothing is clamped.

    --method vlb sums the terms of the variational bound over all levels, or over --steps of
    them, evenly spaced in log-SNR, with the model's own wrappers (--set wrappers=[] leaves
    them out). --drawn K measures the last term of each image and K - 1 of the others, from a
    random one on: the mean over images is that of all terms, at a fraction of the calls.

    The network computes in float32 unless told: what bfloat16 rounds off shows in the second
    decimal. Images are those of INPUT, or the first of a data set in its order; they are
    given the null class unless told. Standard errors are over images. Exit code 3: some inputs
    failed. --class all is the log of the mean likelihood over all classes, by how often each
    is, and takes as many times the calls.

    With -o a measurement that is stopped keeps the rows that are done in a file beside, and the
    same command goes on; not with --terms and --rate-distortion, which are sums over all rows.

    --baselines says what others need for the same images: compressors of all of them as one
    file, PNG of each, and histograms of each pixel from the images in training. They, and the
    bound, are about bytes; the figure of uniform noise is about real numbers, and is never to be
    compared with them.

    Of a model of arrays INPUT are .csv, .npy, .npz and .parquet files, of which each row is
    measured: the density, in the units of the data. -o writes a line for each: nll = -log p(row)
    in nats is an anomaly score, and rank 1 the least likely row. --class own is the file's column
    of classes.
    """
    _refuse_idle(ctx, method)
    _refuse_other_data(ctx, inputs)
    names = (
        "steps", "probes", "repeats", "dequantize", "samples", "drawn", "moments", "baselines",
        "seed",
    )  # fmt: skip
    request = Nll(
        use=reading.use(
            ctx, keys={"variance": "sampler.variance", "data": "data.name"}, reads=bool(inputs)
        ),
        inputs=inputs,
        split=split,
        count=count,
        method=method,
        trace=trace,
        terms=terms,
        curve=rate_distortion,
        scores=None if output is None else Path(output),
        bits=options["bits"] if reading.words(ctx, "bits") else None,
        look=reading.look(ctx),
        **{name: options[name] for name in names},
    )
    from ddpm_cli.pipelines import opening

    opened = None
    if method == "ode":  # the settings of a bound depend on the model's schedule
        place, header = opening.for_likelihood(request.use.model)
        below = [usual.likelihood(header.config)]
        config = opening.settled(place, header, request.use.layers, below, free=("data",))
        opened = opening.Opened(place, header, config)

    from ddpm_cli.pipelines import nll

    nll.run(request, opened)


def _refuse_idle(ctx: click.Context, method: Method) -> None:
    """Refuse options that the method has no use for."""
    idle = BOUND_ONLY if method == "ode" else ("sampler", *EXACT_ONLY)
    if words := reading.words(ctx, *idle):
        raise ConfigError(f"{words[0]}: of no use with --method {method}; leave it out")
    if ctx.params["fit"] == "pad":
        raise ConfigError("--fit pad: padding would count as image; use crop or resize")
    if ctx.params["trace"] == "exact" and reading.words(ctx, "probes"):
        raise ConfigError("--probes: of no use with --trace exact; leave it out")


def _own(ctx: click.Context) -> list[str]:
    """The options by which each row is told its own."""
    given = {
        "--class": [ctx.params["label"]],
        "--value": ctx.params["values"],
        "--text": ctx.params["texts"],
    }
    return [option for option, said in given.items() if asking.OWN in said]


def _refuse_other_data(ctx: click.Context, inputs: Sequence[str]) -> None:
    """Refuse to measure on nothing, or on files and a data set at once."""
    words = reading.words(ctx, "data", "split", "count")
    if inputs:
        tables = any(
            Path(p).suffix.lower() in row_places.SUFFIXES or Path(p).is_dir() for p in inputs
        )
        own = [option for option in _own(ctx) if option != "--class" or not tables]
        words = [*words, *(f"{option} own" for option in own)]
        if words:
            fix = "leave out INPUT, or what is said of the data"
            raise ConfigError(f"{words[0]}: of a data set; {fix}")
        return
    if not words:
        fix = "--split test -n 100 takes the model's own data"
        raise ConfigError(f"INPUT: name images or folders, or {fix}")
    if fitted := reading.words(ctx, "fit", "background"):
        raise ConfigError(f"{fitted[0]}: of image files; use --set data.fit=...")
