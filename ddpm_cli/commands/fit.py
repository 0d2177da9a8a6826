"""`ddpm fit`: measure what an optimal variance needs to know of a model, or fit levels to it."""

from pathlib import Path
from typing import Any

import click

from ddpm_cli.errors import ConfigError
from ddpm_cli.options import completion, numbers, outputs, reading, shared
from ddpm_cli.settings import seeds
from ddpm_cli.settings.fit_requests import Fit, FitLevels
from ddpm_cli.settings.request_parts import Use

# What only moments have, and only levels; what is left out has the default of the request.
MEASURES = ("estimate", "diagonal", "steps", "minutes", "trajectory")
SEARCHES = ("sampler", "walks")
BOTH = ("count", "grid", "seed")
_LIMIT = 10_000  # of a list of levels


def _counts(ctx: click.Context, param: click.Parameter, text: str | None) -> list[int] | None:
    """The lengths that --levels says, ascending and once each."""
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and 1 <= int(part) <= _LIMIT for part in parts):
        fix = f"give numbers of levels from 1 to {_LIMIT:,}, as 5,10,20"
        raise ConfigError(f"--levels {text!r}: does not fit; {fix}")
    return sorted({int(part) for part in parts})


@click.command(
    "fit",
    epilog=shared.examples(
        "ddpm fit runs/mnist",
        "ddpm fit runs/mnist --diagonal npr --force",
        "ddpm fit mnist -n 4096 -o better.safetensors",
        "ddpm sample -m runs/mnist --steps 10 --set sampler.variance=optimal",
        "ddpm fit runs/mnist --trajectory 10",
        "ddpm fit runs/mnist --levels 5,10,20 --sampler dpm++2m",
        "ddpm sample -m runs/mnist --sampler dpm++2m --levels fitted --steps 10",
    ),
)
@click.argument("model", required=False, shell_complete=completion.models)
@outputs.output(
    "File of the moments or levels; by default MODEL.moments.safetensors, or "
    "MODEL.levels.safetensors, beside the model."
)
@click.option(
    "-n",
    "--count",
    type=numbers.whole(1, seeds.LIMIT),
    show_default="1024, of levels 64",
    help="How many images to measure on.",
)
@click.option(
    "--levels",
    "counts",
    metavar="N,...",
    callback=_counts,
    help="Find the lists of so many noise levels each with which --sampler comes closest to the "
    "model's own ODE; ddpm sample --levels fitted uses them.",
)
@shared.component("sampler", "--sampler", help="Step that levels are fitted to.")
@click.option(
    "--walks",
    type=numbers.whole(0, 1_000_000),
    show_default="60",
    help="Walks that may be spent on improving each list; 0: only plan it.",
)
@click.option(
    "--grid",
    type=numbers.whole(2, 100_000),
    show_default="100, of levels 60",
    help="How many noise levels to measure at, or to choose from.",
)
@click.option(
    "--estimate",
    type=click.Choice(["error", "norm"]),
    default="error",
    show_default=True,
    help="Measure the error of the predicted noise, or its norm as Analytic-DPM does.",
)
@click.option(
    "--diagonal",
    type=click.Choice(["npr", "sn"]),
    help="Train a head that tells pixels apart, on the squared error (npr) or noise (sn).",
)
@click.option(
    "--steps",
    type=numbers.whole(),
    default=3000,
    show_default=True,
    help="Batches that the head is trained on.",
)
@click.option(
    "--minutes",
    type=numbers.number(0, 10_000_000),
    default=10.0,
    show_default=True,
    help="End the head's training after that long; 0: no limit.",
)
@click.option(
    "--trajectory",
    type=numbers.whole(2, 100_000),
    metavar="N",
    help="Print the N best levels for ancestral sampling; measures only if it must.",
)
@shared.seed(
    None,
    "Seed of noise and data order, 0 unless told; of levels that of the first image, "
    "10000000, far from those that are drawn.",
)
@shared.batch()
@shared.settings
@shared.hardware
@shared.dry_run
@outputs.force()
@shared.json_lines
@shared.common
@click.pass_context
def command(
    ctx: click.Context,
    /,
    model: str | None,
    output: str | None,
    counts: list[int] | None,
    force: bool,
    dry_run: bool,
    as_json: bool,
    batch: int | None,
    **knobs: Any,
) -> None:
    """Measure a model's uncertainty, or find its best levels.

    How wrong its prediction of the noise is at each level, that is what the optimal variance of
    ddpm and ddim needs (Analytic-DPM): ddpm sample finds it beside the model. It belongs to the
    model's present weights and is refused for others. Images come from the model's own data set;
    --set data.path=... names another.

    --levels 5,10 walks along the model's ODE in fine steps and finds the 5 and the 10 levels from
    which --sampler misses it least: first the cheapest list of jumps, then single levels are moved
    as long as walks end nearer. N is the number of moves, which is that of network calls where a
    move takes one. Guidance and wrappers are those of the settings; a fit is for its guidance
    alone. No data are needed. Lists of several samplers share a file, each fit adds its own.
    """
    own = {name: knobs[name] for name in BOTH if knobs[name] is not None}
    place = Path(output) if output else None
    use = Use(
        model=model,
        layers=reading.layers(ctx, {"sampler": "sampler.name"}),
        batch=batch,
        as_json=as_json,
        force=force,
        dry_run=dry_run,
    )
    if counts is not None:
        reading.refuse_idle(ctx, "not with --levels", *MEASURES)
        own |= {} if knobs["walks"] is None else {"walks": knobs["walks"]}
        _levels(FitLevels(use=use, output=place, counts=counts, **own))
        return
    reading.refuse_idle(ctx, "only with --levels", *SEARCHES)
    if knobs["diagonal"] and knobs["estimate"] == "norm":
        raise ConfigError("--estimate norm: a head needs the error; leave out one of the two")
    if not knobs["diagonal"]:
        reading.refuse_idle(ctx, "of a head, which --diagonal trains", "steps", "minutes")
    own |= {name: knobs[name] for name in MEASURES}
    request = Fit(use=use, output=place, **own)
    from ddpm_cli.pipelines import opening

    # Wrong settings are refused before torch is there.
    opened = opening.measured(request.use)

    from ddpm_cli.pipelines import fit

    fit.run(request, opened)


def _levels(request: FitLevels) -> None:
    """Fit levels."""
    from ddpm_cli.pipelines import opening

    opened = opening.opened(request.use)

    from ddpm_cli.pipelines import fit_levels

    fit_levels.run(request, opened)
