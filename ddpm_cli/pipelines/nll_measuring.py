"""Batches of rows measured for `ddpm nll`: counted, kept and reported one by one."""

import math
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor

from ddpm_cli import console
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.errors import Refusal, many
from ddpm_cli.evaluation.decompression import Decompression
from ddpm_cli.files import row_places
from ddpm_cli.files.outputs import curves
from ddpm_cli.models import classes
from ddpm_cli.models.asked import Asked
from ddpm_cli.models.classes import ALL
from ddpm_cli.models.cost import Cost
from ddpm_cli.pipelines import meter, nll_baselines, nll_scores, rows
from ddpm_cli.pipelines.lines import Lines, Spent, Watch
from ddpm_cli.pipelines.meter import Meter
from ddpm_cli.pipelines.nll_kept import Kept
from ddpm_cli.pipelines.nll_marginal import Way, over_classes
from ddpm_cli.pipelines.nll_plan import Measure
from ddpm_cli.pipelines.nll_scores import Scores
from ddpm_cli.pipelines.opening import Opened
from ddpm_cli.pipelines.rows import Rows, Sequel
from ddpm_cli.settings import asking
from ddpm_cli.settings.config import SAMPLING
from ddpm_cli.settings.nll_requests import Nll


class Work(NamedTuple):
    """How to measure: asked is what all images are told, but for what is their own.

    shares: of the classes whose mean is wanted, if it is.
    """

    request: Nll
    opened: Opened
    measure: Measure
    schedule: Schedule
    asked: Asked
    cost: Cost
    shares: Sequence[float] = ()


def told(work: Work) -> dict[str, Any]:
    """What all images are told, or that each is told its own."""
    own = {{"classes": "class"}.get(kind, kind): asking.OWN for kind in rows.own(work.request.use)}
    return {**work.asked.named, **own, **({"class": ALL} if work.shares else {})}


def kept_rows(work: Work) -> Kept | None:
    """The rows that were measured before, and those to come; None of files of sums over all."""
    request, (_, header, config) = work.request, work.opened
    if request.scores is None or request.terms is not None or request.curve is not None:
        return None
    walk = {key: config[key] for key in (*SAMPLING, "compute") if key in config}
    of = {"inputs": list(request.inputs)} if request.inputs else {"split": request.split or "test"}
    said = {**told(work), "moments": request.moments, "look": request.look, **of}
    about = {"model": header.hash, "data": config["data"], **walk, **work.measure._asdict()}
    return Kept(request.scores, about | said, "-o", request.use.force)


class Tally:
    """Measures batches, and counts, keeps and reports their rows."""

    def __init__(
        self, work: Work, sequel: Sequel, measure: Meter, laps: Watch, kept: Kept | None
    ) -> None:
        self._work, self._sequel, self._laps, self._kept = work, sequel, laps, kept
        place, header, config = work.opened
        self.measure, self.bits = measure, list[float]()
        size = math.prod(header.data.shape)
        self._way: Way = over_classes(measure, work.shares) if work.shares else measure
        self.pixels = list[Tensor]()  # of whole images, if baselines are wanted
        self.scores, self._began = Scores(size), time.monotonic()
        curve = work.request.curve
        if curve is not None and curve.suffix in curves.PICTURES:
            measure.stages = Decompression(measure.walk.levels)
        how = (place.name, header, config, len(measure.walk.levels) - 1)
        self._told = Lines.of_walk(work.request.use.as_json, *how)

    @property
    def seconds(self) -> float:
        """How long it has taken so far."""
        return time.monotonic() - self._began

    def take(self, batch: Rows) -> bool:
        """Measure what is new in a batch, and report all of it; False to stop the process."""
        kept = self._kept or ()
        fresh = [at for at, number in enumerate(batch.numbers) if number not in kept]
        seen = self._work.asked.conditions(batch.numbers) | batch.told
        given = seen["classes"].tolist() if "classes" in seen else None
        found = dict[int, tuple[float, Spent]]()
        if fresh:
            numbers = [batch.numbers[at] for at in fresh]
            told = {kind: rows[fresh] for kind, rows in seen.items()}
            per_row = self._way(batch.values[fresh], numbers, told)
            if per_row is None:
                return False
            spent = self._laps.lap([1] * len(fresh))
            found = dict(zip(fresh, zip(per_row.tolist(), spent, strict=True), strict=True))
        if self._work.request.baselines:
            self.pixels.append(nll_baselines.whole(batch.values, self._work.measure.bits))
        for at in range(len(batch.numbers)):
            own = _about(self._work, batch, at, given)
            with self._sequel.failures.caught():
                self._count(own, batch.numbers[at], batch.values[at], found.get(at))
        return True

    def _count(
        self, own: dict[str, Any], number: int, values: Tensor, found: tuple[float, Spent] | None
    ) -> None:
        """Count and report a row of these values that was found now, or kept from before."""
        if found is not None:
            bits, spent = found
            _refuse_infinite(own, bits)
            if self._kept is not None:
                self._kept.add(number, bits, spent, values)
        elif self._kept is not None:
            bits, spent = self._kept.of(number, str(own.get("input", f"row {number}")), values)
        is_json = self._work.request.use.as_json
        _report(self.scores.add(own, bits), self._told if is_json else None, spent)
        self.bits.append(bits)


def say_stopped(tally: Tally, sequel: Sequel, kept: Kept | None) -> None:
    """Say what there is of a measurement that was stopped, and how it goes on."""
    done = f"stopped after {len(tally.bits)} of {many(sequel.left, 'rows')}"
    if tally.bits:
        mean, error = meter.mean(tally.bits)
        within = f", standard error {error:.4f}" if error is not None else ""
        done += f", which take {mean:.4f} bits/dim{within}"
    if kept is None:
        console.say(f"{done}; -o scores.csv would have kept them")
    else:
        console.say(f"{done}; they are kept in {kept.path}, and the same command goes on")


def _about(work: Work, batch: Rows, row: int, given: Sequence[int] | None) -> dict[str, Any]:
    """What a row is: the input, the seed of its noise, and the class that it was given."""
    _, header, config = work.opened
    names = [*classes.known(config, header.data), classes.NULL]
    label = ALL if work.shares else None if given is None else names[given[row]]
    seed = work.measure.seed + batch.numbers[row]
    name = batch.names[row]
    place = {} if batch.places is None else {row_places.noun(name): batch.places[row]}
    return {"input": name, **place, "seed": seed, "class": label}


def _refuse_infinite(own: dict[str, Any], bits: float) -> None:
    """Refuse a row whose likelihood is no number."""
    name = nll_scores.place(own) or own["input"]
    if not math.isfinite(bits):
        what = f"{name}: its likelihood is no finite number"
        raise Refusal(what, "try --dtype float32, or more --steps")


def _report(said: dict[str, Any], told: Lines | None, spent: Spent) -> None:
    """Print what one row takes, as JSON or with -v."""
    if told is not None:
        told.row({**said, "path": None}, spent)
    else:
        name = nll_scores.place(said) or said["input"]
        console.detail(f"{name}  {said['bits']:.4f} bits/dim")
