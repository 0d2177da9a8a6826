"""Holes in images, filled window by window, or images with noise made anew as a whole."""

from collections.abc import Callable, Sequence
from itertools import groupby, islice
from typing import NamedTuple

import torch
from torch import Tensor

from ddpm_cli.data import tasks
from ddpm_cli.diffusion.known_pixels import begun
from ddpm_cli.diffusion.linear_maps import Masked
from ddpm_cli.diffusion.measuring import Measured, Method
from ddpm_cli.diffusion.rng import Randomness
from ddpm_cli.diffusion.steps import Constraint
from ddpm_cli.files.images.scales import BYTES, Scale
from ddpm_cli.models import build, walk_parts, walks
from ddpm_cli.models.asked import Asked
from ddpm_cli.models.model import Model
from ddpm_cli.models.walks import Batch, Walk
from ddpm_cli.pipelines import windows
from ddpm_cli.pipelines.windows import Window


class Job:
    """One proposal for an image: the pixels of `canvas` [C,H,W] fill up, window by window.

    With noise in what is known all is made anew: at once, by windows that walk together.
    """

    def __init__(
        self,
        image: Tensor,
        hole: Tensor,
        seed: int,
        windows: Sequence[Window],
        scale: Scale = BYTES,
        *,
        is_noisy: bool = False,
    ) -> None:
        """Take pixels, what of them is unknown, bool [1,H,W], and the windows that show that.

        is_noisy: what is known is made anew, too.
        """
        self.canvas, self.known, self.seed, self.scale = image.clone(), ~hole, seed, scale
        self.is_noisy, self.windows = is_noisy, list(windows)

    def window_seed(self, randomness: Randomness) -> int:
        """The seed of the next window, which of an image of one window is the image's own."""
        window = self.windows[0]
        if window.of(self.known).shape == self.known.shape:
            return self.seed
        return randomness.key(self.seed, "window", window.number)

    def seen(self) -> tuple[Tensor, Tensor]:
        """The next window's values [C,h,w] in [-1, 1], and which are known, bool [1,h,w]."""
        return self.scale.values(self.windows[0].of(self.canvas)), self.windows[0].of(self.known)

    def all(self) -> tuple[Tensor, Tensor]:
        """All values, and which are known."""
        return self.scale.values(self.canvas), self.known

    def take(self, filled: Tensor) -> None:
        """Fill the next window's hole with new values [C,h,w], whose pixels are then known."""
        window: Window = self.windows.pop(0)
        pixels, known = window.of(self.canvas), window.of(self.known)
        pixels.copy_(pixels.where(known, self.scale.pixels(filled)))
        known.fill_(True)

    def take_all(self, made: Tensor) -> None:
        """Make all anew by values [C,H,W]."""
        self.canvas.copy_(self.scale.pixels(made))
        self.windows.clear()


def order(hole: Tensor, side: tuple[int, int], *, is_noisy: bool) -> list[Window]:
    """The windows that fill a hole bool [1, H, W], or all of them where all is made anew."""
    return windows.every(hole.shape, side) if is_noisy else windows.order(~hole[0], side)


class Filler(NamedTuple):
    """A model, the walk that fills holes, and what it is told of what fills them.

    complete: puts guides around the denoiser, if there are any; method: what is made of what is
    known, if no constraint is, and noise the deviation of that in it; size: how many windows of an
    image that is made as a whole the network sees at once.
    """

    model: Model
    walk: Walk
    task: tasks.Task | None
    asked: Asked
    complete: Callable[[Batch], Batch] | None = None
    method: Callable[[Measured], Method] | None = None
    noise: float = 0.0
    size: int = 1

    @classmethod
    def of(cls, drawer: Model, asked: Asked, noise: float = 0.0, size: int = 1) -> "Filler":
        """What the settings of a model say of filling holes."""
        task, method = build.task(drawer.config, drawer.info), walk_parts.method(drawer.config)
        return cls(drawer, drawer.prepared(), task, asked, method=method, noise=noise, size=size)

    def fill(self, jobs: Sequence[Job]) -> bool:
        """Fill the windows of jobs, all at once and each job's in order; False if stopped."""
        noisy = [job for job in jobs if job.is_noisy]
        for (shape, count), same in groupby(
            noisy, lambda job: (job.canvas.shape, len(job.windows))
        ):
            rows = count * shape[0] // self.model.info.shape[0]
            while alike := list(islice(same, max(1, self.size // rows))):
                filled = self._filled([job.all() for job in alike], [job.seed for job in alike])
                if filled is None:
                    return False
                for job, image in zip(alike, filled, strict=True):
                    job.take_all(image)
        while left := [job for job in jobs if job.windows]:
            seen = [job.seen() for job in left]
            seeds = [job.window_seed(self.model.randomness) for job in left]
            filled = self._filled(seen, seeds)
            if filled is None:
                return False
            for job, image in zip(left, filled, strict=True):
                job.take(image)
        return True

    def _filled(
        self, seen: Sequence[tuple[Tensor, Tensor]], seeds: Sequence[int]
    ) -> Tensor | None:
        """Images [B,C,h,w] for values of one size and what of them is known; None if stopped."""
        values, known = (torch.stack(planes) for planes in zip(*seen, strict=True))
        times = values.shape[1] // self.model.info.shape[0]  # planes that a grey model fills
        x0 = self.model.placed(values)
        each = [seed for seed in seeds for _ in range(times)]
        planes = x0.reshape(len(each), -1, *x0.shape[2:])
        filled = self.drawn(planes, known.repeat_interleave(times, 0), each)
        return None if filled is None else filled.cpu().view(values.shape)

    def drawn(self, x0: Tensor, known: Tensor, seeds: Sequence[int]) -> Tensor | None:
        """Images [B,C,H,W] like x0 where `known` bool [B,1,H,W] says so; None if stopped."""
        batch = self._batch(x0, known.to(x0.device), seeds)
        final = walks.last(self.model.draw(batch, self.walk).states)
        if final is None:
            return None
        walks.refuse_not_finite(final.x, "values that are not finite came out")
        return final.x

    def _batch(self, x0: Tensor, known: Tensor, seeds: Sequence[int]) -> Batch:
        """What fills the holes of clean images.

        A model trained for it sees the known pixels; constraints of the walk impose them.
        """
        images = {}
        if isinstance(self.task, tasks.inpaint):
            images["image"] = self.task.image(x0, known)
        told, against = self.asked.conditions(seeds, **images), self.asked.against(seeds)
        batch, impose = Batch(seeds, told, against), self.walk.constrain
        batch = self.complete(batch) if self.complete else batch
        if (make := self.method) is not None:

            def method(rows: slice) -> Method:
                mask = Masked(known[rows], x0.shape[1:])
                return make(Measured(mask, mask(x0[rows]), self.noise))

            batch = batch._replace(method=method)
        batch = windows.walking(self.model, batch, x0.shape[1:], self.size)
        if impose is None:
            return batch

        def constraint(rows: slice) -> Constraint:
            return impose(x0[rows], known[rows])

        noise = self.model.randomness.rng(seeds, "start").normal(x0)
        start = begun(self.model.schedule, noise, self.walk.levels[0], x0, known)
        return batch._replace(start=start, constraint=constraint)
