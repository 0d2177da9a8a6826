"""`ddpm convert RUN --ema best`: the length of the average by what its samples are measured to be.

Lengths on a grid, and then those between the best and its neighbours, by the same seeds each.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor

from ddpm_cli import console, signals
from ddpm_cli.data.image_set import numbered_as
from ddpm_cli.diffusion import weights
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files.checkpoints.run import Run
from ddpm_cli.models.walks import Batch
from ddpm_cli.pipelines import forecast, sheet_batches, train_eval
from ddpm_cli.pipelines.evaluator import Evaluator
from ddpm_cli.pipelines.kept_averages import Snapshots
from ddpm_cli.pipelines.materials import (
    Materials,
    Sets,
    fresh_state,
    local_compute,
    loop_setting,
)
from ddpm_cli.pipelines.standing import rises
from ddpm_cli.pipelines.train_eval import Evaluation
from ddpm_cli.settings.config import Layer, resolve
from ddpm_cli.settings.requests import Convert
from ddpm_cli.training.distributed import Group
from ddpm_cli.training.state import State

GRID = 6  # lengths that are tried at first
ROUNDS = 2  # of two more each
HELD_OUT = "held_out"
INSTEAD = "without --protocol and train.eval_ settings the held-out loss decides"


class Best(NamedTuple):
    """The best length, by what measure, and all that were tried, a row each."""

    length: float
    by: dict[str, Any]
    table: list[dict[str, Any]]


class _Stopped(Exception):
    """A measure that told nothing."""


class _Measure(NamedTuple):
    """What tells of the averaged weights of a state, and the name of the number that chooses."""

    name: str
    about: dict[str, Any]
    state: State
    numbers: Callable[[], Mapping[str, Any] | None]

    def __call__(self, tensors: dict[str, Tensor]) -> dict[str, float]:
        """The numbers of a model's weights."""
        weights.take(self.state.average, tensors)
        told = self.numbers()
        if told is None or self.name not in told:
            raise _Stopped
        return {key: value for key, value in told.items() if isinstance(value, float)}


def chosen(kept: Snapshots, request: Convert) -> Best | None:
    """The best length; None of a plan, and of a process that was asked to stop."""
    materials = _materials(kept, request)
    measure = _measure(kept, materials, request)
    if request.dry_run:
        return None
    table: list[dict[str, Any]] = []

    def cost(length: float) -> float:
        header, tensors = kept.model(length)
        found = measure(tensors)
        found.pop("seconds", None)
        table.append({"length": length, **found, "off": dict(header.averages or {})["off"]})
        console.say(f"length {length:<6g}  {measure.name} {found[measure.name]:.5g}")
        return found[measure.name] * (-1 if rises(measure.name) else 1)

    try:
        best = search(cost, *kept.reach)
    except _Stopped:
        if not signals.requested():
            raise Refusal(f"{kept.folder}: its averages cannot be measured") from None
        return None
    table.sort(key=lambda row: float(row["length"]))
    value = next(row[measure.name] for row in table if row["length"] == best)
    console.say(f"best: length {best:g}, {measure.name} {value:.5g}")
    return Best(best, {measure.name: value, **measure.about}, table)


def search(cost: Callable[[float], float], low: float, high: float) -> float:
    """The length of least cost: on a grid of equal ratios, then twice between its neighbours."""
    known: dict[float, float] = {}

    def look(*lengths: float) -> None:
        for length in lengths:
            rounded = float(f"{length:.3g}")  # which can be typed again
            if rounded not in known:
                known[rounded] = cost(rounded)

    look(*(low * (high / low) ** (i / (GRID - 1)) for i in range(GRID)))
    for _ in range(ROUNDS):
        best, order = min(known, key=known.__getitem__), sorted(known)
        place = order.index(best)
        beside = order[max(place - 1, 0) : place] + order[place + 1 : place + 2]
        look(*(math.sqrt(best * other) for other in beside))
    return min(known, key=known.__getitem__)


def _materials(kept: Snapshots, request: Convert) -> Materials:
    """What the run was made of, in this process, with the settings of the request."""
    layers = [kept.newest.layer(str(kept.folder)), *request.layers]
    if request.protocol is not None:  # in whose place features and metrics are another's
        plain = {"eval_features": "", "eval_metric": ""}
        layers.insert(1, Layer("--protocol", {"train": plain}))
        layers.append(Layer("--protocol", {"train": {"eval_protocol": request.protocol}}))
    config = resolve(layers)
    train = config["train"] | {"eval_every": 1, "keep_best": False, "averages": []}
    if request.count is not None:
        train |= {"eval_count": request.count}
    config = config | {"train": train}
    classes, alone = kept.newest.data.classes, Group(0, 1, 0)
    sets = Sets(*(numbered_as(part, classes) for part in Sets.of(config)))
    return Materials.of(config, local_compute(config, alone), alone, sets)


def _measure(kept: Snapshots, materials: Materials, request: Convert) -> _Measure:
    """What a run is measured by: samples as `ddpm eval` does, or the held-out loss."""
    plan = _plan(kept, materials, request)
    low, high = kept.reach
    lengths = f"up to {GRID + 2 * ROUNDS} lengths from {low:g} to {high:g}"
    state = fresh_state(materials, begins=False)
    if plan is None:
        console.say(f"{lengths}, each by the loss of {len(materials.sets.test)} held-out rows")
        return _Measure(HELD_OUT, {}, state, loop_setting(materials, state).measure)
    calls = forecast.calls(materials.config, state.model.schedule)
    count, protocol = materials.config["train"]["eval_count"], plan.protocol.name
    console.say(f"{lengths}, each by {count} images at {calls} network calls, {plan.metric}")

    def told(seeds: Sequence[int]) -> Batch:
        return sheet_batches.batch(materials, seeds)

    folder = Run(kept.folder, leads=False)
    evaluator = Evaluator(plan, materials, folder, told, calls, request.seed)
    about = {"protocol": protocol, "n": count, "seed": request.seed, "reference": plan.side.name}
    return _Measure(plan.metric, about, state, lambda: evaluator(state))


def _plan(kept: Snapshots, materials: Materials, request: Convert) -> Evaluation | None:
    """How samples are measured; None, which is said, where they cannot be and nobody asked."""
    asked = {key for layer in request.layers for key in layer.values.get("train", {})}
    is_asked = request.protocol is not None or any(key.startswith("eval_") for key in asked)
    try:
        if request.dry_run:
            return train_eval.planned(materials)
        return train_eval.prepared(materials)
    except ConfigError as problem:
        told = problem.problems[0]
        if is_asked or kept.newest.config["train"]["eval_every"]:
            raise ConfigError(told.replace(train_eval.OFF, INSTEAD)) from None
        what = (told.rpartition(";")[0] or told).partition(": ")[2]
        console.say(f"no samples are measured: {what}; the held-out loss decides")
        return None
