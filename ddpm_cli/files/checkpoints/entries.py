"""What the header of a checkpoint may say of its data and its run; ValueError where it may not."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ddpm_cli.errors import ConfigError
from ddpm_cli.files.images import scales
from ddpm_cli.settings.config import Config

SIDE_LIMIT = 2**16  # pixels or channels: more than any network takes
CHANNELS_LIMIT = 4  # of an image file
AXES_LIMIT = 8
SIZE_LIMIT = 2**27  # numbers in one row of the data
STEP_LIMIT = 10**9
THREADS_LIMIT = 1024

Numbers = tuple[float, ...] | None


def whole(value: object, most: int, least: int = 0) -> int:
    """A whole number within limits."""
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ValueError
    return value


def shape(data: Mapping[str, Any]) -> tuple[int, ...]:
    """The shape of one row, of a size that can be."""
    sides = tuple(whole(side, SIDE_LIMIT, 1) for side in data["shape"])
    if not 1 <= len(sides) <= AXES_LIMIT or math.prod(sides) > SIZE_LIMIT:
        raise ValueError
    return sides


def frequencies(data: Mapping[str, Any]) -> Numbers:
    """How frequent each class is, which classes are drawn by."""
    shares = tuple(map(float, data["frequencies"])) if data["frequencies"] else None
    if shares and not (all(0 <= share < math.inf for share in shares) and sum(shares) > 0):
        raise ValueError
    return shares


def normalization(data: Mapping[str, Any]) -> tuple[Numbers, Numbers]:
    """Mean and std of arrays; none for images and in headers from before there were arrays."""
    if data.get("mean") is None:
        return None, None
    mean, std = (tuple(map(float, data[key])) for key in ("mean", "std"))
    is_whole = len(mean) == len(std) == data["shape"][0]
    if not is_whole or not all(map(math.isfinite, mean + std)) or min(std) <= 0:
        raise ValueError
    return mean, std


def pixel_range(data: Mapping[str, Any]) -> tuple[int, int] | None:
    """The pixels of images that are -1 and 1, if they are said; those beyond bytes are grey."""
    if data.get("range") is None:
        return None
    scale = scales.of(data["range"])
    if scale is None or (scale.is_deep and data["shape"][0] != 1):
        raise ValueError
    return scale.low, scale.high


def refuse_contradictions(config: Config, classes: Sequence[str] | None, shares: Numbers) -> None:
    """Refuse classes of the data that are not those of the network, and files of others.

    A checkpoint holds the numbers of its schedule; a path in it would be read on this machine.
    """
    count, have = config["network"].get("classes", 0), len(classes or ())
    if count and count != have:
        raise ConfigError(f"network.classes: {count}, but its data has {have}")
    if shares and len(shares) != have:
        raise ConfigError(f"data: {len(shares)} frequencies of {have} classes")
    if config["schedule"].get("file"):
        raise ConfigError("schedule.file: a checkpoint holds the numbers themselves")
