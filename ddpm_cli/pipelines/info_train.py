"""The command that trains on a data set: a preset, and what suits these images."""

import math
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ddpm_cli.data import recognizing
from ddpm_cli.data.image_set import Data, ImageSet
from ddpm_cli.data.surveying import Survey
from ddpm_cli.models.classes import ALL, NULL, OWN
from ddpm_cli.settings import catalog, presets

MOST = 64  # pixels a side that are proposed where images may be brought to a size
STEP = 4  # a side is a multiple of it
DEEP = 32  # pixels a side behind the stem from which on a third level pays
GREY = {"L", "LA", "1 bit", "16-bit grey"}
SERIES = "series"
POINTS = "swiss-roll"  # the preset of rows of numbers
LENGTHS, LONGEST = 16, 256  # bytes of a text: a multiple of one, at most the other
WRITTEN = {"emoji": "emoji-text"}  # presets of another name than the set, which are told its texts
SMALL, LARGE = "mnist", "mnist-large"  # of grey images and of all others


def command(target: str, settings: Mapping[str, Any], data: Data, seen: Survey) -> str:
    """The words of `ddpm train` that train on a set of this content, as a shell takes them."""
    own = WRITTEN.get(settings["name"]) or _preset_of(settings["name"])
    folder = f"runs/{_stem(target)}"
    if own is not None:
        rest = {key: value for key, value in settings.items() if key != "name"}
        if own == SERIES:  # whose preset has a toy for data
            rest = dict(settings)
        return _joined(["--preset", own], rest, {}, folder)
    network = {}
    wanted = dict(settings)
    if isinstance(data, ImageSet):
        wanted |= _brought(settings, data, seen)
        side = wanted.get("size") or max(max(seen.sizes, key=max))
        preset = SMALL if max(seen.moments) == 1 else LARGE
        network = _network(side)
    elif len(data.shape) == 3:
        preset, network = LARGE, _network(max(data.shape[1:])) | {"wrappers": "[]"}
    else:
        preset = POINTS
    if data.classes and len(data.classes) == len(data) > 1:
        network["network.classes"] = 0
    if isinstance(data, ImageSet):
        network |= _texts(data, attends="network.attention" in network)
    return _joined(["--preset", preset], wanted, network, folder)


def _joined(
    words: list[str], data: Mapping[str, Any], rest: Mapping[str, Any], folder: str
) -> str:
    sets = [f"--set {shlex.quote(f'{key}={value}')}" for key, value in rest.items()]
    told = [recognizing.assignments(data)] if data else []
    return " ".join(["ddpm train", *words, *told, *sets, "-o", shlex.quote(folder)])


def _preset_of(name: str) -> str | None:
    """The preset for a set that comes with the package, or is known to it, if there is one."""
    known = {preset for preset, _, where in presets.list_presets() if where == "packaged"}
    is_own = "path" in catalog.find("data", name).knobs or name in known
    return name if is_own and name in known else None


def _brought(settings: Mapping[str, Any], data: Data, seen: Survey) -> dict[str, Any]:
    """Settings that bring files to one size and mode that a network takes, where there are any."""
    knobs = catalog.find("data", settings["name"]).knobs
    wanted: dict[str, Any] = {}
    if "size" in knobs and "size" not in settings:
        (width, height), *others = seen.sizes
        if others or width != height or width > MOST or width % STEP:
            sides = sorted(min(size) for size in seen.sizes.elements())
            side = min(MOST, sides[len(sides) // 2])
            wanted |= {"size": max(STEP, side - side % STEP), "fit": "crop"}
    if "mode" in knobs and "mode" not in settings and seen.modes.keys() <= GREY:
        wanted["mode"] = "L"
    if "labels" in knobs and {NULL, ALL, OWN} & {*(data.classes or ())}:
        wanted["labels"] = "none"  # --class means something else by such a name
    if "skip_corrupt" in knobs and seen.bad:
        wanted["skip_corrupt"] = True
    return wanted


def _network(side: int) -> dict[str, Any]:
    """The stem and the levels of a U-Net for images of a side, in place of a preset's."""
    patch = 2 ** max(0, math.ceil(math.log2(side / DEEP)))
    if patch <= 1:
        return {"network.patch": 1} if side < 2 * STEP else {}
    inner = math.ceil(side / (2 * max(2, patch)))
    changed = {"network.patch": patch} if patch > 2 else {}
    return {**changed, "network.multipliers": "[1,2,3]", "network.attention": f"[{inner}]"}


def _texts(data: ImageSet, *, attends: bool) -> dict[str, Any]:
    """The encoder of texts that a set has of most images: as long as the longest one."""
    written = [data.texts.captions(row) for row in range(len(data))] if data.texts else []
    if 2 * sum(map(bool, written)) <= len(data):
        return {}
    longest = 1 + max(len(text.encode()) for captions in written for text in captions)
    length = min(LONGEST, -(-longest // LENGTHS) * LENGTHS)
    return {"text.form": "both" if attends else "pooled", "text.length": length}


def _stem(target: str) -> str:
    """A name for the run of a set."""
    name = Path(target.removeprefix("data:")).resolve().name.partition(".")[0]
    return re.sub(r"[^\w]+", "-", name).strip("-") or "data"
