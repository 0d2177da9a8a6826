"""`ddpm fit`: measure what an optimal variance needs to know of a model."""

from pathlib import Path
from typing import Any

import click

from ddpm_cli.errors import ConfigError
from ddpm_cli.options import completion, numbers, reading, shared
from ddpm_cli.settings.request_parts import Use
from ddpm_cli.settings.requests import Fit

MEASURES = ("count", "levels", "estimate", "diagonal", "steps", "minutes", "seed")


@click.command(
    "fit",
    epilog=shared.examples(
        "ddpm fit runs/mnist",
        "ddpm fit runs/mnist --diagonal npr --force",
        "ddpm fit mnist -n 4096 -o better.safetensors",
        "ddpm sample -m runs/mnist --steps 10 --set sampler.variance=optimal",
        "ddpm fit runs/mnist --trajectory 10",
    ),
)
@click.argument("model", required=False, shell_complete=completion.models)
@shared.output("File of the moments; by default MODEL.moments.safetensors beside the model.")
@shared.count(1024, "How many images to measure on.")
@click.option(
    "--levels",
    type=numbers.whole(2, 100_000),
    default=100,
    show_default=True,
    help="How many noise levels to measure at.",
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
@shared.seed(0, "Seed of noise and data order.")
@shared.batch()
@shared.settings
@shared.hardware
@shared.force()
@shared.json_lines
@shared.common
@click.pass_context
def command(
    ctx: click.Context,
    /,
    model: str | None,
    output: str | None,
    trajectory: int | None,
    force: bool,
    as_json: bool,
    batch: int | None,
    **knobs: Any,
) -> None:
    """Measure how uncertain a model is at each noise level.

    It is how wrong its prediction of the noise is. That is what the optimal variance of ddpm and
    ddim needs (Analytic-DPM): ddpm sample finds it beside the model. It belongs to the model's
    present weights and is refused for others. Images come from the model's own data set; --set
    data.path=... names another.
    """
    if knobs["diagonal"] and knobs["estimate"] == "norm":
        raise ConfigError("--estimate norm: a head needs the error; leave out one of the two")
    if not knobs["diagonal"]:
        reading.refuse_idle(ctx, "of a head, which --diagonal trains", "steps", "minutes")
    request = Fit(
        use=Use(
            model=model, layers=reading.layers(ctx), batch=batch, as_json=as_json, force=force
        ),
        output=Path(output) if output else None,
        trajectory=trajectory,
        **{name: knobs[name] for name in MEASURES},
    )
    from ddpm_cli.pipelines import opening

    # Wrong settings are refused before torch is there.
    opened = opening.measured(request.use)

    from ddpm_cli.pipelines import fit

    fit.run(request, opened)
