"""What becomes of the samples of a walk: finished, handed to the output, and told."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from ddpm_cli import console
from ddpm_cli.files.outputs.samples import Output
from ddpm_cli.files.outputs.trajectories import Trajectory
from ddpm_cli.files.records import Names, Record, compact
from ddpm_cli.models import walks
from ddpm_cli.models.model import Model
from ddpm_cli.models.walks import Chunk
from ddpm_cli.pipelines.cascade import Loaded
from ddpm_cli.settings import checks


class Result(NamedTuple):
    """Finished samples [B, ...] of some seeds, and their classes."""

    seeds: Sequence[int]
    labels: Sequence[str] | None
    values: Tensor


class Finish(NamedTuple):
    """Where samples go, what is written beside them, and what is made of them before.

    target: None where another process writes.
    """

    target: Output | None
    watch: Trajectory | None
    record: Record
    names: Names
    model: Model
    enlarge: Loaded

    def made(self, chunk: Chunk) -> Result | None:
        """Walk, and finish what comes out; None if the process was asked to stop."""
        state = walks.last(self.watch.states(chunk) if self.watch else chunk.states)
        if state is None:
            return None
        what = f"seeds {compact(chunk.seeds)}: values that are not finite"
        values = self.model.info.finished(state.x)
        walks.refuse_not_finite(values, what, checks.suited(self.model.config))
        labels = self.names(chunk.seeds)
        finished = self.enlarge(values, chunk.seeds, labels)
        return None if finished is None else Result(chunk.seeds, labels, finished)

    def take(
        self, results: Iterator[Result | None], total: int, bar: console.Progress, as_json: bool
    ) -> None:
        """Hand each finished batch to the output."""
        done = 0
        for result in results:
            if result is None:
                return
            self._put(result, as_json)
            done += len(result.seeds)
            bar.advance(0, note=f"{done} of {total} {self.model.info.noun}")
        if self.target:
            _report(self.target.finish(), as_json)
        if self.watch:
            _report(self.watch.finish(self.record), as_json)

    def _put(self, result: Result, as_json: bool) -> None:
        if self.target is None:
            return
        for row, seed in enumerate(result.seeds):
            names = None if result.labels is None else [result.labels[row]]
            paths = self.target.add([seed], names, result.values[row : row + 1], self.record)
            _report(paths, as_json, [seed], names)


def _report(
    paths: list[Path],
    as_json: bool,
    seeds: Sequence[int] = (),
    labels: Sequence[str] | None = None,
) -> None:
    """Print the paths that were written, one a line."""
    for row, path in enumerate(paths):
        if not as_json:
            console.line(str(path))
            continue
        values: dict[str, Any] = {"path": str(path)}
        if seeds:
            values |= {"seed": seeds[row], "class": labels[row] if labels else None}
        console.json_line(values)
