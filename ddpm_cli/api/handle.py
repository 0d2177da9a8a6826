"""What the Python API keeps of a checkpoint, and the models that it makes of it for each verb."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from torch import Tensor

from ddpm_cli import hardware
from ddpm_cli.api import arguments
from ddpm_cli.api.arguments import Settings
from ddpm_cli.api.telling import Seen, Telling
from ddpm_cli.diffusion.classifier import Trained
from ddpm_cli.diffusion.denoiser import Denoiser
from ddpm_cli.errors import ConfigError
from ddpm_cli.files.checkpoints import level_fits
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.files.checkpoints.find import Place
from ddpm_cli.files.checkpoints.header import Header
from ddpm_cli.files.images.inputs import mode_of
from ddpm_cli.hardware import Compute
from ddpm_cli.models import build, cost, model, saved, second
from ddpm_cli.models.model import Model
from ddpm_cli.models.second import Second
from ddpm_cli.pipelines import inversion, opening
from ddpm_cli.pipelines.inversion import Coder
from ddpm_cli.pipelines.opening_rows import FLOAT32
from ddpm_cli.settings.config import SAMPLING, Config, Layer
from ddpm_cli.settings.request_parts import Use
from ddpm_cli.settings.usual import CODING

_Result = TypeVar("_Result")


class Handle(NamedTuple):
    """A checkpoint, what was asked for of it, and its networks by where they compute."""

    place: Place
    header: Header
    layers: list[Layer]
    networks: dict[Compute, Trained]

    @property
    def known(self) -> tuple[Place, Header]:
        """The model, as openings take one that was found before."""
        return self.place, self.header

    @property
    def named(self) -> tuple[Header, str]:
        """The model and its name, as refusals take them."""
        return self.header, self.place.name

    @property
    def info(self) -> DataInfo:
        """What the model was trained on."""
        return self.header.data

    def words(self, core: Model) -> str:
        """What a model of it is and how it is used, in one line."""
        info, compute = self.info, core.compute
        network = self.trained(compute).network
        weights = sum(parameter.numel() for parameter in network.parameters()) / 1e6
        kind = f"{self.header.task} " if self.header.task else ""
        told = f", {len(info.classes)} classes" if info.classes else ""
        told += f", {len(info.values.names)} values" if info.values else ""
        told += ", text" if "text" in core.config else ""
        shape, dtype = arguments.shown(info.shape), str(compute.dtype).split(".")[-1]
        return (
            f"{core.name!r}: {kind}{info.noun} {shape}{told}, {weights:.2f} M parameters, "
            f"{core.config['sampler']['name']}, {dtype} on {compute.device}"
        )

    def settled(self, layers: Sequence[Layer], *below: Layer) -> Config:
        """The model's configuration for a verb: its own layers, then what was asked for."""
        free = ["constraints"] if self.header.task == "inpaint" else []
        return opening.settled(self.place, self.header, layers, below, free=free)

    def apart(self, settings: Settings | None) -> list[Layer]:
        """What was asked for but for how to draw, and settings of one call."""
        below = [
            Layer(layer.source, {k: v for k, v in layer.values.items() if k not in SAMPLING})
            for layer in self.layers
        ]
        return [*below, *arguments.layers(settings)]

    def model(self, config: Config) -> Model:
        """The model with other settings, its weights read once for each device and format.

        Of a classifier it has no more than a schedule and a network.
        """
        compute = hardware.compute(**config["compute"])
        known: Any = self.trained(compute)
        beside = Second()
        if isinstance(known, Denoiser):
            cost.refuse_unguided(config, known.schedule)
            beside = second.made(config, known, compute)
            known = saved.known(known, model.fitted(config, self.header, self.place))
        settings = level_fits.inlined(config)
        return Model(self.place.name, self.header, settings, compute, known, beside)

    def trained(self, compute: Compute) -> Trained:
        """The denoiser or classifier with nothing around it."""
        if compute not in self.networks:
            self.networks[compute] = model.trained(self.place, compute)
        return self.networks[compute]

    def coder(self, settings: Settings | None) -> Coder:
        """What turns images into latents and back."""
        opening.refuse_conditional(*self.named)
        if self.info.is_image:
            mode_of(self.info.shape)
        exact = [] if self.info.is_image else [FLOAT32]
        core = self.model(self.settled(self.apart(settings), CODING, *exact))
        inversion.plan(core.config, core.schedule)
        return Coder.of(core)

    def use(self, label: str | None, settings: Settings | None = None, *above: Layer) -> Use:
        """What a request says of the model; above: what arguments set, higher than settings."""
        layers = [*self.layers, *arguments.layers(settings), *above]
        return Use(model=self.place.name, layers=layers, label=label)

    def refuse_conditions(self, images: Mapping[str, Tensor], count: int) -> None:
        """Refuse images beside the noisy ones [count, ...] that the network does not take."""
        task = build.task(self.header.config, self.info)
        wanted = {} if task is None else {"image": (count, task.channels, *self.info.shape[1:])}
        for kind in images.keys() | wanted.keys():
            if kind not in wanted:
                raise ConfigError(f"{kind}: this model takes no such images; leave it out")
            if kind not in images:
                shape = arguments.shown(wanted[kind])
                raise ConfigError(f"{kind}: missing; a model for {self.header.task} needs {shape}")
            arguments.refuse_other_shape(kind, images[kind], wanted[kind][1:])

    def told(self, telling: Telling, count: int, config: Config) -> Seen:
        """What given images are told, the null class unless another is."""
        return telling.conditions(range(count), config, self.info, is_drawn=False)


def parts(count: int, batch: int) -> Iterator[slice]:
    """Rows of a batch, `batch` at a time."""
    batch = arguments.count("batch", batch)
    return (slice(first, min(first + batch, count)) for first in range(0, count, batch))


def each(seeds: Sequence[int] | int, count: int) -> list[int]:
    """A seed for each image: those given, or consecutive ones from the one given on."""
    listed = arguments.seeds(seeds)
    if len(listed) == 1 and count > 1:
        return arguments.seeds(range(listed[0], listed[0] + count))
    if len(listed) != count:
        fix = "give one for each, or the first"
        raise ConfigError(f"seeds: {len(listed)} for {count} images; {fix}")
    return listed


def finished(result: _Result | None) -> _Result:
    """What a walk came to; a process that was asked to stop goes no further."""
    if result is None:
        raise KeyboardInterrupt
    return result
