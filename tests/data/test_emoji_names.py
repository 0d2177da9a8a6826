"""Captions of emoji: what their code points say, and what people call them."""

import sys
import unicodedata

import pytest

from ddpm_cli.data import emoji_names
from ddpm_cli.data.emoji_tables import FLAGS, NEWER


def usual(stem: str, colour: str | None = None) -> str:
    """The first caption of a file of this stem."""
    return both(stem, colour)[0]


def both(stem: str, colour: str | None = None) -> list[str]:
    """All captions of a file of this stem."""
    name = emoji_names.spelled(emoji_names.points(f"{stem}.png") or [])
    assert name is not None
    return emoji_names.captions(name, colour)


@pytest.mark.parametrize(
    "stem", ["2764-fe0f", "emoji_u2764", "U+2764", "2764_FE0F", "folder/2764", "U+2764 U+FE0F"]
)
def test_file_names_of_several_projects(stem: str) -> None:
    assert both(stem, "red") == ["red heart", "heavy black heart"]


@pytest.mark.parametrize("stem", ["cat", "2764-heart", "image_0001x", "110000", "a"])
def test_names_that_are_no_code_points(stem: str) -> None:
    assert emoji_names.points(f"{stem}.png") is None


@pytest.mark.parametrize(
    ("stem", "colour", "caption"),
    [
        ("1f499", "blue", "blue heart"),
        ("1f5a4", "black", "black heart"),
        ("2b1b", "black", "black large square"),
        ("25fb-fe0f", "white", "white medium square"),
        ("2665-fe0f", "red", "red heart suit"),
        ("2764-fe0f-200d-1f525", None, "heart with fire"),
        ("1f4d5", "red", "red closed book"),
        ("1f534", "red", "large red circle"),
        ("1f438", "green", "green frog face"),
        ("1f408-200d-2b1b", "black", "black cat"),
        ("1f43b-200d-2744-fe0f", "white", "white bear face with snowflake"),
        ("0037-fe0f-20e3", "blue", "blue keycap digit seven"),
        ("1f44b-1f3fb", "white", "waving hand sign, light skin tone"),
        ("1f469-1f3fd-200d-1f33e", None, "woman farmer, medium skin tone"),
        ("1f9d1-200d-2695-fe0f", None, "health worker"),
        ("1f938-1f3ff-200d-2640-fe0f", None, "woman doing cartwheel, dark skin tone"),
        ("1f6b6-200d-2642-fe0f-200d-27a1-fe0f", None, "man pedestrian facing right"),
        ("1f468-200d-1f9b2", None, "bald man"),
        ("1f469-200d-1f9b0", None, "woman with red hair"),
        ("1f468-200d-1f469-200d-1f466", None, "family of man, woman and boy"),
        (
            "1f9d1-1f3fb-200d-2764-fe0f-200d-1f48b-200d-1f9d1-1f3fd",
            None,
            "kiss of person with light skin tone and person with medium skin tone",
        ),
        (
            "1faf1-1f3fb-200d-1faf2-1f3ff",
            None,
            "rightwards hand with light skin tone with leftwards hand with dark skin tone",
        ),
        ("1f1eb-1f1f7", "blue", "flag of france"),
        ("1f1ff-1f1ff", None, "flag of zz"),
        ("1f3f4-e0067-e0062-e0077-e006c-e0073-e007f", None, "flag of wales"),
        ("1f1f6", "blue", "blue letter q"),
        ("1f3fc", None, "medium-light skin tone"),
        ("1fa77", "pink", "pink heart"),
    ],
)
def test_usual_caption(stem: str, colour: str | None, caption: str) -> None:
    assert usual(stem, colour) == caption


def test_formal_caption_has_the_words_of_unicode() -> None:
    assert both("1f9d1-200d-1f52c")[1] == "adult with microscope"
    assert both("1f44b-1f3fb") == ["waving hand sign, light skin tone"]


def test_code_points_without_a_name() -> None:
    assert emoji_names.spelled([0x1FAFF]) is None
    assert emoji_names.spelled([]) is None


def test_tables_agree_with_what_python_knows() -> None:
    names = emoji_names._table(NEWER)
    for key, name in names.items():
        known = unicodedata.name(chr(int(key, 16)), None)
        assert known is None or known.lower() == name
        assert known or sys.version_info < (3, 14) or key
    assert len(emoji_names._table(FLAGS)) == 249 + 10 + 3
