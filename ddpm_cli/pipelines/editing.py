"""What verbs do in common that make images of given ones, before their work."""

from collections.abc import Sequence

from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.files.images.inputs import Source
from ddpm_cli.files.outputs.edits import Results, open_results
from ddpm_cli.models import cost, saved
from ddpm_cli.pipelines.opening import Opened
from ddpm_cli.settings import shards
from ddpm_cli.settings.request_parts import Edit


def sized(request: Edit, opened: Opened) -> tuple[Opened, Schedule]:
    """The model with as many levels as --calls allows, and its noise schedule."""
    schedule = saved.schedule_of(opened.header, opened.place.path)
    config = cost.sized(opened.config, schedule, request.use.calls)
    return opened._replace(config=config), schedule


def share(request: Edit, count: int) -> int:
    """How many of `count` images are made here, which is said of a part of the work."""
    use = request.use
    mine = len(shards.part(range(count), use.size, use.shard))
    shards.say(use.shard, mine, count, "images")
    return mine


def results(
    request: Edit, sources: Sequence[Source], seeds: Sequence[int], default: str
) -> Results:
    """Where the images go, checked before any work; see `open_results`."""
    use = request.use
    return open_results(
        request.output,
        sources,
        seeds,
        default=default,
        force=use.force,
        skip_existing=request.skip_existing,
        layout=request.layout,
        size=use.size,
        shard=use.shard,
    )
