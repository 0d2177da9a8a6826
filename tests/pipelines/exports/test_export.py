"""Programs of torch.export: what is read again is the model, for any number of rows."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import random_models
import torch
from runs import ddpm
from torch import Tensor

import ddpm_cli
from ddpm_cli.errors import Refusal
from ddpm_cli.files.checkpoints import find
from ddpm_cli.files.quantities import Quantities
from ddpm_cli.pipelines import cards, portable
from ddpm_cli.settings.requests import Convert


def test_a_denoiser_with_classes(tmp_path: Path) -> None:
    network = {**random_models.MLP, "classes": 3}
    names = ("cat", "dog", "owl")
    place = tmp_path / "runs" / "model.safetensors"
    path = random_models.saved(place, network, classes=names)
    output = tmp_path / "new" / "model.pt2"
    outcome = ddpm("convert", path, "--to", "export", output)
    assert (outcome.code, outcome.out.splitlines()) == (0, [str(output), f"{output}.md"])
    assert "checked with torch" in outcome.err
    assert sorted(output.parent.iterdir()) == [output, Path(f"{output}.md")]

    extra = {"ddpm.json": ""}
    program = torch.export.load(output, extra_files=extra).module()
    about = json.loads(extra["ddpm.json"])
    assert about["axes"]["x"] == ["batch", 1, 8, 8]
    assert about["null_class"] == 3
    model = ddpm_cli.load(path, dtype="float32")
    for rows in (1, 4):
        x = torch.randn(rows, 1, 8, 8)
        sigma, classes = torch.linspace(0.1, 3, rows), torch.arange(rows)
        seen = program(x=x, sigma=sigma, classes=classes)[0]
        expected = model.denoiser.bind(classes=classes)(x, sigma).x0
        torch.testing.assert_close(seen, expected, atol=1e-5, rtol=0)
    card = Path(f"{output}.md").read_text()
    assert 'library_name: "pytorch"' in card
    code = card.split("```python\n")[1].split("```")[0]
    space: dict[str, Any] = {}
    exec(code.replace('"model.pt2"', repr(str(output))), space)  # noqa: S102
    drawn = space["x"]
    assert drawn.shape == (4, 1, 8, 8)
    assert bool(drawn.isfinite().all())


def test_the_network_alone_and_the_table_that_calls_it(tmp_path: Path) -> None:
    """x0 follows from the table in the file, for a model whose data lie in [0, 1], too."""
    network = {**random_models.MLP, "learned_variance": True}
    units = {"low": 0.0, "high": 1.0}
    path = random_models.saved(tmp_path / "a.safetensors", network, units=units)
    output = tmp_path / "a.pt2"
    assert ddpm("convert", path, "--to", "export", "--part", "network", output).code == 0
    extra = {"ddpm.json": ""}
    program = torch.export.load(output, extra_files=extra).module()
    about = json.loads(extra["ddpm.json"])
    levels, table = about["levels"], about["network"]
    assert levels[-1] == 0
    model, x = ddpm_cli.load(path, dtype="float32"), torch.randn(1, 1, 8, 8)
    for row, level in enumerate(levels[:-1]):
        skip, out, scale, label, shift, offset = (
            table[name][row] for name in ("skip", "out", "scale", "label", "shift", "offset")
        )
        seen = program(x=scale * x + shift, label=torch.tensor([label]))[0][:, :1].double()
        x0 = skip * x + out * seen + offset
        expected = model.denoise(x, level).x0
        torch.testing.assert_close(x0, expected, atol=1e-4 * max(1, level), rtol=0)


def test_a_learned_schedule_and_a_table_of_numbers(tmp_path: Path) -> None:
    schedule = {"name": "learned", "width": 8}
    path = random_models.saved(
        tmp_path / "a.safetensors", random_models.MLP, shape=(2,), schedule=schedule
    )
    output = tmp_path / "a.pt2"
    outcome = ddpm("convert", path, "--to", "export", output, "--json")
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out)["written"] == [str(output), f"{output}.md"]
    program = torch.export.load(output).module()
    x, sigma = torch.randn(3, 2), torch.tensor([0.01, 1.0, 5.0])
    expected = ddpm_cli.load(path, dtype="float32").denoiser.bind()(x, sigma).x0
    torch.testing.assert_close(program(x=x, sigma=sigma)[0], expected, atol=1e-4, rtol=0)


def test_a_classifier_gives_logits(tmp_path: Path) -> None:
    request = Convert(source="mnist-classifier", output=str(tmp_path / "c.pt2"), target="export")
    model = portable.opened(request)
    assert (list(model.inputs), model.outputs) == (["x", "sigma"], ("logits",))
    assert model.about["part"] == "classifier"
    assert "levels" not in model.about


@pytest.mark.parametrize(
    ("dropped", "null", "said"), [(0.1, 3, "none is 3"), (0.0, None, "must be")]
)
def test_no_null_class_is_named_that_was_not_trained(
    dropped: float, null: int | None, said: str, tmp_path: Path
) -> None:
    network = {**random_models.MLP, "classes": 3}
    names, train = ("cat", "dog", "owl"), {"drop_class": dropped}
    path = random_models.saved(tmp_path / "a.safetensors", network, classes=names, train=train)
    about = portable.opened(Convert(source=str(path), target="export")).about
    assert about["null_class"] == null
    assert said in cards.interface(about, {})
    code = cards.python(about, [], cards.TORCH)
    assert f"classes = torch.full((4,), {null or 0})" in code


def test_what_a_conditional_model_is_given(tmp_path: Path) -> None:
    model = portable.opened(Convert(source="mnist-inpaint", target="export"))
    assert list(model.inputs) == ["x", "sigma", "classes", "image"]
    assert model.inputs["image"].shape == (3, 2, 28, 28)


def test_what_is_told_is_an_input_of_its_kind(tmp_path: Path) -> None:
    known = Quantities(("age",), (50.0,), (20.0,), (20.0,), (80.0,))
    text = {"length": 6, "width": 8, "depth": 1, "heads": 2}
    path = tmp_path / "a.safetensors"
    random_models.saved(path, random_models.MLP, known=known, values={}, text=text)
    model = portable.opened(Convert(source=str(path), target="export"))
    values, text_rows = model.inputs["values"], model.inputs["text"]
    assert (tuple(values.shape), bool(values[-1].isnan().all())) == ((3, 1), True)
    assert (tuple(text_rows.shape), text_rows[-1].tolist()) == ((3, 6), [-1] * 6)
    assert not torch.equal(model.function(**model.inputs)[0][0], model.function(
        **(model.inputs | {"text": text_rows[[-1] * 3]})
    )[0][0])  # fmt: skip
    code = cards.python(model.about, [], cards.TORCH)
    assert 'values = torch.full((4, 1), float("nan"), dtype=torch.float32)' in code
    assert "text = torch.full((4, 6), -1, dtype=torch.int16)  # nothing is told" in code
    assert "values=values, text=text" in code


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["-o", "a.onnx"], 2, "writes a .pt2 file"),
        (["a.pt2", "--set", "sampler.name=heun"], 2, "sampler: the file holds one call"),
        (["a.pt2", "--set", "compute.dtype=bfloat16"], 2, "compute: the file holds one call"),
        (["a.pt2", "--set", "network.width=8"], 2, "network: the file holds one call"),
        (["a.pt2", "--weights", "model"], 2, "--weights: of a checkpoint that comes in"),
        (["old.pt2"], 1, "old.pt2: exists already"),
        (["mine.pt2"], 1, "mine.pt2.md: exists already"),
        (["a.pt2", "--part", "half"], 2, "--part"),
    ],
)
def test_bad_words(
    words: list[str], code: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("old.pt2", "mine.pt2.md"):
        Path(name).write_text("mine")
    outcome = ddpm("convert", "mnist", "--to", "export", *words)
    assert outcome.code == code, outcome.err
    assert said in outcome.err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine.pt2.md", "old.pt2"]


def test_what_differs_from_the_model_is_refused(tmp_path: Path) -> None:
    path = random_models.saved(tmp_path / "a.safetensors", random_models.MLP)
    model = portable.opened(Convert(source=str(path), target="export"))

    def off(rows: Mapping[str, Tensor]) -> list[Tensor]:
        return [value + 1e-3 for value in model.function(**rows)]

    assert portable.compared(model, lambda rows: model.function(**rows), "torch") == 0
    for wrong in (off, lambda rows: [model.function(**rows)[0] * math.nan]):
        with pytest.raises(Refusal, match="is right"):
            portable.compared(model, wrong, "torch")


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    assert find.bundled()
    outcome = ddpm("convert", "mnist", "--to", "export", tmp_path / "a.pt2", "--dry-run")
    assert (outcome.code, outcome.out) == (0, "")
    assert not any(tmp_path.iterdir())
