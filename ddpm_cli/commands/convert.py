"""`ddpm convert`: foreign checkpoints in, ours out."""

from functools import partial

import click

from ddpm_cli.errors import ConfigError
from ddpm_cli.options import completion, listing, reading, shared
from ddpm_cli.settings import catalog, releases
from ddpm_cli.settings.requests import Convert

COMING = ("from_format", "release", "weights")  # options of checkpoints that come in
PARTED = ("onnx", "export")  # targets that hold a part of a model


@click.command(
    "convert",
    epilog=shared.examples(
        "ddpm convert ddpm-cifar10/ -o cifar10.safetensors",
        "ddpm convert adm64.pt --as openai-imagenet64 -o adm64.safetensors",
        "ddpm convert edm-cifar10.pkl -o edm.safetensors",
        "ddpm convert ckpt.pth --from ddim --weights model -o raw.safetensors",
        "ddpm convert runs/mnist --to diffusers mnist-diffusers/",
        "ddpm convert runs/mnist --to onnx mnist.onnx",
        "ddpm convert hf:google/ddpm-cat-256 -o cats.safetensors",
        "ddpm convert runs/mnist hf:me/mnist",
    ),
)
@click.argument("source", shell_complete=completion.targets)
@click.argument("target", metavar="[OUTPUT]", required=False, shell_complete=completion.paths)
@shared.output("The file or folder to write; OUTPUT says the same.")
@click.option(
    "--from",
    "from_format",
    metavar="FORMAT",
    type=click.Choice(catalog.modules("format")),
    help="The format of SOURCE, where its content does not tell.",
)
@click.option(
    "--as",
    "release",
    metavar="RELEASE",
    type=click.Choice(releases.names()),
    help="A known release that SOURCE is of: gives what its files do not say.",
)
@click.option(
    "--weights",
    type=click.Choice(["ema", "model"]),
    default="ema",
    show_default=True,
    help="Which weights of several: the average, or the raw ones.",
)
@click.option(
    "--to",
    "to_target",
    metavar="PROGRAM",
    type=click.Choice(catalog.modules("export")),
    help="Write a model of ddpm for other programs.",
)
@click.option(
    "--part",
    type=click.Choice(["denoiser", "network"]),
    default="denoiser",
    show_default=True,
    help="What --to onnx and export write: the clean image of a level, or the network alone.",
)
@partial(listing.list_kinds, more=("format", "export", "release"))
@shared.settings
@shared.dry_run
@shared.force()
@shared.json_lines
@shared.common
@click.pass_context
def command(
    ctx: click.Context,
    /,
    source: str,
    target: str | None,
    output: str | None,
    from_format: str | None,
    release: str | None,
    weights: str,
    to_target: str | None,
    part: str,
    dry_run: bool,
    force: bool,
    as_json: bool,
    **_: object,
) -> None:
    """Read checkpoints of other programs, or write for them.

    SOURCE is a file or folder: what it holds is told by its content, no code in it is run, and
    what it does not say is asked for, to be given with --set or --as. With --to, SOURCE is a
    model of ddpm, a run folder or a model's name. hf:owner/name[@revision] stands for a
    repository of the Hugging Face hub, as SOURCE and as OUTPUT.
    """
    if target is not None and output is not None:
        raise ConfigError("-o: OUTPUT says already where; give one of them")
    place = target if output is None else output
    if place is None and not dry_run:
        what = "the model" if to_target is None else "the export"
        raise ConfigError(f"-o: it is not said where {what} goes; add -o PATH")
    if to_target is not None or (place or "").startswith("hf:"):
        reading.refuse_idle(
            ctx, "of a checkpoint that comes in, not of one that goes out", *COMING
        )
    if to_target not in PARTED:
        reading.refuse_idle(ctx, f"of --to {' and '.join(PARTED)}", "part")
    request = Convert(
        source=source,
        output=place,
        format=from_format,
        release=release,
        weights="model" if weights == "model" else "ema",
        target=to_target,
        part="network" if part == "network" else "denoiser",
        layers=reading.layers(ctx),
        as_json=as_json,
        dry_run=dry_run,
        force=force,
    )
    from ddpm_cli.pipelines import convert

    convert.run(request)
