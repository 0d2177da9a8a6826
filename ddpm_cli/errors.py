"""The failures a user can cause: each is one `Error: FILE or KEY: what` line with its fix."""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches


class Refusal(Exception):
    """A run cannot go on (exit 1): bad data, corrupt file, full disk, busy folder, no device.

    `what` names the file or key first; up to two `hints` say why and what to do.
    """

    exit_code = 1

    def __init__(self, what: str, *hints: str) -> None:
        super().__init__(what, *hints)
        self.message = "\n".join(map(one_line, self.args))

    def __str__(self) -> str:
        return self.message


class ConfigError(ValueError):
    """Settings or arguments are wrong (exit 2): every problem is one line, `KEY: what; fix`.

    hints: up to two lines more, where the fix takes them or is that of all problems.
    """

    exit_code = 2

    def __init__(self, *problems: str, hints: Sequence[str] = ()) -> None:
        super().__init__(*problems)
        self.problems = tuple(map(one_line, problems))
        self.hints = tuple(map(one_line, hints))
        self.message = "\n".join(self.problems + self.hints)

    def __str__(self) -> str:
        return self.message


class PartialFailure(Exception):
    """Some inputs of a batch failed and the rest was written (exit 3)."""

    exit_code = 3

    def __init__(self, what: str, *hints: str) -> None:
        super().__init__(what, *hints)
        self.message = "\n".join(map(one_line, self.args))

    def __str__(self) -> str:
        return self.message


def missing_extra(package: str, extra: str) -> Refusal:
    """Return the refusal of a feature whose optional package is not installed."""
    return Refusal(f"{package} is not installed", f"type: pip install 'ddpm-cli[{extra}]'")


@contextmanager
def importing(package: str, extra: str) -> Iterator[None]:
    """Refuse what stands on an optional package that is missing, or that breaks on its way in."""
    try:
        yield
    except ImportError:
        raise missing_extra(package, extra) from None
    except (RuntimeError, OSError, AttributeError) as fault:
        why = (str(fault).splitlines() or [""])[0]
        fix = "torch and torchvision must fit each other: pip install -U torch torchvision"
        raise Refusal(f"{package} cannot be imported: {why}", fix) from fault


def one_line(text: str) -> str:
    """Escape what a terminal cannot show, so that a file name never breaks a message.

    Newlines, control characters and undecodable bytes become backslash escapes.
    """
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode()
        for c in text
    )


def many(count: int, nouns: str) -> str:
    """A number of things in words, as 1 file or 2 files; nouns: their plural, which ends in s."""
    return f"{count} {nouns.removesuffix('s') if count == 1 else nouns}"


# Control characters, and those that break a line or turn its direction of writing round.
_STEERING = re.compile("[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def visible(text: str, kept: str = "\n\t") -> str:
    """Escape what steers a terminal or reverses what is read, but for the characters `kept`.

    Letters of all languages and undecodable bytes of a path stay as they are.
    """
    return _STEERING.sub(lambda match: match[0] if match[0] in kept else one_line(match[0]), text)


def spelled(name: str, marks: str = ',"') -> str:
    """A name among others, between double quotes, as in .csv files, where it has such marks."""
    if name and name == name.strip() and not {*marks} & {*name}:
        return name
    return '"' + name.replace('"', '""') + '"'


def nearest(name: str, choices: Iterable[str]) -> str:
    """Say which of the choices was meant, or list them: the fix part of a message."""
    legal = sorted(choices)
    meant = get_close_matches(name.lower(), legal, n=1, cutoff=0.5)
    if meant:
        return f"did you mean {spelled(meant[0])}?"
    if not legal:
        return "there is none to choose from"
    shown = ", ".join(map(spelled, legal[:12])) + (", ..." if len(legal) > 12 else "")
    return f"choose from {shown}"
