"""`ddpm train`: train a model, or go on with a run that was stopped."""

import shlex
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.foreign import missing, telling
from ddpm_cli.foreign.signs import INDEX
from ddpm_cli.options import completion, listing, numbers, outputs, reading, shared
from ddpm_cli.pipelines import inheriting, opening
from ddpm_cli.settings import budgets, evaluations
from ddpm_cli.settings.checks import pixel_range, refuse_half
from ddpm_cli.settings.config import Layer, resolve
from ddpm_cli.settings.inlining import inlined
from ddpm_cli.settings.requests import Train


@click.command(
    "train",
    epilog=shared.examples(
        "ddpm train --preset mnist",
        "ddpm train --preset tiny -o runs/first --steps 200",
        "ddpm train --preset mnist --budget 20m",
        "ddpm train --preset mnist --minutes 10",
        "ddpm train --resume runs/mnist --steps 8000",
        "ddpm train --preset mnist --set train.lr=5e-4 --set network.width=96",
        "ddpm train --preset cifar10 --dry-run > cifar10.toml",
    ),
)
@outputs.output(
    "Folder of the run; by default runs/ with the name of the preset or file, or runs/custom."
)
@click.option(
    "--resume",
    metavar="RUN",
    help="Go on with the run in this folder under its own settings, as -o does where one is.",
    shell_complete=completion.paths,
)
@shared.settings
@click.option("--steps", type=numbers.whole(), help="Optimizer steps in all.")
@shared.batch("Images a step, over all processes.")
@click.option(
    "--init",
    metavar="MODEL",
    help="Start from the weights of a model; extra input channels begin at zero.",
    shell_complete=completion.models,
)
@click.option("--lr", type=numbers.number(0, 1e30, min_open=True), help="Peak learning rate.")
@shared.seed(None, "Seed of weights, noise and data order.")
@click.option(
    "--minutes", type=numbers.number(0, 10_000_000), help="Save and stop after that long."
)
@click.option(
    "--budget",
    metavar="TIME",
    envvar="DDPM_BUDGET",
    show_envvar=True,
    help="Plan as many steps as fit, up to --steps: 30m, 2h, 1h30m, or operations as 5e15flop.",
)
@shared.hardware
@outputs.force("Start over: the run in the folder is removed.")
@shared.dry_run
@shared.json_lines
@listing.list_kinds
@shared.common
@click.pass_context
def command(
    ctx: click.Context,
    /,
    output: str | None,
    resume: str | None,
    preset: str | None,
    config_file: Path | None,
    force: bool,
    dry_run: bool,
    as_json: bool,
    **_: Any,
) -> None:
    """Train a diffusion model, or a classifier that guides one.

    The folder of the run gets config.toml, model.safetensors (the averaged weights, ready for
    ddpm sample), state.safetensors (to go on from), metrics.jsonl and sample sheets. The same
    command again goes on where the run stopped, bit for bit; so does -o RUN alone, under the
    run's own settings and what is given beside it. Ctrl-C and SIGTERM save first.
    """
    keys = {
        "steps": "train.steps",
        "batch": "train.batch",
        "lr": "train.lr",
        "minutes": "train.minutes",
        "budget": "train.budget",
        "seed": "train.seed",
        "init": "init.model",
    }
    name = preset or (config_file.stem if config_file else "custom")
    folder = Path(resume or output or Path("runs") / name)
    own = _own_settings(ctx, folder)
    below = [] if own or force else opening.own_randomness(folder)
    asked = reading.layers(ctx, keys, own)
    told = [*below, *(budgets.outgrown(asked) if own else asked)]
    config = inlined(resolve(told if own else inheriting.followed(told), begins=True))
    pixel_range(config["data"].get("range"))  # refused before any work
    refuse_half(config)
    evaluations.protocol(config["train"])
    request = Train(
        config=config,
        folder=folder,
        force=force,
        as_json=as_json,
        dry_run=dry_run,
    )
    from ddpm_cli.pipelines import train  # wrong settings are refused before torch is there

    train.run(request)


def _own_settings(ctx: click.Context, folder: Path) -> Layer | None:
    """What a run that is gone on with says itself; a preset or file on the command line wins.

    A preset of the environment is for new runs.
    """
    resume, output = ctx.params["resume"], ctx.params["output"]
    if resume is not None and (output is not None or ctx.params["force"]):
        other = "-o" if output is not None else "--force"
        raise ConfigError(f"--resume: goes on with the run in {resume}; leave {other} out")
    is_told = ctx.get_parameter_source("preset") == ParameterSource.COMMANDLINE
    is_alone = not is_told and ctx.params["config_file"] is None
    if not (resume or output) or ctx.params["force"] or not (is_alone or resume):
        return None
    own = opening.own_settings(folder)
    if resume is not None and own is None:
        raise _no_run(folder)
    if not is_alone or own is None:
        return None
    ctx.params["preset"] = None
    if ctx.get_parameter_source("budget") == ParameterSource.ENVIRONMENT:
        ctx.params["budget"] = None  # for new runs, as a preset is
    return own


def _no_run(place: Path) -> Refusal:
    """The refusal of a place that holds no run, with the run that may be meant."""
    if told := telling.address(place, "model"):
        return told.refusal(place)
    is_model = place.name.endswith((".safetensors", INDEX))
    folder = place.parent if is_model else missing.neighbour(place)
    if place.is_file():
        what = f"{place}: a file; --resume takes the folder of a run"
    else:
        what = f"{place}: no run to go on with"
    if folder is not None and opening.own_settings(folder) is not None:
        return Refusal(what, f"type: --resume {shlex.quote(str(folder))}")
    if place.is_file():
        return Refusal(what)
    return Refusal(what, f"ddpm train -o {shlex.quote(str(place))} begins one")
