"""The option --schema: the whole command line and all settings as one JSON document.

Editors and programs read it. FORMAT changes when a reader of the document would have to.
"""

import json
from typing import Any

import click

from ddpm_cli import __version__, console
from ddpm_cli.options import listing
from ddpm_cli.options.completion import ComponentChoice
from ddpm_cli.settings import catalog, presets
from ddpm_cli.settings.config import OPTIONAL

FORMAT = 1
EXIT_CODES = {
    "0": "done",
    "1": "failed: data, a file, a device",
    "2": "wrong usage or configuration",
    "3": "some inputs failed, the rest is done",
    "129": "stopped by a lost terminal",
    "130": "stopped by Ctrl-C",
    "141": "nobody reads stdout any more",
    "143": "stopped by SIGTERM",
}
_TYPES = (  # of Click, the narrower first
    (click.IntRange, "int"),
    (click.FloatRange, "float"),
    (click.types.IntParamType, "int"),
    (click.types.FloatParamType, "float"),
    (click.types.BoolParamType, "bool"),
    (click.Path, "path"),
    (click.Choice, "choice"),
    (ComponentChoice, "component"),
)


def document(group: click.Group) -> dict[str, Any]:
    """All that can be typed, and all that can be set."""
    return {
        "format": FORMAT,
        "name": "ddpm",
        "version": __version__,
        "options": _options(group),
        "verbs": [_verb(name, command) for name, command in group.commands.items()],
        "tables": [_table(kind) for kind in (*catalog.KINDS, *catalog.PICKED, *catalog.FIXED)],
        "protocols": listing.components(listing.PROTOCOL),
        "presets": [
            {"name": name, "summary": summary, "where": str(where)}
            for name, summary, where in presets.list_presets()
        ],
        "exit_codes": EXIT_CODES,
    }


def show(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    """Print the document and exit; the callback of --schema."""
    if value and not ctx.resilient_parsing and isinstance(ctx.command, click.Group):
        console.result(json.dumps(document(ctx.command), indent=1, allow_nan=False))
        ctx.exit()


def _verb(name: str, command: click.Command) -> dict[str, Any]:
    """A verb with its arguments and options."""
    text = (command.help or "").strip()
    summary, _, more = text.partition("\n\n")
    return {
        "name": name,
        "summary": " ".join(summary.split()),
        "help": more,
        "examples": [
            line.strip() for line in (command.epilog or "").splitlines() if "ddpm " in line
        ],
        "arguments": [
            {
                "name": item.name,
                "metavar": item.make_metavar(click.Context(command)),
                "required": item.required,
                "repeatable": item.nargs == -1,
                "type": _type(item),
            }
            for item in command.params
            if isinstance(item, click.Argument)
        ],
        "options": _options(command),
    }


def _options(command: click.Command) -> list[dict[str, Any]]:
    """The options of a command, --help too."""
    found = [item for item in command.get_params(click.Context(command)) if _is_option(item)]
    return [_option(item) for item in found if isinstance(item, click.Option)]


def _is_option(item: click.Parameter) -> bool:
    return isinstance(item, click.Option) and not item.hidden


def _option(item: click.Option) -> dict[str, Any]:
    """An option: how it is written, what it takes, and what stands for it if it is not given."""
    kind = item.type
    bounds = kind if isinstance(kind, (click.IntRange, click.FloatRange)) else None
    return {
        "name": item.name,
        "flags": [*item.opts, *item.secondary_opts],
        "type": "flag" if item.is_flag else "count" if item.count else _type(item),
        "metavar": item.metavar,
        "choices": _choices(kind),
        "kind": kind.kind if isinstance(kind, ComponentChoice) else None,
        "range": None if bounds is None else {"low": bounds.min, "high": bounds.max},
        "default": _default(item),
        "env": item.envvar,
        "required": item.required,
        "repeatable": item.multiple or item.count,
        "help": item.help or "",
    }


def _type(item: click.Parameter) -> str:
    """The type of a parameter in a word; what is read from text is a string."""
    return next((name for kind, name in _TYPES if isinstance(item.type, kind)), "string")


def _choices(kind: click.ParamType) -> list[str] | None:  # type: ignore[type-arg]
    """The words that an option takes, if they are a few."""
    if isinstance(kind, ComponentChoice):
        return kind.names()
    return [str(word) for word in kind.choices] if isinstance(kind, click.Choice) else None


def _default(item: click.Option) -> Any:
    """What an option is if it is not given, where JSON can say it."""
    value = item.to_info_dict()["default"]
    return value if isinstance(value, (bool, int, float, str)) else None


def _table(kind: str) -> dict[str, Any]:
    """A table of the configuration; one that is fixed names no component."""
    is_fixed = kind in catalog.FIXED
    return {
        "name": kind,
        "fixed": is_fixed,
        "optional": kind in OPTIONAL,
        "components": listing.components(kind),
    }
