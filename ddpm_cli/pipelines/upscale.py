"""Enlarging and restoring given images: by a model trained for it, or by data consistency."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ddpm_cli.data.tasks import upscale
from ddpm_cli.diffusion.denoiser import Bindable, Denoise
from ddpm_cli.diffusion.restoration import Separable, consistent, within
from ddpm_cli.diffusion.rng import Rng, keyed
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files.checkpoints import find
from ddpm_cli.files.checkpoints.find import Found
from ddpm_cli.files.checkpoints.header import DataInfo, Header, read_header
from ddpm_cli.files.images.pixels import from_uint8, to_uint8
from ddpm_cli.files.records import Record
from ddpm_cli.hardware import Compute
from ddpm_cli.models import build, classes, walks
from ddpm_cli.models.walks import Batch
from ddpm_cli.settings.config import Config, Layer

UPSCALE = "upscale"


class Row(NamedTuple):
    """An image to restore, uint8 [c, h, w], and what its result depends on beside it.

    label: the number of its class, if the model has classes; noise: the level of noise that is
    added to it first, of images in [-1, 1]; stage: how many models came before.
    """

    low: Tensor
    seed: int
    label: int | None
    noise: float = 0.0
    stage: int = 1


class Made(NamedTuple):
    """Restored images uint8 [B, C, H, W], and how far each is from what was given.

    That is the largest difference, in levels of 255, between the image given and the result made
    small, grey or blurred again.
    """

    images: Tensor
    errors: list[float]


class Upscaler(NamedTuple):
    """A model ready to restore images.

    task: what a conditional model sees, None for data consistency; operator: what took from the
    whole image what is given; exact: whether results shall agree with what is given.
    """

    config: Config
    info: DataInfo
    compute: Compute
    denoiser: Bindable
    task: upscale | None
    operator: Separable
    exact: bool

    def __call__(self, rows: Sequence[Row]) -> Made | None:
        """Restore a batch, each image by its own row; None if the process was asked to stop."""
        low = from_uint8(torch.stack([row.low for row in rows]))
        labels = [row.label for row in rows if row.label is not None] or None
        seeds = [keyed(row.seed, "stage", row.stage) for row in rows]
        batch = Batch(seeds, labels, self._condition(low, rows))
        known = low.to(self.compute.device, self.compute.state_dtype)
        if self.exact:

            def wrap(denoise: Denoise, part: slice) -> Denoise:
                return consistent(denoise, self.operator, known[part])

            batch = batch._replace(wrap=wrap)
        levels = walks.path(self.config, self.denoiser.schedule)
        made = walks.chunk(self.denoiser, self.config, self.info, self.compute, batch, levels)
        state = walks.last(made.states)
        if state is None:
            return None
        walks.refuse_not_finite(state.x, "the result has values that are not finite")
        x = within(self.operator, state.x, known) if self.exact else state.x
        pixels = to_uint8(x).cpu()
        errors = self.operator.error(from_uint8(pixels).double(), low.double()) * 127.5
        return Made(pixels, errors.tolist())

    def _condition(self, low: Tensor, rows: Sequence[Row]) -> Tensor | None:
        """What a conditional model sees of the images given."""
        if self.task is None:
            return None
        noise = torch.tensor([row.noise for row in rows])
        rng = Rng([keyed(row.seed, "noise", row.stage) for row in rows])
        return self.task.given(low, noise, rng)


def choose(model: str | None, method: str, task: str) -> tuple[Found, Header]:
    """The checkpoint to restore with, trained for it or unconditional; others are refused."""
    if method == "model" and task != UPSCALE:
        raise ConfigError(f"--method model: models are trained to {UPSCALE}; leave --task out")
    trained = method != "zero-shot" and task == UPSCALE
    found = find.find(model, UPSCALE if trained else "")
    header = read_header(found.path)
    walks.refuse_classifier(header, found.name)
    if header.task not in ("", UPSCALE):
        fix = f"give one with task.name={UPSCALE} or an unconditional one"
        raise Refusal(f"{found.name}: trained to {header.task}, not to {task}; {fix}")
    if header.task and not trained:
        what = f"--task {task}" if method != "zero-shot" else "--method zero-shot"
        raise Refusal(f"{found.name}: trained to {UPSCALE}; {what} takes an unconditional model")
    if not header.task and method == "model":
        fix = "leave out --method model, or give one with -m"
        raise Refusal(f"{found.name}: not trained to {UPSCALE}; {fix}")
    return found, header


def layer(header: Header, task: str, factor: float | None) -> Layer:
    """The operator that --task and --factor, or what the model was trained for, stand for."""
    trained = header.config.get("task")
    if trained:
        if factor not in (None, trained["factor"]):
            was = f"the model was trained for {trained['factor']:g}"
            raise ConfigError(f"--factor {factor:g}: {was}; leave it out")
        own = {key: trained[key] for key in ("factor", "filter")}
    else:
        own = {} if factor is None else {"factor": factor}
    return Layer("--task", {"operator": {"name": task, **own}})


def operator(config: Config, info: DataInfo, task: str) -> Separable:
    """The operator of a configuration; a trained model's must be what it was trained for."""
    settings = config["operator"]
    trained = config.get("task") or settings
    if settings["name"] != task:
        raise ConfigError(f"operator.name: chosen by --task; give --task {settings['name']}")
    for key in ("factor", "filter"):
        if settings.get(key) != trained.get(key):
            raise ConfigError(
                f"operator.{key}: {settings[key]!r} asked for, but the model was trained with "
                f"{trained[key]!r}; leave it out"
            )
    return build.operator(config, info)


def check_noise(levels: Sequence[float], header: Header) -> None:
    """Refuse to add more noise to what is given than the model has learned to look through."""
    most = header.config.get("task", {}).get("noise", 0.0)
    if max(levels) <= most:
        return
    why = f"the model was trained with up to {most:g}; set task.noise to train another"
    if not header.task:
        why = f"only for a model that was trained to {UPSCALE}, with task.noise"
    raise ConfigError(f"--aug-noise {max(levels):g}: {why}")


def class_of(asked: str | None, record: Record, config: Config, info: DataInfo) -> str | None:
    """The class of an image given: the one asked for, else what its file says, else none."""
    said = record.get("classes")
    if asked is None and isinstance(said, list) and len(said) == 1:
        known = info.classes or tuple(map(str, range(config["network"].get("classes", 0))))
        asked = said[0] if said[0] in known else None
    return classes.fixed(asked, config)


def stage_after(record: Record) -> int:
    """The stage that follows an image's own, which draws noise of its own from the same seed."""
    before = record.get("stage", 0)
    return before + 1 if isinstance(before, int) and before >= 0 else 1


def load(found: Found, config: Config, compute: Compute, task: str, *, exact: bool) -> Upscaler:
    """The model of a checkpoint as a configuration uses it."""
    model = walks.ready(found, config, compute)
    given: Any = build.task(config, model.info)
    undo = operator(config, model.info, task)
    return Upscaler(*model[:4], given, undo, exact or given is None)
