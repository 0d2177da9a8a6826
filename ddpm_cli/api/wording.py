"""What the command line says, as Python callers would say it: parameters in place of options.

Everything below the API speaks of options, as the command line gives them; here, at its border,
what it refuses is put into the words of the function that was called.
"""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from itertools import chain
from typing import Any, get_args

from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.settings import catalog
from ddpm_cli.settings.toml import parse_set

# Options whose parameters have other names.
RENAMED = {
    "class": "classes", "value": "values", "seed": "seeds", "mask": "masks", "aug_noise": "noise",
    "o": "output",
}  # fmt: skip
# Options that are short for a key of the settings, and those of `train` alone.
KEYS = {
    "steps": "levels.count", "sampler": "sampler.name", "levels": "levels.name",
    "variance": "sampler.variance", "guide_with": "guidance.model", "dtype": "compute.dtype",
    "device": "compute.device",
}  # fmt: skip
OF_TRAINING = {"steps": "train.steps", "batch": "train.batch", "lr": "train.lr"}
_SHELL = r"\bddpm [a-z]+\b[^;,\n]*"  # a command stays one
_SET = r"--set (?P<set>'[^']*'|[^\s;,:]+)"
_OPTION = r"(?<![\w-])--?(?P<flag>[a-z][a-z-]*)(?![\w-])"
_VALUE = r"(?P<value>'[^']*'|(?:[^\s;:,()]|:(?=\S))+)(?P<last>(?=[;:,)]|$))?"
_WORDS = re.compile(rf"{_SHELL}|{_SET}|{_OPTION}(?: {_VALUE})?", re.MULTILINE)
_PLACEHOLDER = re.compile(r"[A-Z]+")  # what stands for a value
_PLAIN = re.compile(rf"{_PLACEHOLDER.pattern}|[+-]?[0-9.]+(e[+-]?[0-9]+)?")  # that, and numbers
# An option and the setting that it is short for are one in Python.
_TWICE = re.compile(r"(settings=\{[^}]*\}), or \1")

Parameters = Mapping[str, inspect.Parameter]


@contextmanager
def spoken(function: Callable[..., Any]) -> Iterator[None]:
    """Let what is refused within be a ValueError in the words of who calls a function."""
    say = partial(worded, parameters=inspect.signature(function).parameters)
    try:
        yield
    except ConfigError as error:
        problems, hints = map(say, error.problems), map(say, error.hints)
        raise ConfigError(*problems, hints=[*hints]) from None
    except Refusal as refusal:
        raise ValueError(say(refusal.message)) from None
    except FileNotFoundError as error:
        raise ValueError(f"{error.filename}: {error.strerror}") from None


def worded(text: str, parameters: Parameters) -> str:
    """A message with options as these parameters, or as settings; commands stay."""
    said = _WORDS.sub(partial(_worded, parameters=parameters), text)
    return _TWICE.sub(r"\1", said)


def _worded(match: re.Match[str], parameters: Parameters) -> str:
    """An option as Python has it; what it has not stays as it is."""
    if match["set"]:
        return _assigned(match["set"].strip("'"))
    flag = (match["flag"] or "").replace("-", "_")
    if not flag or (flag == "m" and match["value"]):
        return match[0]
    if flag == "m":
        return "load()"
    name = flag if flag in parameters else RENAMED.get(flag, flag)
    key = (KEYS | OF_TRAINING if "output" in parameters else KEYS).get(flag)
    if name in parameters:
        kind = parameters[name]
        words, alone = f"{name}=", f"{name}=True" if kind.default is False else name
    elif key is not None:
        words, alone = "", key
    else:
        return match[0]
    value = match["value"]
    if value is None or not _is_value(match, flag, name, parameters):
        return alone + "".join(match[0].partition(" ")[1:])
    given = value if _PLAIN.fullmatch(value) else repr(value.strip("'"))
    return words + given if words else f"settings={{{key!r}: {given}}}"


def _is_value(match: re.Match[str], flag: str, name: str, parameters: Parameters) -> bool:
    """Whether the word behind an option is its value, and does not go on with the sentence."""
    if name in parameters and parameters[name].default is False:
        return False
    known: list[Any] = [*catalog.names(flag)] if flag in catalog.KINDS else []
    if name in parameters:
        known += _choices(parameters[name].annotation)
    is_last, word = match["last"] is not None, match["value"]
    return is_last or word in known or _PLAIN.fullmatch(word) is not None


def _choices(kind: Any) -> list[Any]:
    """The literals of a type, also where it is one of several."""
    leaves = ([part] if isinstance(part, str) else _choices(part) for part in get_args(kind))
    return [*chain.from_iterable(leaves)]


def _assigned(assignment: str) -> str:
    """What --set gives, as settings of Python; a key alone stays alone."""
    key, equals, value = assignment.partition("=")
    if not equals:
        return key
    if value in ("", "...") or _PLACEHOLDER.fullmatch(value):
        return f"settings={{{key!r}: {value or '...'}}}"
    given: Any = parse_set(assignment)
    for part in key.split("."):
        given = given[part]
    return f"settings={{{key!r}: {given!r}}}"
