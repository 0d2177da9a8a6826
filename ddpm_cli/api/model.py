"""A model from Python: what the verbs of the command line do, on tensors."""

from collections.abc import Iterator, Sequence
from typing import Literal, TypeVar

import torch
from torch import Tensor

from ddpm_cli import hardware
from ddpm_cli.api import arguments
from ddpm_cli.api.arguments import Classes, Settings, refusing
from ddpm_cli.diffusion.denoiser import Denoiser, Prediction
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.diffusion.steps import State
from ddpm_cli.errors import ConfigError
from ddpm_cli.files.checkpoints import find
from ddpm_cli.files.checkpoints.header import DataInfo, read_header
from ddpm_cli.models import build, model, walks
from ddpm_cli.models import classes as classes_of
from ddpm_cli.models.walks import Batch
from ddpm_cli.pipelines import encode, meter, nll, opening, restorer, windows
from ddpm_cli.pipelines.encode import Coder
from ddpm_cli.pipelines.inpaint import Filler, Job
from ddpm_cli.pipelines.meter import Measure, Meter
from ddpm_cli.pipelines.restorer import Row
from ddpm_cli.settings.config import SAMPLING, Config, Layer
from ddpm_cli.settings.requests import (
    CODING,
    Inpaint,
    Method,
    Seeds,
    Trace,
    Upscale,
    Use,
)

BATCH = 64
_Result = TypeVar("_Result")


@refusing
def load(
    model: str | None = None,
    *,
    settings: Settings | None = None,
    device: str = "auto",
    dtype: str = "auto",
) -> "Model":
    """See ddpm_cli.load; auto: as the checkpoint says, which is what the command line does."""
    layers = arguments.layers(settings)
    asked = {"device": device, "dtype": dtype}
    chosen = {key: value for key, value in asked.items() if value != "auto"}
    return Model(model, [*layers, Layer("load", {"compute": chosen})] if chosen else layers)


