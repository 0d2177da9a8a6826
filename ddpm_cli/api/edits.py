"""Images made anew in parts, restored, or made of given ones, for the Python API."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ddpm_cli.api import arguments
from ddpm_cli.api import rows as rows_of
from ddpm_cli.api.handle import Handle, each, finished, parts
from ddpm_cli.api.telling import Seen, Telling
from ddpm_cli.errors import ConfigError
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.models.asked import Asked
from ddpm_cli.models.model import Model
from ddpm_cli.pipelines import (
    filling,
    guided_windows,
    opening,
    opening_inpaint,
    opening_upscale,
    restorer,
    sizes,
    translating,
    upscale_job,
)
from ddpm_cli.pipelines import upscale as upscaling
from ddpm_cli.pipelines.filling import Filler, Job
from ddpm_cli.pipelines.inpaint import told_of
from ddpm_cli.pipelines.opening import Opened
from ddpm_cli.pipelines.restorer import Row
from ddpm_cli.pipelines.steering import Completion
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
    scale, is_noisy = core.info.scale, request.noise > 0
    orders = [filling.order(hole, side, is_noisy=is_noisy) for hole in anew]
    if is_noisy and len(orders[0]) > 1:
        guided_windows.refuse(core.config, "images", "leave the guide out")
    jobs = [
        Job(pixels[i], anew[i], listed[i], orders[i], scale, is_noisy=is_noisy)
        for i in range(len(x))
    ]
    for own, same in _alike(telling, len(x), core.info):
        told = replace(request, use=replace(request.use, **own))
        found = told_of(told, opening_inpaint.inpainting(told, handle.known), core.schedule)
        complete = found.load(core.compute)
        filler = Filler.of(core, found.asked, request.noise, batch)._replace(complete=complete)
        for rows in parts(len(same), batch):
            finished(filler.fill([jobs[row] for row in same[rows]]) or None)
    filled = core.to_values(torch.stack([job.canvas for job in jobs]))
    return filled if is_noisy else torch.where(anew, filled, x)


def _alike(
    telling: Telling, count: int, info: DataInfo
) -> Iterator[tuple[dict[str, Any], list[int]]]:
    """What is said of images, as the fields of a Use, and the images of which just that is."""
    words = [one.words for one in telling.rows(count, info)]
    for number, own in enumerate(words):
        if own not in words[:number]:
            yield own, [row for row, other in enumerate(words) if other == own]


def upscale(
    handle: Handle,
    request: Upscale,
    images: Tensor,
    seeds: Sequence[int] | int,
    telling: Telling,
    batch: int,
) -> Tensor:
    """Images float32 [N, C, H, W] of small, grey or blurred ones [N, c, h, w]."""
    opened = opening_upscale.restoring(request, handle.known)
    core = handle.model(opened.config)
    restore = restorer.of(core, exact=request.is_consistent, size=batch)
    restore = restore._replace(noise=request.noise)
    takes = restore.operator.shape
    page = arguments.page(images, takes)
    low = core.to_pixels(arguments.images(images, page, core.info.scale))
    shape = restore.whole(tuple(low.shape[1:]))
    sizes.windows_of("images", shape, core.info.shape)
    listed, (noise,), scale = each(seeds, len(low)), request.noises, core.info.scale
    restored = dict[int, Tensor]()
    for own, same, seen in _steered(handle, request, opened, core, telling, len(low)):
        ready = restore._replace(complete=own)
        rows = [
            Row(low[row], shape, listed[row], *seen.alone(place), noise, scale=scale)
            for place, row in enumerate(same)
        ]
        for some in parts(len(same), batch):
            made = finished(ready(rows[some])).images
            restored |= zip(same[some], made, strict=True)
    return core.to_values(torch.stack([restored[row] for row in range(len(low))]))


def _steered(
    handle: Handle, request: Upscale, opened: Opened, core: Model, telling: Telling, count: int
) -> Iterator[tuple[Completion | None, list[int], Seen]]:
    """What guides add to walks, the images of which it is, and what these are told.

    Guides are told the same of all that they see; without any all images go together.
    """
    if not core.config["guides"]:
        yield None, list(range(count)), handle.told(telling, count, core.config)
        return
    every = telling.rows(count, core.info)
    for own, same in _alike(telling, count, core.info):
        asked = replace(request, use=replace(request.use, **own))
        found = upscaling.steered(asked, opened, core.schedule)
        label = upscale_job.told(asked.use, found).label
        told = Telling.joined([every[row] for row in same])._replace(classes=label)
        complete = None if found is None else found.load(core.compute)
        yield complete, same, handle.told(told, len(same), core.config)


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
