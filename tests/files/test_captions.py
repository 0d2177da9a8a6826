"""What stands below an image: any key of its record, found under its name or its table's."""

import pytest

from ddpm_cli.errors import ConfigError
from ddpm_cli.files import captions

RECORD = {
    "version": "1",
    "model": "mnist",
    "seed": 3,
    "class": "7",
    "inputs": ["a.png", "b.png"],
    "batch": 64,
    "arguments": ["--zoom", "2"],
    "settings": {
        "sampler": {"name": "ddim", "eta": 0.5, "clip": True},
        "levels": {"name": "karras", "count": 50, "rho": 7.0},
        "guidance": {"name": "constant", "scale": 2.0, "rho": 1.0},
        "wrappers": [{"name": "clamp"}, {"name": "threshold"}],
    },
}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed", 3),
        ("class", "7"),
        ("sampler", "ddim"),
        ("sampler.eta", 0.5),
        ("eta", 0.5),
        ("scale", 2.0),
        ("steps", 50),
        ("levels", "karras"),
        ("wrappers", ["clamp", "threshold"]),
        ("rho", None),  # two tables have one
        ("levels.rho", 7.0),
        ("nothing", None),
        ("settings", None),
        ("arguments", None),
    ],
)
def test_a_key_is_found(key: str, value: object) -> None:
    assert captions.value(RECORD, key) == value


def test_numbers_beside_others_say_what_they_are() -> None:
    keys = ("seed", "class", "guidance.scale", "sampler.clip", "inputs", "nothing")
    expected = ("seed 3", "7", "scale 2", "clip yes", "a.png b.png", "")
    assert captions.caption(RECORD, keys) == expected
    assert captions.caption(RECORD, ("seed",)) == ("3",)
    assert captions.caption({"settings": "odd", "class": None}, ("class",)) == ("",)


def test_a_key_that_no_image_has_is_refused_with_the_next_one() -> None:
    captions.refuse_unknown([RECORD], ("eta", "seed"), "--labels")
    captions.refuse_unknown([{"seed": 1}, RECORD], ("eta", "seed"), "--labels")
    with pytest.raises(ConfigError, match=r"--labels sede: no image says its sede; .* seed"):
        captions.refuse_unknown([RECORD], ("sede",), "--labels")
    with pytest.raises(ConfigError, match="step"):
        captions.refuse(RECORD, ("step",))
