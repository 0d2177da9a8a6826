"""What steers the walks of a verb beside its model, and who is told of which classes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ddpm_cli import hardware
from ddpm_cli.diffusion.particles import when
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.errors import ConfigError, many
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.files.images import inputs, opening, pixels
from ddpm_cli.files.images.decoding import Ranges
from ddpm_cli.files.images.scales import Scale
from ddpm_cli.guides.parts import (
    classifiers,
    clip_runs,
    particles,
    rewards,
    steering,
    user_functions,
)
from ddpm_cli.guides.parts.context import Context, Guide, Numbers
from ddpm_cli.guides.parts.particles import Particles
from ddpm_cli.guides.parts.rewards import Reward
from ddpm_cli.guides.parts.user_code import Code, load
from ddpm_cli.guides.parts.user_functions import Function
from ddpm_cli.hardware import Compute
from ddpm_cli.models import classes, walks
from ddpm_cli.models.asked import Asked
from ddpm_cli.models.walks import Batch
from ddpm_cli.pipelines import guided_restoring, guided_windows
from ddpm_cli.pipelines.guided_classes import Told, classifiers_of, space_of
from ddpm_cli.pipelines.guided_restoring import Restored
from ddpm_cli.pipelines.opening import Opened
from ddpm_cli.settings import checks, code_names, guides, methods
from ddpm_cli.settings.checks import CLASSIFIER, CLIP
from ddpm_cli.settings.code_names import CODE
from ddpm_cli.settings.config import Config
from ddpm_cli.settings.request_parts import Guiding, Use
from ddpm_cli.training import distributed


@dataclass(frozen=True)
class Completion:
    """What completes a batch: particles for its rows, a method of restoring, and guides."""

    guides: Sequence[Guide]
    particles: Particles | None
    restored: Restored | None
    is_bounded: bool

    def __call__(self, batch: Batch) -> Batch:
        """The batch with what steers it."""
        if self.particles is not None:
            batch = self.particles.spread(batch)
        if self.restored is not None:
            batch = self.restored(batch)
        if not self.guides:
            return batch
        return steering.completed(self.guides, batch, is_bounded=self.is_bounded)

    def noise(self, seeds: Sequence[int]) -> Sequence[int]:
        """The seeds of the noise of the images of these seeds, and of their other particles."""
        return seeds if self.particles is None else self.particles.seeds(seeds)


@dataclass(frozen=True)
class Steering:
    """What steers the walks of a configuration, and what its models are told of classes.

    info: of what is drawn: as the model was trained on, or larger.
    names: of all classes that there are.  asked: what the model is told; known: the classes that
    a classifier is told.  functions: the user's own, by their
    flags.  judges: the SHA-256 of all that guides load.  given: the scale of the image that a
    guide restores, whose bits results shall have.  top: the level where walks begin, if not the
    highest.  reward: what scores particles, if there are any.  restored: what is known of images
    that a method draws, if there is any.
    """

    config: Config
    info: DataInfo
    schedule: Schedule
    names: Sequence[str]
    asked: Asked
    known: Asked
    functions: Mapping[str, Function]
    judges: Sequence[str]
    download: bool = False
    range: tuple[int, int] | None = None
    given: Scale | None = None
    top: Tensor | None = None
    reward: Reward | None = None
    restored: Restored | None = None

    @property
    def targets(self) -> Numbers:
        """The numbers of the classes that a classifier is told, of seeds."""
        return self.known.numbers

    def say(self, label: str | None) -> None:
        """Say what takes turns; label: what --class says."""
        self.known.say(label)

    def count(self) -> int:
        """How many classes, texts and numbers take turns."""
        return self.asked.count(self.names)

    @property
    def record(self) -> dict[str, Any]:
        """What a record says of what guides load."""
        return {"guides": list(self.judges)} if self.judges else {}

    @property
    def is_any(self) -> bool:
        """Whether anything steers."""
        return bool(self.config["guides"] or self.reward or self.restored)

    @property
    def words(self) -> str:
        """What steers a walk, in words."""
        count, said = checks.particles(self.config), described(self.config)
        said += f"; restored by {methods.called(self.config)}" if self.restored else ""
        if self.reward is None:
            return said
        return f"{said}; {many(count, 'particles')}, scored {many(self.rounds, 'times')}"

    @property
    def rounds(self) -> int:
        """How often the particles of an image are scored."""
        if self.reward is None:
            return 0
        levels = walks.prepared(self.config, self.schedule, self.top).levels
        return len(when(levels, self.config["particles"]["rounds"]))

    def load(self, compute: Compute) -> Completion | None:
        """Load the guides; what completes a batch with them and particles, if there are any."""
        if not self.is_any:
            return None
        where = (self.config, self.info, compute, self.schedule)
        told = (self.download, self.functions, self.range, self.top)
        context = Context(*where, self.targets, *told)
        group = None
        if self.reward is not None:
            group = particles.particles(context, self.reward, **self.config["particles"])
        known = self.restored and self.restored.on(compute)
        is_bounded = not self.info.is_image
        return Completion(steering.loaded(context), group, known, is_bounded)


def described(config: Config) -> str:
    """What steers a walk, in words."""
    names = [guide["name"] for guide in config["guides"]]
    settings = config.get("guidance", {})
    scale, model = settings.get("scale", 1.0), settings.get("model")
    passes = f"; guidance scale {scale:g} (omega {scale - 1:g})" if scale != 1 else ""
    passes += f" away from {model}" if passes and model else ""
    return passes + (f"; steered by {', '.join(names)}" if names else "")


def goes_back(config: Config) -> bool:
    """Whether a guide goes back through the network, as all do that judge predicted images."""
    for guide in config["guides"]:
        run = clip_runs.named(guide["model"]) if guide["name"] == CLIP else None
        is_noisy = run is not None and clip_runs.is_noisy(run[1])
        if guide["name"] != CLASSIFIER and not is_noisy:
            return True
    return False


def _reward(
    config: Config, info: DataInfo, guiding: Guiding, schedule: Schedule, top: Tensor | None
) -> Reward | None:
    """What scores particles, once it was tried, if a configuration asks for any."""
    if "particles" not in config:
        return None
    if "reward" not in guiding.code:
        fix = "give --reward FILE.py:NAME, or a command that prints numbers"
        raise ConfigError(f"particles: which reward chooses among them? {fix}")
    particles.check(config, schedule, top)
    device, timeout = _device(config), config["particles"]["timeout"]
    return rewards.of(guiding.code["reward"], info, device, timeout).tried(device)


def steered(
    use: Use,
    guiding: Guiding,
    opened: Opened,
    schedule: Schedule,
    *,
    top: Tensor | None = None,
    is_given: bool = False,
) -> Steering:
    """What the guides of a request come to; what makes no sense is refused before any work.

    top: where walks begin, if not at noise alone; such images are told no class unless it is said.
    is_given: of images that belong together, which are told one class.
    """
    config, info, label = opened.config, opened.header.data, use.label
    code_names.refuse_missing(config["guides"], guiding.code)
    codes = {flag: load(code) for flag, code in guiding.code.items() if flag != "reward"}
    if is_given and label is None and classifiers_of(config):
        raise ConfigError("--classifier: pulls towards a class; name one with --class")
    if not is_given:
        info = guided_windows.info(config, guiding.flags, info, is_begun=top is not None)
    restored = None
    if guides.method(guiding.flags) is not None:
        restored = guided_restoring.of(guiding.flags, config, info, _device(config), use.range)
    is_given_some = is_given or restored is not None or top is not None
    if (config["guides"] or is_given_some) and not classifiers_of(config):
        label = classes.fixed(label, config)  # a class from the seed would pull elsewhere
    functions = _functions(codes, config, info)
    config, judges = pinned(config, info, codes)
    space = space_of(config, info, functions)
    told = Told(space, classes.NULL if guiding.is_unconditional else label, config, info)
    spelled = (told.numbers, partial(classes.names, label, *space))
    asked = Asked.spelling(use, config, info, label, spelled)
    known = Asked(*space, label, asked.values, asked.texts)
    known.numbers([0])  # an unknown class is refused here
    told.check()
    if is_given:
        classes.one(label, *space)
        asked.refuse_several()
    reward = _reward(config, info, guiding, schedule, top)
    scale = restored.scale if restored else _given(config, use, info)
    if use.range is not None and not (is_given or restored or top is not None):
        _refuse_range(config)
    return Steering(
        config,
        info,
        schedule,
        space.names,
        asked,
        known,
        functions,
        [*judges, *(reward.sha256 if reward else ()), *(restored.sha256 if restored else ())],
        guiding.may_download,
        use.range,
        scale,
        top,
        reward,
        restored,
    )


def _given(config: Config, use: Use, info: DataInfo) -> Scale | None:
    """The scale of the image that a guide restores, whose bits results shall have."""
    files = [guide["image"] for guide in config["guides"] if guide.get("image")]
    if not files or files[0] == inputs.STDIN:  # which can be read but once
        return None
    ranges = Ranges.of(use.range, info.range)
    return ranges.scale(pixels.inspected(files[0])[1])


def _refuse_range(config: Config) -> None:
    """Refuse to say which pixels of an image are white where no image is read."""
    if not any(guide.get("image") for guide in config["guides"]):
        what = "of the image of --restore or --init, and none is given"
        raise ConfigError(f"data.range: {what}; leave it out")


def _functions(codes: Mapping[str, Code], config: Config, info: DataInfo) -> dict[str, Function]:
    """Code as functions on the device of a configuration; each is tried."""
    if not codes:
        return {}
    device = _device(config)
    makers = {"scorer": user_functions.scorer, CLASSIFIER: user_functions.classifier}
    return {flag: makers[flag](codes[flag], device, info.shape, info) for flag in codes}


def _device(config: Config) -> torch.device:
    """Where this process computes."""
    compute = hardware.compute(**config["compute"])
    return distributed.local_device(compute.device, distributed.group())


def pinned(config: Config, info: DataInfo, codes: Mapping[str, Code]) -> tuple[Config, list[str]]:
    """The configuration with the name of its classifier, and the hashes of what guides load."""
    listed, hashes = [], []
    for guide in config["guides"]:
        name, file = guide["name"], guide.get("image")
        if name == "scorer" or guide.get("model") == CODE:
            hashes.append(codes[name].sha256)
        elif name == CLASSIFIER:
            place, header = classifiers.named(guide["model"], info)
            guide = guide | {"model": place.name}
            hashes.append(header.hash)
        elif name == CLIP and (own := clip_runs.named(guide["model"])):
            guide = guide | {"model": own[0].name}
            hashes.append(own[1].hash)
        elif file and file != inputs.STDIN:
            hashes.append(opening.digest(file))
        listed.append(guide)
    return config | {"guides": listed}, [digest for digest in hashes if digest]
