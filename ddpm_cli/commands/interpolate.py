"""`ddpm interpolate`: the images between images, or between seeds."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from ddpm_cli import console
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.options import completion, shared, walking
from ddpm_cli.settings import seeds as seed_lists
from ddpm_cli.settings.config import Config, Layer
from ddpm_cli.settings.toml import dump_toml

if TYPE_CHECKING:
    from torch import Tensor

    from ddpm_cli.files.checkpoints.find import Found
    from ddpm_cli.files.checkpoints.header import Header
    from ddpm_cli.files.images.inputs import Source
    from ddpm_cli.files.outputs.frames import Frames
    from ddpm_cli.pipelines.encode import Coder

BATCH = 64
SPEED = 120  # milliseconds a frame of a film
OWN = ("count", "blend", "at", "speed", "seed", "fit", "background")


@click.command(
    "interpolate",
    epilog=shared.examples(
        "ddpm interpolate a.png b.png -n 9 -o strip.png",
        "ddpm interpolate a.png b.png c.png a.png -n 20 -o round.gif",
        "ddpm interpolate --seeds 1,2 -n 9 -o seeds.png",
        "ddpm interpolate a.png b.png --at 50% --seed 3 -o strip.png",
        "ddpm interpolate a.png b.png --steps 20 --class 7 -o frames/",
    ),
)
@click.argument("inputs", metavar="[INPUT]...", nargs=-1, shell_complete=completion.paths)
@shared.count(9, "Frames from each end to the next, both ends counted.")
@shared.output("PNG strip, .gif film, folder/ of frames, or - for stdout; interpolation.png.")
@shared.model("Model to interpolate with.")
@click.option(
    "--seeds",
    metavar="LIST",
    callback=lambda ctx, param, value: None if value is None else seed_lists.parse(value),
    help="Seeds of the noise at the ends, as in 1,2, instead of images.",
)
@click.option(
    "--blend",
    type=click.Choice(["slerp", "lerp"]),
    help="Great circle between latents (slerp), or straight line; slerp, with --at lerp.",
)
@walking.at("Give the ends the noise of x_T, the same, instead of walking them up to their own.")
@walking.steps(", heun unless told; without --at it must not add noise")
@click.option("--class", "label", metavar="NAME", help="Class of all frames; none unless told.")
@click.option(
    "--speed",
    type=click.IntRange(20, 10_000),
    default=SPEED,
    show_default=True,
    metavar="MS",
    help="Milliseconds a frame of a film.",
)
@shared.fitting
@shared.seed(0, "Seed of the noise of --at.")
@shared.batch()
@walking.rest()
@click.pass_context
def command(
    ctx: click.Context,
    /,
    inputs: tuple[str, ...],
    output: str | None,
    model: str | None,
    force: bool,
    speed: int,
    dry_run: bool,
    **_: Any,
) -> None:
    """Make the images between two images or more.

    The ends become latents as in ddpm encode: nothing is clamped, and the first and last frame
    are the images themselves up to the round-trip error, which is said. A frame depends on its
    place between its two ends alone, not on how many there are.

    With --at the ends are given noise instead, both the same, a straight line runs between
    them, and the model's own sampler takes the noise away (Ho 2020, section 4.2): the larger T,
    the more each frame is an image of its own, and the less the ends are kept.
    """
    from ddpm_cli.files.checkpoints import find
    from ddpm_cli.files.checkpoints.header import read_header
    from ddpm_cli.files.images.inputs import mode_of
    from ddpm_cli.files.outputs.frames import open_frames
    from ddpm_cli.models import walks

    found = find.find(model)
    if model is None:
        console.say(f"model: {found.name}")
    header = read_header(found.path)
    walks.refuse_conditional(header, found.name)
    mode_of(header.data.shape)
    task = _task(ctx, inputs, found, header)
    console.say(task.cost)
    if dry_run:
        console.result(dump_toml(task.config).rstrip("\n"))
        return
    place = output or "interpolation.png"
    count, shape = len(task.places), header.data.shape
    target = open_frames(place, count, shape, force=force, speed=speed)
    _interpolate(ctx, task, target)


class _Task(NamedTuple):
    """What to do: between which ends, at which places (see latents.positions).

    sigma: the level at which the ends are given noise, if they do not walk.
    """

    found: "Found"
    config: Config
    sources: "list[Source]"
    label: str | None
    sigma: "Tensor | None"
    blend: str
    places: list[float]
    cost: str


def _task(ctx: click.Context, inputs: Sequence[str], found: "Found", header: "Header") -> _Task:
    """What the options ask for; what makes no sense is refused before any work."""
    from ddpm_cli.diffusion import latents
    from ddpm_cli.models import build, classes
    from ddpm_cli.models import cost as planning
    from ddpm_cli.pipelines import encode

    asked, trained = ctx.params, Layer(str(found.path), header.config)
    sources = _ends(inputs, asked)
    ends = len(sources or asked["seeds"])
    schedule = build.schedule_of(header, found.path)
    if asked["at"] is None:
        config = walking.resolved(ctx, trained, encode.OWN)
        config = walking.sized(ctx, config, schedule)
        sigma, blend = None, asked["blend"] or "slerp"
        moves, calls = encode.plan(config, schedule)
    else:
        config = walking.resolved(ctx, trained)
        sigma, blend = walking.level(asked["at"], schedule), "lerp"
        config = walking.sized(ctx, config, schedule, sigma)
        moves, calls = planning.plan(config, schedule, sigma)
    try:
        places = latents.positions(ends, asked["count"])
    except ValueError as error:
        raise ConfigError(f"--count {asked['count']}: {error}") from None
    label = classes.fixed(asked["label"], config)
    classes.one(label, config, header.data)
    counted = walking.cost(calls, "a frame")
    cost = f"{len(places)} frames, {moves} steps, {counted}"
    if sources and sigma is None:
        cost += f", and about as many for each of the {ends} ends"
    return _Task(found, config, sources, label, sigma, blend, places, cost)


def _ends(inputs: Sequence[str], asked: dict[str, Any]) -> "list[Source]":
    """The images at the ends; none if these are seeds."""
    from ddpm_cli.files.images.inputs import sources

    if inputs and asked["seeds"]:
        raise ConfigError("--seeds: INPUT says already between what; give one of them")
    found = sources(inputs, repeated=True)
    if len(found or asked["seeds"] or ()) < 2:
        raise ConfigError("INPUT: name two images or more, or seeds: --seeds 1,2")
    if asked["at"] is not None and not found:
        raise ConfigError("--at: gives images noise, and seeds are noise already; leave it out")
    if asked["at"] is not None and asked["blend"] == "slerp":
        raise ConfigError("--blend slerp: between images with the same noise runs a line; lerp")
    return found


def _interpolate(ctx: click.Context, task: _Task, target: "Frames") -> None:
    """Find the ends, and walk down from each place between them."""
    import torch

    from ddpm_cli.diffusion import latents
    from ddpm_cli.files.images import pixels as images
    from ddpm_cli.pipelines import encode

    coder = encode.coder(task.found, task.config)
    pixels, size = _pixels(ctx, task, coder), ctx.params["batch"] or BATCH
    blend, parts = (latents.slerp if task.blend == "slerp" else latents.lerp), []
    with console.progress(len(task.places), "frames") as bar:
        ends = _starts(ctx, task, coder, pixels)
        if ends is None:
            return
        for states in torch.split(latents.path(ends, task.places, blend), size):
            made = _images(ctx, task, coder, states)
            if made is None:
                return
            parts.append(coder.info.restore(made))
            bar.advance(len(states))
    frames = torch.cat(parts)
    if not bool(frames.isfinite().all()):
        raise Refusal("values that are not finite", "try --dtype float32, or more --steps")
    if pixels is not None and task.sigma is None:
        _report(frames[:: ctx.params["count"] - 1], pixels)
    for path in target.write(images.to_uint8(frames), _record(ctx, task, coder)):
        if ctx.params["as_json"]:
            console.json_line({"path": str(path)})
        else:
            console.result(str(path))


def _pixels(ctx: click.Context, task: _Task, coder: "Coder") -> "Tensor | None":
    """The images at the ends, uint8 [E, C, H, W]; None if the ends are seeds."""
    import torch

    from ddpm_cli.files.images import inputs

    if not task.sources:
        return None
    fitting = ctx.params["fit"], ctx.params["background"]
    read = [inputs.read(source, coder.info.shape, *fitting) for source in task.sources]
    return torch.stack([given.image for given in read])


def _starts(
    ctx: click.Context, task: _Task, coder: "Coder", pixels: "Tensor | None"
) -> "Tensor | None":
    """States at the ends: latents in units of the prior or, with --at, noised images."""
    import torch

    from ddpm_cli.diffusion import latents
    from ddpm_cli.diffusion.rng import Rng
    from ddpm_cli.files.images.pixels import from_uint8
    from ddpm_cli.models import classes
    from ddpm_cli.pipelines import encode

    if pixels is None:
        seeds = ctx.params["seeds"]
        like = torch.empty((len(seeds), *coder.info.shape), dtype=torch.float64)
        return Rng(seeds).normal(like)
    x0 = from_uint8(pixels).double()
    if task.sigma is not None:
        return latents.noised(x0, task.sigma, encode.noise([ctx.params["seed"]] * len(x0)))
    labels = classes.numbers(task.label, range(len(x0)), task.config, coder.info)
    return coder.encode(x0, labels)


def _images(ctx: click.Context, task: _Task, coder: "Coder", states: "Tensor") -> "Tensor | None":
    """What comes of states on the path; with --at the noise of the walk, too, is the same."""
    from ddpm_cli.models import classes

    seeds = [ctx.params["seed"]] * len(states)
    labels = classes.numbers(task.label, seeds, task.config, coder.info)
    if task.sigma is None:
        return coder.decode(states, labels)
    return coder.descend(states, seeds, labels, task.sigma)


def _report(made: "Tensor", pixels: "Tensor") -> None:
    """Say how close the frames at the ends are to the images there."""
    from ddpm_cli.evaluation.fidelity import psnr
    from ddpm_cli.files.images.pixels import from_uint8

    found = [f"{value:.1f}" for value in psnr(made, from_uint8(pixels)).tolist()]
    console.say(f"the ends come back at {', '.join(found)} dB")


def _record(ctx: click.Context, task: _Task, coder: "Coder") -> dict[str, Any]:
    """What the frames say of their making."""
    from ddpm_cli.files import provenance
    from ddpm_cli.files.records import compact

    found = provenance.record(
        "interpolate",
        task.found.name,
        coder.header,
        task.config,
        coder.compute,
        ctx.params["batch"] or BATCH,
        label=task.label,
        arguments=provenance.given(ctx, *OWN),
    )
    if task.sources:
        return found | {"inputs": [source.name for source in task.sources]}
    return found | {"seeds": compact(ctx.params["seeds"])}
