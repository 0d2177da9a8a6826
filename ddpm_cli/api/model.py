"""A model from Python: what the verbs of the command line do, on tensors."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from ddpm_cli.api import arguments, drawing, edits
from ddpm_cli.api.arguments import Classes, Settings, refusing
from ddpm_cli.api.handle import Handle, finished, parts
from ddpm_cli.diffusion.denoiser import Bindable, Prediction
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.diffusion.steps import State
from ddpm_cli.errors import ConfigError
from ddpm_cli.files.checkpoints import find
from ddpm_cli.files.checkpoints.header import DataInfo, read_header
from ddpm_cli.pipelines import meter, nll, opening
from ddpm_cli.pipelines.meter import Measure, Meter
from ddpm_cli.settings.config import Config, Layer
from ddpm_cli.settings.requests import BATCH, Inpaint, Method, Seeds, Trace, Upscale

Seed = int | Sequence[int]


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
    options = {"device": device, "dtype": dtype}
    compute = {key: value for key, value in options.items() if value != "auto"}
    return Model(model, [*layers, Layer("load", {"compute": compute})] if compute else layers)


class Model:
    """A checkpoint and the settings that it is used with; `ddpm_cli.load` makes it.

    Images are tensors [N, C, H, W], bytes or floats in [-1, 1]; arrays [N, ...] are in the units
    of their data. What comes back is float32 on the CPU. What the command line would refuse is a
    ValueError of the same text.
    """

    def __init__(self, name: str | None, layers: Sequence[Layer]) -> None:
        """Take what -m names, and the settings asked for."""
        place = find.find(name)
        self._handle = Handle(place, read_header(place.path), list(layers), {})
        self._core = self._handle.model(self._handle.settled(layers))

    @property
    def config(self) -> Config:
        """All settings of the model, completed."""
        return self._core.config

    @property
    def info(self) -> DataInfo:
        """What the model was trained on: shape, names of classes, normalization."""
        return self._core.info

    @property
    def schedule(self) -> Schedule:
        """The noise process that the network was trained on."""
        return self._core.schedule

    @property
    def denoiser(self) -> Bindable:
        """The network as a denoiser whose conditions are open: denoiser.bind(classes=...)."""
        return self._core.denoiser

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self._core.compute.device

    def __repr__(self) -> str:
        """Say in one line what the model is and how it is used."""
        compute, header = self._core.compute, self._handle.header
        network = self._handle.denoiser(compute).network
        weights = sum(parameter.numel() for parameter in network.parameters()) / 1e6
        kind = f"{header.task} " if header.task else ""
        classes = f", {len(self.info.classes)} classes" if self.info.classes else ""
        shape, dtype = arguments.shown(self.info.shape), str(compute.dtype).split(".")[-1]
        return (
            f"Model({self._core.name!r}: {kind}{self.info.noun} {shape}{classes}, "
            f"{weights:.2f} M parameters, {self.config['sampler']['name']}, "
            f"{dtype} on {compute.device})"
        )

    @refusing
    def sample(self, seeds: Seed, classes: Classes = None, *, batch: int = BATCH) -> Tensor:
        """Draw samples [N, ...], one for each seed: the same as `ddpm sample` draws.

        classes: what --class takes, for all, or a name or number for each seed; without them the
        class of an image comes from its seed.
        """
        opening.refuse_conditional(self._handle.header, self._core.name)
        listed = arguments.seeds(seeds)
        make = drawing.batches(self._core, listed, classes)
        return drawing.samples(self._core, make, len(listed), batch)

    @refusing
    def walk(self, seeds: Seed, classes: Classes = None) -> Iterator[State]:
        """Draw samples of seeds in one batch, and give the state after each move.

        A state has x [N, ...] at the noise level sigma, in the scale where x = x0 + sigma eps, and
        the clean image x0 predicted last.
        """
        opening.refuse_conditional(self._handle.header, self._core.name)
        return drawing.states(self._core, arguments.seeds(seeds), classes)

    @refusing
    def guide(
        self,
        seeds: Seed,
        classes: Classes = None,
        *,
        scale: float | None = None,
        interval: tuple[float, float] | None = None,
        rescale: float | None = None,
        classifier: str | Callable[[Tensor, Tensor], Tensor] | None = None,
        grad_at: Literal["x", "mean"] | None = None,
        unconditional: bool = False,
        scorer: str | Callable[[Tensor], Tensor] | None = None,
        trust: bool = False,
        settings: Settings | None = None,
        batch: int = BATCH,
    ) -> Tensor:
        """Draw samples [N, ...] that are steered, as `ddpm guide` does with these options.

        classifier: a model, or a function (x_t, label) -> logits [N, K]; scorer: a function of
        images in [-1, 1] to scores [N]; either may be FILE.py:NAME, too. Guides that need more
        are among the settings: {"guides": [{"name": "clip", ...}]}.
        """
        opening.refuse_conditional(self._handle.header, self._core.name)
        options: dict[str, Any] = {
            "scale": scale, "rescale": rescale, "classifier": classifier, "grad_at": grad_at,
            "unconditional": unconditional, "scorer": scorer, "trust": trust,
            "interval": None if interval is None else ",".join(map(str, interval)),
        }  # fmt: skip
        listed = arguments.seeds(seeds)
        labels = arguments.labels(classes, len(listed))
        use = self._handle.use(None, settings)
        return drawing.guided(self._handle, use, listed, labels, options, batch)

    @refusing
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
        arguments.refuse_other_shape("x", x, self.info.shape)
        numbers = self._handle.null(classes, len(x))
        bound = self._core.bound(self._core.conditions(numbers, **images))
        return bound(self._core.placed(x), level)

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
        coder, x0 = self._handle.coder(settings), arguments.images(images, self.info.shape)
        numbers, latents = self._handle.null(classes, len(x0)), []
        for rows in parts(len(x0), batch):
            z = coder.encode(x0[rows], None if numbers is None else numbers[rows])
            latents.append(finished(z).float().cpu())
        return torch.cat(latents)

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
        coder = self._handle.coder(settings)
        arguments.refuse_other_shape("latents", latents, self.info.shape)
        numbers, images = self._handle.null(classes, len(latents)), []
        for rows in parts(len(latents), batch):
            x = coder.decode(latents[rows].double(), None if numbers is None else numbers[rows])
            images.append(self.info.restore(finished(x)))
        return torch.cat(images)

    @refusing
    def inpaint(
        self,
        images: Tensor,
        masks: Tensor,
        seeds: Seed = 0,
        classes: str | int | None = None,
        *,
        method: Literal["auto", "replace", "posterior", "model"] = "auto",
        jump: int | None = None,
        resample: int | None = None,
        settings: Settings | None = None,
    ) -> Tensor:
        """Images [N, C, H, W] made anew where masks [H, W], [N, H, W] or [N, 1, H, W] are not 0.

        All else stays as it is, bit for bit. seeds: one for each image, or the first one's.
        Images larger than the model's are filled by windows. The rest is as in `ddpm inpaint`.
        """
        use = self._handle.use(None if classes is None else str(classes), settings)
        request = Inpaint(
            use=use, inputs=(), output=None, seeds=Seeds(), method=method, jump=jump,
            resample=resample,
        )  # fmt: skip
        return edits.inpaint(self._handle, request, images, masks, seeds)

    @refusing
    def upscale(
        self,
        images: Tensor,
        seeds: Seed = 0,
        classes: str | int | None = None,
        *,
        task: Literal["upscale", "colorize", "deblur"] = "upscale",
        method: Literal["auto", "model", "zero-shot"] = "auto",
        factor: float | None = None,
        consistent: bool = False,
        noise: float = 0.0,
        settings: Settings | None = None,
        batch: int = BATCH,
    ) -> Tensor:
        """Small, grey or blurred images [N, c, h, w] enlarged, coloured or sharpened.

        By a model trained to upscale, or by any unconditional one with data consistency. The
        arguments are the options of `ddpm upscale`; noise is its --aug-noise.
        """
        use = self._handle.use(None if classes is None else str(classes), settings)
        request = Upscale(
            use=use, inputs=(), output=None, seeds=Seeds(), method=method, task=task,
            factor=factor, is_consistent=consistent, noises=(noise,),
        )  # fmt: skip
        return edits.upscale(self._handle, request, images, seeds, batch)

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
        these settings say otherwise. Images that are no bytes should have 2^bits even levels,
        which is what is measured. Of arrays it is that of the density in their own units.
        """
        handle = self._handle
        opening.refuse_conditional(handle.header, handle.place.name)
        measure = Measure(method, trace or meter.trace(self.info), probes, repeats, bits, seed)
        layers = handle.apart(settings)
        core = handle.model(nll.settled(*handle.known, self.schedule, layers, method))
        meter.plan(core.config, measure, self.info, core.schedule)
        x0 = arguments.images(images, self.info.shape).double()
        x0 = arguments.on_levels(x0, bits) if self.info.is_image else self.info.normalized(x0)
        numbers, measured = handle.null(classes, len(x0)), []
        counted = Meter(core, measure, lambda calls: None)
        for rows in parts(len(x0), batch):
            told = None if numbers is None else numbers[rows]
            measured.append(finished(counted(x0[rows], range(len(x0))[rows], told)))
        return torch.cat(measured)
