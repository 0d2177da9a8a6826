"""Rows of numbers whose gaps are filled: how a batch of them is drawn, given what is known."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ddpm_cli.data.given_rows import Given
from ddpm_cli.data.image_set import Conditions
from ddpm_cli.diffusion.conditioning import conditioned, held
from ddpm_cli.diffusion.denoiser import Denoise
from ddpm_cli.diffusion.known_pixels import begun
from ddpm_cli.diffusion.steps import Constraint
from ddpm_cli.errors import Refusal, nearest
from ddpm_cli.models import classes, walks
from ddpm_cli.models.asked import Asked
from ddpm_cli.models.kinds import of_classes
from ddpm_cli.models.model import Model
from ddpm_cli.models.walks import Batch, Walk

Complete = Callable[[Batch], Batch]  # puts guides around the denoiser of a batch


class Known(NamedTuple):
    """Rows x [N, ...] as a network sees them, NaN where nothing is known, and what it is told.

    numbers: which rows of their file they are; told: what rows have of their own, by kind;
    against: what guidance is away from, if that is theirs, too.
    """

    x: Tensor
    numbers: Sequence[int]
    told: Conditions
    against: Conditions

    def at(self, rows: Sequence[int]) -> "Known":
        """Some of them."""
        places = torch.tensor(rows, dtype=torch.int64)
        told, against = (
            {kind: values[places] for kind, values in each.items()}
            for each in (self.told, self.against)
        )
        return Known(self.x[places], [self.numbers[row] for row in rows], told, against)

    @property
    def lacking(self) -> "Known":
        """Those of which not all is known."""
        return self.at(self.x.isnan().flatten(1).any(1).nonzero()[:, 0].tolist())


def known(given: Given, core: Model, asked_label: str | None) -> Known:
    """The rows of a file as a model takes them; each is told the class in the file's own column.

    asked_label: what --class says, which comes first.
    """
    told: Conditions = {}
    names = classes.known(core.config, core.info)
    if given.labels is not None and names and asked_label is None:
        told = of_classes(class_numbers(given, names))
    return Known(core.info.normalized(given.values), range(len(given.values)), told, {})


def class_numbers(given: Given, names: Sequence[str]) -> list[int]:
    """The number of the class in a file of each row, that of the null class where it has none."""
    every = {name: number for number, name in enumerate(names)} | {None: len(names)}
    for row, label in enumerate(given.labels or ()):
        if label not in every:
            what = f"{given.called(row)}: no class {label!r} was learned"
            raise Refusal(what, nearest(str(label), names))
    return [every[label] for label in given.labels or ()]


class RowFiller(NamedTuple):
    """A model, the walk that fills rows, and what it is told of them.

    is_joint: what is known counts by how values vary together (diffusion.conditioning), not by
    constraints of the walk; complete: puts guides around the denoiser, if there are any.
    """

    model: Model
    walk: Walk
    asked: Asked
    is_joint: bool
    complete: Complete | None = None

    def fill(self, rows: Known, seed: int) -> Tensor | None:
        """Values [B, ...] of a network, drawn where rows have none; None if stopped.

        A row depends on its number in the file and on the seed.
        """
        unknown = rows.x.isnan()
        x0, mask = self.model.placed(rows.x.nan_to_num()), ~unknown.to(self.model.compute.device)
        keys = [self.model.randomness.key(seed, "row", number) for number in rows.numbers]
        batch = self._batch(keys, rows, seed, (x0, mask))
        final = walks.last(self.model.draw(batch, self.walk).states)
        if final is None:
            return None
        walks.refuse_not_finite(final.x, "values that are not finite came out")
        return final.x.cpu()

    def _batch(
        self, keys: Sequence[int], some: Known, seed: int, what: tuple[Tensor, Tensor]
    ) -> Batch:
        """What walks of rows need: their start, and what imposes their known values.

        what: the values and where they are known.
        """
        x0, mask = what
        seeds = [seed] * len(keys)
        told = self.asked.conditions(seeds) | some.told
        against = {**self.asked.against(seeds), **some.against}
        noise = self.model.randomness.rng(keys, "start").normal(x0)
        start = begun(self.model.schedule, noise, self.walk.levels[0], x0, mask)
        plain = Batch(keys, told, against, start)
        guided = (self.complete(plain) if self.complete else plain).wrap
        impose = None if self.is_joint else self.walk.constrain

        def wrap(denoise: Denoise, rows: slice) -> Denoise:
            if self.is_joint:
                denoise = conditioned(denoise, x0[rows], mask[rows])
            return held(guided(denoise, rows), mask[rows]) if guided else denoise

        def constraint(rows: slice) -> Constraint:
            if impose is None:
                raise ValueError("no constraint")
            return impose(x0[rows], mask[rows])

        return plain._replace(wrap=wrap, constraint=constraint if impose else None)


def every(
    filler: RowFiller, rows: Known, seed: int, size: int, told: Callable[[int], None]
) -> Tensor | None:
    """Rows x [N, ...] of a network whose gaps are drawn, `size` at a time; None if stopped.

    told: gets the number of rows after each batch.
    """
    x, lacking = rows.x.clone(), rows.lacking
    for first in range(0, len(lacking.x), size):
        some = lacking.at(range(len(lacking.x))[first : first + size])
        drawn = filler.fill(some, seed)
        if drawn is None:
            return None
        places = torch.tensor(some.numbers)
        x[places] = torch.where(some.x.isnan(), drawn.double(), some.x)
        told(len(some.x))
    return x
