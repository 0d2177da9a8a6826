"""What `ddpm guide` restores by a method: one measurement, of which many images are drawn."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor

from ddpm_cli import console, hardware
from ddpm_cli.diffusion.linear_maps import Masked
from ddpm_cli.diffusion.measuring import Measured, Method, Operator
from ddpm_cli.errors import ConfigError
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.files.images import inputs, opening
from ddpm_cli.files.images.decoding import Ranges
from ddpm_cli.files.images.inputs import Source
from ddpm_cli.files.images.masks import Mask
from ddpm_cli.files.images.scales import Scale
from ddpm_cli.guides.parts import known_images
from ddpm_cli.guides.parts.user_code import load
from ddpm_cli.hardware import Compute
from ddpm_cli.models import walk_parts
from ddpm_cli.models.walks import Batch
from ddpm_cli.pipelines import guided_windows, measurements
from ddpm_cli.pipelines.opening import Opened
from ddpm_cli.settings import code_names, guides
from ddpm_cli.settings.config import Config
from ddpm_cli.settings.requests import Guide

Look = tuple[Source, Any, Ranges]  # an image, how it is made to fit, and what is white in it


@dataclass(frozen=True)
class Restored:
    """A measurement y [1, ...] of images that a method draws, each of a seed of its own.

    scale: of the pixels that it was read from, if there are any; sha256: of the files.
    """

    make: Callable[[Measured], Method]
    operator: Operator
    y: Tensor
    noise: float
    scale: Scale | None
    sha256: list[str]

    def on(self, compute: Compute) -> "Restored":
        """The same where walks are computed, in the number format of their states."""
        return replace(self, y=self.y.to(compute.device, compute.state_dtype))

    def __call__(self, batch: Batch) -> Batch:
        """The batch whose images are all of this measurement."""
        rows = range(len(batch.seeds))

        def method(part: slice) -> Method:
            y = self.y.expand(len(rows[part]), *self.y.shape[1:])
            return self.make(Measured(self.operator, y, self.noise))

        return batch._replace(method=method)


def of(
    flags: Mapping[str, Any],
    config: Config,
    info: DataInfo,
    device: torch.device,
    range_: tuple[int, int] | None,
) -> Restored:
    """What the options of `ddpm guide` say is known of images, for the method of a configuration.

    range_: the pixels of files that are black and white, if it was said.
    """
    make = cast("Callable[[Measured], Method]", walk_parts.method(config))
    noise, look = flags.get("noise") or 0.0, _look(flags, info, range_)
    (operator, y, scale), code = _seen(flags, config, info, device, look)
    measurements.refuse(config, operator, noise)
    return Restored(make, operator, y[None], noise, scale, [*_digests(look[0]), *code])


def known(
    flags: Mapping[str, Any],
    config: Config,
    info: DataInfo,
    device: torch.device,
    range_: tuple[int, int] | None,
) -> tuple[Operator, Tensor] | None:
    """What took something from the image that a guide restores, and the rest of it [1, ...].

    None if nothing is restored, and of what can be read but once.
    """
    if flags.get("restore") is None or flags["image"] == inputs.STDIN:
        return None
    look = _look(flags, info, range_)
    with console.silenced():  # the guide itself says what is to be said of it
        (operator, y, _), _ = _seen(flags, config, info, device, look)
    return operator, y[None].to(device)


def _seen(
    flags: Mapping[str, Any], config: Config, info: DataInfo, device: torch.device, look: Look
) -> tuple[tuple[Operator, Tensor, Scale | None], list[str]]:
    """What is to be undone, what it left, the scale of its pixels, and the SHA-256 of its code."""
    if flags["restore"] == guides.MASK:
        return _masked(flags, info, *look), []
    made, code = _operator(flags, config, info, device)
    return (made, *_measured(config, made, *look)), code


def check(request: Guide, opened: Opened) -> None:
    """Print the adjoint test of what --restore undoes."""
    use, flags = request.use, request.guiding.flags
    config, info = opened.config, opened.header.data
    info = guided_windows.info(config, flags, info, is_begun=False)
    if flags["restore"] == guides.MASK:
        made: Operator = _masked(flags, info, *_look(flags, info, use.range))[0]
    elif flags["image"]:
        raise ConfigError("--check: it restores nothing; leave --image out")
    else:
        made, _ = _operator(flags, config, info, hardware.compute(**config["compute"]).device)
    measurements.tell(flags["restore"], made, info.shape, as_json=use.as_json)


def _look(flags: Mapping[str, Any], info: DataInfo, range_: tuple[int, int] | None) -> Look:
    """Which image is known, and how it is read."""
    source, ranges = Source(str(flags["image"]), "image"), Ranges.of(range_, info.range)
    return source, flags["fit"] or "error", ranges


def _operator(
    flags: Mapping[str, Any], config: Config, info: DataInfo, device: torch.device
) -> tuple[Operator, list[str]]:
    """What is to be undone, and the SHA-256 of its code if it is the user's own."""
    own = load(flags["restore"]) if code_names.is_code(flags["restore"]) else None
    made = measurements.operator(config, info, own, device)
    return made, [own.sha256] if own and own.sha256 else []


def _masked(
    flags: Mapping[str, Any], info: DataInfo, source: Source, fit: Any, ranges: Ranges
) -> tuple[Operator, Tensor, Scale]:
    """What a mask leaves of an image: which pixels, their values, and the scale of these."""
    listed = flags["mask"]
    mask = Mask([listed] if isinstance(listed, str) else list(listed), flags["mask_keeps"])
    picture = known_images.read(source, info.shape, fit, ranges)
    operator = Masked(known_images.known(mask, source, picture)[None], info.shape)
    return operator, operator(picture.values[None])[0], picture.scale


def _measured(
    config: Config, made: Operator, source: Source, fit: Any, ranges: Ranges
) -> tuple[Tensor, Scale | None]:
    """What an operator left, numbers or an image, and the scale of pixels if they were some."""
    is_numbers = source.name.endswith(measurements.SUFFIX)
    if not is_numbers:
        measurements.refuse_pictures(inputs.shown(source), config, made.shape)
    if fit == "error":
        size = measurements.size(source)
        measurements.refuse_global(inputs.shown(source), config, size, made.shape)
    if is_numbers:
        if fit != "error":
            raise ConfigError(f"--fit {fit}: of images, and {source.name} holds numbers")
        return measurements.read(source.name, made.shape), None
    picture = known_images.read(source, made.shape, fit, ranges)
    return picture.values, picture.scale


def _digests(source: Source) -> list[str]:
    """The SHA-256 of the file of a measurement; none of stdin, which is gone."""
    if source.name == inputs.STDIN:
        return []
    return [opening.digest(source.name)]
