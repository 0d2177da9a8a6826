"""What steers walks besides their model: what guides are made for, and which classes they see."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from ddpm_cli.diffusion.guidance import Judge, log_probability
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.diffusion.shapes import column
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files.checkpoints import checkpoint, find
from ddpm_cli.files.checkpoints.find import Found
from ddpm_cli.files.checkpoints.header import DataInfo, Header, read_header
from ddpm_cli.files.images import inputs
from ddpm_cli.guides.parts import programs
from ddpm_cli.hardware import Compute
from ddpm_cli.models import build, classes
from ddpm_cli.settings.checks import CLASSIFIER
from ddpm_cli.settings.config import Config

PROGRAM = ".pt2"
# What guides load besides classifiers of ours, by the knob that names it.
_FILES = {CLASSIFIER: "model", "scorer": "program", "restore": "image"}

Numbers = Callable[[Sequence[int]], list[int] | None]


class Guide(NamedTuple):
    """What pulls a walk: by the seeds of images, a judge of their noisy states or clean images."""

    judge: Callable[[Sequence[int]], Judge]
    of: Literal["noisy", "clean"]
    at_mean: bool = False


class Context(NamedTuple):
    """What guides are made for: a model's walk, the classes wanted, and whether to download."""

    config: Config
    info: DataInfo
    compute: Compute
    schedule: Schedule
    numbers: Numbers
    download: bool = False

    def targets(self, seeds: Sequence[int]) -> Tensor:
        """The numbers of the classes that a classifier shall see, int64 [B]."""
        wanted = self.numbers(seeds)
        if wanted is None:
            raise ConfigError("guides.classifier: no class is wanted; give --class")
        return torch.tensor(wanted, device=self.compute.device)

    def file(self, key: str, name: str) -> Path:
        """The file that a knob of a guide names, which must do so."""
        if not name:
            raise ConfigError(f"guides.{key}: missing; name a file")
        return Path(name)

    def refuse_arrays(self, name: str) -> None:
        """Refuse a guide that looks at images for a model of arrays."""
        if not self.info.is_image:
            raise ConfigError(f"guides.{name}: looks at images, and this model makes none")

    def classifier(self, model: str) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
        """A classifier's log p(y given x) [B] of states x, a level and the classes wanted [B]."""
        if model.endswith(PROGRAM):
            return self._program(Path(model))
        found, header = classifier_of(model, self.info)
        _, weights = checkpoint.load(found.path, str(self.compute.device))
        network = build.classifier(header, weights, self.compute, found.path)
        return lambda x, sigma, wanted: log_probability(network(x, sigma), wanted)

    def _program(self, path: Path) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
        """A program as a classifier of x_t = alpha x, told of the level as the network is."""
        program = programs.classifier(path, self.compute.device, self.info.shape).logits
        label = build.label(self.config)

        def judge(x: Tensor, sigma: Tensor, wanted: Tensor) -> Tensor:
            scale = column(self.schedule.alpha(sigma), x)
            told = label(sigma.cpu(), self.schedule).expand(len(x)).to(x.device)
            return log_probability(program((scale * x).float(), told), wanted)

        return judge


def classifier_of(model: str, info: DataInfo) -> tuple[Found, Header]:
    """The classifier of that name, for images of the model's shape; others are refused."""
    found = find.find(model or None, CLASSIFIER)
    header = read_header(found.path)
    if header.task != CLASSIFIER:
        fix = "train one with ddpm train --preset mnist-classifier"
        raise Refusal(f"{found.name}: no classifier of noisy images; {fix}")
    if header.data.shape != info.shape:
        theirs, ours = header.data.shape, info.shape
        raise Refusal(f"{found.name}: classifies images {theirs}, but the model makes {ours}")
    return found, header


def pinned(config: Config, info: DataInfo) -> tuple[Config, list[str]]:
    """The configuration with the classifier's own name, and the hashes of what its guides load."""
    guides, hashes = [], []
    for one in config["guides"]:
        if one["name"] == CLASSIFIER and not one["model"].endswith(PROGRAM):
            found, header = classifier_of(one["model"], info)
            one = one | {"model": found.name}
            hashes.append(header.hash)
        elif name := one.get(_FILES.get(one["name"], "")):
            stream = name == inputs.STDIN
            hashes += [] if stream else [hashlib.sha256(Path(name).read_bytes()).hexdigest()]
        guides.append(one)
    return config | {"guides": guides}, hashes


class Space(NamedTuple):
    """The classes that --class is about: a classifier's if there is one, else the model's."""

    config: Config
    info: DataInfo

    @classmethod
    def of(cls, config: Config, info: DataInfo) -> "Space":
        """Where a configuration's guides look for the classes of images.

        A program names none: they have the model's names if there are as many, or numbers.
        """
        named = [one["model"] for one in config["guides"] if one["name"] == CLASSIFIER]
        if len(named) > 1:
            raise ConfigError(f"guides: {len(named)} classifiers; give one")
        if not named:
            return cls(config, info)
        if named[0].endswith(PROGRAM):
            count = programs.classifier(Path(named[0]), "cpu", info.shape).classes
            names = info.classes if len(info.classes or ()) == count else None
            shares = info.frequencies if names else None
            network = {"network": {"classes": count}}
            return cls(network, info._replace(classes=names, frequencies=shares))
        header = classifier_of(named[0], info)[1]
        return cls(header.config, header.data)


class Told(NamedTuple):
    """What the model's network is told of the classes that --class names, by their names."""

    space: Space
    label: str | None
    config: Config
    info: DataInfo

    def numbers(self, seeds: Sequence[int]) -> list[int] | None:
        """The numbers of the classes of seeds; None for a model without classes."""
        if not self.config["network"].get("classes"):
            return None
        if self.space.config is self.config or self.label == classes.NULL:
            return classes.numbers(self.label, seeds, self.config, self.info)
        known = classes.known(self.config, self.info)
        names = classes.names(self.label, *self.space, seeds) or []
        if missing := [name for name in names if name not in known]:
            fix = "add --unconditional"
            raise ConfigError(f"--class: the model has no class {missing[0]!r}; {fix}")
        return [known.index(name) for name in names]

    def check(self) -> None:
        """Refuse classes that the model does not have, of all that may come up."""
        self.numbers(range(len(classes.known(*self.space))))
