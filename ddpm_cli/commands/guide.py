"""`ddpm guide`: draw images that are steered towards what is asked for."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from ddpm_cli import completion, console, options, walking
from ddpm_cli.config import Config, Layer
from ddpm_cli.errors import ConfigError

if TYPE_CHECKING:
    from ddpm_cli.cascades import Cascade
    from ddpm_cli.files.checkpoint import Header
    from ddpm_cli.files.models import Found
    from ddpm_cli.generate import Batch
    from ddpm_cli.hardware import Compute
    from ddpm_cli.sampling import Task

SCALE = 2.0  # of classifier-free guidance
MASK = "mask"
# Flags that say more of another one, by their parameters; and flags of another name than theirs.
OWNERS = {
    "grad_at": ("classifier",),
    "clip_model": ("prompts", "likes"),
    "cutouts": ("prompts", "likes"),
    "image": ("restore",),
    "mask": ("restore",),
}
FLAGS = {
    "grad_at": "grad-at",
    "clip_model": "clip-model",
    "prompts": "clip",
    "likes": "clip-image",
}


@click.command(
    "guide",
    epilog=options.examples(
        "ddpm guide --class 7 -n 64",
        "ddpm guide --class all -n 100 --scale 3 --interval 0.1,2 -o classes.png",
        "ddpm guide --classifier mnist-classifier --class 7 --scale 4 -n 16",
        "ddpm guide --classifier runs/classifier --unconditional --class 0-9 -n 10",
        "ddpm guide --classifier mine.pt2 --class 3 --sampler ddpm --grad-at mean",
        "ddpm guide --clip 'a hedgehog' --clip 'blurry:-0.5' --clip-model clip/ -m runs/photos",
        "ddpm guide --scorer beauty.pt2 --scale 50 -n 8 -o best/",
        "ddpm guide --restore deblur --image soft.png --set operator.sigma=1.5 -n 4",
        "ddpm guide --restore mask --image seven.png --mask 7,7,21,21 -n 4",
    ),
)
@options.count(1, "How many images; by default one of each class that --class names.")
@options.output(
    "PNG, folder/, file with {seed} in its name, .npz, .npy, .safetensors or - for stdout; "
    "by default guided.png."
)
@options.model("Model to sample from; others behind commas enlarge its images.")
@walking.label
@click.option(
    "--scale",
    type=click.FloatRange(min=0),
    metavar="S",
    help=f"How strongly. Without a classifier, CLIP or the like: classifier-free guidance, u + S "
    f"(c - u), where 1 is none; {SCALE:g} by default.",
)
@click.option(
    "--omega", type=click.FloatRange(min=-1), metavar="W", help="The papers' w: --scale is W + 1."
)
@click.option(
    "--interval", metavar="LOW,HIGH", help="Classifier-free guidance at these noise levels alone."
)
@click.option(
    "--rescale",
    type=click.FloatRange(0, 1),
    metavar="SHARE",
    help="Bring the contrast back to that without guidance, by a share of the way.",
)
@click.option(
    "--classifier",
    metavar="MODEL",
    help="A classifier of noisy images: a run, file or name; or a torch.export program.pt2 (x_t "
    "float32 [B,C,H,W], the network's noise label float32 [B]) -> logits [B,K].",
    shell_complete=completion.models,
)
@click.option(
    "--grad-at",
    type=click.Choice(["x", "mean"]),
    help="Where the classifier's gradient is taken: at x_t, or at the mean of ddpm's step.",
)
@click.option(
    "--unconditional",
    is_flag=True,
    help="Tell the class to the classifier alone; the model draws with the null class.",
)
@click.option(
    "--clip", "prompts", multiple=True, metavar="TEXT", help="What CLIP shall see; TEXT:weight."
)
@click.option(
    "--clip-image", "likes", multiple=True, metavar="FILE", help="What it shall look like to CLIP."
)
@click.option(
    "--clip-model",
    metavar="MODEL",
    help="Folder that open_clip saved, or ARCHITECTURE/WEIGHTS, fetched with --download only.",
)
@click.option("--cutouts", type=click.IntRange(min=1), help="Squares that CLIP sees at a time.")
@click.option("--download", is_flag=True, help="Allow to fetch the weights of --clip-model.")
@click.option(
    "--scorer",
    metavar="PROGRAM",
    help="A torch.export program.pt2: image float32 [B,C,H,W] in [-1,1] -> score [B].",
    shell_complete=completion.paths,
)
@click.option(
    "--restore",
    type=click.Choice(["mask", "upscale", "colorize", "deblur"]),
    help="Draw what --image could be of, the gradient going through the network (DPS).",
)
@click.option(
    "--image", metavar="FILE", help="What --restore knows.", shell_complete=completion.paths
)
@click.option(
    "--mask",
    metavar="MASK",
    help="What --restore mask does not know: white, or left,top,right,bottom.",
)
@walking.trajectory
@walking.steps()
@click.option(
    "--aug-noise",
    type=click.FloatRange(min=0, max=100),
    metavar="LEVEL",
    default=0.0,
    help="Noise that each further model adds to what it enlarges.",
)
@options.seed()
@options.seeds
@options.batch()
@walking.rest(skips=True)
@click.pass_context
def command(ctx: click.Context, /, model: str | None, **_: Any) -> None:
    """Draw images that are steered towards a class, a text, a score or a measurement.

    Classifier-free guidance needs no more than a model trained with classes and label dropout.
    Gradients steer any model with any sampler: of a classifier of noisy images at x_t; of CLIP, a
    program of your own or a measurement at the predicted clean image. ODE steps take the gradient
    as a shift of the predicted noise, ddpm as a shift of its mean. --set 'guides=[...]' combines
    several, each with its own scale; see --list guides.
    """
    from ddpm_cli import cascades, generate, sampling
    from ddpm_cli.files import checkpoint, models

    model, later = cascades.split(model)
    found = models.find(model)
    if model is None:
        console.say(f"model: {found.name}")
    header = checkpoint.read_header(found.path)
    generate.refuse_conditional(header, found.name)
    cascade = cascades.planned(later, found, header.data, ctx.params["aug_noise"])
    task = _task(ctx, found, header, cascade)
    sampling.run(ctx, task, lambda calls: walking.cost(calls) + _gradients(task.config))


def _gradients(config: Config) -> str:
    """What steers a walk, in words."""
    names = [one["name"] for one in config["guides"]]
    scale = config.get("guidance", {}).get("scale", 1.0)
    said = f"; guidance scale {scale:g} (omega {scale - 1:g})" if scale != 1 else ""
    return said + (f"; steered by {', '.join(names)}" if names else "")


def _task(ctx: click.Context, found: "Found", header: "Header", cascade: "Cascade") -> "Task":
    """What the options ask for; what makes no sense is refused before any work."""
    from ddpm_cli import build, classes, provenance, sampling, steering

    config = _config(ctx, found, header)
    schedule = build.schedule_of(header, found.path)
    config = walking.sized(ctx, config, schedule)
    label = ctx.params["label"]
    if config["guides"] and "classifier" not in [one["name"] for one in config["guides"]]:
        label = classes.fixed(label, config)  # a class from the seed would pull elsewhere
    space = steering.Space.of(label, config, header.data)
    labels = sampling.Labels.of(label, *space)
    _check(ctx, config, label)

    def told(seeds: Sequence[int]) -> list[int] | None:
        if ctx.params["unconditional"]:
            return classes.numbers(classes.fixed(None, config), seeds, config, header.data)
        return space.told(label, config, header.data, seeds)

    def steer(compute: "Compute") -> "Callable[[Batch], Batch]":
        context = steering.Context(
            config, header.data, compute, schedule, labels.numbers, ctx.params["download"]
        )
        return steering.loaded(context)

    seeds = sampling.seeds(ctx, label, classes.known(*space))
    told(seeds[:1])
    words = provenance.given(ctx, "unconditional", "download", "aug_noise")
    return sampling.Task(
        found,
        header,
        config,
        schedule,
        seeds,
        labels._replace(numbers=told),
        words,
        cascade,
        steer=steer if config["guides"] else None,
    )


def _config(ctx: click.Context, found: "Found", header: "Header") -> Config:
    """The configuration of the walk; without guides classifier-free guidance is on."""
    above, own = _flags(ctx.params), []
    if ctx.params["restore"] not in (None, MASK):
        own.append(Layer("--restore", {"operator": {"name": ctx.params["restore"]}}))

    def resolved(*more: Layer) -> Config:
        trained, free = Layer(str(found.path), header.config), ("guides", "operator")
        return walking.resolved(ctx, trained, *own, *more, above=[above], free=free)

    config = resolved()
    if config["guides"] or "guidance" in config:
        return config
    return resolved(Layer("ddpm guide", {"guidance": {"scale": SCALE}}))


def _flags(asked: dict[str, Any]) -> Layer:
    """What the flags say of guidance and guides."""
    guides = _guides(asked)
    guidance = {"rescale": asked["rescale"]} if asked["rescale"] is not None else {}
    if asked["interval"] is not None:
        guidance |= dict(zip(("low", "high"), _interval(asked["interval"]), strict=True))
    scale = asked["scale"]
    if asked["omega"] is not None:
        if scale is not None or guides:
            what = (
                "--scale says already how strongly" if scale is not None else "only for two passes"
            )
            raise ConfigError(f"--omega: {what}; leave it out")
        scale = asked["omega"] + 1
    if scale is not None and len(guides) > 1:
        fix = "give each its own with --set 'guides=[...]'"
        raise ConfigError(f"--scale: there are {len(guides)} guides; {fix}")
    if scale is not None:
        (guides[0] if guides else guidance)["scale"] = scale
    elif guidance and not guides:
        guidance = {"scale": SCALE, **guidance}
    given = {"guides": guides, "guidance": guidance}
    return Layer("the command line", {key: value for key, value in given.items() if value})


def _guides(asked: dict[str, Any]) -> list[dict[str, Any]]:
    """The guides that flags ask for; flags that would do nothing without another are refused."""
    for flag, owners in OWNERS.items():
        if asked[flag] and not any(asked[owner] for owner in owners):
            names = " or ".join(f"--{FLAGS.get(owner, owner)}" for owner in owners)
            raise ConfigError(f"--{FLAGS.get(flag, flag)}: only with {names}")
    made: list[dict[str, Any]] = []
    if asked["classifier"] is not None:
        at = {"at": asked["grad_at"]} if asked["grad_at"] else {}
        made.append({"name": "classifier", "model": asked["classifier"], **at})
    if asked["prompts"] or asked["likes"]:
        wanted = {"prompts": list(asked["prompts"]), "images": list(asked["likes"])}
        cutouts = {"cutouts": asked["cutouts"]} if asked["cutouts"] else {}
        made.append({"name": "clip", "model": asked["clip_model"] or "", **wanted, **cutouts})
    if asked["scorer"] is not None:
        made.append({"name": "scorer", "program": asked["scorer"]})
    if asked["restore"] is not None:
        if (asked["restore"] == MASK) != (asked["mask"] is not None):
            raise ConfigError("--mask: --restore mask needs it, and nothing else does")
        mask = {"mask": asked["mask"]} if asked["mask"] else {}
        made.append({"name": "restore", "image": asked["image"] or "", **mask})
    return made


def _interval(text: str) -> tuple[float, float]:
    """The noise levels LOW,HIGH between which there is guidance."""
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        low, high = 1.0, 0.0
    if not 0 <= low < high < float("inf"):
        raise ConfigError(f"--interval {text!r}: write two noise levels LOW,HIGH, as 0.2,5")
    return low, high


def _check(ctx: click.Context, config: Config, label: str | None) -> None:
    """Refuse what would do nothing, and what cannot be done."""
    from ddpm_cli import classes

    judged = [one for one in config["guides"] if one["name"] == "classifier"]
    if ctx.params["unconditional"] and not config["guides"]:
        raise ConfigError("--unconditional: only with a classifier or another guide")
    if judged and label == classes.NULL:
        raise ConfigError(f"--class {label}: a classifier knows no such class; name another")
    if any(one["at"] == "mean" for one in judged):
        sampler = config["sampler"]["name"]
        if sampler != "ddpm" or config.get("corrector"):
            what = f"sampler {sampler} has" if sampler != "ddpm" else "correctors have"
            raise ConfigError(f"--grad-at mean: {what} no mean; use --sampler ddpm alone")
