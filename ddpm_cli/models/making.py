"""How a table of a configuration becomes the component it names, and what that complains of."""

from collections.abc import Callable, Mapping
from typing import Any

from ddpm_cli.errors import ConfigError
from ddpm_cli.settings import catalog


def made(table: str, settings: dict[str, Any], *arguments: Any) -> Any:
    """What the component that a table names makes of some arguments and its knobs."""
    return maker(table, settings)(*arguments)


def maker(table: str, settings: dict[str, Any], called: str = "") -> Callable[..., Any]:
    """The component that a table names, its knobs bound and its complaints naming the table.

    called: how whoever asks for it names it, if not by the table.
    """
    function, knobs = component(table, settings)

    def make(*arguments: Any) -> Any:
        try:
            return function(*arguments, **knobs)
        except ConfigError:
            raise
        except ValueError as error:
            raise ConfigError(_keyed(table, settings, str(error), called)) from None

    return make


def component(table: str, settings: dict[str, Any]) -> tuple[Callable[..., Any], dict[str, Any]]:
    """The component that a table names, and its knobs."""
    knobs = {key: value for key, value in settings.items() if key != "name"}
    return catalog.load(catalog.find(table, settings["name"])), knobs


def _keyed(table: str, settings: Mapping[str, Any], complaint: str, called: str) -> str:
    """What a component complains of, of one of its knobs where it begins with its name."""
    first, _, rest = complaint.partition(" ")
    if rest and first in settings and first != "name":
        return f"{table}.{first}: {rest}"
    return f"{called or table + '.' + settings['name']}: {complaint}"
