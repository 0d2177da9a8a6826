"""Samples on their way out: walked chunk by chunk, enlarged, handed to the output and reported."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ddpm_cli import console
from ddpm_cli.files.checkpoints.header import DataInfo
from ddpm_cli.files.outputs.samples import Output
from ddpm_cli.files.outputs.trajectories import Trajectory
from ddpm_cli.files.records import Names, Record, compact
from ddpm_cli.models import walks
from ddpm_cli.models.walks import Chunk
from ddpm_cli.pipelines.cascade import Loaded


class Finish(NamedTuple):
    """Where samples go, what is written beside them, and what is made of them before."""

    target: Output
    watch: Trajectory | None
    record: Record
    names: Names
    info: DataInfo
    enlarge: Loaded


def draw(made: Iterator[Chunk], finish: Finish, total: int, as_json: bool) -> None:
    """Walk chunk by chunk, and hand each finished one to the output."""
    with console.progress(total, "images" if finish.info.is_image else "samples") as bar:
        for chunk in made:
            watch = finish.watch
            state = walks.last(watch.states(chunk) if watch else chunk.states)
            if state is None:
                return
            what = f"seeds {compact(chunk.seeds)}: values that are not finite"
            walks.refuse_not_finite(state.x, what)
            labels = finish.names(chunk.seeds)
            samples = finish.enlarge(finish.info.restore(state.x), chunk.seeds, labels)
            if samples is None:
                return
            paths = finish.target.add(chunk.seeds, labels, samples, finish.record)
            _report(paths, as_json, chunk.seeds, labels)
            bar.advance(len(chunk.seeds))
        _report(finish.target.finish(), as_json)
        if finish.watch:
            _report(finish.watch.finish(finish.record), as_json)


def _report(
    paths: list[Path],
    as_json: bool,
    seeds: Sequence[int] = (),
    labels: Sequence[str] | None = None,
) -> None:
    """Print the paths that were written, one a line."""
    for row, path in enumerate(paths):
        if not as_json:
            console.result(str(path))
            continue
        values: dict[str, Any] = {"path": str(path)}
        if seeds:
            values |= {"seed": seeds[row], "class": labels[row] if labels else None}
        console.json_line(values)
