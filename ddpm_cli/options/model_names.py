"""What the shell completes of a model: the names of its classes and of its numbers."""

from collections.abc import Callable

import click
from click.shell_completion import CompletionItem

from ddpm_cli.options.completion import Complete, starting


def classes(*more: str) -> Complete:
    """Complete classes of the model that -m names, behind a comma, too; more: other words.

    The command line's own context knows how to find them: a function from what -m says to names.
    """

    def complete(
        ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        before, comma, last = incomplete.rpartition(",")
        known = ctx.find_object(Classes)
        names = [] if known is None else known.of(ctx.params.get("model"))
        words = names if comma else [*names, *more]
        return [CompletionItem(before + comma + item.value) for item in starting(words, last)]

    return complete


def values(*more: str) -> Complete:
    """Complete the names of the numbers that the model of -m is told; more: other words."""

    def complete(
        ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        known = ctx.find_object(Classes)
        names = [] if known is None else known.values(ctx.params.get("model"))
        return starting([*(f"{name}=" for name in names), *more], incomplete)

    return complete


class Classes:
    """How to find the names of a model's classes and values; the command line carries it."""

    def __init__(
        self,
        of: Callable[[str | None], list[str]],
        values: Callable[[str | None], list[str]] = lambda model: [],
    ) -> None:
        self.of, self.values = of, values
