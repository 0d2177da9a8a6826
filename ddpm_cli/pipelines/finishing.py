"""What becomes of the samples of a walk: finished, handed to the output, and told."""

from collections.abc import Iterator, Sequence
from functools import reduce
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from ddpm_cli import console
from ddpm_cli.diffusion.steps import State
from ddpm_cli.errors import Refusal
from ddpm_cli.files import provenance, records
from ddpm_cli.files.images import metadata
from ddpm_cli.files.outputs.samples import Output
from ddpm_cli.files.outputs.trajectories import Trajectory
from ddpm_cli.files.records import Record, compact
from ddpm_cli.models import walks
from ddpm_cli.models.asked import Asked
from ddpm_cli.models.model import Model
from ddpm_cli.models.walks import Chunk
from ddpm_cli.pipelines import lines
from ddpm_cli.pipelines.cascade import Loaded
from ddpm_cli.pipelines.lines import Lines, Spent, Watch
from ddpm_cli.settings import checks


class Result(NamedTuple):
    """Finished samples [B, ...] of some seeds, their classes, what each is told, and took."""

    seeds: Sequence[int]
    labels: Sequence[str] | None
    told: Sequence[Record]
    values: Tensor
    spent: Sequence[Spent]


def _said(path: Path) -> Record:
    """What a file that is there says of its making; nothing where it has no record to read."""
    try:
        if path.suffix.lower() in metadata.SUFFIXES:
            return metadata.read(path)
        return records.of_samples(path) or {} if path.suffix in (".npz", ".safetensors") else {}
    except (Refusal, OSError):
        return {}


def drawn(model: Model, seeds: Sequence[int], states: Iterator[State]) -> Tensor | None:
    """The samples [B, ...] that a walk ends in; None if the process was asked to stop."""
    state = walks.last(states)
    if state is None:
        return None
    what = f"seeds {compact(seeds)}: values that are not finite"
    values = model.info.finished(state.x)
    walks.refuse_not_finite(values, what, checks.suited(model.config))
    return values


class Finish(NamedTuple):
    """Where samples go, what is written beside them, and what is made of them before.

    target: None where another process writes; asked: what they are told; laps: what is spent.
    """

    target: Output | None
    watch: Trajectory | None
    record: Record
    asked: Asked
    model: Model
    enlarge: Loaded
    lines: Lines
    laps: Watch

    def made(self, chunk: Chunk) -> Result | None:
        """Walk, and finish what comes out; None if the process was asked to stop."""
        states = self.watch.states(chunk) if self.watch else chunk.states
        values = drawn(self.model, chunk.seeds, states)
        if values is None:
            return None
        labels = self.asked.names(chunk.seeds)
        told = [self.asked.alone(seed) for seed in chunk.seeds]
        finished = self.enlarge(values, chunk.seeds, labels, told)
        if finished is None:
            return None
        return Result(chunk.seeds, labels, told, finished, self.laps.lap([1] * len(chunk.seeds)))

    def take(
        self, results: Iterator[Result | None], left: Sequence[int], bar: console.Progress
    ) -> None:
        """Hand each finished batch to the output; left: the seeds of all of them."""
        done, total = 0, Spent()
        for result in results:
            if result is None:
                return
            self._put(result)
            done += len(result.seeds)
            total = reduce(Spent.plus, result.spent, total)
            bar.advance(0, note=f"{done} of {len(left)} {self.model.info.noun}")
        about = {**lines.seeded(left), **self.asked.named}
        for path in self.target.finish() if self.target else ():
            self.lines.tell(path, total, **about)
        for path in self.watch.finish(self.record) if self.watch else ():
            self.lines.tell(path, total, **about)

    def leave_out(self, seeds: Sequence[int], left: Sequence[int]) -> None:
        """Tell of the seeds that are not left to be drawn, as their files exist."""
        if self.target is None:
            return
        wanted = {*left}
        gone = [seed for seed in seeds if seed not in wanted]
        labels, files = self.asked.names(gone), dict[Path, list[int]]()
        told, other = [self.asked.alone(seed) for seed in gone], list[str]()
        unknown = list[Path]()
        for row, seed in enumerate(gone):
            if path := self.target.place(seed):
                files.setdefault(path, []).append(row)
        for path, rows in files.items():
            about = {**lines.seeded([gone[row] for row in rows]), **self.asked.named}
            if len(rows) == 1:
                about |= told[rows[0]] | ({"class": labels[rows[0]]} if labels else {})
            self.lines.skip(path, **about)
            own = told[rows[0]] if len(rows) == 1 else {}
            said = {"seeds": compact([gone[row] for row in rows])}
            there = _said(path)
            if keys := provenance.differing(there, {**self.record, **own, **said}):
                other.append(f"{path} ({'; '.join(keys)})")
            elif not there:
                unknown.append(path)
        if unknown:
            what = f"{unknown[0]}{' and others' if len(unknown) > 1 else ''}: no record in it"
            console.warn(f"{what} of how it was made, and left as it is; --force makes it anew")
        if other:
            what = f"{other[0]}{' and others' if len(other) > 1 else ''}: made otherwise"
            console.warn(f"{what} than is asked for now, and left as it is; --force makes it anew")
        lines.say_skipped(len(left), len(gone))

    def _put(self, result: Result) -> None:
        if self.target is None:
            return
        for row, seed in enumerate(result.seeds):
            label = None if result.labels is None else result.labels[row]
            labels = None if label is None else [label]
            own, values = result.told[row], result.values[row : row + 1]
            paths = self.target.add([seed], labels, values, self.record, [own] if own else [])
            for path in paths:
                about = {"seed": seed, **own, "class": label}
                self.lines.tell(path, result.spent[row], **about)
