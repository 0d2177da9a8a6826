"""What the scripts' command lines share: the options that close them, and how they answer."""

import functools
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import click


class Job(NamedTuple):
    """Where a script keeps what it measures, how it computes, and how it answers."""

    output: Path | None
    batch: int
    dtype: str
    threads: int
    as_json: bool

    @property
    def compute(self) -> dict[str, Any]:
        """The table of settings for it."""
        return {"dtype": self.dtype, "threads": self.threads}

    def show(self, rows: Iterable[dict[str, Any]], report: Callable[[], str]) -> None:
        """Print the rows as JSON, or what a reader wants to see of them."""
        show(rows, report, self.as_json)


def measuring(
    dtype: str = "float32", help: str = "Of the network's numbers."
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Close a command with the options of a job, which it takes as one; dtype, help: of --dtype.

    To stand right above the command, below its other options.
    """
    record = click.Path(dir_okay=False, path_type=Path)
    options = (
        click.option("-o", "--output", type=record, help="The record, .jsonl."),
        click.option("-b", "--batch", type=click.IntRange(1), default=64, show_default=True),
        click.option("--dtype", default=dtype, show_default=True, help=help),
        click.option("--threads", type=click.IntRange(0), default=0, help="0: torch's choice."),
        click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line."),
    )

    def close(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def closed(**values: Any) -> None:
            command(job=Job(**{name: values.pop(name) for name in Job._fields}), **values)

        return functools.reduce(lambda inner, option: option(inner), reversed(options), closed)

    return close


def show(rows: Iterable[dict[str, Any]], report: Callable[[], str], as_json: bool) -> None:
    """Print rows one JSON object a line, or the report, which is made only if it is printed."""
    print(*map(json.dumps, rows), sep="\n") if as_json else print(report())
