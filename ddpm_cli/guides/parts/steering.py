"""The guides of a configuration, loaded once, around the denoiser of a walk."""

from collections.abc import Callable
from functools import partial

from ddpm_cli.diffusion.denoiser import Denoise
from ddpm_cli.diffusion.guidance import steered
from ddpm_cli.guides.parts.context import Context, Guide
from ddpm_cli.models import build
from ddpm_cli.models.walks import Batch


def loaded(context: Context) -> Callable[[Batch], Batch]:
    """All guides of a configuration, as what completes a batch with them."""
    guides: list[Guide] = [
        build.maker("guides", settings)(context) for settings in context.config["guides"]
    ]

    def around(denoise: Denoise, part: slice, batch: Batch) -> Denoise:
        seeds = batch.seeds[part]
        noisy, clean = (
            [guide.judge(seeds) for guide in guides if guide.of == of] for of in ("noisy", "clean")
        )
        at_mean = any(guide.at_mean for guide in guides)
        return steered(denoise, noisy, clean, at_mean=at_mean)

    return lambda batch: batch._replace(wrap=partial(around, batch=batch))
