"""Samples of seeds, plain or steered, for the Python API."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ddpm_cli.api import arguments, guiding
from ddpm_cli.api.handle import Handle, finished, parts
from ddpm_cli.api.telling import Seen, Telling
from ddpm_cli.diffusion.denoiser import Prediction
from ddpm_cli.diffusion.steps import State
from ddpm_cli.models import walks
from ddpm_cli.models.kinds import of_classes
from ddpm_cli.models.model import Model
from ddpm_cli.models.walks import Batch
from ddpm_cli.pipelines import opening, steering, windows
from ddpm_cli.settings import checks, passes
from ddpm_cli.settings.request_parts import Use


def samples(
    core: Model,
    make: Callable[[slice], Batch],
    count: int,
    batch: int,
) -> Tensor:
    """Samples float32 [N, ...] of batches, in the units of the data; make: of some rows."""
    walk, drawn = core.prepared(), []
    for rows in parts(count, batch):
        chunk = core.draw(make(rows), walk)
        final = finished(walks.last(chunk.states))
        values = core.info.finished(final.x)
        what = f"seeds {chunk.seeds}: values that are not finite"
        walks.refuse_not_finite(values, what, checks.suited(core.config))
        drawn.append(values)
    return torch.cat(drawn)


def batches(core: Model, seeds: Sequence[int], telling: Telling) -> Callable[[slice], Batch]:
    """What makes a batch of some rows of these seeds, with what they are told."""
    seen = telling.conditions(seeds, core.config, core.info, is_drawn=True)

    def batch(rows: slice) -> Batch:
        return Batch(seeds[rows], *seen.at(rows))

    return batch


def states(core: Model, seeds: Sequence[int], telling: Telling) -> Iterator[State]:
    """The walk of all seeds in one batch, state by state."""
    every = batches(core, seeds, telling)(slice(None))
    return core.draw(every, core.prepared()).states


def denoised(
    handle: Handle,
    core: Model,
    x: Tensor,
    sigma: Tensor | float,
    telling: Telling,
    images: Mapping[str, Tensor],
) -> Prediction:
    """The clean image of noisy ones x [N, ...]; images: what is seen beside, by kind."""
    opening.refuse_classifier(*handle.named)
    arguments.refuse_other_shape("x", x, handle.info.shape)
    level = arguments.levels(sigma, len(x))
    handle.refuse_conditions(images, len(x))
    is_null = not passes.has_guide(core.config.get("guidance", {}))
    if telling.is_empty and is_null:  # what nothing is told of is guided nowhere
        core = core._replace(config=core.config | {"guidance": {}})
    told, against = handle.told(telling, len(x), core.config)
    return core.bound(told | dict(images), against)(core.placed(x), level)


def guided(
    handle: Handle,
    use: Use,
    seeds: Sequence[int],
    telling: Telling,
    options: Mapping[str, Any],
    batch: int,
) -> Tensor:
    """Samples float32 [N, ...] that are steered; options: those of `ddpm guide`, by parameter.

    An image depends on its own row alone, so those of one class are drawn together.
    """
    drawn: dict[int, Tensor] = {}
    every = telling.rows(len(seeds), handle.info)
    for label in dict.fromkeys(one.classes for one in every):
        rows = [row for row, other in enumerate(every) if other.classes == label]
        own = [every[row] for row in rows]
        samples = _guided(handle, use, own, [seeds[row] for row in rows], options, batch)
        drawn |= dict(zip(rows, samples, strict=True))
    return torch.stack([drawn[row] for row in range(len(seeds))])


def _guided(
    handle: Handle,
    use: Use,
    own: Sequence[Telling],
    seeds: Sequence[int],
    options: Mapping[str, Any],
    batch: int,
) -> Tensor:
    use = replace(use, **own[0].words)
    asked = guiding.guiding(options, is_guide=True)
    opened = opening.guiding(use, asked, handle.known)
    found = steering.steered(use, asked, opened, handle.model(opened.config).schedule)
    core = handle.model(found.config)
    complete = found.load(core.compute)

    more = Telling.joined(own)
    numbers = of_classes(found.asked.numbers(seeds))
    known = (core.config, core.info, numbers, found.asked.label)
    seen = Seen.of(more, len(seeds), *known)

    def make(rows: slice) -> Batch:
        plain = Batch(seeds[rows], *seen.at(rows))
        whole = complete(plain) if complete else plain
        return windows.walking(core, whole, found.info.shape, batch)

    size = arguments.count("batch", batch) // checks.particles(core.config)
    return samples(core, make, len(seeds), max(1, size))
