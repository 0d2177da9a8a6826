"""Samples that `ddpm eval` draws from a model as it needs them: nothing of them is written."""

from collections.abc import Iterator, Sequence
from typing import Any

from ddpm_cli import console, hardware
from ddpm_cli.errors import Refusal
from ddpm_cli.files.records import compact
from ddpm_cli.models import build, classes, cost, memory, model
from ddpm_cli.models.walks import Batch as Walked
from ddpm_cli.pipelines.cascade import Loaded
from ddpm_cli.pipelines.eval_sides import Batch, Side
from ddpm_cli.pipelines.finishing import Finish
from ddpm_cli.pipelines.lines import Lines, Watch
from ddpm_cli.pipelines.opening import Opened
from ddpm_cli.pipelines.sample import Labels
from ddpm_cli.settings.config import Config
from ddpm_cli.settings.requests import Use


def side(name: str, opened: Opened, use: Use, seeds: Sequence[int]) -> Side:
    """The samples of some seeds from a model, drawn anew each time they are gone through."""
    place, header, _ = opened
    if not header.data.is_image:
        raise Refusal(f"{name}: it makes arrays, no images", "eval compares images")
    schedule = build.schedule_of(header, place.path)
    config: Config = cost.sized(opened.config, schedule, use.calls)
    labels = Labels.of(use.label, config, header.data)
    classes.say(use.label, config, header.data)
    moves, calls = cost.plan(config, schedule)
    console.say(f"{name}: {len(seeds)} images, {moves} steps, {cost.words(calls)}")
    known = tuple(classes.known(config, header.data)) or None

    def batches(size: int) -> Iterator[Batch]:
        drawer = model.opened(place, config, hardware.compute(**config["compute"]))
        memory.refuse_large(drawer, min(size, len(seeds)))
        total = None if calls is None else calls * len(seeds)
        with console.progress(total, "network calls") as bar:
            drawer = drawer.counting(bar.advance)
            whole = Loaded([], [], 0.0, False, header.data.scale)
            told = Lines.of_walk(False, place.name, header, config, moves)
            finish = Finish(
                None, None, {}, labels.names, use.label, drawer, whole, told, Watch(bar)
            )

            def conditions(some: Sequence[int]) -> Walked:
                return Walked(some, drawer.conditions(labels.numbers(some)), None)

            for chunk in drawer.chunks(seeds, size, conditions):
                result = finish.made(chunk)
                if result is None:  # the process was asked to stop
                    return
                yield drawer.to_pixels(result.values), labels.numbers(result.seeds)

    facts = _facts(opened, config, use, seeds)
    return Side(name, "model", len(seeds), batches, header.data.shape, known, facts=facts)


def _facts(opened: Opened, config: Config, use: Use, seeds: Sequence[int]) -> dict[str, Any]:
    """What a result must say so that the same samples can be drawn again."""
    tables = ("sampler", "levels", "corrector", "guidance", "wrappers", "edits")
    return {
        "hash": opened.header.hash,
        "seeds": compact(seeds),
        "class": use.label,
        "settings": {table: config[table] for table in tables if config.get(table)},
    }
