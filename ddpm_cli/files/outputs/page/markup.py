"""HTML made of elements, in which no text can be anything but text."""

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ddpm_cli.errors import visible

EMPTY = ("br", "img", "input", "link", "meta")  # elements that have no end


class Markup(NamedTuple):
    """What is HTML already."""

    html: str


Part = str | Markup | None
Value = str | float | bool | None


def element(name: str, *parts: Part, **attributes: Value) -> Markup:
    """An element around texts, which are escaped, and other elements; None is left out.

    Attributes are spelled class_ and data_x; of True the name alone is written, of False or None
    nothing.
    """
    told = "".join(_attribute(key, value) for key, value in attributes.items())
    inner = joined(parts).html
    return Markup(f"<{name}{told}>" if name in EMPTY else f"<{name}{told}>{inner}</{name}>")


def joined(parts: Iterable[Part]) -> Markup:
    """Parts one after the other."""
    every = (p.html if isinstance(p, Markup) else escaped(p) for p in parts if p is not None)
    return Markup("".join(every))


def escaped(text: str) -> str:
    """A text as HTML: what means anything there, steers or is no letter at all is spelled out."""
    letters = visible(text).encode("utf-8", "backslashreplace").decode()
    return html.escape(letters, quote=True)


def _attribute(key: str, value: Value) -> str:
    name = key.rstrip("_").replace("_", "-")
    if value is None or value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{escaped(str(value))}"'


def table(
    heads: Sequence[str], rows: Iterable[Sequence[Part]], caption: str, class_: str | None = None
) -> Markup:
    """A table whose first column names the rows; it scrolls alone where it is too wide."""
    top = element("tr", *(element("th", head, scope="col") for head in heads))
    lines = [
        element("tr", element("th", first, scope="row"), *(element("td", cell) for cell in rest))
        for first, *rest in rows
    ]
    whole = element(
        "table",
        element("caption", caption),
        element("thead", top),
        element("tbody", *lines),
        class_=class_,
    )
    return element("div", whole, class_="wide", tabindex=0, role="region", aria_label=caption)


def folded(summary: str, *parts: Part, **attributes: Value) -> Markup:
    """What is there to be opened."""
    return element("details", element("summary", summary), *parts, **attributes)


def code(text: str) -> Markup:
    """A block of text to be copied as it is."""
    return element("pre", element("code", text), tabindex=0)


def choice(group: str, legend: str, options: Mapping[str, str], chosen: str) -> Markup:
    """A switch between options by their ids, of which one is chosen; it needs no script."""
    parts: list[Part] = [element("legend", legend)]
    for key, label in options.items():
        button = element("input", type="radio", name_=group, id=key, checked=key == chosen)
        parts.append(element("label", button, " ", label, for_=key))
    return element("fieldset", *parts)
