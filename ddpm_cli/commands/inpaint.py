"""`ddpm inpaint`: make parts of images anew, or more around them."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from ddpm_cli import console
from ddpm_cli.errors import ConfigError
from ddpm_cli.options import shared, walking
from ddpm_cli.settings import config as configuration
from ddpm_cli.settings.config import Config, Layer
from ddpm_cli.settings.toml import dump_toml

if TYPE_CHECKING:
    from torch import Tensor

    from ddpm_cli.failures import Failures
    from ddpm_cli.files.checkpoints.find import Found
    from ddpm_cli.files.checkpoints.header import Header
    from ddpm_cli.files.images.canvas import Canvas
    from ddpm_cli.files.images.inputs import Input, Source
    from ddpm_cli.files.outputs.edits import Results
    from ddpm_cli.pipelines.inpaint import Job

BATCH = 64
# Options that no setting stands for; a result says how they were given.
OWN = ("mask", "mask_keeps", "threshold", "extend", "panorama", "fit", "background")


@click.command(
    "inpaint",
    epilog=shared.examples(
        "ddpm inpaint digit.png --mask hole.png -o whole.png",
        "ddpm inpaint digit.png --mask 8,8,20,20 -n 4 -o proposals/",
        "ddpm inpaint photos/ --mask masks/ --mask-keeps white -o whole/",
        "ddpm inpaint digit.png --mask 8,8,20,20 --jump 10 --resample 10",
        "ddpm inpaint cut-out.png --mask alpha -o - > whole.png",
        "ddpm inpaint digit.png --extend 14,14,0,0 -o wide.png",
        "ddpm inpaint digit.png --panorama 84x28 -o panorama.png",
    ),
)
@shared.inputs
@click.option(
    "--mask",
    metavar="MASK",
    help="What to make anew: a file or a folder of files named like the images, white where; a "
    "box left,top,right,bottom; or alpha, where the image is transparent.",
)
@click.option(
    "--mask-keeps",
    type=click.Choice(["black", "white"]),
    default="black",
    show_default=True,
    help="What stays: white turns a mask round.",
)
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.5,
    show_default=True,
    help="From which share of the other colour on a pixel of a soft edge is made anew.",
)
@click.option(
    "--extend", metavar="L,R,U,D", help="More image around the input: pixels left,right,up,down."
)
@click.option("--panorama", metavar="WxH", help="More image around the input, up to that size.")
@click.option(
    "--method",
    type=click.Choice(["auto", "replace", "posterior", "model"]),
    default="auto",
    show_default=True,
    help="How known pixels count: for a model trained to fill holes, or by noising them along the "
    "walk, anew (replace) or as they were (posterior). auto: model if it is one, else replace.",
)
@click.option(
    "--jump", type=click.IntRange(min=1), metavar="J", help="RePaint: go back up J levels."
)
@click.option(
    "--resample",
    type=click.IntRange(min=1),
    metavar="R",
    help="RePaint: come by each level R times. The paper has 10 for both.",
)
@shared.count(1, "How many proposals for each image.")
@shared.output("PNG, folder/, file with {name} and {seed} in its name or - for stdout.")
@shared.model("Model to fill with.", "newest run of task inpaint in ./runs, else bundled")
@walking.steps()
@click.option("--class", "label", metavar="NAME", help="Class name or number; none by default.")
@shared.seed(help="Seed of the first proposal.")
@shared.seeds
@shared.fitting
@shared.batch()
@walking.rest(skips=True)
@click.pass_context
def command(
    ctx: click.Context,
    /,
    inputs: tuple[str, ...],
    count: int,
    output: str | None,
    model: str | None,
    label: str | None,
    seed: int,
    seeds: list[int] | None,
    skip_existing: bool,
    force: bool,
    dry_run: bool,
    **_: Any,
) -> None:
    """Make parts of images anew: what a mask says, or what is missing around them.

    All other pixels stay as they are, bit for bit. Images larger than the model are filled by
    windows that overlap by half, those that know most first. With --fit pad the padding counts
    as known.
    """
    from ddpm_cli.files.images.inputs import sources
    from ddpm_cli.files.outputs.edits import open_results

    listed, numbers = sources(inputs), shared.image_seeds(seed, count, seeds)
    task = _task(ctx, model, label)
    console.say(f"{len(listed) * len(numbers)} images, {task.cost}")
    if dry_run:
        console.result(dump_toml(task.config).rstrip("\n"))
        return
    existing = {"force": force, "skip_existing": skip_existing}
    target = open_results(output, listed, numbers, default="inpainted", **existing)
    _inpaint(ctx, task, listed, target)


class _Task(NamedTuple):
    """What to do with each image; cost: what that takes, in words."""

    found: "Found"
    header: "Header"
    config: Config
    label: str | None
    canvas: "Canvas"
    levels: "Tensor"
    cost: str


def _task(ctx: click.Context, model: str | None, label: str | None) -> _Task:
    """What the options ask for; what makes no sense is refused before any work."""
    from ddpm_cli.files.checkpoints import find
    from ddpm_cli.files.checkpoints.header import read_header
    from ddpm_cli.files.images.inputs import mode_of
    from ddpm_cli.models import build, classes, walks
    from ddpm_cli.models import cost as planning
    from ddpm_cli.pipelines import inpaint

    method = _method(ctx)
    found = find.find(model, "inpaint" if method in ("auto", "model") else "")
    if model is None:
        console.say(f"model: {found.name}")
    header = read_header(found.path)
    inpaint.refuse_other_task(header, method, found.name)
    shape = header.data.shape
    mode_of(shape)
    canvas, schedule = _canvas(ctx, shape), build.schedule_of(header, found.path)
    trained = Layer(str(found.path), header.config)
    config = _imposed(walking.resolved(ctx, trained, free=["constraints"]), method)
    config = walking.sized(ctx, _resampled(ctx, config), schedule)
    label = classes.fixed(label, config)
    classes.numbers(label, [], config, header.data)  # an unknown class is refused here
    moves, each = planning.plan(config, schedule)
    calls = f"{each} network calls" if each else "network calls as it needs them"
    cost = f"{moves} steps, {calls} for each window of {shape[2]}x{shape[1]}"
    levels = walks.path(config, schedule)
    return _Task(found, header, config, label, canvas, levels, cost)


def _method(ctx: click.Context) -> str:
    """The method asked for; resampling is RePaint's, which replaces known pixels."""
    method, asked = str(ctx.params["method"]), ctx.params
    if asked["jump"] is None and asked["resample"] is None:
        return method
    if method == "model":
        raise ConfigError("--jump, --resample: not with --method model; leave them out")
    return "replace" if method == "auto" else method


