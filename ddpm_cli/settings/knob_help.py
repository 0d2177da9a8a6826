"""What the docstring of a component says of each of its settings, as `name: what; other: what`."""

import re
from collections.abc import Iterable

# One name or several, behind the start, a full stop or a semicolon: what follows is about them.
_NAMES = re.compile(r"(?:^|(?<=[.;]) ?|(?<=[.;] ))([a-z_][a-z0-9_]*(?:, [a-z_][a-z0-9_]*)*): ")


def sentences(docstring: str, parameters: Iterable[str]) -> dict[str, str]:
    """What is said of each of the parameters; those of which nothing is are left out."""
    wanted, text = set(parameters), " ".join(docstring.split())
    found = dict[str, str]()
    places = [match for match in _NAMES.finditer(text) if wanted & {*match[1].split(", ")}]
    for number, match in enumerate(places):
        end = places[number + 1].start() if number + 1 < len(places) else len(text)
        for name in match[1].split(", "):
            if name in wanted:
                found.setdefault(name, text[match.end() : end].strip().rstrip(".; "))
    return found
