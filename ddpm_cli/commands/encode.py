"""`ddpm encode`: turn images into latents, from which `ddpm sample --from` makes them again."""

from pathlib import Path
from typing import Any, Literal

import click

from ddpm_cli.errors import ConfigError
from ddpm_cli.options import reading, shared, walking
from ddpm_cli.settings.requests import Encode
from ddpm_cli.settings.usual import CODING


@click.command(
    "encode",
    epilog=shared.examples(
        "ddpm encode a.png b.png -o latents.safetensors",
        "ddpm encode digits/ --steps 100 --json",
        "ddpm encode a.png --sampler ddim --steps 200 --class 7",
        "ddpm encode a.png --method forward --at 400 -o noisy.safetensors",
        "ddpm sample --from latents.safetensors -o back/",
        "ddpm encode table.csv -m runs/table -o z.safetensors",
    ),
)
@shared.inputs
@shared.output("File of the latents, .safetensors; by default latents.safetensors.")
@shared.model("Model to encode with.")
@walking.steps(", heun unless told; it must not add noise")
@walking.one_label("Class of the images; none unless told.")
@walking.told(several=False)
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
@walking.rest(deals=True)
@click.pass_context
def command(
    ctx: click.Context,
    /,
    inputs: tuple[str, ...],
    output: str | None,
    method: Literal["ode", "forward"],
    at: str | None,
    fast: bool,
    seed: int,
    **_: Any,
) -> None:
    """Turn images into latents, noise that becomes them again.

    Images walk up to noise along the probability-flow ODE, on 50 levels evenly spaced in
    log-SNR unless told otherwise, with the null class. The model's own sampler, levels and
    wrappers are for drawing: here nothing is clamped, and clamp is refused, since what was
    cut off would not come back. Each latent is decoded again, which costs as much as encoding
    did, and the PSNR of image and result is printed in dB (above 60 all pixels mostly agree).

    --method forward draws x_T given the image instead, noise of each image's own seed; the
    model's own sampler takes it away again. Latents are kept in units of the process's noise,
    x_T itself of a variance-preserving process and x_T / sigma of an exploding one.

    A model of arrays takes .csv, .npy, .npz and .parquet files, each row of which becomes a
    latent; said is how far the rows of a file are from what comes back, in deviations of their
    columns.
    """
    path = Path(output or "latents.safetensors")
    if path.suffix != ".safetensors":
        raise ConfigError(f"-o {path}: latents go to a .safetensors file")
    _check(ctx, method, at)
    request = Encode(
        use=reading.use(ctx, "method", "at", "fast", "seed", "fit", "background", reads=True),
        inputs=inputs,
        output=path,
        method=method,
        at=at,
        is_checked=not fast,
        seed=seed,
        look=reading.look(ctx),
    )
    from ddpm_cli.pipelines import opening_rows

    opened = opening_rows.opened(request.use, *([CODING] if method == "ode" else []))
    if opened.header.data.is_image:
        from ddpm_cli.pipelines import encode

        encode.run(request, opened)
        return
    from ddpm_cli.pipelines import encode_rows

    encode_rows.run(request, opened)


def _check(ctx: click.Context, method: str, at: str | None) -> None:
    """Refuse options that would have no effect."""
    if method == "ode":
        if at is not None:
            raise ConfigError("--at: only with --method forward; the walk goes to the end")
        reading.refuse_idle(ctx, "only with --method forward, which adds noise", "seed")
        return
    idle = [
        f"--{key}"
        for key in ("sampler", "levels", "steps", "calls")
        if ctx.params[key] is not None
    ]
    if at is None or idle:
        fix = f"leave out {idle[0]}" if idle else "say with --at how much noise"
        raise ConfigError(f"--method forward: noise is added at once; {fix}")
