"""What a network is told, as its configuration says: recipes by kind, nulls, and their tensors."""

import math
from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any

import torch
from torch import Tensor

from ddpm_cli import hardware
from ddpm_cli.data.image_set import Conditions, Data
from ddpm_cli.data.repeated import Repeated
from ddpm_cli.diffusion.rng import Randomness
from ddpm_cli.encoders.frozen import Frozen
from ddpm_cli.errors import ConfigError
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.files.encodings import Encoding
from ddpm_cli.models import twins
from ddpm_cli.networks.conditions import Recipe, text
from ddpm_cli.settings import catalog, checks, passes
from ddpm_cli.settings.config import Config

CAPTIONS = 8  # of an image that are told, the first ones


def recipes(config: Config, info: DataInfo) -> dict[str, Recipe]:
    """What a network is told beside the class and an image, by kind; info: of its data."""
    made: dict[str, Recipe] = {}
    if "values" in config:
        if info.values is None:
            fix = "name them: --set data.values=[...]"
            raise ConfigError(f"values: the data say no numbers of their rows; {fix}")
        made["values"] = recipe("values", config, len(info.values.names))
    if "text" in config:
        made["text"] = reader(config, info)
    for kind in ("augment", "vector", "strength"):
        if kind in config:
            made[kind] = recipe(kind, config)
    if latents(config):
        made["latent"] = recipe("latent", config)
    return made


def latents(config: Config) -> int:
    """How many numbers a generator draws beside the image at each level; 0 of other models."""
    return int(config.get("latent", {}).get("size", 0))


def drawn(config: Config, seeds: Sequence[int], randomness: Randomness) -> Conditions:
    """What a network is told that follows from the seed of each image: latents [B, T, L].

    Those of all T levels are drawn up front, so that each level has its own whatever the walk.
    Guidance that draws numbers of its own is told the seeds themselves.
    """
    settings, size = passes.two_passes(config), latents(config)
    told = {twins.SEED: twins.seeds(seeds)} if passes.draws(settings) else {}
    if not size:
        return told
    like = torch.empty(len(seeds), checks.large_steps(config) or 1, size)
    return told | {"latent": randomness.rng(seeds, "latent").normal(like)}


def recipe(kind: str, config: Config, *about: Any) -> Recipe:
    """A kind of condition as its table describes it; about: what it is made for."""
    made: Recipe = catalog.load(catalog.fixed(kind))(*about, **config[kind])
    return made


def reader(config: Config, info: DataInfo) -> text.text:
    """What makes rows of texts, as the network of a checkpoint reads them; info: of its data."""
    return text.text(frozen(config, info.encoding), **config["text"])


def frozen(config: Config, known: Encoding | None = None) -> Frozen | None:
    """The encoder of texts that is not trained, if a configuration names one.

    known: what the checkpoint says of it.
    """
    if config["text"]["encoder"] == text.BYTES:
        return None
    device = hardware.compute(**config["compute"]).device
    return Frozen(config["text"], device, known)


def nulls(config: Config, info: DataInfo) -> Conditions:
    """What stands for "not told", a row of each kind that the network takes.

    classes: the number behind the last one (Ho 2022, "Classifier-free guidance", section 3).
    """
    classes = config["network"].get("classes", 0)
    first = {"classes": torch.tensor(classes)} if classes else {}
    made = recipes(config, info)
    return first | {kind: one.null for kind, one in made.items()}


def untold(nulls: Conditions, told: Conditions) -> Conditions:
    """The null of each kind in the place of rows that are told, on their device."""
    return {kind: nulls[kind].to(rows).expand_as(rows) for kind, rows in told.items()}


def told(config: Config, data: Data) -> Data:
    """A set that also tells its texts, as the network of a configuration reads them.

    Where a row has several captions there are so many of each row, [N, F, ...], the missing ones
    null.
    """
    if "text" not in config:
        return data
    if data.texts is None:
        fix = "captions: a .txt beside each image, or a column text of metadata.csv"
        raise ConfigError(f"text: nothing is written of these data; {fix}")
    encoder = frozen(config)
    reads = text.text(encoder, **config["text"])
    every = [data.texts.captions(row) for row in range(len(data.texts.names))]
    other = copy(data)
    most = min(max(map(len, every), default=1) or 1, CAPTIONS)
    listed = [[*row[:most], *[None] * (most - len(row))] for row in every]
    unlike = dict.fromkeys(caption for row in listed for caption in row)
    place = {caption: number for number, caption in enumerate(unlike)}
    numbers = torch.tensor([[place[caption] for caption in row] for row in listed])
    rows = Repeated(reads.rows(list(unlike)), numbers[:, 0] if most == 1 else numbers)
    # What a frozen encoder says is a hundred times as large as the bytes of a text.
    held = rows[:] if encoder is None else rows
    other.conditions = data.conditions | {"text": held}
    if encoder is not None:
        other.texts = data.texts._replace(encoding=encoder.about)
    if cut := reads.cut([caption for captions in every for caption in captions]):
        other.notes = (*data.notes, cut)
    return other


def of_classes(numbers: Sequence[int] | None) -> Conditions:
    """What the network sees of classes alone, by their numbers."""
    return {} if numbers is None else {"classes": torch.tensor(list(numbers))}


def of_values(rows: Sequence[Mapping[str, float | None]], info: DataInfo) -> Tensor:
    """What the network sees of numbers by name: normalized float32 [B, V], NaN if not told."""
    known = info.values
    if known is None:
        raise ValueError("the data say no numbers of their rows")
    listed = [[row.get(name) for name in known.names] for row in rows]
    told = [[math.nan if one is None else one for one in row] for row in listed]
    return known.normalized(torch.tensor(told, dtype=torch.float64))


def of_texts(texts: Sequence[str | None], config: Config, info: DataInfo) -> Tensor:
    """What the network sees of texts, None of none."""
    rows: Tensor = reader(config, info).rows(texts)
    return rows
