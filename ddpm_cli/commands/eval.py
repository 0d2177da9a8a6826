"""`ddpm eval`: how close samples come to a reference."""

from pathlib import Path
from typing import Any

import click

from ddpm_cli.errors import ConfigError
from ddpm_cli.options import completion, numbers, outputs, reading, shared, walking
from ddpm_cli.settings import catalog, code_names, protocols, seeds, sweeps
from ddpm_cli.settings.eval_requests import Eval

WALKING = ("sampler", "levels", "steps", "calls", "label", "seed", "blocks")


@click.command(
    "eval",
    epilog=shared.examples(
        "ddpm eval mnist --ref mnist:test -n 2048 --protocol digits",
        "ddpm eval a/ --ref mnist:test --metric fid --metric recall:neighbours=5",
        "ddpm eval runs/mnist --sampler heun --steps 10 --protocol digits --json",
        "ddpm eval --floor --ref mnist:test -n 2048 --protocol digits",
        "ddpm eval a/ --ref b/ --protocol edm --set features.weights=w.pth",
        "ddpm eval --ref photos/ --features inception --write-stats photos.npz",
        "ddpm eval mnist --protocol digits --sweep calls=5,10,20 -o table.csv",
        "ddpm eval a/ --ref b/ --features mine.py:embed --metric kid",
    ),
)
@click.argument("samples", required=False, shell_complete=completion.targets)
@click.option(
    "--ref",
    "reference",
    metavar="REF",
    shell_complete=completion.targets,
    help="What to compare with; by default what the protocol names.",
)
@click.option(
    "--protocol",
    metavar="NAME",
    shell_complete=lambda ctx, param, typed: completion.starting(protocols.names(), typed),
    help="Fix images, features, resizing, metrics and reference: "
    "digits, edm, adm, clean or dinov2.",
)
@click.option(
    "--features",
    metavar="NAME",
    shell_complete=lambda ctx, param, typed: completion.starting(catalog.names("features"), typed),
    help="Feature network, or a function of yours as FILE.py:NAME; digits unless told.",
)
@click.option("--download", is_flag=True, help="Fetch the weights of the features if missing.")
@click.option(
    "--metric",
    "metrics",
    metavar="NAME",
    multiple=True,
    shell_complete=lambda ctx, param, typed: completion.starting(catalog.names("metric"), typed),
    help="Metric, with knobs as NAME:knob=value; may be repeated; fid unless told.",
)
@click.option(
    "-n",
    "--count",
    type=numbers.whole(1, seeds.LIMIT),
    help="Images of SAMPLES; of a model as many as the protocol says, of files all.",
)
@click.option(
    "--blocks",
    type=numbers.whole(1, 100),
    help="Draw as often anew with later seeds: mean, least and spread.",
)
@click.option("--floor", is_flag=True, help="Score the reference against itself.")
@click.option(
    "--train",
    metavar="DATA",
    shell_complete=completion.targets,
    help="What the model was trained on, for metrics that look for copies.",
)
@click.option(
    "--write-stats",
    "statistics",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the statistics of the reference, .npz.",
)
@click.option(
    "--sweep",
    "lists",
    metavar="KEY=A,B,...",
    multiple=True,
    shell_complete=completion.lists,
    help="Measure a model in each cell of the product of these lists: sampler, levels, steps, "
    "calls, seed or a key of --set.",
)
@outputs.output(
    "Table of --sweep, which goes on where it stopped: .csv, .tsv, .json, .jsonl, .md."
)
@click.option(
    "--plot",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Draw --sweep, .png, .svg or .pdf: quality against calls, guidance and seconds.",
)
@click.option("--badge", is_flag=True, help="Print a badge for a README, in Markdown.")
@walking.steps()
@walking.guide_with
@walking.label
@walking.told()
@shared.seed(0, "Seed of the first sample, or of the floor's choice.")
@shared.batch()
@walking.rest(deals=True, lists=("protocol", "features", "metric"))
@click.pass_context
def command(
    ctx: click.Context, /, statistics: Path | None, features: str | None, **options: Any
) -> None:
    """Measure how close samples come to a reference.

    SAMPLES and REF are a folder or zip file of images, a file of arrays (OpenAI's npz, npy,
    safetensors), a data set as mnist:test, or a model, which draws as it is asked and writes
    nothing; REF may be statistics as well, an npz with mu and sigma.

    A figure compares with others of the same protocol alone: number of images, feature network,
    resizing, reference. All of that is in the JSON, with hashes, seeds and versions. Fewer than
    10,000 images are labelled. The error of a figure is that of drawing other samples.
    """
    if statistics is not None and statistics.suffix != ".npz":
        raise ConfigError(f"--write-stats {statistics}: write a .npz file")
    if not options["lists"]:
        reading.refuse_idle(ctx, "of --sweep", "output", "plot")
    if options["floor"] and options["samples"] is not None:
        raise ConfigError("--floor: compares real images; leave SAMPLES out")
    code = None
    if features is not None and code_names.is_code(features):
        code_names.refuse_unusable("features", features, trust=False)
        code, features = features, None
    use, knobs = reading.evaluated(ctx)
    knobs |= {} if features is None else {"name": features}
    knobs |= {"download": True} if options["download"] else {}
    names = ("samples", "reference", "protocol", "metrics", "count", "blocks", "seed", "floor")
    request = Eval(
        use=use,
        features=knobs,
        code=code,
        statistics=statistics,
        train=options["train"],
        badge=options["badge"],
        sweep=sweeps.parse(options["lists"]),
        output=Path(options["output"]) if options["output"] else None,
        plot=options["plot"],
        **{name: options[name] for name in names},
    )
    if request.sweep:
        _swept(ctx, request)
        return

    from ddpm_cli.pipelines import eval_words

    settled = eval_words.settled(request)
    if settled.samples is None or settled.samples.kind != "model":
        idle = [name for name in WALKING if not (name == "seed" and options["floor"])]
        reading.refuse_idle(ctx, "of a model that draws", *idle)

    from ddpm_cli.pipelines import eval as pipeline

    pipeline.run(request, settled)


def _swept(ctx: click.Context, request: Eval) -> None:
    """Measure every cell of a sweep; options that have no effect beside it are refused."""
    reading.refuse_idle(ctx, "not with --sweep", "floor", "badge", "statistics")
    paths = {axis.path: axis.key for axis in request.sweep}
    for path, flags in sweeps.FLAGS.items():
        if path in paths:
            reading.refuse_idle(ctx, f"--sweep {paths[path]} says already which", *flags)

    from ddpm_cli.pipelines import sweep_cells

    planned = sweep_cells.settled(request)

    from ddpm_cli.pipelines import sweep

    sweep.run(request, planned)
