"""Which part of a job one task of an array of them does: `--shard 2/8`, or as the array says.

Tasks do not know of each other: each deals the whole job and keeps its own part.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from ddpm_cli import console
from ddpm_cli.errors import ConfigError, many

AUTO = "auto"
FIELD = "{shard}"
LIMIT = 1_000_000  # shards of one job

_Item = TypeVar("_Item")


class Shard(NamedTuple):
    """Part `number` of `total`, counted from 1; of one part it is the whole job."""

    number: int = 1
    total: int = 1

    @property
    def label(self) -> str:
        """The number as part of a file name, which sorts by number."""
        return f"{self.number:0{len(str(self.total))}d}"

    def __str__(self) -> str:
        return f"{self.number}/{self.total}"


def part(items: Sequence[_Item], size: int, shard: Shard | None) -> Sequence[_Item]:
    """The items of a whole job that a shard makes: those that follow on the shard before.

    Whole batches of `size` are dealt, so that each item is computed in the batch that it has in
    the whole job, and equals it bit for bit; of fewer batches than shards the items are.
    """
    if shard is None:
        return items
    unit = size if -(-len(items) // size) >= shard.total else 1
    units = -(-len(items) // unit)
    first, last = (units * place // shard.total for place in (shard.number - 1, shard.number))
    return items[first * unit : last * unit]


def say(shard: Shard | None, mine: int, count: int, noun: str) -> None:
    """Say how much of a job a shard does."""
    if shard is not None:
        console.say(
            f"shard {shard}: {mine} of {many(count, noun)}{'' if mine else ', nothing to do'}"
        )


def place(named: str, shard: Shard | None, option: str = "-o") -> str:
    """The name of a result with the shard's number for {shard}, which needs --shard."""
    if FIELD in named and shard is None:
        raise ConfigError(f"{option} {named}: {FIELD} is the number of --shard; give --shard 1/8")
    return named if shard is None else named.replace(FIELD, shard.label)


def refuse_shared(named: str, shard: Shard | None, option: str = "-o") -> None:
    """Refuse one file that all shards would write, unless it has the number in its name."""
    if shard is None or FIELD in named:
        return
    path = Path(named)
    own = path.with_name(f"{path.stem}-{FIELD}{path.suffix}")
    what = f"{option} {named}: one file, which each shard would write"
    raise ConfigError(f"{what}; give {option} {own}")


class Scheduler(NamedTuple):
    """The variables in which a scheduler tells a task of an array its place.

    own: its index; first, last, step, many: of all of them, "" where it tells none of it and
    they count up from 1 by 1.
    """

    name: str
    own: str
    first: str = ""
    last: str = ""
    step: str = ""
    many: str = ""


# What is told of an array differs; where neither its last index nor a count is, nobody can deal.
SCHEDULERS = (
    Scheduler(
        "Slurm", "SLURM_ARRAY_TASK_ID", first="SLURM_ARRAY_TASK_MIN",
        last="SLURM_ARRAY_TASK_MAX", step="SLURM_ARRAY_TASK_STEP", many="SLURM_ARRAY_TASK_COUNT",
    ),
    Scheduler(
        "Grid Engine", "SGE_TASK_ID", first="SGE_TASK_FIRST", last="SGE_TASK_LAST",
        step="SGE_TASK_STEPSIZE",
    ),
    Scheduler("PBS", "PBS_ARRAY_INDEX"),
    Scheduler("Torque", "PBS_ARRAYID"),
    Scheduler("LSF", "LSB_JOBINDEX"),
)  # fmt: skip


def parse(text: str, environ: Mapping[str, str]) -> Shard:
    """The shard that "i/n" names, or that a scheduler's variables name for "auto"."""
    if text.strip() == AUTO:
        return _of_array(environ)
    match = re.fullmatch(r"\s*([0-9]{1,9})\s*/\s*([0-9]{1,9})\s*", text, re.ASCII)
    if match is None:
        what = "write part and parts, as 2/8, or auto in a job array"
        raise ConfigError(f"--shard {text!r}: this is no shard; {what}")
    return _checked(int(match[1]), int(match[2]), f"--shard {text.strip()}")


def _checked(number: int, total: int, what: str) -> Shard:
    """A shard, if there can be such a one."""
    if not 1 <= total <= LIMIT:
        raise ConfigError(f"{what}: a job has 1 to {LIMIT:,} shards")
    if not 1 <= number <= total:
        fix = f"shards are counted from 1: 1/{total} to {total}/{total}"
        raise ConfigError(f"{what}: no such shard; {fix}")
    return Shard(number, total)


def _of_array(environ: Mapping[str, str]) -> Shard:
    """The place of this task in the array that a scheduler started."""
    for scheduler in SCHEDULERS:
        # Grid Engine says "undefined" and LSF 0 of a job that is no array.
        if environ.get(scheduler.own, "undefined") not in ("", "undefined", "0") or (
            scheduler.first and environ.get(scheduler.first)
        ):
            return _told(scheduler, environ)
    known = ", ".join(scheduler.own for scheduler in SCHEDULERS)
    raise ConfigError(
        "--shard auto: this is no job array that says so; write --shard 1/8",
        hints=[f"it looks for {known}"],
    )


def _told(scheduler: Scheduler, environ: Mapping[str, str]) -> Shard:
    """The shard that the variables of a scheduler say; refused if they leave any of it open."""
    told = {
        key: _number(variable, environ)
        for key, variable in scheduler._asdict().items()
        if key != "name" and variable and environ.get(variable)
    }
    index, first, step = told.get("own"), told.get("first", 1), told.get("step", 1)
    count, last = told.get("many"), told.get("last")
    if index is None or (count is None and last is None):
        fix = f'write --shard "${scheduler.own}/8" of 8 tasks, counted from 1'
        raise ConfigError(f"--shard auto: {scheduler.name} does not say how many tasks; {fix}")
    step = max(step, 1)
    if count is None:
        count = (int(last or 0) - first) // step + 1
    what = f"--shard auto: {scheduler.own}={index}"
    place, last = (index - first) // step, first + step * (count - 1) if last is None else last
    is_gap = step * (count - 1) != last - first or first + step * place != index
    # One task of a high index is one of a larger array that is done again.
    if is_gap or (count == 1 and first > 1):
        fix = f"write --shard {index}/N for part {index} of N"
        raise ConfigError(f"{what}: an array of {count} that misses some from {first} on; {fix}")
    return _checked(place + 1, count, what)


def _number(variable: str, environ: Mapping[str, str]) -> int:
    """What a variable says, which must be a whole number."""
    text = environ[variable].strip()
    if not re.fullmatch(r"[0-9]{1,9}", text, re.ASCII):
        raise ConfigError(
            f"--shard auto: {variable}={text[:40]!r} is no number; write --shard 1/8"
        )
    return int(text)
