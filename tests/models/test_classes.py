"""Which class each image gets: names, numbers, ranges, all in turn."""

import pytest

from ddpm_cli.errors import ConfigError
from ddpm_cli.files.checkpoints.header import DataInfo
from ddpm_cli.models import classes
from ddpm_cli.settings.config import resolve

PETS = ["cat", "dog", "T-shirt/top", "salt, pepper", "7"]
CONFIG = resolve([]) | {"network": {"name": "unet", "classes": 5}}
INFO = DataInfo((1, 8, 8), tuple(PETS))


@pytest.mark.parametrize(
    ("label", "numbers"),
    [
        ("cat", [0]),
        ("1", [1]),
        ("0-2", [0, 1, 2]),
        ("0-1,4", [0, 1, 4]),
        ("dog, cat", [1, 0]),
        ("T-shirt/top", [2]),
        ("salt, pepper", [3]),
        ("7", [4]),  # a name before a number
        ("all", [0, 1, 2, 3, 4]),
        ("none", [5]),
    ],
)
def test_names_numbers_and_ranges(label: str, numbers: list[int]) -> None:
    assert classes.listed(label, PETS) == numbers


@pytest.mark.parametrize(
    "label", ["", "bird", "5", "0-5", "2-1", "-1", "1-", "cat,", "1--2", "9" * 40, "²"]
)
def test_others_are_refused_with_the_nearest_name(label: str) -> None:
    with pytest.raises(ConfigError, match=r"^--class: no class is named"):
        classes.listed(label, PETS)


def test_classes_take_turns_by_seed() -> None:
    """Image i of a larger batch, or alone, is of the same class."""
    whole = classes.names("cat,dog", CONFIG, INFO, range(5))
    assert whole == ["cat", "dog", "cat", "dog", "cat"]
    assert classes.names("cat,dog", CONFIG, INFO, [3]) == ["dog"]


def test_the_null_class_is_not_among_all() -> None:
    assert "none" not in (classes.names("all", CONFIG, INFO, range(5)) or [])
    assert classes.names("none", CONFIG, INFO, [0]) == ["none"]


def test_guidance_from_the_null_class_to_itself_is_refused() -> None:
    guided = CONFIG | {"guidance": {"scale": 2.0}}
    with pytest.raises(ConfigError, match="name one"):
        classes.numbers("none", [0], guided, INFO)
    assert classes.numbers("cat", [0], guided, INFO) == [0]


def test_one_class_where_images_belong_together() -> None:
    with pytest.raises(ConfigError, match="several classes; give one"):
        classes.one("cat,dog", CONFIG, INFO)
    for label in ("cat", "none", None):
        classes.one(label, CONFIG, INFO)
