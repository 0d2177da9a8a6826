"""The option --list, which says what components there are and what can be set."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from ddpm_cli import console
from ddpm_cli.settings import catalog, protocols, recipes
from ddpm_cli.settings.toml import toml_value

_Command = TypeVar("_Command", bound=Callable[..., Any])
PROTOCOL = "protocol"


def list_kinds(command: _Command, *more: str) -> _Command:
    """Add the eager --list KIND option, which prints the components of a kind and exits.

    more: kinds that no configuration names.
    """
    kinds = [*more, *filter(catalog.exists, catalog.KINDS), *catalog.FIXED]
    return click.option(
        "--list",
        type=click.Choice(kinds),
        metavar="KIND",
        is_eager=True,
        expose_value=False,
        callback=_print_components,
        help=f"List components and their settings, and exit: {', '.join(kinds)}.",
    )(command)


def describe(kind: str) -> str:
    """Describe the components of a kind: names, one sentence each, knobs and defaults."""
    if kind == PROTOCOL:
        return "\n".join(protocols.describe())
    is_fixed = kind in catalog.FIXED
    components = (
        [catalog.fixed(kind)] if is_fixed else [catalog.find(kind, n) for n in catalog.names(kind)]
    )
    lines = []
    for item in components:
        lines.append(f"{item.name}: {item.summary}.")
        for knob in item.knobs.values():
            default = "none" if knob.default is None else toml_value(knob.default)
            lines.append(f"  {knob.name} = {default}  ({knob.kind})")
    lines += recipes.describe() if kind == "sampler" else []
    return "\n".join(lines) or f"There is no {kind} component."


def _print_components(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value is not None and not ctx.resilient_parsing:
        console.result(describe(value))
        ctx.exit()
