"""Holes in images of any size, filled by windows of a model's size."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ddpm_cli.data import tasks
from ddpm_cli.diffusion.masked import begun
from ddpm_cli.diffusion.rng import Rng, keyed
from ddpm_cli.diffusion.steps import Constraint
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files.checkpoints.checkpoint import Header
from ddpm_cli.files.images.pixels import from_uint8, to_uint8
from ddpm_cli.models import build, classes, walks
from ddpm_cli.models.walks import Batch, Model
from ddpm_cli.pipelines.windows import Window


class Job:
    """One proposal for an image: `canvas` uint8 [C,H,W] fills up while `windows` are left."""

    def __init__(self, image: Tensor, hole: Tensor, seed: int, windows: Sequence[Window]) -> None:
        """Take an image, what of it is unknown, bool [1,H,W], and the windows that show that."""
        self.canvas, self.known, self.seed = image.clone(), ~hole, seed
        self.windows = list(windows)

    @property
    def own_seed(self) -> int:
        """The seed of the next window, which of an image of one window is the image's own."""
        window = self.windows[0]
        if window.of(self.known).shape == self.known.shape:
            return self.seed
        return keyed(self.seed, "window", window.number)

    def seen(self) -> tuple[Tensor, Tensor]:
        """The next window's pixels uint8 [C,h,w] and which of them are known, bool [1,h,w]."""
        return self.windows[0].of(self.canvas), self.windows[0].of(self.known)

    def take(self, made: Tensor) -> None:
        """Fill the next window's hole with what was made, uint8 [C,h,w], which is then known."""
        window: Window = self.windows.pop(0)
        pixels, known = window.of(self.canvas), window.of(self.known)
        pixels.copy_(pixels.where(known, made))
        known.fill_(True)


def fill(model: Model, jobs: Sequence[Job], levels: Tensor, label: str | None) -> bool:
    """Fill the windows of jobs, all at once and each job's in order; False if asked to stop."""
    while left := [job for job in jobs if job.windows]:
        seen = zip(*(job.seen() for job in left), strict=True)
        pixels, known = (torch.stack(planes) for planes in seen)
        x0 = from_uint8(pixels).to(model.compute.device, model.compute.state_dtype)
        batch = batched(model, x0, known, [job.own_seed for job in left], levels, label)
        walked = walks.chunk(model.denoiser, *model[:3], batch, levels)
        final = walks.last(walked.states)
        if final is None:
            return False
        walks.refuse_not_finite(final.x, "values that are not finite came out")
        for job, made in zip(left, to_uint8(final.x.cpu()), strict=True):
            job.take(made)
    return True


def batched(
    model: Model,
    x0: Tensor,
    known: Tensor,
    seeds: Sequence[int],
    levels: Tensor,
    label: str | None,
) -> Batch:
    """What fills the holes of clean images x0 [B,C,H,W]; known: bool [B,1,H,W].

    A model trained for it sees the known pixels; constraints of the configuration impose them.
    """
    known = known.to(x0.device)
    batch = Batch(seeds, classes.numbers(label, seeds, model.config, model.info))
    task = build.task(model.config, model.info)
    if isinstance(task, tasks.inpaint):
        batch = batch._replace(image=task.given(x0, known))
    if not model.config["constraints"]:
        return batch

    def constraint(rows: slice) -> Constraint:
        return build.constraint(model.config, x0[rows], known[rows])

    noise = Rng([keyed(seed, "start") for seed in seeds]).normal(x0)
    start = begun(model.denoiser.schedule, noise, levels[0], x0, known)
    return batch._replace(start=start, constraint=constraint)


def refuse_other_task(header: Header, method: str, name: str) -> None:
    """Refuse models that are no help with holes, and a method that needs a trained model."""
    walks.refuse_classifier(header, name)
    task = header.task
    if task not in ("", "inpaint"):
        raise Refusal(f"{name}: a model for {task}", "choose one for inpaint with -m")
    if method == "model" and not task:
        fix = "use replace, or a model of ddpm train --preset mnist-inpaint"
        raise ConfigError(f"--method model: {name} was not trained to fill holes; {fix}")
