"""The options of guides, which every verb has that walks down to images."""

import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

from ddpm_cli.options import completion, numbers
from ddpm_cli.settings import catalog, guides

_Command = TypeVar("_Command", bound=Callable[..., Any])
SCALE = "How strongly, of the one guide; by default classifier 4, clip 100, scorer 1, restore 1."
KEYS = {"particles": "particles.count"}  # which key an option sets


def options(scale: str = SCALE) -> Callable[[_Command], _Command]:
    """Make the options that settings.guides reads; scale: what --scale is, in words."""

    def add(command: _Command) -> _Command:
        for some in (_scorer, _clip, _classifier, _any(scale)):
            command = some(command)
        return command

    return add


def particles(command: _Command) -> _Command:
    """Add --reward and --particles, of the verbs that draw from noise."""
    usual = catalog.fixed("particles").knobs["count"].default
    command = click.option(
        "--particles",
        type=numbers.whole(1, 1_000),
        metavar="N",
        help=f"Walks of each image, of which those go on that --reward finds better; {usual} "
        "unless told. See --list particles.",
    )(command)
    return click.option(
        "--reward",
        metavar="PROGRAM",
        help="What scores images, without a gradient: FILE.py:NAME, a function of images float32 "
        "[N,C,H,W] in [-1,1] to N numbers; or a command line that gets PNG files behind its words "
        "(or where it says {png}, {folder} or {npy}) and prints a number for each. It is run.",
        shell_complete=completion.paths,
    )(command)


def words(ctx: click.Context) -> list[str]:
    """The parameters of guides that no setting stands for; a result says how they were given."""
    return ["unconditional", "download", *guides.code(ctx.params)]


def _any(scale: str) -> Callable[[_Command], _Command]:
    names = ", ".join(catalog.names("guides"))

    def add(command: _Command) -> _Command:
        command = click.option(
            "--scale", type=numbers.number(0, 1_000_000), metavar="S", help=scale
        )(command)
        return click.option(
            "--guide",
            "guides",
            metavar="NAME:KEY=VALUE,...",
            multiple=True,
            shell_complete=completion.guides,
            help=f"A gradient that pulls: {names}; may be repeated, and all are added up. See "
            "--list guides.",
        )(command)

    return add


def _classifier(command: _Command) -> _Command:
    command = click.option(
        "--unconditional",
        is_flag=True,
        help="Tell the class to the classifier alone; the model draws with the null class.",
    )(command)
    command = click.option(
        "--grad-at",
        type=click.Choice(["x", "mean"]),
        help="Where the classifier's gradient is taken: at x_t, or at the mean of ddpm's step.",
    )(command)
    return click.option(
        "--classifier",
        metavar="MODEL",
        help="A classifier of noisy images: a run, file or name; or code of yours, which is run, "
        "as of --scorer: (x_t = alpha x float32 [B,C,H,W], the model's noise label float32 [B]) "
        "-> logits [B,K].",
        shell_complete=completion.models,
    )(command)


def _clip(command: _Command) -> _Command:
    download = "Allow to fetch the weights of --clip-model."
    command = click.option("--download", is_flag=True, help=download)(command)
    command = click.option(
        "--overviews",
        metavar="N,...",
        callback=counts(0, 4),
        help="How many of the cutouts are the whole image: plain, mirrored, grey, grey mirrored; "
        "none by default.",
    )(command)
    command = click.option(
        "--cutouts",
        metavar="N,...",
        callback=counts(1, 1_000),
        help="Squares that CLIP sees at a time; of several numbers each for its part of the walk.",
    )(command)
    command = click.option(
        "--clip-model",
        metavar="MODEL",
        help="A CLIP that ddpm trained, a folder that open_clip saved, or ARCHITECTURE/WEIGHTS, "
        "fetched with --download only.",
        shell_complete=completion.paths,
    )(command)
    command = click.option(
        "--clip-image",
        "likes",
        multiple=True,
        metavar="FILE",
        help="What it shall look like to CLIP; FILE:weight.",
        shell_complete=completion.paths,
    )(command)
    return click.option(
        "--clip",
        "prompts",
        multiple=True,
        metavar="TEXT",
        help="What CLIP shall see; TEXT:weight.",
    )(command)


def _scorer(command: _Command) -> _Command:
    command = click.option(
        "--trust",
        is_flag=True,
        help="Load a .pt2 of --scorer or --classifier, which can run any code as it is read. "
        "FILE.py:NAME is run without.",
    )(command)
    return click.option(
        "--scorer",
        metavar="FILE.py:NAME",
        help="Code of yours, which is run: a function NAME of images float32 [B,C,H,W] in [-1,1], "
        "or rows [B,...] in the units of the data, to scores [B]; or a torch.export program.pt2, "
        "with --trust.",
        shell_complete=completion.paths,
    )(command)


def counts(low: int, high: int) -> Callable[[click.Context, click.Parameter, str | None], Any]:
    """Make the callback of an option that is a whole number or several behind commas."""

    def read(ctx: click.Context, param: click.Parameter, text: str | None) -> list[int] | None:
        if text is None:
            return None
        if not re.fullmatch(r"\d{1,4}(,\d{1,4}){0,99}", text.replace(" ", ""), re.ASCII):
            raise click.BadParameter(f"{text!r}: write a whole number, or several as 16,8,4")
        listed = [int(part) for part in text.split(",")]
        if wrong := [count for count in listed if not low <= count <= high]:
            raise click.BadParameter(f"{wrong[0]} is not in the range {low}<=x<={high}.")
        return listed

    return read
