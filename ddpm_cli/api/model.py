"""A model from Python: what the verbs of the command line do, on tensors."""

from collections.abc import Callable, Iterator, Sequence
from os import PathLike, fspath
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from ddpm_cli.api import arguments, coding, drawing, edits, guiding, likelihood
from ddpm_cli.api.arguments import Classes, Filling, Restoring, Seed, Settings, Undone, refusing
from ddpm_cli.api.handle import Handle
from ddpm_cli.api.telling import Telling, Text, Values
from ddpm_cli.diffusion.denoiser import Bindable, Prediction
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.diffusion.steps import State
from ddpm_cli.errors import ConfigError
from ddpm_cli.files.checkpoints import find
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.files.checkpoints.header import read_header
from ddpm_cli.pipelines import opening
from ddpm_cli.pipelines.opening import UPSCALE
from ddpm_cli.settings.config import Config, Layer
from ddpm_cli.settings.nll_requests import Dequantize, Method, Nll, Trace
from ddpm_cli.settings.request_parts import BATCH, Seeds, Use
from ddpm_cli.settings.requests import Inpaint, Translate, Upscale


class Model:
    """A checkpoint and the settings that it is used with; `ddpm_cli.load` makes it.

    Images are tensors [N, C, H, W], bytes or floats in [-1, 1]; arrays [N, ...] are in the units
    of their data. What comes back is float32 on the CPU. What the command line would refuse is a
    ValueError that speaks of parameters where the command line speaks of options.
    """

    def __init__(self, name: str | PathLike[str] | None, layers: Sequence[Layer]) -> None:
        """Take what -m names and the settings asked for."""
        place = find.find(None if name is None else fspath(name))
        self._handle = Handle(place, read_header(place.path), list(layers), {})
        self._core = self._handle.model(self._handle.settled(layers))

    @property
    def config(self) -> Config:
        """All settings of the model, completed."""
        return self._core.config

    @property
    def hash(self) -> str:
        """The SHA-256 of the checkpoint, which the records of results name."""
        return self._handle.header.hash

    @property
    def info(self) -> DataInfo:
        """What the model was trained on: shape, names of classes, normalization."""
        return self._core.info

    @property
    def schedule(self) -> Schedule:
        """The noise process that the network was trained on."""
        return self._core.schedule

    @property
    @refusing
    def denoiser(self) -> Bindable:
        """The network as a denoiser whose conditions are open: denoiser.bind(classes=...)."""
        opening.refuse_classifier(*self._handle.named)
        return self._core.denoiser

    @property
    def network(self) -> nn.Module:
        """The network itself: (x [B, ...] as it sees it, label [B], classes [B] or None).

        Nothing is scaled or made of its output: that is what `denoise` does. It is in the
        number format of the model's settings; network.double() computes in float64. A
        classifier's takes no classes, and gives logits.
        """
        return self._handle.trained(self._core.compute).network

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self._core.compute.device

    def __repr__(self) -> str:
        """Say in one line what the model is and how it is used."""
        return f"Model({self._handle.words(self._core)})"

    # The signatures have a line for what images are made of, one for what they are told, then
    # those for what is of this way to make them, and last how they are computed.
    @refusing
    def sample(
        self, seeds: Seed, classes: Classes = None, *,
        values: Values = None, text: Text = None, negative: str | None = None,
        image: Tensor | None = None, task: str | None = None, degrade: bool = False,
        batch: int = BATCH,
    ) -> Tensor:  # fmt: skip
        """Draw samples [N, ...], one for each seed: the same as `ddpm sample` draws.

        classes: what --class takes, for all, or a name or number for each seed; without them the
        class of an image comes from its seed. values: {"age": 37}, {"age": [20, 30]} with one for
        each, or an array [N, V] of all numbers that the model is told, NaN where one is not; text:
        one, or one for each; negative: what guidance is away from. image: of a model of task pairs
        what the samples are made of, [K, h, w] for all or [N, K, h, w]; one plane more is its
        opacity, for a model that fills in what is clear; task, degrade: as the options.
        """
        if image is not None:
            use = self._handle.use(None)
            request = Translate(
                use=use, inputs=(), output=None, seeds=Seeds(), task=task, degrades=degrade
            )
            telling = Telling(classes, values, text, negative)
            return edits.translate(self._handle, request, image, seeds, telling, batch)
        if task is not None or degrade:
            raise ConfigError("task, degrade: only with image; leave them out")
        opening.refuse_conditional(*self._handle.named)
        listed, telling = arguments.seeds(seeds), Telling(classes, values, text, negative)
        make = drawing.batches(self._core, listed, telling)
        return drawing.samples(self._core, make, len(listed), batch)

    @refusing
    def walk(
        self, seeds: Seed, classes: Classes = None, *,
        values: Values = None, text: Text = None, negative: str | None = None,
    ) -> Iterator[State]:  # fmt: skip
        """Draw samples of seeds in one batch, and give the state after each move.

        A state has x [N, ...] at the noise level sigma, in the scale where x = x0 + sigma eps, and
        the clean image x0 predicted last.
        """
        opening.refuse_conditional(*self._handle.named)
        telling = Telling(classes, values, text, negative)
        return drawing.states(self._core, arguments.seeds(seeds), telling)

    @refusing
    def guide(
        self, seeds: Seed, classes: Classes = None, *,
        values: Values = None, text: Text = None, negative: str | None = None,
        scale: float | None = None, interval: tuple[float, float] | None = None,
        rescale: float | None = None,
        classifier: str | Callable[[Tensor, Tensor], Tensor] | None = None,
        grad_at: Literal["x", "mean"] | None = None, unconditional: bool = False,
        scorer: str | Callable[[Tensor], Tensor] | None = None, trust: bool = False,
        reward: str | Callable[[Tensor], Any] | None = None, particles: int | None = None,
        settings: Settings | None = None, batch: int = BATCH,
    ) -> Tensor:  # fmt: skip
        """Draw samples [N, ...] that are steered, as `ddpm guide` does with these options.

        classifier: a model, or a function (x_t, label) -> logits [N, K]; scorer: a function of
        images in [-1, 1] to scores [N]; either may be FILE.py:NAME, too. reward: any function of
        images to N numbers, without a gradient, FILE.py:NAME or a command, by which so many
        particles of each seed are chosen. Guides that need more are among the settings:
        {"guides": [{"name": "clip", ...}]}.
        """
        opening.refuse_conditional(*self._handle.named)
        options: dict[str, Any] = {
            "scale": scale, "rescale": rescale, "classifier": classifier, "grad_at": grad_at,
            "unconditional": unconditional, "scorer": scorer, "trust": trust, "reward": reward,
            "interval": None if interval is None else arguments.interval(interval),
        }  # fmt: skip
        listed = arguments.seeds(seeds)
        telling = Telling(classes, values, text, negative)
        use = self._handle.use(None, settings, guiding.particles(particles))
        return drawing.guided(self._handle, use, listed, telling, options, batch)

    @refusing
    def denoise(
        self, x: Tensor, sigma: Tensor | float, classes: Classes = None, *,
        values: Values = None, text: Text = None, negative: str | None = None,
        **images: Tensor,
    ) -> Prediction:  # fmt: skip
        """Predict the clean image of noisy ones x = x0 + sigma eps [N, ...], sigma [] or [N].

        Nothing is clamped, gradients flow, and what is not said is not told: no class, number or
        text. images: what a conditional model sees beside, as `image` [N, K, H, W].
        """
        telling = Telling(classes, values, text, negative)
        return drawing.denoised(self._handle, self._core, x, sigma, telling, images)

    @refusing
    def encode(
        self, images: Tensor, classes: Classes = None, *,
        values: Values = None, text: Text = None, negative: str | None = None,
        settings: Settings | None = None, batch: int = BATCH,
    ) -> Tensor:  # fmt: skip
        """Latents [N, C, H, W] of images along the probability-flow ODE, in units of the prior.

        Of a model of arrays they are of rows [N, ...] in the units of the data.
        The walk is that of `ddpm encode`, unless these settings say otherwise: how the model
        draws is another matter.
        """
        telling = Telling(classes, values, text, negative)
        return coding.encode(self._handle, images, telling, settings, batch)

    @refusing
    def decode(
        self, latents: Tensor, classes: Classes = None, *,
        values: Values = None, text: Text = None, negative: str | None = None,
        settings: Settings | None = None, batch: int = BATCH,
    ) -> Tensor:  # fmt: skip
        """The images [N, C, H, W] of latents, walked down the way that `encode` walks up."""
        telling = Telling(classes, values, text, negative)
        return coding.decode(self._handle, latents, telling, settings, batch)

    @refusing
    def inpaint(
        self, images: Tensor, masks: Tensor | None = None, seeds: Seed = 0,
        classes: Classes = None, *,
        values: Values = None, text: Text = None, negative: str | None = None,
        method: Filling = "auto", jump: int | None = None, resample: int | None = None,
        noise: float = 0.0,
        scorer: str | Callable[[Tensor], Tensor] | None = None, scale: float | None = None,
        settings: Settings | None = None, batch: int = BATCH,
    ) -> Tensor:  # fmt: skip
        """Images [N, C, H, W] made anew where masks [H, W], [N, H, W] or [N, 1, H, W] say so.

        Masks are bools or have two levels, as 0 and 255, of which the higher one is made anew.
        All else stays as it is, bit for bit, but where noise says how much of it is in there:
        then all is made anew. seeds: one for each image, or the first one's.
        Images larger than the model's are filled by windows. The rest is as in `ddpm inpaint`.

        Of a model of arrays they are rows [N, ...] in the units of the data, float64 again: NaN
        is filled, and where masks, bools [N, ...] or of one row, are true. One seed is of all.
        scorer, scale: as of `guide`.
        """
        arguments.refuse_other("method", method, get_args(Filling))
        arguments.refuse_number("noise", noise, 0.0)
        telling = Telling(classes, values, text, negative)
        request = Inpaint(
            use=self._handle.use(None, settings), inputs=(), output=None, seeds=Seeds(),
            method=method, jump=jump, resample=resample, noise=noise,
            guiding=guiding.scoring(scorer, scale),
        )  # fmt: skip
        return edits.inpaint(self._handle, request, images, masks, seeds, telling, batch)

    @refusing
    def upscale(
        self, images: Tensor, seeds: Seed = 0, classes: Classes = None, *,
        values: Values = None, text: Text = None, negative: str | None = None,
        task: Undone = "upscale", method: Restoring = "auto", factor: float | None = None,
        consistent: bool = False, noise: float = 0.0,
        scorer: str | Callable[[Tensor], Tensor] | None = None, scale: float | None = None,
        settings: Settings | None = None, batch: int = BATCH,
    ) -> Tensor:  # fmt: skip
        """Small, grey or blurred images [N, c, h, w] enlarged, coloured or sharpened.

        By a model trained to upscale, or by any unconditional one with data consistency. The
        arguments are the options of `ddpm upscale`; noise is how much is in what is given, and of
        a model trained to upscale --aug-noise, how much is added first. scorer, scale: as of
        `guide`.
        """
        arguments.refuse_other("method", method, get_args(Restoring))
        telling = Telling(classes, values, text, negative)
        arguments.refuse_other("task", task, get_args(Undone), "operator")
        arguments.refuse_number("noise", noise, 0.0)
        if factor is not None:
            arguments.refuse_number("factor", factor, 0.0)
        is_added = self._handle.header.task == UPSCALE
        request = Upscale(
            use=self._handle.use(None, settings), inputs=(), output=None, seeds=Seeds(),
            method=method, task=task, factor=factor, is_consistent=consistent,
            noises=(noise if is_added else 0.0,), noise=0.0 if is_added else noise,
            guiding=guiding.scoring(scorer, scale),
        )  # fmt: skip
        return edits.upscale(self._handle, request, images, seeds, telling, batch)

    @refusing
    def nll(
        self, images: Tensor, classes: Classes = None, *,
        values: Values = None, text: Text = None,
        method: Method = "ode", trace: Trace | None = None, probes: int | None = None,
        repeats: int = 1, dequantize: Dequantize = "uniform", samples: int = 1,
        drawn: int | None = None, bits: int = 8, seed: int = 0,
        settings: Settings | None = None, batch: int = BATCH,
    ) -> Tensor:  # fmt: skip
        """Bits per dimension float64 [N] of images, exact by the ODE or bounded (`vlb`).

        The network computes in float32, and levels and solver are those of `ddpm nll`, unless
        these settings say otherwise. Floats that are no bytes are taken as they are; of arrays
        the density is measured, in their own units. drawn: of the bound, so many terms for each.
        """
        request = Nll(
            use=Use(layers=self._handle.apart(settings)), method=method, trace=trace,
            probes=probes, repeats=repeats, dequantize=dequantize, samples=samples, drawn=drawn,
            bits=bits, seed=seed,
        )  # fmt: skip
        telling = Telling(classes, values, text)
        return likelihood.measured(self._handle, self.schedule, request, images, telling, batch)
