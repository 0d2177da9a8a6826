"""What images are told by their seeds: turns, what must be told, and what guidance flees."""

from typing import Any

import pytest
import torch

from ddpm_cli.errors import ConfigError
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.files.quantities import Quantities
from ddpm_cli.models.asked import Asked
from ddpm_cli.networks.conditions.text import text
from ddpm_cli.settings.config import Config, Layer, resolve
from ddpm_cli.settings.request_parts import Use

KNOWN = Quantities(("age", "size"), (50.0, 2.0), (20.0, 1.0), (20.0, 0.0), (80.0, 4.0))
INFO = DataInfo((2,), ("cat", "dog"), values=KNOWN)


def config(classes: int = 2, **tables: Any) -> Config:
    """A model of classes, and of what the tables say."""
    network = {"name": "mlp"} | ({"classes": classes} if classes else {})
    return resolve([Layer("", {"network": network, **tables})])


ALWAYS = {"drop": 0.0, "drop_each": 0.0}
BOTH = config(values={}, text={"length": 8})


def test_combinations_take_turns_numbers_fastest_and_classes_slowest() -> None:
    use = Use(values=["age=20,30", "size=1:2:1"], texts=["a", "b"])
    asked = Asked.of(use, BOTH, INFO, "cat,dog")
    assert asked.count() == 16
    seeds = range(18)
    assert asked.names(seeds) == [*["cat"] * 8, *["dog"] * 8, *["cat"] * 2]
    assert [asked.text(seed) for seed in range(9)] == [*"aaaabbbba"]
    told = [(asked.told(seed)["age"], asked.told(seed)["size"]) for seed in range(5)]
    assert told == [(20, 1), (20, 2), (30, 1), (30, 2), (20, 1)]
    seen = asked.conditions([0, 5, 17])
    assert seen["classes"].tolist() == [0, 0, 0]
    assert seen["values"].tolist() == [[-1.5, -1.0], [-1.5, 0.0], [-1.5, 0.0]]
    assert torch.equal(seen["text"], text(length=8).rows(["a", "b", "a"]))
    assert asked.alone(9) == {"text": "a", "values": {"age": 20.0, "size": 2.0}, "class": "dog"}
    again = Asked.of(Use(values=["age=20", "size=2"], texts=["a"]), BOTH, INFO, "dog")
    for kind, rows in again.conditions([9]).items():
        assert torch.equal(rows, asked.conditions([9])[kind])


def test_a_class_that_seeds_draw_is_theirs_whatever_takes_turns() -> None:
    plain = Asked.of(Use(), BOTH, INFO)
    turning = Asked.of(Use(texts=["a", "b", "c"]), BOTH, INFO)
    assert turning.names(range(20)) == plain.names(range(20))
    assert turning.count() == 3
    assert "class" not in turning.alone(1)


def test_what_is_not_told_is_left_out_or_nan() -> None:
    asked = Asked.of(Use(), BOTH, INFO)
    assert [*asked.conditions([0])] == ["classes"]
    assert asked.record == {"text": None, "values": {"age": None, "size": None}}
    one = Asked.of(Use(values=["size=2"]), BOTH, INFO).conditions([0, 1])["values"]
    assert one.isnan().tolist() == [[True, False]] * 2
    none = Asked.of(Use(values=["size=none", "age=none"]), BOTH, INFO)
    assert [*none.conditions([0])] == ["classes"]
    plain = Asked.of(Use(), config(), INFO)
    assert (plain.record, plain.alone(3)) == ({}, {})


@pytest.mark.parametrize(
    ("use", "tables", "said"),
    [
        (Use(texts=["a"]), {}, "--text: this model was trained without texts"),
        (Use(negative="a"), {}, "--negative: this model was trained without texts"),
        (Use(values=["age=3"]), {}, "--value: this model was trained without values"),
        (Use(), {"text": {"drop": 0.0}}, r"always told a text \(text.drop=0\); give one, as --te"),
        (Use(values=["age=30"]), {"values": ALWAYS}, r"--value size: .* as --value size=2"),
        (Use(negative="a", texts=["b"]), {"text": {}}, "--negative: of no use without classifier"),
    ],
)
def test_what_cannot_be_told_and_what_must_be_are_refused(
    use: Use, tables: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        Asked.of(use, config(**tables), INFO)


def test_guidance_pulls_towards_something() -> None:
    towards = config(0, values={}, text={}, guidance={"scale": 3.0})
    info = INFO._replace(classes=None)
    with pytest.raises(ConfigError, match=r"nothing is; give --value or --text, or --set"):
        Asked.of(Use(), towards, info)
    with pytest.raises(ConfigError, match="nothing is"):
        Asked.of(Use(values=["age=none"]), towards, info)
    asked = Asked.of(Use(texts=["a"], negative="b"), towards, info)
    assert torch.equal(asked.against([0, 1])["text"], text().rows(["b", "b"]))
    with_class = config(text={}, guidance={"scale": 3.0})
    Asked.of(Use(), with_class, INFO)
    Asked.of(Use(texts=["a"]), with_class, INFO, "none")
    with pytest.raises(ConfigError, match="nothing is; give --text"):
        Asked.of(Use(), with_class, INFO, "none")


def test_numbers_beyond_training_are_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    Asked.of(Use(values=["age=30,120"]), BOTH, INFO)
    assert "--value age=120: training saw 20 to 80" in capsys.readouterr().err
    with pytest.raises(ConfigError, match=r"age=1e\+300: far from what training saw, 20 to 80"):
        Asked.of(Use(values=["age=30,1e300"]), BOTH, INFO)


def test_images_that_are_there_are_told_the_same() -> None:
    with pytest.raises(ConfigError, match="--text: 2 texts; give one"):
        Asked.given(Use(texts=["a", "b"]), BOTH, INFO)
    with pytest.raises(ConfigError, match="--value age: 3 numbers; give one"):
        Asked.given(Use(values=["age=1:3:1"]), BOTH, INFO)
    assert Asked.given(Use(texts=["a"]), BOTH, INFO).names([0]) == ["none"]
