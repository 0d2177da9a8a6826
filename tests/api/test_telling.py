"""What Python tells a model: the same as the command line, for all images or one for each."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import random_models
import torch
from runs import ddpm
from safetensors.torch import load_file
from torch import Tensor

import ddpm_cli
from ddpm_cli import Model
from ddpm_cli.files.quantities import Quantities

KNOWN = Quantities(("age", "weight"), (50.0, 70.0), (20.0, 10.0), (20.0, 50.0), (80.0, 90.0))
TEXT = {"length": 16, "width": 8, "depth": 1, "heads": 2}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that is told classes, two numbers and a text, with random weights."""
    network = random_models.UNET | {"classes": 2}
    return random_models.saved(
        tmp_path_factory.mktemp("models") / "told.safetensors",
        network,
        classes=("cat", "dog"),
        known=KNOWN,
        values={},
        text=TEXT,
    )


@pytest.fixture(scope="module")
def model(path: Path) -> Model:
    return load(path)


def load(path: Path, **settings: Any) -> Model:
    return ddpm_cli.load(str(path), settings=settings, device="cpu", dtype="float32")


def test_samples_are_those_of_the_command_line(
    path: Path, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("--text", "red heart", "--value", "age=20:80:30", "--class", "dog")
    assert (
        ddpm("sample", "-m", path, *words, "--dtype", "float32", "-o", "a.safetensors").code == 0
    )
    drawn = load_file("a.safetensors")["samples"]
    mine = model.sample(range(3), "dog", values={"age": [20, 50, 80]}, text="red heart")
    assert torch.equal(mine, drawn)


def test_forms_of_the_same_are_the_same(model: Model) -> None:
    by_name = model.sample([0, 1], "cat", values={"age": 37}, text="a")
    arrays: list[Any] = [
        torch.tensor([37.0, float("nan")]),
        np.array([[37.0, np.nan]] * 2),
        {"age": torch.tensor([37, 37]), "weight": None},
        {"age": torch.tensor(37)},
    ]
    for values in arrays:
        assert torch.equal(model.sample([0, 1], "cat", values=values, text=["a", "a"]), by_name)
    rows = torch.full((2, 16), -1, dtype=torch.int16)
    rows[:, :2] = torch.tensor([256, ord("a")])
    assert torch.equal(model.sample([0, 1], "cat", values={"age": 37}, text=rows), by_name)
    one = model.sample(1, "cat", values={"age": 37}, text="a")
    assert torch.allclose(one, by_name[1:], atol=1e-5)


def test_each_verb_tells(path: Path, model: Model) -> None:
    x = model.sample([0, 1], "cat")
    told: dict[str, Any] = {"values": {"age": [20, 30]}, "text": ["a", None]}
    calls = {
        "encode": lambda **more: model.encode(x, **more),
        "decode": lambda **more: model.decode(x, **more),
        "inpaint": lambda **more: model.inpaint(x, torch.ones(8, 8).triu(), **more),
        "upscale": lambda **more: model.upscale(x[..., ::2, ::2], factor=2, **more),
        "nll": lambda **more: model.nll(x, settings={"levels.count": 4}, **more),
        "denoise": lambda **more: model.denoise(x, 1.0, **more).x0,
        "walk": lambda **more: [state.x for state in model.walk([0, 1], "cat", **more)][-1],
    }
    for name, call in calls.items():
        assert (call(**told) != call()).reshape(2, -1).any(1).all(), name
    guided = model.guide([0, 1], "none", scale=3.0, **told)
    assert not torch.equal(guided, model.guide([0, 1], "none", scale=3.0, negative="b", **told))
    steered: Tensor = load(path, **{"guidance.scale": 3.0}).sample([0, 1], "none", **told)
    assert torch.allclose(guided, steered, atol=1e-5)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"values": {"agee": 1}}, "no value is named 'agee'; did you mean age?"),
        ({"values": {"age": [1, 2, 3]}}, "values: age: 3 for 2 images; give one for each"),
        ({"values": [1.0, 2.0, 3.0]}, "values: of shape 2x3; the model takes 2x2: age, weight"),
        ({"values": {"age": "x"}}, "values: age: 'x' is no number"),
        ({"values": {"age": float("inf")}}, "values: age: inf is no number"),
        ({"values": "x"}, "give numbers by name, or an array"),
        ({"text": ["a"]}, "text: 1 for 2 images; give one for each"),
        ({"text": 3}, "text: 3 is no text"),
        ({"text": ["a", 3]}, "text: 3 is no text"),
        ({"text": torch.zeros(2, 3)}, "text: rows of shape 2x3; the network takes 2x16"),
        ({"negative": ["a", "b"]}, "negative: one text for all images"),
        ({"negative": "a"}, "negative: of no use without classifier-free guidance"),
    ],
)
def test_what_cannot_be_told_is_refused(more: dict[str, Any], said: str, model: Model) -> None:
    with pytest.raises(ValueError, match=r"--|values|text|negative") as refused:
        model.sample([0, 1], **more)
    assert said in str(refused.value)


def test_models_that_are_told_nothing_say_so() -> None:
    model = ddpm_cli.load("mnist", device="cpu")
    for more in ({"values": {"age": 3}}, {"text": "a"}, {"negative": "a"}):
        with pytest.raises(ValueError, match="trained without"):
            model.sample(0, **more)  # type: ignore[arg-type]
