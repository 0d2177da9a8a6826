"""Headers of checkpoints: all that can be known without the tensors, at no cost."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from ddpm_cli.files import quantities, titles
from ddpm_cli.files.checkpoints import checkpoint, header
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.files.checkpoints.find import bundled, find
from ddpm_cli.files.titles import Scores, Titles
from ddpm_cli.models import build, saved
from ddpm_cli.settings import catalog, presets
from ddpm_cli.settings.config import Layer, resolve

HEAVY = {"torch", "numpy", "PIL", "safetensors"}


def test_header_and_model_are_found_without_torch(finished: Path) -> None:
    code = (
        "import sys\n"
        "from ddpm_cli.files.checkpoints import find, header\n"
        "path = find.find(sys.argv[1]).path\n"
        "assert header.read_header(path, verify=True).step == 12\n"
        f"sys.exit(bool({HEAVY} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code, finished], timeout=60).returncode == 0


def test_shapes_are_those_of_the_tensors(finished: Path) -> None:
    for path in (finished / "model.safetensors", find("mnist").path):
        _, tensors = checkpoint.load(path)
        assert header.shapes(path) == {name: tuple(t.shape) for name, t in tensors.items()}


def same_count(config: dict[str, Any], info: DataInfo) -> bool:
    """Whether the parameters of a configuration's network are counted as torch counts them."""
    with torch.device("meta"):
        network = build.network(config, info)
    model = build.trained(config, network)
    shapes = {name: tuple(tensor.shape) for name, tensor in model.weights().items()}
    counted = sum(p.numel() for p in network.parameters())
    assert counted > 0
    return header.parameters(shapes) == counted


def shape_of(network: str, channels: int) -> tuple[int, ...]:
    """Of data that a network takes."""
    return (channels, 32) if network == "unet1d" else (channels, 32, 32)


class TestParameters:
    @pytest.mark.parametrize("name", bundled())
    def test_of_bundled_models(self, name: str) -> None:
        path = find(name).path
        there = header.read_header(path)
        network = saved.outline(there, checkpoint.load(path)[1], path)
        counted = sum(p.numel() for p in network.parameters())
        assert header.parameters(header.shapes(path)) == counted

    @pytest.mark.parametrize("name", presets.names())
    def test_of_presets(self, name: str) -> None:
        """Learned schedules, Fourier features and low-pass filters are among them."""
        config = resolve(presets.layers(name))
        shape = shape_of(config["network"]["name"], 3)
        names = config["data"].get("values", ())
        told = quantities.of(tuple(names), torch.rand(3, len(names))) if names else None
        assert same_count(config, DataInfo(shape, tuple("0123456789"), values=told))

    @pytest.mark.parametrize("name", catalog.names("network"))
    def test_of_every_network(self, name: str) -> None:
        """Name a layer's tensor that is not trained as the others, or count it in header.py."""
        takes = {} if name == "clip" else {"classes": 3}
        tables: dict[str, Any] = {"network": {"name": name, **takes}}
        if name == "clip":
            tables |= {"loss": {"name": "contrastive"}, "text": {"form": "pooled"}}
        if name == "classifier":
            tables["loss"] = {"name": "cross-entropy"}
        info = DataInfo(shape_of(name, 1), tuple("abc"))
        assert same_count(resolve([Layer("test", tables)]), info)

    def test_of_a_state(self, finished: Path) -> None:
        model, state = (finished / f"{name}.safetensors" for name in ("model", "state"))
        counted = header.parameters(header.shapes(model))
        assert header.parameters(header.shapes(state), "state") == counted

    def test_running_statistics_are_not_trained(self) -> None:
        layers = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4))
        shapes = {name: tuple(tensor.shape) for name, tensor in layers.state_dict().items()}
        assert header.parameters(shapes) == sum(p.numel() for p in layers.parameters())


class TestTitles:
    """What is known of the columns of a table; other data have none, as before there were any."""

    def test_they_are_kept(self) -> None:
        for known in (Titles(("", "b"), (True, False), "kind"), Titles(None, (False, True))):
            info = DataInfo((2,), mean=(0.0, 0.0), std=(1.0, 1.0), titles=known)
            assert titles.of_json(json.loads(json.dumps(info.fields()))) == known

    def test_other_data_have_none(self) -> None:
        entries = DataInfo((1, 8, 8)).fields()
        assert "titles" not in entries
        assert titles.of_json(entries) is None

    @pytest.mark.parametrize(
        "said",
        [
            {"columns": ["a"], "whole": [True, True], "label": None},
            {"columns": None, "whole": [True], "label": None},
        ],
    )
    def test_others_than_the_values_are_refused(self, said: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match="titles"):
            titles.of_json({"shape": [2], "titles": said})

    def test_integers_are_finished_as_such(self) -> None:
        info = DataInfo((2,), None, None, (0.5, 0.0), (2.0, 1.0), Titles(None, (True, False)))
        x = torch.tensor([[0.3, 0.3]])
        assert info.finished(x).tolist() == [[1.0, pytest.approx(0.3)]]
        assert info.restore(x)[0, 0] == pytest.approx(1.1)

    def test_types_are_kept_and_older_readers_are_told(self) -> None:
        scores = Scores((0.0, 1.5, 4.0), (-1.0, 0.0, 1.0), 0.0, None)
        words = ((), ("a", "b", "c"), ())
        whole, some = (True, False, False), (scores, None, None)
        known = Titles(("x", "kind", "y"), whole, None, words, "bits", some)
        info = DataInfo((4,), mean=(0.0,) * 4, std=(1.0,) * 4, titles=known)
        assert titles.of_json(json.loads(json.dumps(info.fields()))) == known
        config = resolve([Layer("test", {"data": {"name": "array"}})])
        assert header.Header("model", config, info, 1).fields()["format"] == header.TYPED
        plain = info._replace(shape=(3,), titles=Titles(None, (False,) * 3))
        assert header.Header("model", config, plain, 1).fields()["format"] == header.FORMAT

    @pytest.mark.parametrize(
        "wrong",
        [
            {"categories": [["a", "b"]]},
            {"categories": [["a", "a"], []]},
            {"categories": [["a", "b"], []], "encode": "words"},
            {"scores": [{"values": [0, 1], "scores": [1, 0], "low": None, "high": None}, None]},
            {"scores": [{"values": [0], "scores": [1], "low": None, "high": None}, None]},
            {"scores": [None]},
        ],
    )
    def test_types_that_cannot_be_are_refused(self, wrong: dict[str, Any]) -> None:
        said = {"columns": None, "whole": [False, False], "label": None}
        with pytest.raises(ValueError, match="titles"):
            titles.of_json({"shape": [2], "titles": said | wrong})

    def test_true_and_false_are_words_in_headers_of_before(self) -> None:
        for was, now in ((True, "standard"), (False, "none")):
            said = resolve([Layer("old", {"data": {"name": "array", "normalize": was}})])
            assert said["data"]["normalize"] == now
