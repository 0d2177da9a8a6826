"""Which class each image gets: names, numbers, ranges, all in turn."""

import pytest

from ddpm_cli.data.class_tables import in_order
from ddpm_cli.errors import ConfigError
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.models import classes
from ddpm_cli.settings.config import resolve

PETS = ["cat", "dog", "T-shirt/top", "salt, pepper", "0-9"]
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
        ("cat,salt, pepper,1", [0, 3, 1]),
        ("0-9", [4]),  # a name before a range of places
        ("0-9,0-1", [4, 0, 1]),
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


CITIES = ["Lyon", "New York, NY", 'the "old" one']


@pytest.mark.parametrize(
    ("label", "numbers"),
    [
        ("New York, NY", [1]),
        ('"New York, NY"', [1]),
        ('Lyon,"New York, NY"', [0, 1]),
        ('"New York, NY", "the ""old"" one"', [1, 2]),
        ('Lyon,the "old" one', [0, 2]),
        ('the "old" one', [2]),
    ],
)
def test_names_with_commas_and_quotes(label: str, numbers: list[int]) -> None:
    assert classes.listed(label, CITIES) == numbers


def test_they_are_said_as_they_may_be_typed(capsys: pytest.CaptureFixture[str]) -> None:
    config = CONFIG | {"network": {"name": "unet", "classes": 3}}
    classes.say("all", config, DataInfo((1, 8, 8), classes=tuple(CITIES)))
    said = capsys.readouterr().err.removeprefix("classes: ").rstrip("\n")
    assert said == 'Lyon, "New York, NY", "the ""old"" one"'
    assert classes.listed(said, CITIES) == [0, 1, 2]
    with pytest.raises(ConfigError, match='did you mean "New York, NY"'):
        classes.listed("new york", CITIES)


MONTHS = list(in_order([str(month) for month in range(1, 13)]))
ANGLES = list(in_order(["0", "90", "180", "270", "1000"]))
SIGNED = list(in_order(["0.5", "-1", "0", "1e3"]))
PADDED = list(in_order(["001", "010", "002", "007"]))
MIXED = list(in_order(["1", "10", "2", "cat"]))


@pytest.mark.parametrize(
    ("names", "label", "chosen"),
    [
        (MONTHS, "1-3", "1 2 3"),
        (MONTHS, "12", "12"),
        (MONTHS, "10, 2 - 3", "10 2 3"),
        (sorted(MONTHS), "1-3", "1 2 3"),  # a checkpoint in the order of letters
        (ANGLES, "0-200", "0 90 180"),
        (ANGLES, "90-1000", "90 180 270 1000"),
        (SIGNED, "-1", "-1"),
        (SIGNED, "-1-0.5", "-1 0 0.5"),
        (SIGNED, "-1--1,1e3", "-1 1e3"),
        (PADDED, "1-7", "001 002 007"),
        (PADDED, "010", "010"),
        (MIXED, "1-2,cat", "1 2 cat"),
    ],
)
def test_numbers_that_are_names_mean_names(names: list[str], label: str, chosen: str) -> None:
    assert [names[number] for number in classes.listed(label, names)] == chosen.split()


@pytest.mark.parametrize(
    ("names", "label", "fix"),
    [
        (MONTHS, "0", "did you mean 1?"),
        (MONTHS, "0-2", "the names go from 1 to 12"),
        (MONTHS, "13", "did you mean 12?"),
        (MONTHS, "3-1", "a range runs upwards"),
        (MONTHS, "1,-1", "did you mean 1?"),
        (ANGLES, "1", "did you mean 0 or 90?"),
        (ANGLES, "1-4", "did you mean 0 or 90?"),
        (MONTHS, "1.0", "did you mean 1?"),
        (PADDED, "7", "did you mean 007?"),
        (MIXED, "0", "did you mean 1?"),
        (MONTHS, "May", "choose from 1, 10"),
    ],
)
def test_places_are_refused_where_names_are_numbers(
    names: list[str], label: str, fix: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        classes.listed(label, names)
    assert caught.value.message.startswith("--class: no class is named ")
    assert fix in caught.value.message


@pytest.mark.parametrize(
    ("label", "said"),
    [
        ("0-1,0-9", "classes: cat, dog, 0-9\n"),
        ("none", "classes: none\n"),
        (None, ""),
        ("own", ""),
    ],
)
def test_the_chosen_classes_are_said(
    label: str | None, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    classes.say(label, CONFIG, INFO)
    assert capsys.readouterr().err == said


def test_of_many_classes_some_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    config = CONFIG | {"network": {"name": "unet", "classes": 100}}
    classes.say("all", config, DataInfo((1, 8, 8)))
    assert capsys.readouterr().err.endswith("18, 19, ... (100 in all)\n")


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


def test_all_and_none_among_others() -> None:
    assert classes.listed("all,1", ["cat", "dog"]) == [0, 1, 1]
    with pytest.raises(ConfigError, match="none is no class, and stands alone"):
        classes.listed("dog,none", ["cat", "dog"])
