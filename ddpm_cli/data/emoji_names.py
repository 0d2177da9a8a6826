"""Captions of emoji from their code points: Unicode's names, and what people call them."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import PurePosixPath
from typing import NamedTuple

from ddpm_cli.data.emoji_tables import COLOURS, FLAGS, NEWER

JOINER, KEYCAP, EMOJI_STYLE, TEXT_STYLE = 0x200D, 0x20E3, 0xFE0F, 0xFE0E
TONES = {
    0x1F3FB: "light",
    0x1F3FC: "medium-light",
    0x1F3FD: "medium",
    0x1F3FE: "medium-dark",
    0x1F3FF: "dark",
}
GENDERS = {0x2640: "woman", 0x2642: "man"}
ADULT, BALD = 0x1F9D1, 0x1F9B2
RIGHT, HEART, KISS, CLASPED, BLACK_FLAG = 0x27A1, 0x2764, 0x1F48B, 0x1F91D, 0x1F3F4
REGIONS = range(0x1F1E6, 0x1F200)
TAGS = range(0xE0020, 0xE007F)  # tags of ASCII characters; the next code point ends them
SQUARES = {0x2B1B: "black", 0x1F7E9: "green", 0x1F7EB: "brown"}  # they give animals a colour
PEOPLE = {
    0x1F468: "man",
    0x1F469: "woman",
    ADULT: "adult",
    0x1F466: "boy",
    0x1F467: "girl",
    0x1F9D2: "child",
    0x1F476: "baby",
}
# What begins an emoji: keycaps, two signs, symbols, and the planes of pictures.
DRAWN = (range(0x23, 0x3A), range(0xA9, 0xAF), range(0x203C, 0x329A), range(0x1F004, 0x1FB00))
# What people with these things do.
ROLES = {
    0x1F33E: "farmer",
    0x1F373: "cook",
    0x1F393: "student",
    0x1F3A4: "singer",
    0x1F3A8: "artist",
    0x1F3EB: "teacher",
    0x1F3ED: "factory worker",
    0x1F4BB: "technologist",
    0x1F4BC: "office worker",
    0x1F527: "mechanic",
    0x1F52C: "scientist",
    0x1F680: "astronaut",
    0x1F692: "firefighter",
    0x2695: "health worker",
    0x2696: "judge",
    0x2708: "pilot",
}
_POINTS = re.compile(
    r"(?:emoji_)?(?:u\+?)?([0-9a-f]{2,6}(?:[-_ ](?:u\+?)?[0-9a-f]{2,6})*)", re.IGNORECASE
)
_PERSON = re.compile(r"\b(?:person|man|woman)\b")


class Element(NamedTuple):
    """A part of a sequence, between two joiners: its code point and its skin tone, if any."""

    point: int
    tone: str = ""


class Name(NamedTuple):
    """What a sequence is called: by Unicode's names alone, and as people call it.

    is_thing: it has no skin, and is no flag, whose colours are not said.
    """

    formal: str
    usual: str
    is_thing: bool


def is_set(names: Iterable[str]) -> bool:
    """Whether files are emoji by all of their names, and not numbered ones."""
    found = [(name, points(name)) for name in names]
    first = [numbers[0] for _, numbers in found if numbers]
    lettered = [re.search("[a-f]", PurePosixPath(name).stem, re.IGNORECASE) for name, _ in found]
    are_known = len(first) == len(found) and all(any(p in r for r in DRAWN) for p in first)
    return are_known and 2 * sum(map(bool, lettered)) >= len(found) > 0


def points(name: str) -> list[int] | None:
    """The code points that a file is named by, as 1f600.png, emoji_u1f600.png or U+1F600.png."""
    match = _POINTS.fullmatch(PurePosixPath(name).stem)
    if match is None:
        return None
    found = [int(part.lstrip("uU+"), 16) for part in re.split(r"[-_ ]", match[1])]
    return found if max(found) <= 0x10FFFF else None


def spelled(sequence: Sequence[int]) -> Name | None:
    """The names of a sequence of code points in small letters; None if Unicode has none for it.

    1f469-1f3fd-200d-1f33e is "woman with ear of rice, medium skin tone", or "woman farmer, medium
    skin tone".
    """
    shown = [point for point in sequence if point not in (EMOJI_STYLE, TEXT_STYLE)]
    if (flag := _flag(shown)) is not None:
        return Name(flag, flag, is_thing=False)
    if shown[-1:] == [KEYCAP]:
        key = f"keycap {' '.join(map(_named, shown[:-1]))}"
        return Name(key, key, is_thing=True)
    elements = _elements(shown)
    if not elements or not all(_named(element.point) for element in elements):
        return None
    crowd = _crowd(elements)
    if crowd:
        return Name(crowd, re.sub(r"\badult\b", "person", crowd), is_thing=False)
    is_person = elements[0].point in PEOPLE or any(element.tone for element in elements)
    return Name(_single(elements), _single(elements, is_usual=True), is_thing=not is_person)


def captions(name: Name, colour: str | None) -> list[str]:
    """The captions of a picture, the usual one first, with the colour that most of it has.

    Most names are older than colours: black and white tell filled shapes from outlines, and heavy
    ones are bold. So the usual caption of a thing leaves out heavy, and black or white unless
    that is the picture's colour, and begins with the colour if no other is left: U+2764, HEAVY
    BLACK HEART, is "red heart".
    """
    if not name.is_thing:
        return [*dict.fromkeys([name.usual, name.formal])]
    wrong = {"heavy", "black", "white"} - {colour}
    words = [word for word in name.usual.split() if word not in wrong] or [name.usual]
    if colour and not set(words) & set(COLOURS):
        words = [colour, *words]
    return [*dict.fromkeys([" ".join(words), name.formal])]


def _single(elements: Sequence[Element], *, is_usual: bool = False) -> str:
    """One thing or person, with what follows it: a gender, a role, a colour, or something else."""
    first, *rest = elements
    tones = [element.tone for element in elements if element.tone]
    say = _told if len(tones) > 1 else _bare
    words, ends = say(first), list[str]()
    if is_usual and first.point == ADULT:
        words = words.replace("adult", "person")
    for element in rest:
        if gender := GENDERS.get(element.point):
            words = _gendered(words, gender)
        elif square := SQUARES.get(element.point):
            words = f"{square} {words}"
        elif element.point == BALD:
            words = f"bald {words}"
        elif is_usual and element.point in ROLES and first.point in PEOPLE:
            words = f"{words} {ROLES[element.point]}".removeprefix("person ")
        elif element.point == RIGHT:
            ends.append(" facing right")
        else:
            words += f" with {say(element)}"
    end = f", {tones[0]} skin tone" if len(tones) == 1 else ""
    return "".join([words, *ends, end])


def _gendered(words: str, gender: str) -> str:
    """Words of a person as of a woman or a man."""
    changed, count = _PERSON.subn(gender, words, count=1)
    return changed if count else f"{gender} {words}"


def _crowd(elements: Sequence[Element]) -> str:
    """Several people: a family, two that hold hands, kiss or are in love; nothing of others."""
    people = [_told(element) for element in elements if element.point in PEOPLE]
    between = [element.point for element in elements if element.point not in PEOPLE]
    if len(people) < 2:
        return ""
    all_of_them = f"{', '.join(people[:-1])} and {people[-1]}"
    if not between:
        return f"family of {all_of_them}"
    if between == [CLASPED]:
        return f"{all_of_them} holding hands"
    if between == [HEART, KISS]:
        return f"kiss of {all_of_them}"
    return f"couple with heart of {all_of_them}" if between == [HEART] else ""


def _bare(element: Element) -> str:
    return PEOPLE.get(element.point) or _named(element.point)


def _told(element: Element) -> str:
    """The name of an element, with its skin tone if it has one."""
    return _bare(element) + (f" with {element.tone} skin tone" if element.tone else "")


def _elements(sequence: Sequence[int]) -> list[Element]:
    """The parts of a sequence between joiners; marks that only choose a look are left out."""
    found: list[Element] = []
    is_open = False
    for point in sequence:
        if point == JOINER:
            is_open = False
        elif point in TONES and is_open and not found[-1].tone:
            found[-1] = found[-1]._replace(tone=TONES[point])
        else:
            found.append(Element(point))
            is_open = True
    return found


def _flag(sequence: Sequence[int]) -> str | None:
    """The flag that two regional indicators mean, or tags behind a black flag."""
    if len(sequence) == 2 and all(point in REGIONS for point in sequence):
        letters = "".join(chr(point - REGIONS.start + ord("a")) for point in sequence)
    elif len(sequence) > 2 and sequence[0] == BLACK_FLAG and sequence[1] in TAGS:
        letters = "".join(chr(point - 0xE0000) for point in sequence[1:] if point in TAGS)
    else:
        return None
    return f"flag of {_table(FLAGS).get(letters, letters)}"


@cache
def _named(point: int) -> str:
    """Unicode's name of a code point in small letters, without what says that it is an emoji."""
    if point in TONES:
        return f"{TONES[point]} skin tone"
    if point in REGIONS:
        return f"letter {chr(point - REGIONS.start + ord('a'))}"
    name = unicodedata.name(chr(point), "").lower() or _table(NEWER).get(f"{point:x}", "")
    return name.removeprefix("emoji component ")


@cache
def _table(text: str) -> dict[str, str]:
    """A table of `emoji_tables` by its keys."""
    entries = (entry.partition(" ") for entry in " ".join(text.split()).split("; "))
    return {key: name for key, _, name in entries}
