"""`ddpm_cli.train`: runs of a program's own data, which the shell goes on with."""

import json
from pathlib import Path
from typing import Any

import pytest
import runs
import torch
from runs import assert_same, ddpm, result
from torch import Tensor

from ddpm_cli.api.training import train
from ddpm_cli.errors import ConfigError
from ddpm_cli.files.checkpoints.header import read_header

NETWORK = {"width": 8, "blocks": 1, "attention": [], "patch": 2}
QUICK: dict[str, Any] = {
    "train": {"steps": 4, "batch": 8, "log_every": 2, "save_every": 2, "warmup": 1},
    "network": NETWORK,
    "compute.device": "cpu",
    "compute.dtype": "float32",
    "levels.count": 3,
}
POINTS = torch.randn(100, 2, generator=torch.Generator().manual_seed(0)) * 3 + 5
SHORT = {"train.steps": 3, "train.batch": 8, "compute.dtype": "float32", "levels.count": 3}


@pytest.fixture(scope="module")
def images() -> Tensor:
    """Twenty-four images 8x8, bytes."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (24, 1, 8, 8), generator=generator, dtype=torch.uint8)


def config(model: Path) -> dict[str, Any]:
    return read_header(model).config


def test_images_and_labels(images: Tensor, tmp_path: Path) -> None:
    labels = torch.arange(24) % 3
    names = ["ant", "bee", "cat"]
    model = train(
        (images, labels), output=tmp_path / "run", settings=QUICK, classes=names, quiet=True
    )
    assert model == tmp_path / "run" / "model.safetensors"
    header = read_header(model)
    assert header.step == 4
    assert header.data.shape == (1, 8, 8)
    assert header.data.classes == ("ant", "bee", "cat")
    assert header.config["network"]["classes"] == 3
    assert header.config["data"]["name"] == "python"
    assert header.config["data"]["rows"] == 24
    outcome = ddpm("sample", "-m", tmp_path / "run", "--class", "bee", "-o", tmp_path / "a.png")
    assert outcome.code == 0, outcome.err
    assert json.loads(ddpm("info", tmp_path / "run", "--json").out)["data"]["name"] == "python"


def test_the_same_call_goes_on_bit_for_bit(images: Tensor, tmp_path: Path) -> None:
    def call(name: str, **more: Any) -> None:
        settings = {**QUICK, "train.decay": "constant", **more}
        train(images, output=tmp_path / name, settings=settings, quiet=True)

    call("whole")
    call("parts", **{"train.steps": 3})
    call("parts")
    assert_same_model(result(tmp_path / "parts"), result(tmp_path / "whole"))
    before = runs.contents(tmp_path / "parts")
    call("parts")
    assert runs.contents(tmp_path / "parts") == before


def test_a_run_goes_on_under_its_own_settings(images: Tensor, tmp_path: Path) -> None:
    labels = torch.arange(24) % 3
    settings = {**QUICK, "network": {**NETWORK, "classes": 0}}
    train((images, labels), output=tmp_path / "run", settings=settings, quiet=True)
    train((images, labels), output=tmp_path / "run", settings={"train.steps": 6}, quiet=True)
    assert result(tmp_path / "run").step == 6
    with pytest.raises(ValueError, match=r"train\.lr: .* was trained with"):
        train((images, labels), output=tmp_path / "run", settings={"train.lr": 0.5})


def assert_same_model(found: runs.Result, expected: runs.Result) -> None:
    """The last states are one; a line of metrics more was written where the run stopped."""
    assert_same(found._replace(losses=expected.losses, state={}), expected._replace(state={}))
    for name in (key for key in expected.state if key != "window"):
        assert torch.equal(found.state[name], expected.state[name]), name


def test_other_data_are_another_run(images: Tensor, tmp_path: Path) -> None:
    train(images, output=tmp_path / "run", settings=QUICK, quiet=True)
    with pytest.raises(ConfigError, match=r"data\.digest: .* was trained with"):
        train(255 - images, output=tmp_path / "run", settings=QUICK, quiet=True)
    train(255 - images, output=tmp_path / "run", settings=QUICK, quiet=True, force=True)


def test_points_need_no_settings(tmp_path: Path) -> None:
    model = train(POINTS, output=tmp_path / "run", settings=SHORT, quiet=True)
    assert config(model)["network"]["name"] == "mlp"
    assert config(model)["wrappers"] == []
    words = ("-n", 3, "--device", "cpu", "-o", tmp_path / "points.csv")
    assert ddpm("sample", "-m", tmp_path / "run", *words).code == 0
    drawn = (tmp_path / "points.csv").read_text().splitlines()
    values = torch.tensor([[float(cell) for cell in line.split(",")[:2]] for line in drawn[-3:]])
    assert (values - POINTS.mean(0)).abs().max() < 8 * POINTS.std()


def test_presets_bring_their_settings(images: Tensor, tmp_path: Path) -> None:
    """But neither their number of classes nor what they say of their own data."""
    settings = {**QUICK, "network": {**NETWORK, "norm": "group"}}
    model = train(images, output=tmp_path / "run", preset="tiny", settings=settings, quiet=True)
    assert config(model)["network"]["classes"] == 0
    assert config(model)["network"]["norm"] == "group"
    assert "summary" not in config(model)


def test_classes_may_be_left_out(images: Tensor, tmp_path: Path) -> None:
    labelled, settings = (images, [0] * 24), {**QUICK, "network": {**NETWORK, "classes": 0}}
    model = train(labelled, output=tmp_path / "run", settings=settings, quiet=True)
    assert config(model)["network"]["classes"] == 0


def test_a_classifier_learns_the_labels(images: Tensor, tmp_path: Path) -> None:
    settings = {
        **QUICK, "network": {"name": "classifier", "width": 8, "attention": [], "patch": 2},
        "loss.name": "cross-entropy", "train.drop_class": 0.0,
    }  # fmt: skip
    labels = torch.arange(24) % 2
    model = train((images, labels), output=tmp_path / "run", settings=settings, quiet=True)
    assert config(model)["network"]["classes"] == 2
    with pytest.raises(ConfigError, match="no labels, and a classifier learns nothing else"):
        train(images, output=tmp_path / "other", settings=settings, quiet=True)


def test_without_data_it_is_that_of_the_settings(data: Path, tmp_path: Path) -> None:
    settings = {**QUICK, "data": {"name": "mnist", "path": str(data)}}
    model = train(output=tmp_path / "run", settings=settings, quiet=True)
    assert config(model)["data"] == {"name": "mnist", "path": str(data), "values": []}


def test_it_tells_of_its_progress_unless_it_is_quiet(
    images: Tensor, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(images, output=tmp_path / "a", settings=QUICK)
    told = capsys.readouterr()
    assert told.out == ""
    assert "data: 23 images 8x8 grey" in told.err
    train(images, output=tmp_path / "b", settings=QUICK, quiet=True)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"settings": {"train.stesp": 3}}, "train.stesp: unknown key .from settings.; did you"),
        ({"settings": {"smpler": {}}}, "smpler: unknown table .from settings.; did you mean"),
        ({"settings": {**QUICK, "data.name": "mnist"}}, "data: a table of the settings and an"),
        ({"settings": {**QUICK, "network.classes": 5}}, "network.classes: 5 asked for, but the"),
        ({"settings": {**QUICK, "train.accumulate": 3}}, "train.accumulate: 3 parts of 8 images"),
        ({"preset": "tyni"}, "preset 'tyni': there is none of this name; did you mean tiny?"),
        ({"holdout": 2.0}, "holdout: 2.0 is no share"),
    ],
)
def test_what_the_command_line_would_refuse_is_a_value_error(
    knobs: dict[str, Any], message: str, images: Tensor, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        train(images, output=tmp_path / "run", quiet=True, **knobs)
    assert not (tmp_path / "run").exists()


def test_test_rows_need_rows_to_train_on(images: Tensor, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="test: of no use without data"):
        train(test=images, output=tmp_path / "run")


@pytest.mark.parametrize("verb", ["nll", "fit", "train"])
def test_commands_say_that_the_data_were_given_in_python(
    verb: str, images: Tensor, tmp_path: Path
) -> None:
    train(images, output=tmp_path / "run", settings=QUICK, quiet=True)
    words = {
        "nll": ["-m", tmp_path / "run", "--split", "test"],
        "fit": [tmp_path / "run"],
        "train": ["--config", tmp_path / "run" / "config.toml", "-o", tmp_path / "new"],
    }[verb]
    outcome = ddpm(verb, *words)
    assert outcome.code == 1
    first, second = outcome.err.splitlines()[-2:]
    rows = "24 rows were given to ddpm_cli.train in Python, and are in no file"
    assert first == f"Error: data.python: {rows}"
    assert second == "Name others of their kind: --set data.name=folder."


def test_a_budget_of_operations_is_planned_once(images: Tensor, tmp_path: Path) -> None:
    few = {**QUICK, "train": QUICK["train"] | {"steps": 9000, "budget": "1e9flop"}}
    planned = config(train(images, output=tmp_path / "run", settings=few, quiet=True))["train"]
    assert 50 <= planned["steps"] < 9000
    again = train(images, output=tmp_path / "run", settings=few, quiet=True)
    assert config(again)["train"] == planned
