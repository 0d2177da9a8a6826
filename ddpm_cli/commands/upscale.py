"""`ddpm upscale`: enlarge images, or give them colours or sharpness."""

from pathlib import Path
from typing import Any

import click

from ddpm_cli.errors import ConfigError
from ddpm_cli.options import completion, guiding, numbers, outputs, reading, shared, walking
from ddpm_cli.settings import code_names, guides, methods
from ddpm_cli.settings.requests import Upscale

NOISE_LIMIT = 100.0
NOISES_LIMIT = 100  # levels in one --aug-noise
# What a result must be made with again, beside what all commands have.
OWN = (
    "method", "task", "factor", "consistent", "is_downscaled", "fit", "background", "channels",
    "noise", "degrades",
)  # fmt: skip


def parse_noises(text: str) -> list[float]:
    """Parse a level of noise, or first:last:step: "0:0.4:0.2" gives [0, 0.2, 0.4]."""
    try:
        ends = [float(part) for part in text.split(":")]
        first, last, step = ends if len(ends) == 3 else (*ends, ends[0], 1.0)
    except ValueError:
        raise ConfigError(f"--aug-noise {text!r}: write a level or first:last:step") from None
    if not (0 <= first <= last <= NOISE_LIMIT and 1e-9 <= step <= NOISE_LIMIT):
        raise ConfigError(f"--aug-noise {text}: levels rise from 0 on; write 0:0.4:0.1")
    count = int((last - first) / step + 1e-9) + 1
    if count > NOISES_LIMIT:
        raise ConfigError(f"--aug-noise {text}: {count} levels; at most {NOISES_LIMIT}")
    return [round(first + step * i, 12) for i in range(count)]


