"""`ddpm train`: train a model, or go on with a run that was stopped."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ddpm_cli import console
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.options import completion, shared
from ddpm_cli.settings import config as configuration
from ddpm_cli.settings.checks import CLASSIFIER, purpose
from ddpm_cli.settings.config import Config
from ddpm_cli.settings.toml import dump_toml

if TYPE_CHECKING:
    from ddpm_cli.files.checkpoints.header import DataInfo
    from ddpm_cli.files.checkpoints.run import Run
    from ddpm_cli.hardware import Compute
    from ddpm_cli.training.distributed import Group
    from ddpm_cli.training.state import State


@click.command(
    "train",
    epilog=shared.examples(
        "ddpm train --preset mnist",
        "ddpm train --preset tiny -o runs/first --steps 200",
        "ddpm train --preset mnist --minutes 10",
        "ddpm train --preset mnist --set train.lr=5e-4 --set network.width=96",
        "ddpm train --preset cifar10 --dry-run > cifar10.toml",
    ),
)
@shared.output(
    "Folder of the run; by default runs/ with the name of the preset or file, or runs/custom."
)
@shared.settings
@click.option("--steps", type=click.IntRange(min=1), help="Optimizer steps in all.")
@shared.batch("Images a step, over all processes.")
@click.option(
    "--init",
    metavar="MODEL",
    help="Start from the weights of a model; extra input channels begin at zero.",
    shell_complete=completion.models,
)
@click.option("--lr", type=float, help="Peak learning rate.")
@shared.seed(None, "Seed of weights, noise and data order.")
@click.option("--minutes", type=click.FloatRange(min=0), help="Save and stop after that long.")
@shared.hardware
@shared.force("Start over: the run in the folder is removed.")
@shared.dry_run
@shared.json_lines
@shared.list_kinds
@shared.common
@click.pass_context
def command(
    ctx: click.Context,
    /,
    output: str | None,
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
    command again goes on where the run stopped, bit for bit; Ctrl-C and SIGTERM save first.
    """
    keys = {
        "steps": "train.steps",
        "batch": "train.batch",
        "lr": "train.lr",
        "minutes": "train.minutes",
        "seed": "train.seed",
        "init": "init.model",
    }
    config = configuration.resolve(shared.layers(ctx, keys))
    from ddpm_cli.models import build

    config = build.inlined(config)
    name = preset or (config_file.stem if config_file else "custom")
    folder = Path(output) if output else Path("runs") / name
    if dry_run:
        _plan(config)
        return
    _train(config, folder, force, as_json)


def _plan(config: Config) -> None:
    """Print the configuration on stdout and the cost of the model on stderr."""
    import torch

    from ddpm_cli.data.image_set import describe
    from ddpm_cli.models import build
    from ddpm_cli.pipelines import train as trainer
    from ddpm_cli.training import distributed

    console.result(dump_toml(config).rstrip("\n"))
    try:
        data = build.images(config, "train")
    except (Refusal, ConfigError) as missing:
        console.warn(f"{missing.message.splitlines()[0]}: no plan without the data")
        return
    trainer.check(config, build.data_info(data), distributed.group())
    with torch.device("meta"):
        network = build.network(config, build.data_info(data))
    count = sum(p.numel() for p in network.parameters())
    settings = config["train"]
    console.say(
        f"{count / 1e6:.2f} M parameters, {settings['steps']} steps of {settings['batch']} "
        f"{'images' if data.mean is None else 'rows'}"
    )
    console.say(f"data: {describe(data)}")
    console.say(f"weights, average and optimizer take {16 * count / 1e6:.0f} MB")


def _train(config: Config, folder: Path, force: bool, as_json: bool) -> None:
    """Open the folder and train in it, alone or in a group of processes."""
    from ddpm_cli.files.checkpoints.run import Run
    from ddpm_cli.pipelines import train as trainer
    from ddpm_cli.training import distributed
    from ddpm_cli.training.reporting import NotFinite

    place = distributed.group()
    compute = trainer.compute(config, place)
    distributed.start(place, compute.device)
    try:
        with Run(folder, place.leads) as run:
            if force and place.leads:
                run.start_over()
            distributed.wait(place)
            _continue(run, config, compute, place, as_json)
    except NotFinite as problem:
        fix = "lower train.lr, or use --dtype float32; the last checkpoint is intact"
        raise Refusal(f"{folder}: {problem}", fix) from None
    finally:
        distributed.stop(place)


def _continue(
    run: "Run", config: Config, compute: "Compute", place: "Group", as_json: bool
) -> None:
    """Build everything, run the loop from where the run stands, and leave a model."""
    from ddpm_cli.data.image_set import describe
    from ddpm_cli.files.checkpoints.run import refuse_changes
    from ddpm_cli.models import build
    from ddpm_cli.pipelines import train as trainer
    from ddpm_cli.training.loop import train

    header, tensors = run.restore() or (None, {})
    if header:
        refuse_changes(run.folder, header.config, config)
        if header.step >= config["train"]["steps"]:
            if place.leads:
                run.complete(tensors, header)
                console.result(str(run.model))
            console.say(f"{run.folder}: finished at step {header.step}; nothing left to do")
            return
        trainer.keep_threads(config, header)
    data, test = build.images(config, "train"), build.images(config, "test")
    info = build.data_info(data)
    trainer.check(config, info, place)
    trainer.check_changes(config, data)
    dtype = str(compute.dtype).removeprefix("torch.")
    console.say(f"data: {describe(data)}; computing on {compute.device} in {dtype}")
    state = trainer.state(config, info, compute)
    trainer.rehearse(config, compute, state, data)
    if header:
        trainer.take_over(state, header, tensors, run.folder)
    if place.leads:
        run.begin(config, state.step)
    setting = trainer.setting(config, compute, place, state, data, test)
    journal = trainer.Journal(
        run, config, info, compute, place, test, as_json=as_json, done=state.step
    )
    with journal.bar:
        train(setting, state, journal, **config["train"])
    if place.leads:
        _farewell(run, state, config, info, as_json)


def _farewell(run: "Run", state: "State", config: Config, info: "DataInfo", as_json: bool) -> None:
    """Say what is there now and what to type next."""
    if state.step < config["train"]["steps"]:
        console.say(
            f"{run.folder}: saved at step {state.step} of {config['train']['steps']}; "
            "the same command goes on from there"
        )
    if as_json:
        console.json_line({"path": str(run.model)})
    else:
        console.result(str(run.model))
    name = run.folder.name
    console.say(f"try: ddpm {_next(run.folder, config, info.classes)} -o {name}.png")


def _next(folder: Path, config: Config, classes: tuple[str, ...] | None) -> str:
    """The words of the command that shows what the model of a run is good for."""
    made_for = purpose(config)
    if made_for == CLASSIFIER:
        names = classes or ("0",)
        label = shlex.quote(names[min(7, len(names) - 1)])
        return f"guide --classifier {folder} --class {label}"
    return f"{made_for} IMAGE -m {folder}" if made_for else f"sample -m {folder} -n 64"