def _canvas(ctx: click.Context, shape: tuple[int, ...]) -> "Canvas":
    """How images are read; without anything to make anew there is nothing to do."""
    from ddpm_cli.files.images import canvas, masks

    asked = ctx.params
    place, extend, panorama = (asked[key] for key in ("mask", "extend", "panorama"))
    if place is None and extend is None and panorama is None:
        raise ConfigError("--mask: what to make anew? give a mask, --extend or --panorama")
    if extend is not None and panorama is not None:
        raise ConfigError("--panorama: --extend says already how much; give one of them")
    if asked["fit"] in ("crop", "resize") and (extend or panorama):
        raise ConfigError(f"--fit {asked['fit']}: not with --extend and --panorama; use pad")
    masks.parse_box(place or "")
    return canvas.Canvas(
        shape,
        masks.Mask(place or "", asked["mask_keeps"], asked["threshold"]),
        canvas.NONE if extend is None else canvas.parse_growth(extend),
        None if panorama is None else canvas.parse_size(panorama),
        asked["fit"],
        asked["background"],
    )


def _imposed(config: Config, method: str) -> Config:
    """The configuration with the constraints that a method stands for."""
    trained = "task" in config
    if method == "model" or (method == "auto" and (trained or config["constraints"])):
        return config | {"constraints": [] if method == "model" else config["constraints"]}
    name = "replace" if method == "auto" else method
    layer = Layer("--method", {"constraints": [{"name": name}]})
    return config | {"constraints": configuration.resolve([layer])["constraints"]}


def _resampled(ctx: click.Context, config: Config) -> Config:
    """The configuration with RePaint's jumps before its other edits of the levels."""
    asked = {"lengths": ctx.params["jump"], "visits": ctx.params["resample"]}
    given = {key: [value] for key, value in asked.items() if value is not None}
    if not given:
        return config
    jumps = configuration.resolve([Layer("--jump", {"edits": [{"name": "jumps", **given}]})])
    return config | {"edits": [*jumps["edits"], *config["edits"]]}


def _inpaint(
    ctx: click.Context, task: _Task, listed: "Sequence[Source]", target: "Results"
) -> None:
    """Fill the holes of a batch of proposals after the other, and write each."""
    from ddpm_cli.failures import Failures
    from ddpm_cli.files import provenance
    from ddpm_cli.models import walks
    from ddpm_cli.pipelines import inpaint

    model = walks.ready(task.found, task.config)
    batch = ctx.params["batch"] or BATCH
    record = provenance.record(
        "inpaint",
        task.found.name,
        task.header,
        task.config,
        model.compute,
        batch,
        label=task.label,
        arguments=provenance.given(ctx, *OWN),
    )
    failures = Failures(len(listed))
    jobs = _jobs(task, listed, target, failures)
    with console.progress(len(target.paths) or 1, "images") as bar:
        while some := list(islice(jobs, batch)):
            if not inpaint.fill(model, [job for _, job, _ in some], task.levels, task.label):
                return
            for given, job, hole in some:
                _write(target, given, job, hole, record, as_json=ctx.params["as_json"])
            bar.advance(len(some))
    failures.finish()


def _jobs(
    task: _Task, listed: "Sequence[Source]", target: "Results", failures: "Failures"
) -> "Iterator[tuple[Input, Job, Tensor]]":
    """The proposals that are still wanted: the image, the work on it, and its hole."""
    from ddpm_cli.pipelines import windows
    from ddpm_cli.pipelines.inpaint import Job

    wanted = [source for source in listed if target.missing(source.name)]
    side = (task.header.data.shape[1], task.header.data.shape[2])
    for given, hole in failures.passing(task.canvas.read, wanted):
        order = windows.order(~hole[0], side)
        if len(order) > 1:
            console.say(f"{given.name}: {len(order)} windows")
        for seed in target.missing(given.name):
            yield given, Job(given.image, hole, seed, order), hole


def _write(
    target: "Results",
    given: "Input",
    job: "Job",
    hole: "Tensor",
    record: dict[str, Any],
    *,
    as_json: bool,
) -> None:
    """Write one proposal, its known pixels those of the file, and report it."""
    from ddpm_cli.files.images.inputs import paste

    for path in target.add(given.name, job.seed, paste(given, job.canvas, hole), record):
        if as_json:
            share = float(hole.sum()) / given.original[0].numel()
            values = {"path": str(path), "input": given.name, "seed": job.seed}
            console.json_line(values | {"anew": round(share, 6)})
        else:
            console.result(str(path))
