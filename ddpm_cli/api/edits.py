"""Images made anew in parts, restored, or made of given ones, for the Python API."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ddpm_cli.api import arguments
from ddpm_cli.api import rows as rows_of
from ddpm_cli.api.handle import Handle, each, finished, parts
from ddpm_cli.api.telling import Telling
from ddpm_cli.errors import ConfigError
from ddpm_cli.models.asked import Asked
from ddpm_cli.pipelines import (
    opening,
    opening_inpaint,
    opening_upscale,
    restorer,
    sizes,
    translating,
    windows,
)
from ddpm_cli.pipelines.filling import Filler, Job
from ddpm_cli.pipelines.inpaint import told_of
from ddpm_cli.pipelines.restorer import Row
from ddpm_cli.settings.request_parts import Use
from ddpm_cli.settings.requests import Inpaint, Translate, Upscale


def inpaint(
    handle: Handle,
    request: Inpaint,
    images: Tensor,
    masks: Tensor | None,
    seeds: Sequence[int] | int,
    telling: Telling,
    batch: int,
) -> Tensor:
    """Images float32 [N, C, H, W] made anew where masks say so; all else stays bit for bit."""
    if not handle.info.is_image:
        return rows_of.inpaint(handle, request, images, masks, seeds, telling, batch)
    if masks is None:
        raise ConfigError("masks: what to make anew? give them with the images")
    _, *sides = handle.info.shape
    side = sides[0], sides[1]
    x = arguments.images(images, arguments.page(images, handle.info.shape), handle.info.scale)
    anew, listed = arguments.holes(masks, x), each(seeds, len(x))
    opened = opening_inpaint.inpainting(request, handle.known)
    core = handle.model(opened.config)
    pixels = core.to_pixels(x)
    words = [one.words for one in telling.rows(len(x), core.info)]
    jobs = [
        Job(pixels[i], anew[i], listed[i], windows.order(~anew[i, 0], side), core.info.scale)
        for i in range(len(x))
    ]
    for number, own in enumerate(words):
        if own in words[:number]:
            continue
        same = [job for job, other in zip(jobs, words, strict=True) if other == own]
        told = replace(request, use=replace(request.use, **own))
        found = told_of(told, opening_inpaint.inpainting(told, handle.known), core.schedule)
        complete = found.load(core.compute)
        filler = Filler.of(core, found.asked)._replace(complete=complete)
        for rows in parts(len(same), batch):
            finished(filler.fill(same[rows]) or None)
    filled = core.to_values(torch.stack([job.canvas for job in jobs]))
    return torch.where(anew, filled, x)


def upscale(
    handle: Handle,
    request: Upscale,
    images: Tensor,
    seeds: Sequence[int] | int,
    telling: Telling,
    batch: int,
) -> Tensor:
    """Images float32 [N, C, H, W] of small, grey or blurred ones [N, c, h, w]."""
    core = handle.model(opening_upscale.restoring(request, handle.known).config)
    restore = restorer.of(core, exact=request.is_consistent, size=batch)
    takes = restore.operator.shape
    page = arguments.page(images, takes)
    low = core.to_pixels(arguments.images(images, page, core.info.scale))
    shape = restore.whole(tuple(low.shape[1:]))
    sizes.windows_of("images", shape, core.info.shape)
    seen = handle.told(telling, len(low), core.config)
    listed, (noise,) = each(seeds, len(low)), request.noises
    restored = []
    for rows in parts(len(low), batch):
        scale, given = core.info.scale, list[Row]()
        for row in range(len(low))[rows]:
            told, against = seen.alone(row)
            given.append(Row(low[row], shape, listed[row], told, against, noise, scale=scale))
        some = finished(restore(given))
        restored.append(core.to_values(torch.stack(some.images)))
    return torch.cat(restored)


def translate(
    handle: Handle,
    request: Translate,
    images: Tensor,
    seeds: Sequence[int] | int,
    telling: Telling,
    batch: int,
) -> Tensor:
    """Images float32 [N, C, h, w] of given ones: [K, h, w] of all seeds, or [N, K, h, w]."""
    core = handle.model(opening.translating(request, handle.known).config)
    undone, about = (request.task, request.degrades), (core.config, core.info)
    translating.place(core.config, undone[0], degrades=undone[1])
    make, listed = translating.of(core, undone[0], batch), arguments.seeds(seeds)
    many = images[None] if isinstance(images, Tensor) and images.ndim == 3 else images
    page = make.takes(many, degrades=undone[1])
    x = arguments.images(many, arguments.page(many, page), core.info.scale, "image")
    sizes.windows_of("image", tuple(x.shape[1:]), core.info.shape)
    if len(x) not in (1, len(listed)):
        raise ConfigError(f"image: {len(x)} images for {len(listed)} seeds; give one for each")
    x = x.expand(len(listed), -1, -1, -1)
    asked = [Asked.given(Use(**one.words), *about) for one in telling.rows(len(x), core.info)]
    rows = [
        translating.row(*make.given(one, degrades=undone[1]), seed, own)
        for one, seed, own in zip(x, listed, asked, strict=True)
    ]
    made = [finished(make(rows[some])) for some in parts(len(rows), batch)]
    return core.to_values(core.to_pixels(torch.cat(made)))
