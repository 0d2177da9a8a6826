"""Sweeps: lists of values as `--sweep KEY=A,B` says them, and the cells of their product."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ddpm_cli.errors import ConfigError, nearest
from ddpm_cli.settings import peers, recipes, seeds
from ddpm_cli.settings.config import SAMPLING, TABLES, Layer, merge
from ddpm_cli.settings.toml import parse_set, toml_value

COMMAND_LINE = "the command line"
SOURCE = "--sweep"
# What stands for a key of the configuration, and what is none of its keys.
SHORT = {"sampler": "sampler.name", "levels": "levels.name", "steps": "levels.count"}
CALLS, SEED = "calls", "seed"
# The flags that have no effect beside a list, by the path of the list.
FLAGS = {
    "sampler.name": ("sampler",),
    "levels.name": ("levels",),
    "levels.count": ("steps", "calls"),
    CALLS: ("steps", "calls"),
    SEED: ("seed",),
    "compute.dtype": ("dtype",),
    "compute.device": ("device",),
    "compute.compile": ("compile",),
}
WHOLE = {CALLS: (1, 1_000_000), SEED: (0, seeds.LIMIT - 1)}
LIMIT = 10_000  # cells
_SIDES = ("data", "features", "metric")  # of the reference and of what looks at it


class Axis(NamedTuple):
    """A key as it was given, and its values; path: the configuration's key, or calls or seed."""

    key: str
    path: str
    values: tuple[Any, ...]


class Cell(NamedTuple):
    """One value of each axis, in the order of the axes; values: by their paths."""

    key: dict[str, Any]
    values: dict[str, Any]

    @property
    def words(self) -> str:
        """The cell in one line."""
        return " ".join(f"{key}={text(value)}" for key, value in self.key.items())


def parse(texts: Sequence[str]) -> list[Axis]:
    """The axes of KEY=A,B texts; keys that there are not, or twice, are refused."""
    axes: list[Axis] = []
    for item in texts:
        axis = _axis(item)
        for other in axes:
            _refuse_both(axis, other)
        axes.append(axis)
    count = 1
    for axis in axes:
        count *= len(axis.values)
    if count > LIMIT:
        raise ConfigError(f"--sweep: {count} cells are too many (at most {LIMIT})")
    return axes


def cells(axes: Sequence[Axis]) -> list[Cell]:
    """The product of all lists, the last one changing fastest."""
    return [
        Cell(
            {axis.key: value for axis, value in zip(axes, values, strict=True)},
            {axis.path: value for axis, value in zip(axes, values, strict=True)},
        )
        for values in itertools.product(*(axis.values for axis in axes))
    ]


def refuse_fixed(axes: Sequence[Axis], layers: Sequence[Layer]) -> None:
    """Refuse what a command line sets and sweeps as well."""
    for layer in layers:
        for axis in axes if layer.source == COMMAND_LINE else ():
            table, _, knob = axis.path.partition(".")
            values = layer.values.get(table)
            if knob in values if isinstance(values, Mapping) and knob else values is not None:
                raise ConfigError(f"--sweep {axis.key}: set already; leave out one of the two")