class Model:
    """A checkpoint and the settings that it is used with; `ddpm_cli.load` makes it.

    Images are tensors [N, C, H, W], bytes or floats in [-1, 1]; arrays [N, ...] are in the units
    of their data. What comes back is float32 on the CPU. What the command line would refuse is a
    ValueError of the same text.
    """

    def __init__(self, name: str | None, layers: Sequence[Layer]) -> None:
        """Take what -m names, and the settings asked for."""
        self._found = find.find(name)
        self._header = read_header(self._found.path)
        self._layers = list(layers)
        self._restored: dict[torch.dtype, Denoiser] = {}
        self._plain = self._model(self._settled(self._layers))

    @property
    def config(self) -> Config:
        """All settings of the model, completed."""
        return self._plain.config

    @property
    def info(self) -> DataInfo:
        """What the model was trained on: shape, names of classes, normalization."""
        return self._header.data

    @property
    def schedule(self) -> Schedule:
        """The noise process that the network was trained on."""
        return self._plain.schedule

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self._plain.compute.device

    def __repr__(self) -> str:
        """Say in one line what the model is and how it is used."""
        weights = sum(p.numel() for p in self._denoiser(self._plain.compute).network.parameters())
        shape = arguments.shown(self.info.shape)
        count = f", {len(self.info.classes)} classes" if self.info.classes else ""
        compute, sampler = self._plain.compute, self.config["sampler"]["name"]
        dtype = str(compute.dtype).removeprefix("torch.")
        kind = f"{self._header.task or 'drawing'} {self.info.noun} {shape}{count}"
        return (
            f"Model({self._found.name!r}: {weights / 1e6:.2f} M parameters, {kind}; "
            f"{sampler}, {dtype} on {compute.device})"
        )

    @refusing
    def sample(
        self, seeds: Sequence[int] | int, classes: Classes = None, *, batch: int = BATCH
    ) -> Tensor:
        """Draw samples [N, ...], one for each seed: the same as `ddpm sample` draws.

        classes: a name, number or list of --class for all, or one for each seed; without them
        the class of an image comes from its seed.
        """
        opening.refuse_conditional(self._header, self._found.name)
        listed, walk, parts = arguments.seeds(seeds), self._plain.prepared(), []
        numbers = arguments.numbers(classes, listed, self.config, self.info, is_drawn=True)
        for first in range(0, len(listed), batch):
            rows = slice(first, first + batch)
            conditions = self._plain.conditions(None if numbers is None else numbers[rows])
            *_, final = self._plain.draw(Batch(listed[rows], conditions), walk).states
            walks.refuse_not_finite(final.x, f"seeds {listed[rows]}: values that are not finite")
            parts.append(self.info.restore(final.x))
        return torch.cat(parts)

    def walk(self, seeds: Sequence[int] | int, classes: Classes = None) -> Iterator[State]:
        """Draw samples of seeds in one batch, and give the state after each move.

        A state has x [N, ...] at the noise level sigma, in the scale where x = x0 + sigma eps, and
        the clean image x0 predicted last.
        """
        opening.refuse_conditional(self._header, self._found.name)
        listed = arguments.seeds(seeds)
        numbers = arguments.numbers(classes, listed, self.config, self.info, is_drawn=True)
        batch = Batch(listed, self._plain.conditions(numbers))
        return self._plain.draw(batch, self._plain.prepared()).states

    def denoise(
        self, x: Tensor, sigma: Tensor | float, classes: Classes = None, **images: Tensor
    ) -> Prediction:
        """Predict the clean image of noisy ones x = x0 + sigma eps [N, ...], sigma [] or [N].

        Nothing is clamped, gradients flow, and the null class is told unless classes are.
        images: what a conditional model sees beside, as `image` [N, K, H, W].
        """
        level = torch.as_tensor(sigma, dtype=torch.float64)
        if level.shape not in ((), (len(x),)) or not bool((level > 0).all()):
            raise ConfigError("sigma: give one level above 0, or one for each image")
        if tuple(x.shape[1:]) != self.info.shape or not x.is_floating_point():
            have, want = arguments.shown(x.shape), arguments.shown(("N", *self.info.shape))
            raise ConfigError(f"x: {x.dtype} of shape {have}, the model takes floats of {want}")
        numbers = self._null(classes, len(x))
        bound = self._plain.bound(self._plain.conditions(numbers, **images))
        return bound(self._plain.placed(x), level)

    @refusing
    def encode(
        self,
        images: Tensor,
        classes: Classes = None,
        *,
        settings: Settings | None = None,
        batch: int = BATCH,
    ) -> Tensor:
        """Latents [N, C, H, W] of images along the probability-flow ODE, in units of the prior.

        The walk is that of `ddpm encode`, unless these settings say otherwise: how the model
        draws is another matter.
        """
        coder = self._coder(settings)
        x0 = arguments.images(images, self.info.shape)
        numbers = self._null(classes, len(x0))
        parts = []
        for rows in _rows(len(x0), batch):
            z = coder.encode(x0[rows], None if numbers is None else numbers[rows])
            parts.append(_finished(z).float().cpu())
        return torch.cat(parts)

    @refusing
    def decode(
        self,
        latents: Tensor,
        classes: Classes = None,
        *,
        settings: Settings | None = None,
        batch: int = BATCH,
    ) -> Tensor:
        """The images [N, C, H, W] of latents, walked down the way that `encode` walks up."""
        coder = self._coder(settings)
        if not latents.is_floating_point() or tuple(latents.shape[1:]) != self.info.shape:
            have, want = arguments.shown(latents.shape), arguments.shown(("N", *self.info.shape))
            raise ConfigError(f"latents: {latents.dtype} of shape {have}, the model has {want}")
        numbers = self._null(classes, len(latents))
        parts = []
        for rows in _rows(len(latents), batch):
            x = coder.decode(latents[rows].double(), None if numbers is None else numbers[rows])
            parts.append(self.info.restore(_finished(x)))
        return torch.cat(parts)

    @refusing
    def inpaint(
        self,
        images: Tensor,
        masks: Tensor,
        seeds: Sequence[int] | int = 0,
        classes: str | int | None = None,
        *,
        method: Literal["auto", "replace", "posterior", "model"] = "auto",
        jump: int | None = None,
        resample: int | None = None,
    ) -> Tensor:
        """Images [N, C, H, W] made anew where masks [H, W] or [N, 1, H, W] are not 0.

        All else stays as it is, bit for bit. seeds: one for each image, or the first one's.
        Images larger than the model's are filled by windows. See `ddpm inpaint` for the methods.
        """
        label = None if classes is None else str(classes)
        request = Inpaint(
            use=self._use(label), inputs=(), output=None, seeds=Seeds(),
            method=method, jump=jump, resample=resample,
        )  # fmt: skip
        side = self.info.shape[1:]
        x = arguments.images(images, arguments.page(images, self.info.shape))
        anew, listed = arguments.holes(masks, x), _each(seeds, len(x))
        opened = opening.inpainting(request, (self._found, self._header))
        core = self._model(opened.config)
        filler = Filler.of(core, classes_of.fixed(label, opened.config))
        pixels = core.to_pixels(x)
        jobs = [
            Job(pixels[i], anew[i], listed[i], windows.order(~anew[i, 0], (side[0], side[1])))
            for i in range(len(x))
        ]
        if not filler.fill(jobs):
            raise KeyboardInterrupt
        filled = core.to_values(torch.stack([job.canvas for job in jobs]))
        return torch.where(anew, filled, x)

    @refusing
    def upscale(
        self,
        images: Tensor,
        seeds: Sequence[int] | int = 0,
        classes: str | int | None = None,
        *,
        task: Literal["upscale", "colorize", "deblur"] = "upscale",
        method: Literal["auto", "model", "zero-shot"] = "auto",
        factor: float | None = None,
        consistent: bool = False,
        noise: float = 0.0,
        batch: int = BATCH,
    ) -> Tensor:
        """Small, grey or blurred images [N, c, h, w] enlarged, coloured or sharpened.

        By a model trained to upscale, or by any unconditional one with data consistency. The
        arguments are the options of `ddpm upscale`; noise is its --aug-noise.
        """
        label = None if classes is None else str(classes)
        request = Upscale(
            use=self._use(label), inputs=(), output=None, seeds=Seeds(), method=method,
            task=task, factor=factor, is_consistent=consistent, noises=(noise,),
        )  # fmt: skip
        opened = opening.restoring(request, (self._found, self._header))
        core = self._model(opened.config)
        restore = restorer.of(core, exact=consistent)
        low = core.to_pixels(arguments.images(images, restore.operator.shape))
        listed, number = (
            _each(seeds, len(low)),
            classes_of.one(classes_of.fixed(label, opened.config), opened.config, self.info),
        )
        parts = []
        for rows in _rows(len(low), batch):
            pairs = zip(low[rows], listed[rows], strict=True)
            restored = restore([Row(image, seed, number, noise) for image, seed in pairs])
            parts.append(core.to_values(_finished(restored).images))
        return torch.cat(parts)

    @refusing
    def nll(
        self,
        images: Tensor,
        classes: Classes = None,
        *,
        method: Method = "ode",
        trace: Trace | None = None,
        probes: int = 1,
        repeats: int = 1,
        bits: int = 8,
        seed: int = 0,
        settings: Settings | None = None,
        batch: int = BATCH,
    ) -> Tensor:
        """Bits per dimension float64 [N] of images, exact by the ODE or bounded (`vlb`).

        The network computes in float32, and levels and solver are those of `ddpm nll`, unless
        these settings say otherwise. Of arrays it is that of the density in the units of the data.
        """
        opening.refuse_conditional(self._header, self._found.name)
        measure = Measure(method, trace or meter.trace(self.info), probes, repeats, bits, seed)
        way = (self._found, self._header, self.schedule, self._apart(settings), method)
        core = self._model(nll.settled(*way))
        meter.plan(core.config, measure, self.info, core.schedule)
        x0 = self._values(images)
        numbers = self._null(classes, len(x0))
        measured = Meter(core, measure, lambda calls: None)
        parts = []
        for rows in _rows(len(x0), batch):
            told = None if numbers is None else numbers[rows]
            parts.append(_finished(measured(x0[rows], range(len(x0))[rows], told)))
        return torch.cat(parts)

    def _values(self, images: Tensor) -> Tensor:
        """Images or arrays in float64 as the network sees them."""
        values = arguments.images(images, self.info.shape).double()
        return values if self.info.is_image else self.info.normalized(values)

    def _settled(self, layers: Sequence[Layer], *own: Layer) -> Config:
        """The model's configuration for a verb: its own layers, then what was asked for."""
        free = ["constraints"] if self._header.task == "inpaint" else []
        return opening.settled(self._found, self._header, layers, own, free=free)

    def _apart(self, settings: Settings | None) -> list[Layer]:
        """What was asked for but for how to draw, and settings of one call."""
        below = [
            Layer(layer.source, {k: v for k, v in layer.values.items() if k not in SAMPLING})
            for layer in self._layers
        ]
        return [*below, *arguments.layers(settings)]

    def _model(self, config: Config) -> model.Model:
        """The model with other settings, its weights read once for each number format."""
        compute = hardware.compute(**config["compute"])
        fit = model.fitted(config, self._header, self._found)
        denoiser = build.known(self._denoiser(compute), fit)
        return model.Model(self._found.name, self._header, config, compute, denoiser)

    def _denoiser(self, compute: hardware.Compute) -> Denoiser:
        if compute.dtype not in self._restored:
            _, denoiser = model.restored(self._found, compute)
            self._restored[compute.dtype] = denoiser
        return self._restored[compute.dtype]

    def _coder(self, settings: Settings | None) -> Coder:
        opening.refuse_conditional(self._header, self._found.name)
        core = self._model(self._settled(self._apart(settings), CODING))
        encode.plan(core.config, core.schedule)
        return Coder.of(core)

    def _use(self, label: str | None) -> Use:
        return Use(model=self._found.name, layers=self._layers, label=label)

    def _null(self, classes: Classes, count: int) -> list[int] | None:
        """The numbers of the classes of given images, the null class unless told."""
        return arguments.numbers(classes, range(count), self.config, self.info, is_drawn=False)


def _rows(count: int, batch: int) -> Iterator[slice]:
    """Parts of a batch, `batch` rows each."""
    return (slice(first, min(first + batch, count)) for first in range(0, count, batch))


def _each(seeds: Sequence[int] | int, count: int) -> list[int]:
    """A seed for each image: those given, or consecutive ones from the one given on."""
    if isinstance(seeds, int):
        return arguments.seeds(range(seeds, seeds + count))
    listed = arguments.seeds(seeds)
    if len(listed) != count:
        fix = "give one for each, or the first"
        raise ConfigError(f"seeds: {len(listed)} for {count} images; {fix}")
    return listed


def _finished(result: _Result | None) -> _Result:
    """What a walk came to; a process that was asked to stop goes no further."""
    if result is None:
        raise KeyboardInterrupt
    return result
