"""What samples of a training run are told: as rows held out are, the same over the run."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from ddpm_cli.data.image_set import Conditions, Data
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.models import classes, kinds
from ddpm_cli.models.kinds import of_classes
from ddpm_cli.settings import checks
from ddpm_cli.settings.config import Config
from ddpm_cli.training.conditions import taken

_GOLDEN = (math.sqrt(5) - 1) / 2


class Shown(NamedTuple):
    """Sheets and measures of a run: seeds are told of rows of the set that is held out.

    A run of classes alone has the class from the seed, as `ddpm sample` does.
    """

    config: Config
    info: DataInfo
    test: Data

    @property
    def kinds(self) -> list[str]:
        """What is told beside classes."""
        return [kind for kind in checks.told(self.config) if kind != "classes"]

    def rows(self, seeds: Sequence[int]) -> torch.Tensor:
        """The row [B] that each seed is told of, of which neighbours lie far apart.

        Those of a task are in order, as its images are.
        """
        numbers = torch.tensor(list(seeds))
        step = 1 if "task" in self.config else _step(len(self.test))
        return numbers * step % len(self.test)

    def conditions(self, seeds: Sequence[int]) -> Conditions:
        """What the network is told of seeds, by kind, but for images."""
        if not self.kinds and checks.purpose(self.config) != checks.PAIRS:
            return of_classes(classes.classes_for(seeds, self.config, self.info))
        rows, nulls = self.rows(seeds), kinds.nulls(self.config, self.info)
        known = self.test.conditions
        return taken({kind: known[kind][rows] for kind in nulls if kind in known}, nulls)

    def entries(self, seeds: Sequence[int]) -> list[dict[str, Any]]:
        """What the record of each sample says that it is told."""
        known = [*classes.known(self.config, self.info), classes.NULL]
        told = self.conditions(seeds)
        numbers = told["classes"].tolist() if "classes" in told else [None] * len(seeds)
        found: list[dict[str, Any]] = [
            {"class": None if number is None else known[number]} for number in numbers
        ]
        if "values" in told and self.info.values:
            for entry, row in zip(found, told["values"].double().tolist(), strict=True):
                entry["values"] = {
                    name: None if math.isnan(one) else one * std + mean
                    for name, mean, std, one in zip(*self.info.values[:3], row, strict=True)
                }
        if "text" in told and self.test.texts is not None:
            for entry, row in zip(found, self.rows(seeds).tolist(), strict=True):
                entry["text"] = next(iter(self.test.texts.captions(row)), None)
        return found


def _step(count: int) -> int:
    """How far apart the rows of neighbouring seeds are, so that all rows have their turn."""
    step = max(1, round(count * _GOLDEN))
    while math.gcd(step, count) > 1:
        step += 1
    return step


def sayable(config: Config, data: Data) -> dict[str, Any]:
    """What the record of a sample may say that it is told, each by a value of its kind."""
    found: dict[str, Any] = {"class": ""}
    if "text" in config:
        found["text"] = ""
    if "values" in config and data.values:
        found["values"] = dict.fromkeys(data.values.names, 0.0)
    return found
