"""Names of code of the user's own: the command line may give them, and settings never.

Settings may come from others, by a preset, a checkpoint or the record of an image, so nothing in
them makes a file run. Of a guide that is code they say how strong it is, and no more.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from ddpm_cli.errors import ConfigError

# What stands in settings for the code of a classifier; no model has the name of a flag.
CODE = "--classifier"
PROGRAM = ".pt2"
_PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".ckpt")
_KEYS = {"scorer": "program", "classifier": "model"}


def is_code(name: str) -> bool:
    """Whether a name is one of code, FILE.py:NAME or program.pt2, and not one of a model."""
    return name.endswith((".py", PROGRAM)) or ".py:" in name


def is_word_of_code(name: str) -> bool:
    """Whether a reward is code by its name, or a file that is never read, and no command line.

    A command has several words; a name of code may have blanks in that of an existing file.
    """
    is_one = len(name.split()) == 1 or split(name)[0].is_file()
    return is_one and (is_code(name) or is_pickle(name))


def is_pickle(name: str) -> bool:
    """Whether a name is one of a file that would be unpickled, and so is never read."""
    return name.endswith(_PICKLES)


def split(name: str) -> tuple[Path, str]:
    """The file of FILE.py:NAME and the name in it, which is empty for a program.pt2."""
    if name.endswith(PROGRAM):
        return Path(name), ""
    file, _, attribute = name.rpartition(":")
    return Path(file), attribute


def refuse_unusable(flag: str, name: str, *, trust: bool) -> None:
    """Refuse what a flag names if it is no code that may run, before it is looked for."""
    what = f"--{flag} {name}"
    if is_pickle(name):
        fix = "give FILE.py:NAME, a function of yours that loads it"
        raise ConfigError(f"{what}: a pickle, which can run any code and is never read; {fix}")
    if name.endswith(".py"):
        raise ConfigError(f"{what}: which function of it? Give {name}:NAME")
    if not is_code(name):
        raise ConfigError(f"{what}: no code; give FILE.py:NAME or a torch.export program.pt2")
    if name.endswith(PROGRAM):
        if not trust:
            why = "torch.export.load unpickles parts of such a file, which can run any code"
            raise ConfigError(f"{what}: {why}; add --trust if you trust whoever made it")
    elif not split(name)[1].isidentifier():
        raise ConfigError(f"{what}: {split(name)[1]!r} is no name in a file; give FILE.py:NAME")


def refuse_in_settings(values: Mapping[str, Any], source: str) -> None:
    """Refuse code among the guides of one layer of settings."""
    guides = values.get("guides")
    for settings in guides if isinstance(guides, list) else []:
        name = settings.get("name") if isinstance(settings, Mapping) else None
        key = _KEYS.get(name) if isinstance(name, str) else None
        value = settings.get(key) if key else None
        if isinstance(value, str) and value and (key == "program" or is_code(value)):
            why = "code runs from the command line alone, as settings may come from others"
            words = f"--{name} {value}{' --trust' if value.endswith(PROGRAM) else ''}"
            raise ConfigError(
                f"guides.{name}: {key} {value!r} (from {source}): {why}; give {words}"
            )


def refuse_missing(guides: Collection[Mapping[str, Any]], code: Collection[str]) -> None:
    """Refuse guides of settings whose code no flag gives; code: the flags that give some."""
    for settings in guides:
        name = settings["name"]
        if name not in code and (name == "scorer" or settings.get("model") == CODE):
            raise ConfigError(f"guides.{name}: which function? Give --{name} FILE.py:NAME")
