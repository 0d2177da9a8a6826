"""Images to latents and back along the probability-flow ODE, for the Python API."""

from collections.abc import Callable

import torch
from torch import Tensor

from ddpm_cli.api import arguments, rows
from ddpm_cli.api.arguments import Settings
from ddpm_cli.api.handle import Handle, finished, parts
from ddpm_cli.api.telling import Telling
from ddpm_cli.models import walks


def encode(
    handle: Handle, images: Tensor, telling: Telling, settings: Settings | None, batch: int
) -> Tensor:
    """Latents float32 [N, ...] of images or rows, in units of the prior."""
    coder = handle.coder(settings)
    x0 = rows.seen(images, handle.info)
    seen = handle.told(telling, len(x0), coder.model.config)

    def some(part: slice) -> Tensor:
        return _finite(coder.encode(x0[part], *seen.at(part))).float().cpu()

    return _whole(some, len(x0), batch)


def decode(
    handle: Handle, latents: Tensor, telling: Telling, settings: Settings | None, batch: int
) -> Tensor:
    """The images or rows float32 [N, ...] of latents."""
    coder = handle.coder(settings)
    arguments.refuse_other_shape("latents", latents, handle.info.shape)
    seen = handle.told(telling, len(latents), coder.model.config)

    def some(part: slice) -> Tensor:
        x = _finite(coder.decode(latents[part].double(), *seen.at(part)))
        return handle.info.finished(x)

    return _whole(some, len(latents), batch)


def _whole(some: Callable[[slice], Tensor], count: int, batch: int) -> Tensor:
    """All rows, of which `some` are computed at once."""
    return torch.cat([some(part) for part in parts(count, batch)])


def _finite(x: Tensor | None) -> Tensor:
    """What a walk came to, which is refused if it overflowed."""
    x = finished(x)
    walks.refuse_not_finite(x, "values that are not finite", "more levels")
    return x
