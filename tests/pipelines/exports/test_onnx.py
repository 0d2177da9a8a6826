"""ONNX: onnxruntime gives what the model gives, and the file says how to draw with it."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import random_models
import torch
from runs import ddpm

import ddpm_cli
from ddpm_cli.errors import Refusal
from ddpm_cli.pipelines import portable, tracing
from ddpm_cli.pipelines.exports import onnx as target
from ddpm_cli.settings.requests import Convert

onnxruntime = pytest.importorskip("onnxruntime")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")


def session(path: Path) -> Any:
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def test_a_denoiser_with_classes_and_attention(tmp_path: Path) -> None:
    network = {**random_models.UNET, "classes": 3}
    names = ("cat", "dog", "owl")
    path = random_models.saved(tmp_path / "a.safetensors", network, classes=names)
    output = tmp_path / "a.onnx"
    outcome = ddpm("convert", path, "--to", "onnx", output)
    assert (outcome.code, outcome.out.splitlines()) == (0, [str(output), f"{output}.md"])
    assert "checked with onnxruntime" in outcome.err

    proto = onnx.load(output)
    onnx.checker.check_model(proto)
    assert {entry.domain: entry.version for entry in proto.opset_import}[""] == target.OPSET
    opened, model = session(output), ddpm_cli.load(path, dtype="float32")
    assert [(i.name, i.shape, i.type) for i in opened.get_inputs()] == [
        ("x", ["batch", 1, "height", "width"], "tensor(float)"),
        ("sigma", ["batch"], "tensor(float)"),
        ("classes", ["batch"], "tensor(int64)"),
    ]
    for rows, size in ((1, 8), (5, 8), (2, 24)):
        x, sigma = torch.randn(rows, 1, size, size), torch.linspace(0.05, 3, rows)
        classes = torch.arange(rows) % 4
        inputs = {"x": x.numpy(), "sigma": sigma.numpy(), "classes": classes.numpy()}
        seen = torch.from_numpy(opened.run(["x0"], inputs)[0])
        expected = model.denoiser.bind(classes=classes)(x, sigma).x0
        torch.testing.assert_close(seen, expected, atol=1e-4, rtol=0)
    card = Path(f"{output}.md").read_text()
    for said in ('library_name: "onnx"', "| opset | 18 |", "`classes`", "none is 3"):
        assert said in card, said
    code = card.split("```python\n")[1].split("```")[0]
    space: dict[str, Any] = {}
    exec(code.replace('"a.onnx"', repr(str(output))), space)  # noqa: S102
    assert space["x"].shape == (4, 1, 8, 8)


def test_the_network_alone_with_another_walk(tmp_path: Path) -> None:
    path = random_models.saved(tmp_path / "a.safetensors", random_models.MLP, shape=(2,))
    output = tmp_path / "a.onnx"
    words = ["--part", "network", "--set", "levels.count=3"]
    assert ddpm("convert", path, "--to", "onnx", *words, "-o", output).code == 0
    opened = session(output)
    about = json.loads(opened.get_modelmeta().custom_metadata_map[portable.ENTRY])
    assert (about["part"], len(about["levels"])) == ("network", 4)
    assert about["data"]["mean"] == [1.0, 1.0]
    x, label = torch.randn(4, 2), torch.tensor([0.0, 10.0, 500.5, 999.0])
    seen = torch.from_numpy(opened.run(None, {"x": x.numpy(), "label": label.numpy()})[0])
    expected = ddpm_cli.load(path, dtype="float32").network(x, label)
    torch.testing.assert_close(seen, expected, atol=1e-5, rtol=0)


def test_a_process_with_asinh_and_two_outputs(tmp_path: Path) -> None:
    network = {**random_models.MLP, "learned_variance": True}
    schedule, label = {"name": "subvp"}, {"name": "time"}
    path = random_models.saved(
        tmp_path / "a.safetensors", network, shape=(2,), schedule=schedule, label=label
    )
    output = tmp_path / "a.onnx"
    assert ddpm("convert", path, "--to", "onnx", "-o", output).code == 0
    x, sigma = torch.randn(3, 2), torch.tensor([0.01, 1.0, 30.0])
    seen = session(output).run(["x0", "range"], {"x": x.numpy(), "sigma": sigma.numpy()})
    expected = ddpm_cli.load(path, dtype="float32").denoiser.bind()(x, sigma)
    for array, value in zip(seen, (expected.x0, expected.range), strict=True):
        torch.testing.assert_close(torch.from_numpy(array), value, atol=1e-4, rtol=0)


def test_a_size_that_is_translated_wrongly_is_fixed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is tried at any size first, and fails in onnxruntime, is written for one size."""
    path = random_models.saved(tmp_path / "a.safetensors", random_models.MLP)
    model = portable.opened(Convert(source=str(path), target="onnx"))

    def refused(model: portable.Portable) -> None:
        raise Refusal("as for shifted windows")

    monkeypatch.setattr(tracing, "traced", refused)
    file = tmp_path / "a.onnx"
    assert target._saved(model, file).startswith("checked with onnxruntime")
    assert session(file).get_inputs()[0].shape == ["batch", 1, 8, 8]


def test_without_onnxruntime_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    saved: list[Path] = []
    monkeypatch.setattr(target, "_save", lambda model, program, file: saved.append(file))
    monkeypatch.setattr(tracing, "fixed", lambda model: None)
    outcome = ddpm("convert", "mnist", "--to", "onnx", tmp_path / "a.onnx")
    assert outcome.code == 0
    assert "Warning: mnist: not checked: onnxruntime is not installed" in outcome.err
    assert "not checked" in (tmp_path / "a.onnx.md").read_text()
    assert len(saved) == 1


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    outcome = ddpm("convert", "mnist", "--to", "onnx", tmp_path / "a.onnx")
    assert outcome.code == 1
    assert "onnxscript is not installed" in outcome.err
    assert "pip install 'ddpm-cli[onnx]'" in outcome.err
    assert not any(tmp_path.iterdir())
