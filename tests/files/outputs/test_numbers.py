"""Samples that are no images: one set of numbers in every kind of file."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from runs import TOY, ddpm, sample
from safetensors import safe_open

import ddpm_cli
from ddpm_cli.files.images.pixels import open_image, read_metadata


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_one_set_of_numbers_in_every_file(roll: Path) -> None:
    for suffix in ("csv", "npy", "npz", "safetensors"):
        sample(roll, "-n", 5, "-o", f"a.{suffix}")
    values = np.load("a.npy")
    assert (values.shape, values.dtype) == ((5, 2), np.float32)
    text = np.loadtxt("a.csv", delimiter=",", skiprows=1, dtype=np.float32)
    assert (text == values).all(), "the digits bring the same floats back"
    assert (np.load("a.npz")["samples"] == values).all()
    with safe_open("a.safetensors", framework="np") as file:
        assert (file.get_tensor("samples") == values).all()
    assert sample(roll, "-n", 5, "-o", "-").out == Path("a.csv").read_text()


def test_the_default_is_a_table(roll: Path) -> None:
    assert sample(roll, "-n", 2).out == "samples.csv\n"
    assert Path("samples.csv").read_text().startswith("x1,x2\n")
    again = ddpm("sample", "-m", roll, "-n", 2)
    assert (again.code, "exists already" in again.err) == (1, True)


def test_samples_are_in_the_units_of_the_data(roll: Path) -> None:
    model = ddpm_cli.load(str(roll), device="cpu", dtype="float32")
    assert model.info.mean is not None
    *_, final = model.walk([0, 1])
    std, mean = torch.tensor(model.info.std), torch.tensor(model.info.mean)
    assert torch.allclose(model.sample([0, 1]), final.x.float() * std + mean, atol=1e-5)


def test_alone_and_in_any_batch(roll: Path) -> None:
    sample(roll, "-n", 9, "-o", "all.npy")
    sample(roll, "--seeds", "4,7", "--batch", 1, "-o", "two.npy")
    assert np.allclose(np.load("two.npy"), np.load("all.npy")[[4, 7]], atol=1e-3)


def test_a_file_of_samples_can_be_made_again(roll: Path) -> None:
    sample(roll, "-n", 4, "-o", "a.safetensors")
    before = Path("a.safetensors").read_bytes()
    command = ddpm("info", "a.safetensors", "--command").out.split()
    assert command[:2] == ["ddpm", "sample"]
    Path("a.safetensors").unlink()
    assert ddpm("info", "a.safetensors").code == 1
    sample(roll, "-n", 4, "-o", "a.safetensors")
    assert Path("a.safetensors").read_bytes() == before


@pytest.mark.parametrize("place", ["folder/", "{seed}.npy", "folder"])
def test_no_folders(place: str, roll: Path) -> None:
    outcome = ddpm("sample", "-m", roll, "-o", place)
    assert outcome.code == 2
    assert "arrays go to one file; use .csv" in outcome.err
    assert list(Path().iterdir()) == []


def test_a_plot(roll: Path) -> None:
    pytest.importorskip("matplotlib")
    for name in ("a.png", "b.png"):
        sample(roll, "-n", 50, "-o", name)
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()
    assert read_metadata("a.png")["seeds"] == "0-49"
    assert open_image("a.png").float().std() > 1


def test_no_plot_of_many_values(tmp_path: Path) -> None:
    np.save("data.npy", np.random.default_rng(0).normal(size=(40, 2, 3, 1)))
    words = ["--set", "data={name='array', path='data.npy'}", "--set", "wrappers=[]",
             "--set", "network={name='mlp', width=8}"]  # fmt: skip
    outcome = ddpm("train", *TOY[:8], *words, "-o", "run")
    assert outcome.code == 0, outcome.err
    for option in ("-o", "--trajectory"):
        refused = ddpm("sample", "-m", "run", option, "a.png")
        assert refused.code == 2
        assert "a.png: no picture of samples of 2x3x1 values; use .csv" in refused.err
    sample(Path("run"), "-n", 3, "-o", "a.csv", "--steps", 3)
    assert Path("a.csv").read_text().splitlines()[0] == "x1,x2,x3,x4,x5,x6"
    sample(Path("run"), "-n", 3, "-o", "a.npy", "--steps", 3)
    assert np.load("a.npy").shape == (3, 2, 3, 1)


def test_a_plot_of_signals(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    np.save("data.npy", np.random.default_rng(0).normal(size=(40, 2, 9)))
    words = ["--set", "data={name='array', path='data.npy'}", "--set", "wrappers=[]",
             "--set", "network={name='unet1d', width=4, blocks=1}",
             "--set", "train.sheet_count=4"]  # fmt: skip
    outcome = ddpm("train", *TOY[:8], *words, "-o", "run")
    assert outcome.code == 0, outcome.err
    sample(Path("run"), "-n", 3, "-o", "a.png", "--steps", 3)
    assert open_image("a.png").float().std() > 1
    assert "65 signals are too many" in ddpm("sample", "-m", "run", "-n", 65, "-o", "b.png").err
    refused = ddpm("sample", "-m", "run", "--trajectory", "b.png", "-o", "b.npy")
    assert "b.png: no picture of samples of 2x9 values" in refused.err


def test_without_matplotlib(roll: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    outcome = ddpm("sample", "-m", roll, "-o", "a.png")
    assert outcome.code == 1
    assert "pip install 'ddpm-cli[plot]'" in outcome.err
