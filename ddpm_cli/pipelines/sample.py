"""What to draw, for `ddpm sample` and `ddpm guide`."""

from collections.abc import Sequence
from pathlib import Path

from ddpm_cli.files.checkpoints import latents as latents_file
from ddpm_cli.files.outputs import targets
from ddpm_cli.models import cost, saved
from ddpm_cli.pipelines import cascade, drawing, opening, starts, steering
from ddpm_cli.pipelines.opening import Opened
from ddpm_cli.settings.request_parts import Seeds
from ddpm_cli.settings.requests import Guide, Sample
from ddpm_cli.settings.seeds import LIMIT


def run(request: Sample, opened: Opened | None = None) -> None:
    """Draw what a request asks for; opened: its model and settings, if they are known already."""
    stored = None if request.origin is None else latents_file.load(request.origin)
    opened = opened or starts.opened(request, stored)
    place, header, config = opened
    schedule = saved.schedule_of(header, place.path)
    begin, use = starts.of(request, stored, schedule, opened)
    top, is_guide = begin and begin.sigma, isinstance(request, Guide)
    opened = opened._replace(config=cost.sized(config, schedule, use.calls, top))
    found = steering.steered(use, request.guiding, opened, schedule, top=top)
    stages = cascade.planned(opening.parts(request.use.model)[1], place, found.info, request.draw)
    found.say(request.use.label)
    stages.refuse(found.asked)
    usual, draw = found.count(), request.draw
    seeds = starts.numbers(draw.seeds, stored) if stored else None
    work = drawing.Work(
        "guide" if is_guide else "sample",
        use,
        draw,
        opened._replace(config=found.config),
        schedule,
        chosen_seeds(draw.seeds, usual, draw.output) if seeds is None else seeds,
        found.asked,
        stages,
        found,
        begin,
        request.guiding.flags,
    )
    words = found.words if is_guide or found.is_any else ""
    drawing.carry_out(work, words)


def chosen_seeds(seeds: Seeds, usual: int, output: str | None) -> Sequence[int]:
    """The seeds to draw, `usual` unless told; refused if no disk could hold what they make."""
    if (seeds.count or usual) > LIMIT:  # that many fit on no disk, which says more
        count = seeds.count or usual
        targets.refuse_too_large(Path(output or "samples"), count * targets.LEAST)
    return seeds.numbers(usual)
