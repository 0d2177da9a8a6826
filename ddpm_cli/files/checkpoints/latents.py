"""Latents in a file of their own, which says how to decode them.

A checkpoint of kind "latents": its configuration is the one that they were made with.
"""

import math
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ddpm_cli import __version__
from ddpm_cli.errors import Refusal
from ddpm_cli.files.checkpoints.header import Header, read_header
from ddpm_cli.foreign import telling
from ddpm_cli.foreign.kinds import IMAGE
from ddpm_cli.settings.config import SAMPLING, Layer

if TYPE_CHECKING:
    from torch import Tensor

KIND = "latents"


class Latents(NamedTuple):
    """States of images at the level sigma, in units of the process's prior there.

    path: their file; z: float32 [N, ...]; names: where the images are from; record: how it was
    made, with the model's name and hash; is_walk: made by a walk of the settings in `header`,
    not by noising.
    """

    path: Path
    z: "Tensor"
    sigma: "Tensor"
    names: list[str]
    record: Mapping[str, Any]
    is_walk: bool
    header: Header

    @property
    def settings(self) -> list[Layer]:
        """The way back to the images, if it is known: what `ddpm encode` walked with."""
        config = self.header.config
        tables = {table: config[table] for table in SAMPLING if table in config}
        tables.setdefault("corrector", {"name": "none"})
        tables["compute"] = {key: config["compute"][key] for key in ("dtype", "rng")}
        return [Layer(str(self.path), tables)] if self.is_walk else []


def is_of(latents: Latents, model: Path) -> bool:
    """Whether the model in a file is the one that made the latents."""
    return bool(read_header(model).hash == latents.record["hash"])


def save(latents: Latents) -> None:
    """Write latents, whose header is the model's with the configuration they were made with."""
    from ddpm_cli.files.checkpoints import checkpoint

    facts = {**latents.record, "names": latents.names, "sigma": float(latents.sigma)}
    facts["method"] = "ode" if latents.is_walk else "forward"
    header = latents.header._replace(kind=KIND, hash="", fitted=facts, version=__version__)
    checkpoint.save(latents.path, {"latents": latents.z.float()}, header)


def load(path: Path) -> Latents:
    """Read latents that `ddpm encode` wrote, or refuse the file."""
    import torch

    from ddpm_cli.files.checkpoints import checkpoint

    fix = "give what ddpm encode -o FILE wrote"
    if path.suffix != ".safetensors":
        told = telling.told(path, "image")
        if told is not None and told.what == IMAGE.name:
            fix = f"to start from an image: --init {shlex.quote(str(path))} --at 40%"
        raise Refusal(f"{path}: no latents, which end in .safetensors; {fix}")
    header, tensors = checkpoint.load(path)
    if header.kind != KIND or header.fitted is None:
        raise Refusal(f"{path}: no latents of images; {fix}")
    facts, z = header.fitted, tensors.get("latents", torch.empty(0))
    try:
        names, sigma = [str(name) for name in facts["names"]], float(facts["sigma"])
        is_walk = {"ode": True, "forward": False}[facts["method"]]
        whole = z.shape == (len(names), *header.data.shape) and z.is_floating_point()
        whole = whole and len(names) > 0 and 0 < sigma < math.inf
        whole = whole and all(isinstance(facts[key], str) for key in ("model", "hash"))
        whole = whole and isinstance(facts["class"], (str, type(None)))
        whole = whole and _are_told(facts)
    except (KeyError, TypeError, ValueError):
        whole = False
    if not whole:
        raise Refusal(f"{path}: corrupt: its latents do not fit their header")
    return Latents(
        path, z, torch.tensor(sigma, dtype=torch.float64), names, facts, is_walk, header
    )


def _are_told(facts: Mapping[str, Any]) -> bool:
    """Whether the texts and numbers that a record says were told are such."""
    texts = (facts.get("text"), facts.get("negative"))
    values = facts.get("values") or {}
    return (
        all(isinstance(text, (str, type(None))) for text in texts)
        and isinstance(values, Mapping)
        and all(isinstance(value, (int, float, type(None))) for value in values.values())
    )


def record(path: Path) -> dict[str, Any] | None:
    """How a file of latents was made; None of any other file."""
    try:
        header = read_header(path)
    except Refusal:
        return None  # whoever reads it as a checkpoint says what is wrong with it
    return dict(header.fitted or {}) if header.kind == KIND else None
