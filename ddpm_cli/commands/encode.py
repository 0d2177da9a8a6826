"""`ddpm encode`: turn images into latents, from which `ddpm sample --from` makes them again."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import click

from ddpm_cli import console
from ddpm_cli.errors import ConfigError
from ddpm_cli.options import shared, walking
from ddpm_cli.settings import config as configuration
from ddpm_cli.settings.config import Config, Layer

if TYPE_CHECKING:
    from torch import Tensor

    from ddpm_cli.diffusion.schedules import Schedule
    from ddpm_cli.files.checkpoints.checkpoint import Header
    from ddpm_cli.files.checkpoints.find import Found
    from ddpm_cli.files.images.inputs import Input, Source
    from ddpm_cli.pipelines.encode import Encoded

BATCH = 64


@click.command(
    "encode",
    epilog=shared.examples(
        "ddpm encode a.png b.png -o latents.safetensors",
        "ddpm encode digits/ --steps 100 --json",
        "ddpm encode a.png --sampler ddim --steps 200 --class 7 -o seven.safetensors",
        "ddpm encode a.png --method forward --at 400 -o noisy.safetensors",
        "ddpm sample --from latents.safetensors -o back/",
    ),
)
@shared.inputs
@shared.output("File of the latents, .safetensors; by default latents.safetensors.")
@shared.model("Model to encode with.")
@walking.steps(", heun unless told; it must not add noise")
@click.option("--class", "label", metavar="NAME", help="Class of the images; none unless told.")
@click.option(
    "--method",
    type=click.Choice(["ode", "forward"]),
    default="ode",
    show_default=True,
    help="Walk up along the probability-flow ODE, or add the noise of --at at once.",
)
@walking.at("Where --method forward stops: at x_T.")
@click.option("--fast", is_flag=True, help="Do not decode again: half the time, no PSNR.")
@shared.fitting
@shared.seed(0, "Seed of the first image's noise, for --method forward.")
@shared.batch()
@walking.rest()
@click.pass_context
def command(
    ctx: click.Context,
    /,
    inputs: tuple[str, ...],
    output: str | None,
    model: str | None,
    method: Literal["ode", "forward"],
    dry_run: bool,
    as_json: bool,
    force: bool,
    **_: Any,
) -> None:
    """Turn images into latents, noise from which the same images come back.

    Images walk up to noise along the probability-flow ODE, on 50 levels evenly spaced in
    log-SNR unless told otherwise, with the null class. The model's own sampler, levels and
    wrappers are for drawing: here nothing is clamped, and clamp is refused, since what was
    cut off would not come back. Each latent is decoded again, which costs as much as encoding
    did, and the PSNR of image and result is printed in dB (above 60 all pixels mostly agree).

    --method forward draws x_T given the image instead, noise of each image's own seed; the
    model's own sampler takes it away again. Latents are kept in units of the process's noise,
    x_T itself of a variance-preserving process and x_T / sigma of an exploding one.
    """
    from ddpm_cli.files.checkpoints import checkpoint, find
    from ddpm_cli.files.images import inputs as files
    from ddpm_cli.files.outputs import samples
    from ddpm_cli.models import build, walks

    path = Path(output or "latents.safetensors")
    if path.suffix != ".safetensors":
        raise ConfigError(f"-o {path}: latents go to a .safetensors file")
    samples.refuse_existing(path, force)
    sources = files.sources(inputs)
    found = find.find(model)
    if model is None:
        console.say(f"model: {found.name}")
    header = checkpoint.read_header(found.path)
    walks.refuse_conditional(header, found.name)
    files.mode_of(header.data.shape)
    task = _task(ctx, found, header, build.schedule_of(header, found.path))
    console.say(f"{len(sources)} images, {task.cost}")
    if dry_run:
        console.result(configuration.dump_toml(task.config).rstrip("\n"))
        return
    _encode(ctx, task, sources, path)


class _Task(NamedTuple):
    """What to do with each image; sigma: the level that noise is added up to, or None."""

    found: "Found"
    header: "Header"
    config: Config
    label: str | None
    sigma: "Tensor | None"
    schedule: "Schedule"
    cost: str


def _task(ctx: click.Context, found: "Found", header: "Header", schedule: "Schedule") -> _Task:
    """What the options ask for; those that would have no effect are refused."""
    from ddpm_cli.models import classes
    from ddpm_cli.pipelines import encode

    asked, trained = ctx.params, Layer(str(found.path), header.config)
    if asked["method"] == "forward":
        given = [f"--{key}" for key in ("sampler", "steps", "calls") if asked[key] is not None]
        if asked["at"] is None or given:
            fix = f"leave out {given[0]}" if given else "say with --at how much noise"
            raise ConfigError(f"--method forward: noise is added at once; {fix}")
        config = walking.resolved(ctx, trained)
        sigma, cost = walking.level(asked["at"], schedule), "no network calls"
    else:
        if asked["at"] is not None:
            raise ConfigError("--at: only with --method forward; the walk goes to the end")
        config = walking.resolved(ctx, trained, encode.OWN)
        config = walking.sized(ctx, config, schedule)
        moves, calls = encode.plan(config, schedule)
        again = "" if asked["fast"] else " and again to check it"
        counted = ("about " if calls else "") + walking.cost(calls)
        sigma, cost = None, f"{moves} steps, {counted}{again}"
    label = classes.fixed(asked["label"], config)
    classes.one(label, config, header.data)
    return _Task(found, header, config, label, sigma, schedule, cost)


def _encode(ctx: click.Context, task: _Task, sources: "Sequence[Source]", path: Path) -> None:
    """Encode batch by batch, report each image, and write the file."""
    import torch

    from ddpm_cli.failures import Failures
    from ddpm_cli.files.images import inputs as files

    asked, shape = ctx.params, task.header.data.shape

    def read(numbered: "tuple[int, Source]") -> "tuple[int, Input]":
        number, source = numbered
        return number, files.read(source, shape, asked["fit"], asked["background"])

    failures = Failures(len(sources))
    make = _way(ctx, task)
    given = failures.passing(read, enumerate(sources))
    parts: list[Tensor] = []
    names: list[str] = []
    with console.progress(len(sources), "images") as bar:
        while batch := list(islice(given, asked["batch"] or BATCH)):
            pixels = torch.stack([image.image for _, image in batch])
            made = make(pixels, [asked["seed"] + number for number, _ in batch])
            if made is None:
                return
            parts.append(made.z.cpu())
            names += [image.name for _, image in batch]
            _report(made, names[-len(batch) :], asked["as_json"])
            bar.advance(len(batch))
    if names:
        _save(ctx, task, path, torch.cat(parts), names, [source.name for source in sources])
        if asked["as_json"]:
            console.json_line({"path": str(path)})
        else:
            console.result(str(path))
    failures.finish()


def _way(ctx: click.Context, task: _Task) -> "Callable[[Tensor, list[int]], Encoded | None]":
    """What turns pixels and seeds of a batch into latents; None if the process should stop."""
    from ddpm_cli.models import classes
    from ddpm_cli.pipelines import encode

    if task.sigma is not None:
        return partial(encode.forward, sigma=task.sigma, schedule=task.schedule)
    coder = encode.coder(task.found, task.config)

    def walk(pixels: "Tensor", seeds: list[int]) -> "Encoded | None":
        labels = classes.numbers(task.label, seeds, task.config, coder.info)
        return encode.walked(coder, pixels, labels, is_checked=not ctx.params["fast"])

    return walk


def _report(made: "Encoded", names: "Sequence[str]", as_json: bool) -> None:
    """Print how close each image came back, one a line."""
    if made.decibels is None or made.largest is None:
        return
    for name, decibels, largest in zip(names, made.decibels, made.largest, strict=True):
        if as_json:
            finite = decibels if math.isfinite(decibels) else None
            console.json_line({"input": name, "psnr": finite, "largest": largest})
        else:
            pixels = "all pixels equal" if not largest else f"pixels differ by up to {largest}"
            console.result(f"{name}  {decibels:.1f} dB, {pixels}")


def _save(
    ctx: click.Context,
    task: _Task,
    path: Path,
    latents: "Tensor",
    names: list[str],
    inputs: list[str],
) -> None:
    """Write the latents, with what `ddpm info` and `ddpm sample --from` need to know."""
    from ddpm_cli import hardware
    from ddpm_cli.files import provenance
    from ddpm_cli.files.checkpoints.latents import Latents, save
    from ddpm_cli.models import walks

    config, is_walk = task.config, task.sigma is None
    record = provenance.record(
        "encode",
        task.found.name,
        task.header,
        config,
        hardware.compute(**config["compute"]),
        ctx.params["batch"] or BATCH,
        label=task.label,
        arguments=provenance.given(ctx, "method", "at", "fast", "seed", "fit", "background"),
    )
    sigma = walks.path(config, task.schedule)[0] if task.sigma is None else task.sigma
    # The two number formats disagree by some 6 dB, so decoding takes the same one.
    compute = task.header.config["compute"] | {"dtype": record["dtype"]}
    header = task.header._replace(config=config | {"compute": compute})
    record |= {"inputs": inputs}
    path.parent.mkdir(parents=True, exist_ok=True)
    save(Latents(path, latents, sigma, names, record, is_walk, header))
