"""Images made of given ones by a model of task pairs: a batch of rows, each of its own seed."""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ddpm_cli.data.filters import Filtered
from ddpm_cli.data.image_set import Conditions
from ddpm_cli.data.tasks import pairs
from ddpm_cli.errors import ConfigError, nearest
from ddpm_cli.files.images.scales import BYTES
from ddpm_cli.hardware import Compute
from ddpm_cli.models import build, model, walks
from ddpm_cli.models.asked import Asked
from ddpm_cli.models.model import Model
from ddpm_cli.models.walks import Batch, Walk
from ddpm_cli.pipelines import windows
from ddpm_cli.pipelines.opening import Opened
from ddpm_cli.settings.config import Config


class Row(NamedTuple):
    """A given image, values [K, h, w] in [-1, 1], and what its result depends on beside.

    known: which of its pixels are given, bool [1, h, w]; told: what else the network is told of
    the result, [1, ...] by kind; against: what guidance is away from, if not from nothing told.
    """

    given: Tensor
    known: Tensor
    seed: int
    told: Conditions
    against: Conditions


class Translator(NamedTuple):
    """A model ready to make images of given ones.

    which: the place of what it is to undo among the filters of its task; size: how many windows
    the network sees at once, or images, if there are more.
    """

    model: Model
    walk: Walk
    task: pairs
    which: int
    size: int

    @property
    def fills(self) -> bool:
        """Whether it fills in pixels that are missing, and leaves the others."""
        return cuts(self.task, self.which)

    def windows(self, side: tuple[int, int]) -> list[windows.Window]:
        """The parts, as large as the model, in which images of these sides are made."""
        return windows.every(side, self.model.info.shape)

    def __call__(self, rows: Sequence[Row]) -> Tensor | None:
        """Images [B, C, h, w] in [-1, 1] of given ones of one size; None if asked to stop."""
        given = torch.stack([row.given for row in rows])
        known = torch.stack([row.known for row in rows])
        which = torch.full((len(rows),), self.which)
        image = self.task.image(Filtered(given, known, which))
        told = _stacked([row.told for row in rows]) | {"image": image}
        batch = Batch([row.seed for row in rows], told, _stacked([row.against for row in rows]))
        shape = (self.model.info.shape[0], *given.shape[2:])
        batch = windows.walking(self.model, batch, shape, self.size)
        state = walks.last(self.model.draw(batch, self.walk).states)
        if state is None:
            return None
        walks.refuse_not_finite(state.x, "the result has values that are not finite")
        x = state.x.float().cpu()
        return torch.where(known, given, x) if self.fills else x

    def takes(self, images: Tensor, *, degrades: bool) -> tuple[int, ...]:
        """The least shape of given images; of one that is filled in opacity may be the last plane.

        degrades: clean images are given, that what is to be undone is done to.
        """
        channels, *sides = self.model.info.shape
        if not degrades:
            channels = self.task.given
            if self.fills and images.ndim == 4 and images.shape[1] == channels + 1:
                channels += 1
        return channels, *sides

    def given(self, image: Tensor, *, degrades: bool) -> tuple[Tensor, Tensor]:
        """What the network is given of an image of such a shape, and what of it is known."""
        if degrades:
            return self.filtered(image)
        known = torch.ones_like(image[:1], dtype=torch.bool)
        if len(image) > self.task.given:
            image, known = image[:-1], image[-1:] >= 1
        return image, known

    def filtered(self, x0: Tensor) -> tuple[Tensor, Tensor]:
        """What the filter leaves of a clean image [C, h, w] in [-1, 1], and which pixels it left.

        How strong it is follows from the image alone, so that results of other seeds are others of
        the same one.
        """
        x0 = x0.cpu()
        digest = hashlib.sha256(BYTES.pixels(x0).numpy().tobytes()).hexdigest()
        rng = self.model.randomness.rng([0], "degrade", digest)
        made = self.task.filtered(x0[None], rng, torch.tensor([self.which]))
        return made.images[0], made.known[0]


def row(given: Tensor, known: Tensor, seed: int, asked: Asked) -> Row:
    """A given image with what is asked to be told of its result of this seed."""
    return Row(given, known, seed, asked.conditions([seed]), asked.against([seed]))


def _stacked(rows: Sequence[Conditions]) -> Conditions:
    """Conditions [B, ...] of rows, each of one image [1, ...]."""
    return {kind: torch.cat([row[kind] for row in rows]) for kind in rows[0]}


def cuts(task: pairs, which: int) -> bool:
    """Whether what is to be undone took pixels away."""
    return bool(task.filters) and task.filters[which] in ("uncrop", "mask")


def opened(job: Opened, compute: Compute, undone: str | None, size: int) -> Translator:
    """The model of a checkpoint with its weights, ready for what --task names."""
    return of(model.opened(job.place, job.config, compute), undone, size)


def of(drawer: Model, undone: str | None, size: int) -> Translator:
    """A model ready for what --task names."""
    task = build.task(drawer.config, drawer.info)
    if not isinstance(task, pairs):
        raise ConfigError(f"{drawer.name}: its task is none of images given to it")
    return Translator(drawer, drawer.prepared(), task, place(drawer.config, undone), size)


def place(config: Config, undone: str | None, *, degrades: bool = False) -> int:
    """The place among the filters of a model of what --task names; 0 where there is no choice.

    degrades: a filter is to be applied, too.
    """
    filters = config["task"]["filter"]
    if not filters:
        what = "--task" if undone else "--degrade"
        if undone or degrades:
            fix = "leave it out, and give an image like those"
            raise ConfigError(f"{what}: the model was trained on pairs of its data; {fix}")
        return 0
    if undone is None and len(filters) > 1:
        fix = f"give --task {' or '.join(filters)}"
        raise ConfigError(f"--task: the model undoes several things, which one is it? {fix}")
    if undone is not None and undone not in filters:
        fix = nearest(undone, filters)
        raise ConfigError(f"--task {undone}: the model was not trained for it; {fix}")
    return 0 if undone is None else filters.index(undone)