@click.command(
    "upscale",
    epilog=shared.examples(
        "ddpm upscale small.png -o large.png",
        "ddpm upscale small/ -n 4 -o large/",
        "ddpm upscale small.png --method zero-shot -m mnist --factor 4",
        "ddpm upscale small.png --aug-noise 0:0.4:0.1 -o sweep/",
        "ddpm upscale grey.png --task colorize -m runs/emoji",
        "ddpm upscale soft.png --task deblur --set operator.sigma=1.5",
        "ddpm upscale noisy.png -m mnist --method pigdm --noise 0.1",
        "ddpm upscale whole.png --degrade --task fourier --method mmps",
        "ddpm upscale y.npy --task sensing --set operator.ratio=0.25",
        "ddpm upscale y.npy --task lens.py:blur --method mmps --noise 0.02",
        "ddpm upscale --task lens.py:blur --check",
        "ddpm sample --class 7 -o - | ddpm upscale - -o seven.png",
    ),
)
@click.argument("inputs", metavar="INPUT...", nargs=-1, shell_complete=completion.paths)
@outputs.output("PNG, JPEG or WebP, folder/, name with {name} and {seed} in it, or - for stdout.")
@shared.model("Model to restore with.", default="newest run that fits in ./runs, else bundled")
@click.option(
    "--method",
    type=click.Choice(methods.named(["auto", "model", "zero-shot"])),
    metavar="NAME",
    default="auto",
    show_default=True,
    help="A model trained to upscale (model); or any unconditional one: with data consistency "
    "(zero-shot), or by replace, posterior, repaint, ddnm, ddnm+, ddrm, pigdm, dps, diffpir, "
    "mmps or daps, see --list method. auto: model if it is one, else zero-shot, with --noise "
    "pigdm.",
)
@click.option(
    "--task",
    type=completion.OperatorChoice(),
    help="What to undo, by default upscale; see --list operator. Or FILE.py:NAME, code of yours, "
    "which is run: a linear map of images float32 [B,C,H,W] to [B,...], with NAME_adjoint if you "
    "have it.",
)
@walking.noise
@click.option(
    "--degrade",
    "degrades",
    is_flag=True,
    help="The inputs are whole: do to them first what is to be undone, with noise of --noise.",
)
@walking.check("without inputs")
@click.option(
    "--factor",
    type=numbers.number(0, 4_096, min_open=True),
    help="How many times larger; a trained model knows its own.",
)
@click.option(
    "--consistent",
    is_flag=True,
    help="Make results of a trained model agree with the input, as those of zero-shot do.",
)
@click.option(
    "--aug-noise",
    "noises",
    metavar="LEVEL",
    default="0",
    show_default=True,
    callback=lambda ctx, param, value: parse_noises(value),
    help="Noise that hides faults of the input from a trained model; first:last:step for several.",
)
@outputs.layout
@walking.downscale("an input")
@shared.count(1, "How many proposals for each input.")
@walking.steps()
@walking.guide_with
@walking.one_label("Class name or number, or none; else the input's own.")
@walking.told(several=False)
@guiding.options()
@shared.seed(help="Seed of the first proposal.")
@shared.seeds
@shared.batch()
@shared.fitting
@shared.channels
@walking.rest(skips=True, deals=True)
@click.pass_context
def command(
    ctx: click.Context,
    /,
    inputs: tuple[str, ...],
    output: str | None,
    method: str,
    task: str | None,
    factor: float | None,
    consistent: bool,
    noises: list[float],
    is_downscaled: bool,
    skip_existing: bool,
    noise: float,
    degrades: bool,
    checks: bool,
    **_: Any,
) -> None:
    """Enlarge images, or give them colours or sharpness.

    A model trained to upscale enlarges images of the size that it was trained for, and larger
    ones by windows that overlap by half. An unconditional model restores without training:
    what the input says is made exact in each predicted image (DDNM). The result, made small,
    grey or blurred again, then differs from the input by about a level of 255; --json tells
    how much. Other methods ask how much noise is in the input, and do not make it exact.

    Of fourier and sensing the input is a .npy of the numbers that they leave; --degrade makes them
    of whole images, and --json then tells the likeness (psnr) of results to these.

    The class of an image that ddpm sample made is in its file, and is used here. With several
    inputs, proposals or levels of noise -o is a folder. See --set edits for time travel.
    """
    if not inputs and not checks:
        raise click.UsageError("Missing argument 'INPUT...'.")
    if named := [name for name in inputs if code_names.is_code(name) and not Path(name).exists()]:
        raise ConfigError(f"{named[0]}: code of yours is no input; write --task {named[0]}")
    if inputs and checks:
        raise ConfigError("--check: it restores nothing; leave the inputs out")
    code = {"operator": task} if task is not None and code_names.is_code(task) else {}
    if code:
        code_names.refuse_unusable("task", code["operator"], trust=False)
        task = "own"
    if is_downscaled and degrades:
        raise ConfigError("--downscale: --degrade makes inputs small already; leave it out")
    if is_downscaled and (task or "upscale") != "upscale":
        raise ConfigError(f"--downscale: of no use with --task {task}; leave it out")
    if is_downscaled and ctx.params["fit"] != "error":
        fit = ctx.params["fit"]
        raise ConfigError(f"--downscale: --fit {fit} says already how an input fits; choose one")
    request = Upscale(
        use=reading.use(ctx, *OWN, *guiding.words(ctx), reads=True),
        inputs=inputs,
        output=output,
        seeds=reading.chosen_seeds(ctx),
        method=method,
        task=task or "upscale",
        factor=factor,
        is_consistent=consistent,
        noises=noises,
        is_downscaled=is_downscaled,
        noise=noise,
        degrades=degrades,
        code=code,
        checks=checks,
        skip_existing=skip_existing,
        look=reading.look(ctx),
        layout=reading.layout(ctx),
        guiding=guides.guiding(ctx.params),
    )
    from ddpm_cli.pipelines import opening_upscale

    opened = opening_upscale.restoring(request)

    from ddpm_cli.pipelines import upscale

    upscale.run(request, opened)
