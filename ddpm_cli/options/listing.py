"""The option --list, which says what components there are and what can be set."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import click

from ddpm_cli import console
from ddpm_cli.settings import catalog, protocols, recipes, releases
from ddpm_cli.settings.components import Component, Kind
from ddpm_cli.settings.toml import toml_value

_AS_JSON = f"{__name__}.as_json"

_Command = TypeVar("_Command", bound=Callable[..., Any])
PROTOCOL, RELEASE = "protocol", "release"
CONVERTED = ("format", "export")  # what comes in and goes out: files, with no knobs


class _Listing(click.Option):
    """An eager option that knows whether --json is given, too, wherever that stands."""

    def handle_parse_result(
        self, ctx: click.Context, opts: Mapping[str, Any], args: list[str]
    ) -> tuple[Any, list[str]]:
        """Remember what was typed before the callback is called."""
        ctx.meta[_AS_JSON] = bool(opts.get("as_json"))
        return super().handle_parse_result(ctx, opts, args)


def list_kinds(command: _Command, more: Sequence[str] = ()) -> _Command:
    """Add the eager --list KIND option, which prints the components of a kind and exits.

    more: kinds that no configuration names.
    """
    kinds = [*more, *filter(catalog.exists, catalog.KINDS), *catalog.FIXED]
    return click.option(
        "--list",
        cls=_Listing,
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
    if kind in (RELEASE, *CONVERTED):
        return "\n".join(f"{each['name']}: {each['summary']}." for each in components(kind))
    lines = []
    for item in _all(kind):
        lines.append(f"{item.name}: {item.summary}.")
        for knob in item.knobs.values():
            usual = knob.kind.word or knob.default  # of a run that says nothing of it
            default = "none" if usual is None else toml_value(usual)
            lines.append(f"  {knob.name} = {default}  ({knob.kind})")
    lines += recipes.describe() if kind == "sampler" else []
    return "\n".join(lines) or f"There is no {kind} component."


def _all(kind: str) -> list[Component]:
    """The components of a kind, or the one of a fixed table."""
    if kind in catalog.FIXED:
        return [catalog.fixed(kind)]
    return [catalog.find(kind, name) for name in catalog.names(kind)]


def components(kind: str) -> list[dict[str, Any]]:
    """The components of a kind as JSON has them, recipes for samplers behind them."""
    if kind == PROTOCOL:
        fixed = (protocols.read(name)._asdict() for name in protocols.names())
        return [{"name": about.pop("name"), **about} for about in fixed]
    if kind == RELEASE:
        return [releases.read(name)._asdict() for name in releases.names()]
    if kind in CONVERTED:
        return [
            {"name": name, "summary": catalog.summary(kind, name)}
            for name in catalog.modules(kind)
        ]
    facts: list[dict[str, Any]] = [
        {
            "name": item.name,
            "summary": item.summary,
            "knobs": [
                {"name": k.name, **_typed(k.kind), "default": k.default, "help": k.help}
                for k in item.knobs.values()
            ],
        }
        for item in _all(kind)
    ]
    for name in recipes.names() if kind == "sampler" else []:
        tables = recipes.read(name)
        summary = str(tables.pop("summary", "a recipe"))
        facts.append({"name": name, "summary": summary, "knobs": [], "recipe": tables})
    return facts


def _typed(kind: Kind) -> dict[str, Any]:
    """The type of a knob and what narrows it down, in JSON and in words."""
    bounds = kind.range._asdict() if kind.range else None
    return {
        "type": kind.base,
        "optional": kind.optional,
        "choices": list(kind.choices) or None,
        "range": bounds,
        "pattern": kind.form.pattern if kind.form else None,
        "item": _typed(kind.item) if kind.item else None,
        "words": str(kind),
    }


def _print_components(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value is None or ctx.resilient_parsing:
        return
    if ctx.meta.get(_AS_JSON):
        for facts in components(value):
            console.json_line(facts)
    else:
        console.result(describe(value))
    ctx.exit()
