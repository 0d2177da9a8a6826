"""What steers a walk beside the model: classifiers, CLIP, programs and measurements.

A component is called with the context of a walk and loads what its knobs name.
"""

from collections.abc import Callable, Sequence
from typing import Literal

from torch import Tensor

from ddpm_cli import console
from ddpm_cli.diffusion.guidance import agreement
from ddpm_cli.diffusion.rng import Rng, keyed
from ddpm_cli.errors import ConfigError
from ddpm_cli.files.images import inputs, masks
from ddpm_cli.files.images.inputs import Input, Source
from ddpm_cli.files.images.masks import Mask
from ddpm_cli.files.images.pixels import from_uint8
from ddpm_cli.guides.parts import programs
from ddpm_cli.guides.parts.context import Context, Guide
from ddpm_cli.models import build
from ddpm_cli.settings.knobs import Count, NonNegative


def classifier(
    context: Context, *, model: str = "", scale: NonNegative = 4.0, at: Literal["x", "mean"] = "x"
) -> Guide:
    """A classifier of noisy images pulls towards its class: scale times d log p(y given x) / dx.

    model: a run, file or name of one trained by ddpm, or a program.pt2.  at: whether the gradient
    is taken at the state, or where an ancestral step would go without it (Dhariwal 2021).
    """
    judging = context.classifier(model)

    def judge(seeds: Sequence[int]) -> Callable[[Tensor, Tensor], Tensor]:
        wanted = context.targets(seeds)
        return lambda x, sigma: scale * judging(x, sigma, wanted)

    return Guide(judge, "noisy", at_mean=at == "mean")


def clip(
    context: Context,
    *,
    model: str = "",
    prompts: list[str] = [],  # noqa: B006  (read, never changed)
    images: list[str] = [],  # noqa: B006
    cutouts: Count = 8,
    scale: NonNegative = 100.0,
) -> Guide:
    """CLIP pulls towards texts and images: scale times minus half the squared angle to theirs.

    model: a folder that open_clip saved, or ARCHITECTURE/WEIGHTS.  prompts, images: texts and
    files, each with a weight behind a colon if it is not 1.  cutouts: random squares of the
    predicted image that CLIP sees, as in Crowson's CLIP-guided diffusion (2021).
    """
    from ddpm_cli.guides.parts.clip_judge import load

    if not prompts and not images:
        raise ConfigError("guides.clip: nothing is wanted; give --clip TEXT or --clip-image FILE")
    context.refuse_arrays("clip")
    loaded = load(model, download=context.download, device=context.compute.device)
    objective = loaded.objective(prompts, images, cutouts)

    def judge(seeds: Sequence[int]) -> Callable[[Tensor, Tensor], Tensor]:
        rng = Rng([keyed(seed, "cutouts") for seed in seeds])
        return lambda x0, sigma: scale * objective(x0, rng)

    return Guide(judge, "clean")


def scorer(context: Context, *, program: str = "", scale: NonNegative = 1.0) -> Guide:
    """A program of your own pulls towards images that it scores higher.

    program: a torch.export program (.pt2), image float32 [B, C, H, W] in [-1, 1] -> score [B].
    """
    path = context.file("scorer.program", program)
    score = programs.scorer(path, context.compute.device, context.info.shape)
    return Guide(lambda seeds: lambda x0, sigma: scale * score(x0.float()), "clean")


def restore(
    context: Context,
    *,
    image: str = "",
    mask: str = "",
    fit: Literal["error", "crop", "resize"] = "error",
    noise: NonNegative = 0.05,
    scale: NonNegative = 1.0,
) -> Guide:
    """A measurement pulls towards images that it could be of: small, grey, blurred or with holes.

    image: what is known, changed by `operator`, or whole but for the white of `mask`.  fit: what
    to do with one of another size.  noise: its standard deviation, of images in [-1, 1] (Chung
    2023, DPS; Song 2023, Pi-GDM).
    """
    context.refuse_arrays("restore")
    if not mask and "operator" not in context.config:
        fix = 'add --set operator.name=upscale, colorize or deblur, or mask="..."'
        raise ConfigError(f"guides.restore: what was done to the image? {fix}")
    shape = context.info.shape
    operator = None if mask else build.operator(context.config, context.info)
    source = Source(str(context.file("restore.image", image)), "image")
    given = inputs.read(source, shape if operator is None else operator.shape, fit)
    y = from_uint8(given.image)[None].to(context.compute.device, context.compute.state_dtype)
    known = ~_hole(mask, source, given).to(y.device)
    if mask and bool(known.all() | ~known.any()):
        console.warn(f"{mask}: {'all' if bool(known.all()) else 'nothing'} of the image is known")

    def residual(x0: Tensor) -> Tensor:
        if operator is not None:
            return operator.missing(x0, y.to(x0))
        return (y.to(x0) - x0) * known

    return Guide(lambda seeds: agreement(residual, noise=noise, scale=scale), "clean")


def _hole(mask: str, source: Source, given: Input) -> Tensor:
    """Where nothing is known of an image, bool [1, H, W]."""
    return masks.hole(Mask(mask), source, given.size, (0, 0, 0, 0), given)
