"""Guides around the denoiser of a walk."""

from collections.abc import Sequence

from ddpm_cli.diffusion.denoiser import Denoise
from ddpm_cli.diffusion.guidance import steered
from ddpm_cli.guides.parts.context import Context, Guide
from ddpm_cli.models import making
from ddpm_cli.models.walks import Batch


def loaded(context: Context) -> list[Guide]:
    """All guides of a configuration, with what they load."""
    return [making.maker("guides", settings)(context) for settings in context.config["guides"]]


def steer(
    guides: Sequence[Guide], denoise: Denoise, seeds: Sequence[int], *, is_bounded: bool = False
) -> Denoise:
    """The denoiser of the images of these seeds, pulled by guides; is_bounded: see `steered`."""
    noisy, clean = (
        [guide.judge(seeds) for guide in guides if guide.of == of] for of in ("noisy", "clean")
    )
    at_mean = any(guide.at_mean for guide in guides)
    return steered(denoise, noisy, clean, at_mean=at_mean, is_bounded=is_bounded)


def completed(guides: Sequence[Guide], batch: Batch, *, is_bounded: bool = False) -> Batch:
    """The batch with guides around its denoiser; is_bounded: see `steered`."""

    def wrap(denoise: Denoise, rows: slice) -> Denoise:
        return steer(guides, denoise, batch.seeds[rows], is_bounded=is_bounded)

    return batch._replace(wrap=wrap)
