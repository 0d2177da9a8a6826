"""`ddpm convert`: foreign checkpoints in, ours out."""

from functools import partial
from typing import Literal

import click

from ddpm_cli.errors import ConfigError
from ddpm_cli.options import completion, listing, numbers, outputs, reading, shared
from ddpm_cli.settings import catalog, protocols, releases
from ddpm_cli.settings.requests import Convert

COMING = ("from_format", "release", "weights")  # options of checkpoints that come in
LONGEST = 0.28  # average, as a share of the run
PARTED = ("onnx", "export")  # targets that hold a part of a model


@click.command(
    "convert",
    epilog=shared.examples(
        "ddpm convert ddpm-cifar10/ -o cifar10.safetensors",
        "ddpm convert adm64.pt --as openai-imagenet64 -o adm64.safetensors",
        "ddpm convert edm-cifar10.pkl -o edm.safetensors",
        "ddpm convert ckpt.pth --from ddim --weights model -o raw.safetensors",
        "ddpm convert runs/mnist --ema 0.08 -o longer.safetensors",
        "ddpm convert runs/mnist --ema best -n 1024 -o best.safetensors",
        "ddpm convert runs/mnist --to diffusers mnist-diffusers/",
        "ddpm convert runs/mnist --to onnx mnist.onnx",
        "ddpm convert hf:google/ddpm-cat-256 -o cats.safetensors",
        "ddpm convert runs/mnist hf:me/mnist",
    ),
)
@click.argument("source", shell_complete=completion.targets)
@click.argument("target", metavar="[OUTPUT]", required=False, shell_complete=completion.paths)
@outputs.output("The file or folder to write; OUTPUT says the same.")
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
@click.option(
    "--ema",
    metavar="LENGTH|best",
    help="Of a run with train.averages: the average that covers this share of it, as 0.1, or the "
    "one whose samples are best.",
)
@click.option(
    "--protocol",
    metavar="NAME",
    shell_complete=lambda ctx, param, typed: completion.starting(protocols.names(), typed),
    help="What --ema best measures, as of ddpm eval; train.eval_protocol of the run unless told.",
)
@click.option(
    "-n",
    "--count",
    type=numbers.whole(20, 10_000_000),
    help="Images for each length that --ema best tries; train.eval_count unless told.",
)
@shared.seed(0, "Seed of the first of them.")
@partial(listing.list_kinds, more=("format", "export", "release"))
@shared.settings
@shared.dry_run
@outputs.force()
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
    ema: str | None,
    protocol: str | None,
    count: int | None,
    seed: int,
    dry_run: bool,
    force: bool,
    as_json: bool,
    **_: object,
) -> None:
    """Read checkpoints of other programs, or write for them.

    SOURCE is a file or folder: what it holds is told by its content, no code in it is run, and
    what it does not say is asked for, to be given with --set or --as. With --to, SOURCE is a
    model of ddpm, a run folder or a model's name. hf:owner/name[@revision] stands for a
    repository of the Hugging Face hub, as SOURCE and as OUTPUT. With --ema, SOURCE is a run that
    kept snapshots of averages, and OUTPUT a model: an average of any length, made afterwards.
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
    length = None if ema is None else _length(ema)
    if protocol is not None:
        protocols.read(protocol)  # refused before any work
    if length != "best":
        reading.refuse_idle(ctx, "of --ema best", "protocol", "count", "seed")
    if length is not None:
        away = ("to_target", "part", *COMING)
        reading.refuse_idle(ctx, "not with --ema; convert what it writes", *away)
        if (place or "").startswith("hf:"):
            raise ConfigError("--ema: writes a file; give its name, and convert that to hf:")
    request = Convert(
        source=source,
        output=place,
        ema=length,
        protocol=protocol,
        count=count,
        seed=seed,
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


def _length(text: str) -> float | Literal["best"]:
    """What --ema says."""
    if text == "best":
        return "best"
    try:
        length = float(text)
    except ValueError:
        raise ConfigError(f"--ema {text}: a length as 0.1, or best") from None
    if not 0 < length <= LONGEST:
        raise ConfigError(f"--ema {text}: more than 0, at most {LONGEST}, a share of the run")
    return length
