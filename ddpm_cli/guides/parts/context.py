"""What guides are, and what they are made for."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import torch
from torch import Tensor

from ddpm_cli.diffusion.guidance import Judge
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.errors import ConfigError
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.guides.parts.user_functions import Function
from ddpm_cli.hardware import Compute
from ddpm_cli.settings.config import Config

Numbers = Callable[[Sequence[int]], list[int] | None]


class Guide(Protocol):
    """What pulls a walk towards what it finds more likely."""

    @property
    def of(self) -> Literal["noisy", "clean"]:
        """Whether it judges the noisy state x, or the predicted clean image x0."""

    @property
    def at_mean(self) -> bool:
        """Whether its gradient is taken where an ancestral step would go, and not at x."""

    @property
    def scale(self) -> float:
        """How strongly it pulls; what it says is multiplied by it."""

    def judge(self, seeds: Sequence[int]) -> Judge:
        """What it says of the images of these seeds: (x or x0 [B, ...], sigma []) -> [B]."""


class Context(NamedTuple):
    """What guides are made for: a model's walk, and all that flags say beside its settings.

    numbers: seeds -> the classes that a classifier shall see.  download: whether weights may be
    fetched.  code: the functions of --scorer and --classifier, by these names.  range: the pixels
    of files that are black and white, if it was said.  top: the level where walks begin, if not
    the highest.
    """

    config: Config
    info: DataInfo
    compute: Compute
    schedule: Schedule
    numbers: Numbers
    download: bool = False
    code: Mapping[str, Function] = {}
    range: tuple[int, int] | None = None
    top: Tensor | None = None

    def targets(self, seeds: Sequence[int]) -> Tensor:
        """The numbers of the classes that a classifier shall see, int64 [B]."""
        numbers = self.numbers(seeds)
        if numbers is None:
            raise ConfigError("guides.classifier: no class is wanted; give --class")
        return torch.tensor(numbers, device=self.compute.device)

    def file(self, key: str, name: str) -> Path:
        """The file that a knob of a guide names, which must do so."""
        if not name:
            raise ConfigError(f"guides.{key}: missing; name a file")
        return Path(name)

    def refuse_arrays(self, name: str) -> None:
        """Refuse a guide that looks at images for a model of arrays."""
        if not self.info.is_image:
            raise ConfigError(f"guides.{name}: looks at images, and this model makes none")
