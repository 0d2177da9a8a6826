"""Images larger than the model that guides and methods draw, of which something is known."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ddpm_cli.data.operators import OWN
from ddpm_cli.errors import Refusal
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.files.images import inputs
from ddpm_cli.files.images.inputs import Source
from ddpm_cli.models import walk_parts
from ddpm_cli.pipelines import measurements, sizes
from ddpm_cli.pipelines.sizes import Shape
from ddpm_cli.settings import guides
from ddpm_cli.settings.checks import CLIP
from ddpm_cli.settings.config import Config

RESTORE = "restore"
WHOLE = ("scorer", CLIP)  # guides that see images of any size


def info(
    config: Config, flags: Mapping[str, Any], trained: DataInfo, *, is_begun: bool
) -> DataInfo:
    """What is drawn: images like those that a model was trained on, but as large as what is known.

    flags: those of `ddpm guide`; is_begun: whether walks begin at images of the model's size.
    """
    if not trained.is_image:
        return trained
    found = dict[Shape, tuple[str, Shape, Shape]]()
    for source, is_masked in _known(config, flags):
        takes = trained.shape if is_masked else walk_parts.operator(config, trained).shape
        low = sizes.given(measurements.size(source)[-2:], takes)
        whole = low if is_masked else sizes.larger(low, takes, trained.shape, config)
        found.setdefault(whole, (inputs.shown(source), low, takes))
    if len(found) > 1:
        files = " and ".join(file for file, *_ in found.values())
        raise Refusal(f"{files}: of images of two sizes; give those of one")
    for whole, (file, low, takes) in found.items():
        if whole != trained.shape:
            _refuse(config, file, is_begun=is_begun)
            sizes.say(file, low, takes, whole, trained.shape)
    return trained._replace(shape=next(iter(found), trained.shape))


def refuse(config: Config, name: str, fix: str, free: Sequence[str] = WHOLE) -> None:
    """Refuse guides that see images of the model's size alone, all but those that are free."""
    for guide in config["guides"]:
        if guide["name"] not in free:
            what = f"{name}: larger than the model, and the guide {guide['name']} is not"
            raise Refusal(what, fix)


def _refuse(config: Config, name: str, *, is_begun: bool) -> None:
    fix = "choose --fit crop or resize"
    if is_begun:
        raise Refusal(f"{name}: larger than the model, and the image of --init is not", fix)
    refuse(config, name, f"{fix}, or leave the guide out", (*WHOLE, RESTORE))


def _known(config: Config, flags: Mapping[str, Any]) -> Iterator[tuple[Source, bool]]:
    """The files that are taken as large as they are, and whether a mask says what is known."""
    asked = [
        (guide["image"], guide["fit"], bool(guide["mask"]))
        for guide in config["guides"]
        if guide["name"] == RESTORE
    ]
    if guides.method(flags) is not None:
        asked.append(
            (str(flags["image"] or ""), flags["fit"] or "error", flags["restore"] == guides.MASK)
        )
    is_local = config.get("operator", {}).get("name", OWN) not in measurements.GLOBAL
    for file, fit, is_masked in asked:
        if file and fit == "error" and (is_masked or is_local):
            yield Source(file, "image"), is_masked
