"""Names of files, one a sample: what may stand in them, and what does of a seed."""

import string
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ddpm_cli.errors import ConfigError
from ddpm_cli.files.outputs import targets
from ddpm_cli.files.records import Alone, Names, Record
from ddpm_cli.settings import asking

FIELDS = ("seed", "class", "text")
NAME_LIMIT = 80  # bytes of a text or a class in a name


def _unnamed(seeds: Sequence[int]) -> None:
    return None


def _untold(seed: int) -> Record:
    return {}


class Naming(NamedTuple):
    """What the names of the files of samples can say: {seed}, {class}, {text}, and numbers.

    names: the classes of seeds; alone: what a record says of the sample of a seed alone; numbers:
    the names of those that a model is told, each of which is a field, as {age}.
    """

    names: Names = _unnamed
    alone: Alone = _untold
    numbers: Sequence[str] = ()

    def fields(self, template: str) -> set[str]:
        """The {fields} in a name; unknown ones are refused."""
        return targets.fields(template, (*FIELDS, *self.numbers))

    def template(self, place: str) -> str | None:
        """The name that `place` gives each file; None of one file of all samples, or stdout."""
        path, fields = Path(place), self.fields(place)
        is_folder = path.is_dir() or place.endswith("/") or not (path.suffix or fields)
        if place == "-" or not (is_folder or fields):
            return None
        return str(path / "{seed}.png") if is_folder else place

    def path(self, template: str, seed: int) -> Path:
        """The file of a seed."""
        fields, names, own = self.fields(template), None, dict[str, Any]()
        if "class" in fields:
            names = self.names([seed])
        if fields - {"seed", "class"}:
            own = dict(self.alone(seed))
        told = {"seed": targets.seed_name(seed), "class": _safe(names[0] if names else None)}
        told |= {name: _safe(_number(own, name)) for name in self.numbers if name not in told}
        told |= {"text": _safe(own.get("text"))}
        parts = string.Formatter().parse(template)
        return Path("".join(plain + (told[name] if name else "") for plain, name, *_ in parts))

    def refuse_shared(self, place: str, seeds: Sequence[int]) -> None:
        """Refuse names that two seeds would share."""
        template = self.template(place)
        if template is None or "seed" in self.fields(template):
            return
        taken: dict[Path, int] = {}
        for seed in seeds:
            path = self.path(template, seed)
            other = taken.setdefault(path, seed)
            if other != seed:
                what = f"seeds {other} and {seed} would both become {path}"
                raise ConfigError(f"-o {place}: {what}; add {{seed}}")


USUAL_NAMES = Naming()


def _number(own: Mapping[str, Any], name: str) -> str | None:
    """A number that a sample is told, as it is written."""
    number = (own.get("values") or {}).get(name)
    return None if number is None else asking.shown(number)


def _is_kept(letter: str) -> bool:
    """Whether a name may have a letter: of any script, or a symbol as of emoji; no punctuation.

    Marks and joiners stand within words and pictures; all else that steers is left out.
    """
    if ord(letter) < 128:
        return letter.isalnum() or letter in "-_."
    category = unicodedata.category(letter)
    is_held = category[0] in "LNMS" or letter == "\u200d"
    return is_held and _is_stored(letter)


def _is_stored(letter: str) -> bool:
    """Whether the names of files can have a letter; a locale of ASCII has none of others."""
    try:
        letter.encode(sys.getfilesystemencoding())
    except UnicodeEncodeError:
        return False
    return True


def _safe(words: str | None) -> str:
    """Words as a part of the name of a file."""
    if words is None:
        return "none"
    plain = "".join(c if _is_kept(c) else "_" for c in words)
    if not plain.strip("."):  # would be a folder above
        plain = "_" * len(plain)
    # A name has at most 255 bytes, with the seed, the ending and whatever stands around.
    return plain.encode()[:NAME_LIMIT].decode(errors="ignore") or "empty"
