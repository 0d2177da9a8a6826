"""The rows between rows of numbers, or between seeds, for `ddpm interpolate`."""

import time

from ddpm_cli import console
from ddpm_cli.data import given_rows
from ddpm_cli.errors import ConfigError
from ddpm_cli.files.outputs import samples
from ddpm_cli.models import walks
from ddpm_cli.pipelines import given, interpolate, inversion, lines, opening
from ddpm_cli.pipelines.opening import Opened
from ddpm_cli.settings.requests import Interpolate


def run(request: Interpolate, opened: Opened) -> None:
    """Make the rows that a request asks for; its ends are all rows of its files, in order."""
    given.refuse_pictures(request.use, request.look, request.layout)
    if request.is_film:
        raise ConfigError("--film: of images, and this model makes rows; leave it out")
    info = opened.header.data
    sources = given_rows.sources(request.inputs, info, repeated=True)
    files = [given.whole(given_rows.read(source, info), info, request.use) for source in sources]
    ends = [row for file in files for row in given.of_file(file)]
    count = len(ends or request.seeds or ())
    interpolate.refuse_ends(request, count, "rows")
    work = interpolate.planned(request, opened, sources, count)
    if request.use.dry_run:
        console.say(work.price)
        opening.shown(work.opened.config)
        return
    place_of = request.output or f"interpolation{samples.endings(info.row, is_image=False)[0]}"
    target = samples.open_output(
        place_of,
        len(work.places),
        info.row,
        force=request.use.force,
        skip_existing=False,
        is_image=False,
        titles=info.titles,
    )
    console.say(work.price)
    with target:
        coder = interpolate.opened_coder(work)
        interpolate.refuse_large(work, coder)
        x0, began = given.seen(ends, info) if ends else None, time.monotonic()
        made, spent = interpolate.walked(work, coder, x0)
        if made is None:
            return
        walks.refuse_not_finite(made, "values that are not finite", "more --steps")
        if x0 is not None and work.sigma is None and not work.opened.config["guides"]:
            apart = float((info.normalized(made[:: request.count - 1]) - x0).abs().max())
            console.say(f"the ends come back to within {apart:.2g} deviations")
            inversion.warn_of_rows(work.opened.config, [apart])
        target.add([], None, made, interpolate.recorded(work, coder))
        spent = spent._replace(seconds=time.monotonic() - began)
        for path in target.finish():
            seeds = lines.seeded(request.seeds or [request.seed])
            work.lines.tell(path, spent, **seeds, **work.asked.named)
