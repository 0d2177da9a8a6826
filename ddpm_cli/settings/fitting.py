"""Values as knobs take them: of the right type, within its range."""

import math
import re
from typing import Any

from ddpm_cli.errors import nearest
from ddpm_cli.settings.components import Kind
from ddpm_cli.settings.knobs import Range

# Lists that may be a number alone: it, or between which two it is drawn; or for parts of a walk.
ALONE = (Range(1, 2), Range(1, 100))


def fit(kind: Kind, value: Any) -> Any:
    """A value as a knob takes it; ValueError if it does not."""
    if kind.optional and (value is None or value == "none"):
        return None
    if kind.word and value == kind.word:
        return value
    if kind.truth is not None and isinstance(value, bool):
        return kind.truth.yes if value else kind.truth.no
    if kind.base == "list" and isinstance(value, list) and kind.item is not None:
        if kind.range is not None and len(value) not in kind.range:
            raise ValueError
        return [fit(kind.item, item) for item in value]
    is_one = isinstance(value, str) or (
        _is_integer(value) and kind.item and kind.item.base == "str"
    )
    is_one = is_one or (isinstance(value, (int, float)) and kind.range in ALONE)
    if kind.base == "list" and is_one and kind.item is not None:
        return [fit(kind.item, value)]  # one is a list, too
    if kind.base == "str" and kind.range and _is_integer(value) and value in kind.range:
        return str(value)
    if kind.base == "str" and isinstance(value, str):
        if "\0" in value or (kind.choices and value not in kind.choices):
            raise ValueError
        if kind.form is not None and not re.fullmatch(kind.form.pattern, value, re.ASCII):
            raise ValueError
        value.encode("utf-8")  # lone surrogates raise UnicodeEncodeError, a ValueError
        return value
    if kind.base == "bool" and isinstance(value, bool):
        return value
    return _fit_number(kind, value)


def _fit_number(kind: Kind, value: Any) -> float:
    if not (_is_integer(value) or ("float" in kind.base and isinstance(value, float))):
        raise ValueError
    if kind.base not in ("int", "float", "int | float") or not math.isfinite(value):
        raise ValueError
    if kind.range is not None and value not in kind.range:
        raise ValueError
    if kind.base == "int | float" and value == int(value):
        return int(value)
    return float(value) if kind.base == "float" else value


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


def meant(kind: Kind, value: Any) -> str:
    """The choice that a word was meant to be, if there is one that is near."""
    choices = kind.choices or (kind.item.choices if kind.item else ())
    listed = value if isinstance(value, list) else [value]
    words = [word for word in listed if word not in choices]
    near = nearest(words[0], choices) if words and isinstance(words[0], str) and choices else ""
    return f"{near} " if near.endswith("?") else ""
