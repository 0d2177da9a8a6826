"""Guides that Python callers ask for: what options of the command line say, or functions."""

from collections.abc import Callable, Mapping
from typing import Any

from ddpm_cli.api import arguments
from ddpm_cli.errors import ConfigError
from ddpm_cli.settings import code_names, guides
from ddpm_cli.settings.config import Layer
from ddpm_cli.settings.request_parts import Guiding

CODE = "FILE.py:NAME"  # stands for a function, which has no file
_KINDS = ("scorer", "classifier", "reward")
_MOST = {"scale": 1e6, "rescale": 1.0}  # numbers from 0 on


def guiding(options: Mapping[str, Any], *, is_guide: bool = False) -> Guiding:
    """What a caller says of guides; options: by the parameters of the command line.

    is_guide: of `ddpm guide`, which has more of them.
    """
    for name, most in _MOST.items():
        if (number := options.get(name)) is not None:
            arguments.refuse_number(name, number, 0.0, most)
    of_guide = (*guides.OF_DRAWING, *guides.OF_GUIDE)
    names = (*guides.NAMES, *of_guide) if is_guide else guides.NAMES
    code = {name: options[name] for name in _KINDS if _is_code(name, options)}
    for name, one in code.items():
        if isinstance(one, str) and (name != "reward" or code_names.is_word_of_code(one)):
            code_names.refuse_unusable(name, one, trust=bool(options.get("trust")))
    flags = {name: CODE if callable(one) else one for name, one in code.items()}
    return Guiding(flags={**dict.fromkeys(names), **options, **flags}, code=code)


def scoring(scorer: str | Callable[..., Any] | None, scale: float | None) -> Guiding:
    """A function that gives scores, and how strongly it pulls, if there is one."""
    return guiding({"scorer": scorer, "scale": scale})


def particles(count: int | None) -> Layer:
    """The setting that a number of particles is."""
    if count is None:
        return Layer("particles", {})
    return Layer("particles", {"particles": {"count": arguments.count("particles", count)}})


def _is_code(name: str, options: Mapping[str, Any]) -> bool:
    """Whether an option is code: a function, or the name of one; a classifier may be a model."""
    value = options.get(name)
    if value is None or callable(value):
        return value is not None
    if not isinstance(value, str):
        raise ConfigError(f"{name}: {value!r} is none; give a function or the name of one")
    is_named = code_names.is_code(value) or code_names.is_pickle(value)
    return is_named or name != "classifier"
