"""Names of files of samples."""

from pathlib import Path

import pytest

from ddpm_cli.errors import ConfigError
from ddpm_cli.files.outputs.naming import Naming

TOLD = [{"text": "red heart", "values": {"age": 20.0}}, {"text": "..", "values": {"age": None}}]
NAMING = Naming(
    lambda seeds: [f"c{seed}" for seed in seeds], lambda seed: TOLD[seed], ["age", "a b"]
)


@pytest.mark.parametrize(
    ("template", "names"),
    [
        ("{seed}.png", ["000000.png", "000001.png"]),
        ("{{{class}}}.png", ["{c0}.png", "{c1}.png"]),
        ("{text}/{age}.png", ["red_heart/20.png", "__/none.png"]),
        ("{a b}-{seed}.png", ["none-000000.png", "none-000001.png"]),
    ],
)
def test_fields(template: str, names: list[str]) -> None:
    assert [NAMING.path(template, seed) for seed in (0, 1)] == [Path(name) for name in names]


def test_places(tmp_path: Path) -> None:
    assert NAMING.template("-") is NAMING.template("x.png") is None
    assert NAMING.template("{age}.png") == "{age}.png"
    for folder in ("new", "new/", "{text}/", str(tmp_path)):
        assert NAMING.template(folder) == str(Path(folder) / "{seed}.png")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("\u2764\ufe0f heart", "\u2764\ufe0f_heart"),
        ("\U0001f469\u200d\U0001f33e", "\U0001f469\u200d\U0001f33e"),
        ("\u7ea2\u5fc3", "\u7ea2\u5fc3"),
        ("a/b\\c:d\u202e\n\0", "a_b_c_d___"),
        ("..", "__"),
    ],
)
def test_letters_and_symbols_of_any_script_stay(text: str, name: str) -> None:
    naming = Naming(alone=lambda seed: {"text": text})
    assert naming.path("{text}.png", 0) == Path(f"{name}.png")


@pytest.mark.parametrize("place", ["x{.png", "x}.png"])
def test_braces_stand_in_pairs(place: str) -> None:
    with pytest.raises(ConfigError, match="a brace without its other one"):
        Naming().fields(place)


def test_names_that_are_shared_are_refused() -> None:
    NAMING.refuse_shared("{text}.png", [0, 1])
    NAMING.refuse_shared("x.png", [0, 1])
    with pytest.raises(ConfigError, match=r"seeds 0 and 1 would both become none\.png"):
        NAMING.refuse_shared("{a b}.png", [0, 1])
    with pytest.raises(ConfigError, match=r"no field {b}; use {seed} or {class}"):
        Naming().path("{b}.png", 0)
