"""The options that say how to walk between noise and images, and what they stand for."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from ddpm_cli.errors import ConfigError
from ddpm_cli.options import completion, listing, model_names, numbers, outputs, shared
from ddpm_cli.settings import asking, catalog, shards, showing

# What --image leaves nothing to do for.
NOT_OF_GIVEN = (
    "origin", "init", "at", "trajectory", "frames", "show", "moments", "aug_noise",
    "is_downscaled",
)  # fmt: skip

_Command = TypeVar("_Command", bound=Callable[..., Any])


def steps(default: str = "") -> Callable[[_Command], _Command]:
    """Make --sampler, --levels, --steps and --calls, which options.reading.use reads."""

    def add(command: _Command) -> _Command:
        command = click.option(
            "--calls",
            type=numbers.whole(1, 1_000_000),
            help="As many steps as cost N network calls.",
            metavar="N",
        )(command)
        command = click.option(
            "--steps", type=numbers.whole(1, 100_000), help="Moves from noise to image."
        )(command)
        spacing = "Spacing of the noise levels; fitted ones are from ddpm fit."
        command = shared.component("levels", "--levels", help=spacing)(command)
        text = f"Step from a noise level to the next{default}."
        return shared.component("sampler", "--sampler", help=text)(command)

    return add


def guide_with(command: _Command) -> _Command:
    """Add --guide-with, the model that guidance goes away from."""
    return click.option(
        "--guide-with",
        metavar="MODEL[:STEP]",
        shell_complete=completion.models,
        callback=_guide,
        help="Guide away from a worse model of the same data, in the place of no class: a file, a "
        "run, a name, or a snapshot that a run kept; guidance.scale says how strongly.",
    )(command)


def noise(command: _Command) -> _Command:
    """Add --noise of what is known, which settings.methods takes."""
    return click.option(
        "--noise",
        type=numbers.number(0, 100),
        default=0.0,
        show_default=True,
        metavar="LEVEL",
        help="Standard deviation of the noise in what is known, of images in [-1, 1].",
    )(command)


def check(more: str) -> Callable[[_Command], _Command]:
    """Make --check of what was done to images; more: what it needs, in words."""
    return click.option(
        "--check",
        "checks",
        is_flag=True,
        help="Print <Ax, y> and <x, A'y> of what is to be undone, which an adjoint makes equal, "
        f"and do no more; {more}.",
    )


def _guide(ctx: click.Context, param: click.Parameter, model: str | None) -> str | None:
    if model is not None and not model.strip():
        raise ConfigError("--guide-with: an empty name; give a file, a run or a bundled model")
    return model


def trajectory(command: _Command) -> _Command:
    """Add --trajectory, --frames and --show."""
    command = click.option(
        "--show",
        metavar="ROW,...",
        callback=lambda ctx, param, text: None if text is None else showing.parse(text),
        help="Rows of its picture: walk, x0 as predicted on the way, forward (the samples with "
        "noise again); of one or two numbers paths, and score beside the true one of a toy; of "
        "two drift. A .gif shows one.",
    )(command)
    command = click.option(
        "--frames",
        type=numbers.whole(2, 100_000),
        metavar="N",
        help="States to keep of the walk, evenly in log-SNR where they differ; by default 60 of a "
        ".gif, 8 of a .png, all of other files.",
    )(command)
    return click.option(
        "--trajectory",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="Keep the whole walk as well: .npz, .safetensors, or drawn as .gif or .png.",
    )(command)


def given(command: _Command) -> _Command:
    """Add --image, --task and --degrade, of models that make images of given ones."""
    filters = catalog.find("task", "pairs").knobs["filter"].kind.item
    command = click.option(
        "--degrade",
        "degrades",
        is_flag=True,
        help="First take from --image what the model gives back; else it is given as it is.",
    )(command)
    command = click.option(
        "--task",
        type=click.Choice(filters.choices if filters else ()),
        help="What was done to --image, of a model that undoes several things.",
    )(command)
    return click.option(
        "--image",
        "images",
        metavar="IMAGE",
        multiple=True,
        shell_complete=completion.paths,
        help="Make images of this one, of all in a folder or of - for stdin, by a model of task "
        "pairs; may be repeated. What is clear in it is missing, for a model that fills in.",
    )(command)


def cascade(command: _Command) -> _Command:
    """Add --aug-noise and --downscale, of the later models of a cascade."""
    command = downscale("what a further model enlarges")(command)
    return click.option(
        "--aug-noise",
        type=numbers.number(0, 100),
        metavar="LEVEL",
        default=0.0,
        help="Noise that each further model adds to what it enlarges.",
    )(command)


def downscale(what: str) -> Callable[[_Command], _Command]:
    """Make the --downscale flag; `what` is larger than a model takes."""
    return click.option(
        "--downscale",
        "is_downscaled",
        is_flag=True,
        help=f"First shrink {what} to the size that it was trained to enlarge; else larger images "
        "are made by windows.",
    )


def label(command: _Command) -> _Command:
    """Add --class, of one class or of several that take turns."""
    return click.option(
        "--class",
        "label",
        metavar="NAME",
        shell_complete=model_names.classes("all", "none"),
        multiple=True,
        callback=lambda ctx, param, names: ",".join(names) if names else None,
        help="Class name or number, several as 0-4,8 or all, which take turns, or none.",
    )(command)


def one_label(help: str, *more: str) -> Callable[[_Command], _Command]:
    """Make --class of images that are given, which have one class; more: words beside none."""
    return click.option(
        "--class",
        "label",
        metavar="NAME",
        shell_complete=model_names.classes("none", *more),
        help=help,
    )


def told(*, own: bool = False, several: bool = True) -> Callable[[_Command], _Command]:
    """Make --value, --text, --text-from and --negative, which options.reading.use reads.

    own: there are rows with numbers and texts of their own; several: texts may take turns.
    """
    turns = "; several (age=20,30 or age=20:80:10) take turns" if several else ""
    mine = f", or {asking.OWN}: each row's own" if own else ""

    def add(command: _Command) -> _Command:
        if not own:
            command = click.option(
                "--negative",
                metavar="TEXT",
                callback=_text,
                help="What guidance is away from, instead of no text.",
            )(command)
        if several:
            command = click.option(
                "--text-from",
                "texts_file",
                metavar="FILE",
                shell_complete=completion.paths,
                help="Texts that take turns, one a line; - is stdin.",
            )(command)
        again = "; several take turns" if several else ""
        command = click.option(
            "--text",
            "texts",
            multiple=True,
            metavar="TEXT",
            callback=_texts,
            help=f"What a model of texts is told{mine}{again}.",
        )(command)
        return click.option(
            "--value",
            "values",
            multiple=True,
            metavar="NAME=NUMBER",
            shell_complete=model_names.values(*([asking.OWN] if own else [])),
            help=f"A number that the model is told, in the units of its data{mine}; none is not "
            f"told{turns}.",
        )(command)

    return add


def _text(ctx: click.Context, param: click.Parameter, text: str | None) -> str | None:
    if text is not None:
        asking.check(text, f"--{param.name}")
    return text


def _texts(ctx: click.Context, param: click.Parameter, texts: tuple[str, ...]) -> tuple[str, ...]:
    for text in texts:
        asking.check(text, "--text")
    return texts


def rest(
    *, skips: bool = False, deals: bool = False, lists: Sequence[str] = ()
) -> Callable[[_Command], _Command]:
    """Make the options that close each of these commands.

    skips: --skip-existing is one; deals: --shard is; lists: what --list shows beside tables of
    configurations.
    """

    def add(command: _Command) -> _Command:
        command = listing.list_kinds(shared.common(command), lists)
        command = outputs.force()(shared.dry_run(shared.json_lines(command)))
        command = shard(command) if deals else command
        command = outputs.skip_existing(command) if skips else command
        return shared.settings(shared.hardware(command))

    return add


def shard(command: _Command) -> _Command:
    """Add --shard, which part of the work to do."""
    return click.option(
        "--shard",
        metavar="I/N",
        shell_complete=completion.shards,
        callback=lambda ctx, param, text: None if text is None else shards.parse(text, os.environ),
        help="Do part I of N, counted from 1; auto: the task of a job array, as Slurm tells. One "
        "file for all needs {shard} in its name.",
    )(command)


def at(help: str) -> Callable[[_Command], _Command]:
    """Make the --at option, which models.walks.level reads."""
    text = f"{help} T counts 1..T as in the papers, is a time up to 1 of a continuous process, "
    return click.option("--at", metavar="T", help=f"{text}or 40% of either.")
