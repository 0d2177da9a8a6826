"""Guides of a request: what is asked for from Python, functions included."""

from collections.abc import Callable
from pathlib import Path

import pytest
from torch import Tensor

from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files.checkpoints.find import Place
from ddpm_cli.files.checkpoints.header import read_header
from ddpm_cli.hardware import compute
from ddpm_cli.models import model, saved
from ddpm_cli.models.walks import Batch
from ddpm_cli.pipelines import steering as steers
from ddpm_cli.pipelines.opening import Opened
from ddpm_cli.pipelines.steering import Steering
from ddpm_cli.settings.code_names import CODE
from ddpm_cli.settings.config import Layer, resolve
from ddpm_cli.settings.request_parts import Guiding, Use


def bright(images: Tensor) -> Tensor:
    return images.mean((1, 2, 3))


def sides(x: Tensor, label: Tensor) -> Tensor:
    return x.flatten(1)[:, :6] + 0 * label[:, None]


def opened(folder: Path, *guides: dict[str, object]) -> Opened:
    """A model with guides among its settings."""
    place = Place(folder / "model.safetensors", str(folder))
    header = read_header(place.path)
    layers = [Layer("header", header.config), Layer("test", {"guides": list(guides)})]
    return Opened(place, header, resolve(layers))


def steered(found: Opened, label: str | None = None, **code: Callable[..., Tensor]) -> Steering:
    """What guides come to with functions of Python's own, the model being told no class."""
    schedule = saved.schedule_of(found.header, found.place.path)
    flags = {"unconditional": "classifier" in code}
    return steers.steered(Use(label=label), Guiding(flags=flags, code=code), found, schedule)


def test_functions_themselves_steer(finished: Path) -> None:
    found = opened(finished, {"name": "scorer", "scale": 300.0})
    steering = steered(found, scorer=bright)
    assert (steering.functions["scorer"].name, list(steering.judges)) == ("bright", [])
    where = compute(device="cpu", dtype="float32")
    drawer, complete = model.opened(found.place, found.config, where), steering.load(where)
    assert complete
    plain = Batch([0, 1], steering.asked.conditions([0, 1]))
    ends = []
    for batch in (plain, complete(plain)):
        *_, last = drawer.draw(batch, drawer.prepared()).states
        ends.append(last.x.mean((1, 2, 3)))
    assert bool((ends[1] > ends[0]).all())


def test_classes_are_those_of_the_function(finished: Path) -> None:
    found = opened(finished, {"name": "classifier", "model": CODE})
    steering = steered(found, "2-4", classifier=sides)
    assert steering.names == ["0", "1", "2", "3", "4", "5"]
    assert steering.targets([0, 1, 2, 3]) == [2, 3, 4, 2]
    assert steering.asked.names([0, 1]) == ["2", "3"]
    assert steering.asked.numbers([0, 1]) == [10, 10], "the model is told the null class"
    with pytest.raises(ConfigError, match="no class is named '6'"):
        steered(found, "6", classifier=sides)


def test_a_guide_without_its_function(finished: Path) -> None:
    found = opened(finished, {"name": "scorer"})
    with pytest.raises(ConfigError, match="which function"):
        steered(found)


def test_functions_are_tried_first(finished: Path) -> None:
    found = opened(finished, {"name": "scorer"})
    with pytest.raises(Refusal, match="<lambda>: 2 images in, a result"):
        steered(found, scorer=lambda x: x.mean())
