"""Images made anew in parts, or restored, for the Python API."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ddpm_cli.api import arguments
from ddpm_cli.api.handle import Handle, each, finished, parts
from ddpm_cli.models import classes
from ddpm_cli.pipelines import opening, restorer, windows
from ddpm_cli.pipelines.inpaint import Filler, Job
from ddpm_cli.pipelines.restorer import Row
from ddpm_cli.settings.requests import Inpaint, Upscale


def inpaint(
    handle: Handle, request: Inpaint, images: Tensor, masks: Tensor, seeds: Sequence[int] | int
) -> Tensor:
    """Images float32 [N, C, H, W] made anew where masks are not 0; all else stays bit for bit."""
    side = handle.info.shape[1:]
    x = arguments.images(images, arguments.page(images, handle.info.shape))
    anew, listed = arguments.holes(masks, x), each(seeds, len(x))
    config = opening.inpainting(request, handle.known).config
    core = handle.model(config)
    label = classes.fixed(request.use.label, config)
    pixels = core.to_pixels(x)
    jobs = [
        Job(pixels[i], anew[i], listed[i], windows.order(~anew[i, 0], (side[0], side[1])))
        for i in range(len(x))
    ]
    finished(Filler.of(core, label).fill(jobs) or None)
    filled = core.to_values(torch.stack([job.canvas for job in jobs]))
    return torch.where(anew, filled, x)


def upscale(
    handle: Handle, request: Upscale, images: Tensor, seeds: Sequence[int] | int, batch: int
) -> Tensor:
    """Images float32 [N, C, H, W] of small, grey or blurred ones [N, c, h, w]."""
    config = opening.restoring(request, handle.known).config
    core = handle.model(config)
    restore = restorer.of(core, exact=request.is_consistent)
    low = core.to_pixels(arguments.images(images, restore.operator.shape))
    number = classes.one(classes.fixed(request.use.label, config), config, handle.info)
    listed, (noise,) = each(seeds, len(low)), request.noises
    restored = []
    for rows in parts(len(low), batch):
        pairs = zip(low[rows], listed[rows], strict=True)
        some = finished(restore([Row(image, seed, number, noise) for image, seed in pairs]))
        restored.append(core.to_values(some.images))
    return torch.cat(restored)