class Stack:
    """The layers of each cell: names go below what the command line sets, knobs above it.

    So that of `--set levels.count=20 --sweep levels=trailing,karras` the count holds for both.
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        self._base = list(layers)
        sources = [layer.source for layer in layers]
        self._cut = sources.index(COMMAND_LINE) if COMMAND_LINE in sources else len(sources)
        self._known: dict[str, list[Layer]] = {}

    def __call__(self, cell: Cell) -> list[Layer]:
        """The layers of a cell, lowest first."""
        values = {path: value for path, value in cell.values.items() if path not in WHOLE}
        names: list[tuple[str, Any]] = []
        knobs: list[tuple[str, Any]] = []
        for path in sorted(values, key="sampler.name".__ne__):  # a recipe brings levels as well
            (names if path.endswith(".name") else knobs).append((path, values[path]))
        below = [layer for path, value in names for layer in self._named(path, value)]
        above = [Layer(SOURCE, merge([nested(path, value) for path, value in knobs]))] * any(knobs)
        return [*self._base[: self._cut], *below, *self._base[self._cut :], *above]

    def _named(self, path: str, value: Any) -> list[Layer]:
        """The layers of a name; a recipe is told once."""
        key = f"{path}={text(value)}"
        if key not in self._known:
            self._known[key] = recipes.expand([Layer(SOURCE, nested(path, value))])
        return self._known[key]


def nested(path: str, value: Any) -> dict[str, Any]:
    """The tables of a value: "sampler.eta", 0.5 gives {"sampler": {"eta": 0.5}}."""
    table, _, knob = path.partition(".")
    return {table: {knob: value} if knob else value}


def told(layers: Sequence[Layer], calls: int | None) -> str:
    """What layers say of how to sample, as a row of a table has it: KEY=VALUE KEY=VALUE."""
    words = {} if calls is None else {CALLS: text(calls)}
    for layer in layers:
        for table, values in layer.values.items():
            if isinstance(values, Mapping) and table in SAMPLING:
                words |= {f"{table}.{knob}": text(value) for knob, value in values.items()}
            elif table in SAMPLING:
                words[table] = text(values)
            elif table == "compute" and "rng" in values:
                words["compute.rng"] = text(values["rng"])
    return " ".join(f"{key}={value}" for key, value in words.items())


def text(value: Any) -> str:
    """A value as a cell is found by it: 1 and 1.0 are the same."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return value if isinstance(value, str) else toml_value(value)


def _axis(item: str) -> Axis:
    key, equals, listed = item.partition("=")
    key = key.strip()
    if not equals or not key:
        raise ConfigError(f"--sweep {item!r}: no list; write it as sampler=ddim,heun")
    path = SHORT.get(key, key.replace("-", "_") if "." in key else key)
    _refuse_unknown(key, path)
    parts = [part.strip() for part in _parts(listed)]
    if not all(parts):
        raise ConfigError(f"--sweep {key}: a value is empty; write it as {key}=A,B")
    values = {text(value): value for value in (_value(key, path, part) for part in parts)}
    return Axis(key, path, tuple(values.values()))


def _refuse_unknown(key: str, path: str) -> None:
    table, _, knob = path.partition(".")
    if table in _SIDES:
        why = "the reference and what looks at it are the same in all cells"
        raise ConfigError(f"--sweep {key}: {why}; leave it out")
    if knob or path in WHOLE or path in TABLES:
        return
    meant = peers.key(key)
    fix = f"did you mean {meant}?" if meant else nearest(key, (*SHORT, *WHOLE, *TABLES))
    raise ConfigError(f"--sweep {key}: there is no such key; {fix}")


def _value(key: str, path: str, part: str) -> Any:
    """A value of a list, as --set would read it."""
    value = parse_set(f"value={part}")["value"]
    if path in WHOLE:
        low, high = WHOLE[path]
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ConfigError(
                f"--sweep {key}: {part!r} does not fit; give integers, {low} to {high}"
            )
    return value


def _refuse_both(axis: Axis, other: Axis) -> None:
    if axis.path == other.path:
        raise ConfigError(f"--sweep {axis.key}: named twice; give one list")
    if {axis.path, other.path} == {CALLS, SHORT["steps"]}:
        raise ConfigError(f"--sweep {axis.key}: {other.key} says already how many; sweep one")


def _parts(listed: str) -> list[str]:
    """A list at its commas, but for those within quotes, brackets and braces."""
    parts, depth, quote = [""], 0, ""
    for c in listed:
        if quote:
            quote = "" if c == quote else quote
        elif c in "\"'":
            quote = c
        else:
            depth += (c in "[{") - (c in "]}")
        if c == "," and not quote and depth <= 0:
            parts.append("")
        else:
            parts[-1] += c
    return parts
