"""Samples that `ddpm eval` draws from a model as it needs them: nothing of them is written."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ddpm_cli import console, hardware
from ddpm_cli.errors import Refusal, many
from ddpm_cli.files.checkpoints.find import Place
from ddpm_cli.files.records import compact
from ddpm_cli.models import classes, cost, memory, model, saved
from ddpm_cli.models.asked import Asked
from ddpm_cli.models.model import Model
from ddpm_cli.models.walks import Batch as Walked
from ddpm_cli.models.walks import Chunk
from ddpm_cli.pipelines.eval_sides import Batch, Side
from ddpm_cli.pipelines.finishing import drawn
from ddpm_cli.pipelines.opening import Opened
from ddpm_cli.settings.config import Config
from ddpm_cli.settings.request_parts import Use

Bring = Callable[[Place, Config], Model]


def loaded(place: Place, config: Config) -> Model:
    """The model of a checkpoint, to be walked with as a configuration says."""
    return model.opened(place, config, hardware.compute(**config["compute"]))


@dataclass(frozen=True)
class Drawing:
    """The samples of some seeds from a model, which `bring` loads when they are drawn.

    calls: network calls an image, None if each takes as many as it needs.
    """

    name: str
    opened: Opened
    config: Config
    asked: Asked
    use: Use
    seeds: Sequence[int]
    calls: int | None
    bring: Bring

    @property
    def side(self) -> Side:
        """Them as a side of a comparison, drawn anew each time they are gone through."""
        info = self.opened.header.data
        known = tuple(classes.known(self.config, info)) or None
        facts = self._facts()
        return Side(
            self.name, "model", len(self.seeds), self.batches, info.shape, known, facts=facts
        )

    def batches(self, size: int) -> Iterator[Batch]:
        """Pixels and numbers of classes by so many; fewer if the process was asked to stop."""
        drawer = self.bring(self.opened.place, self.config)
        memory.refuse_large(drawer, min(size, len(self.seeds)))
        total = None if self.calls is None else self.calls * len(self.seeds)
        with console.progress(total, "network calls") as bar:
            drawer = drawer.counting(bar.advance)
            for chunk in self._chunks(drawer, size):
                values = drawn(drawer, chunk.seeds, chunk.states)
                if values is None:
                    return
                yield drawer.to_pixels(values), self.asked.numbers(chunk.seeds)

    def step(self, size: int) -> None:
        """Take the first step of the first batch and leave it at that, so that all is warm."""
        drawer = self.bring(self.opened.place, self.config)
        memory.refuse_large(drawer, min(size, len(self.seeds)))
        for chunk in self._chunks(drawer, size):
            next(chunk.states).x.cpu()
            return

    def _chunks(self, drawer: Model, size: int) -> Iterator[Chunk]:
        def conditions(some: Sequence[int]) -> Walked:
            return Walked(some, self.asked.conditions(some), self.asked.against(some))

        return drawer.chunks(self.seeds, size, conditions)

    def _facts(self) -> dict[str, Any]:
        """What a result must say so that the same samples can be drawn again."""
        tables = ("sampler", "levels", "corrector", "guidance", "wrappers", "edits")
        compute = hardware.compute(**self.config["compute"])
        return {
            "hash": self.opened.header.hash,
            "seeds": compact(self.seeds),
            **self.asked.record,
            "class": self.use.label,
            "device": str(compute.device),
            "dtype": str(compute.dtype).removeprefix("torch."),
            "batch": self.use.size,
            "settings": {table: self.config[table] for table in tables if self.config.get(table)},
        }


def drawing(
    name: str, opened: Opened, use: Use, seeds: Sequence[int], bring: Bring = loaded
) -> Drawing:
    """The samples of some seeds from a model; levels are chosen as --calls allows."""
    place, header, _ = opened
    if not header.data.is_image:
        raise Refusal(f"{name}: it makes arrays, no images", "eval compares images")
    schedule = saved.schedule_of(header, place.path)
    config = cost.sized(opened.config, schedule, use.calls)
    asked = Asked.of(use, config, header.data, use.label)
    calls = cost.counted(config, schedule).calls
    return Drawing(name, opened, config, asked, use, seeds, calls, bring)


def side(name: str, opened: Opened, use: Use, seeds: Sequence[int]) -> Side:
    """The samples of some seeds from a model, whose cost is said."""
    drawer = drawing(name, opened, use, seeds)
    drawer.asked.say(use.label)
    schedule = saved.schedule_of(opened.header, opened.place.path)
    planned = cost.plan(drawer.config, schedule)
    count, steps = many(len(seeds), "images"), many(planned.moves, "steps")
    console.say(f"{name}: {count}, {steps}, {planned.words()}")
    return drawer.side
