"""Files of torchcfm: two sets of weights of a velocity, or a bare state dict."""

from pathlib import Path

import pytest
import torch
from foreign_checkpoints import assert_outputs, converted, numbers, unpacked
from runs import ddpm, done

NAME = "cfm"
WORDS = ["--set", "data.size=8", "--set", "network.head_width=16"]


@pytest.mark.parametrize(("weights", "own"), [("ema", "ema_model"), ("model", "net_model")])
def test_both_sets_give_the_numbers_of_the_peer(weights: str, own: str, tmp_path: Path) -> None:
    model, io = converted(unpacked(NAME, tmp_path), *WORDS, "--weights", weights), numbers(NAME)
    assert_outputs(model, io["x"], io["t"], None, (io[f"out_{own}"], io[f"out64_{own}"]))


def test_velocity_becomes_the_clean_image(tmp_path: Path) -> None:
    """x0 = x_t + (1 - t) v, with t from noise to data and sigma = (1 - t) / t."""
    model, io = converted(unpacked(NAME, tmp_path), *WORDS), numbers(NAME)
    t = io["t"].double()
    inside = (t > 0) & (t < 1)
    t, x, velocity = t[inside], io["x"][inside].double(), io["out64_ema_model"][inside]
    t4 = t[:, None, None, None]
    for row in range(len(t)):
        sigma = (1 - t[row]) / t[row]
        got = model.denoise(x[row : row + 1] / t[row], sigma).x0
        assert (got - (x + (1 - t4) * velocity)[row]).abs().max() < 1e-4


@pytest.mark.parametrize("kind", ["parallel", "bare"])
def test_names_of_parallel_training_and_bare_files_are_read(kind: str, tmp_path: Path) -> None:
    source = unpacked(NAME, tmp_path)
    tree = torch.load(source, weights_only=True)
    sets = {
        key: {f"module.{name}": value for name, value in tree[key].items()}
        for key in ("net_model", "ema_model")
    }
    other = tmp_path / "other.pt"
    torch.save(sets | {"step": 7} if kind == "parallel" else tree["ema_model"], other)
    more = [] if kind == "parallel" else ["--from", "torchcfm"]
    first, second = converted(source, *WORDS), converted(other, *WORDS, *more)
    ours, theirs = first.network.state_dict(), second.network.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    if kind == "bare":
        outcome = ddpm("convert", other, "-o", tmp_path / "m.safetensors", *WORDS)
        assert outcome.code == 2
        assert "share these keys" in outcome.err


def test_heads_are_asked_for_and_what_is_assumed_is_said(tmp_path: Path) -> None:
    source, output = unpacked(NAME, tmp_path), tmp_path / "m.safetensors"
    outcome = ddpm("convert", source, "-o", output)
    assert outcome.code == 2
    assert "network.heads: not in the file" in outcome.err
    assert "data.size: not in the file" in outcome.err
    assert not output.exists()
    outcome = done("convert", source, "-o", output, *WORDS)
    for key in ("label.reverse = true", 'parameterization.target = "data"', "units.low = -1.0"):
        assert f"assumed {key}" in outcome.err
    done("sample", "-m", output, "--steps", "10", "-o", tmp_path / "x.png")


def test_set_that_is_lost_is_said(tmp_path: Path) -> None:
    tree = torch.load(unpacked(NAME, tmp_path), weights_only=True)
    del tree["ema_model"]
    torch.save(tree, tmp_path / "raw.pt")
    outcome = done("convert", tmp_path / "raw.pt", "-o", tmp_path / "m.safetensors", *WORDS)
    assert "weights: net_model, the only ones of the file" in outcome.err


def test_more_channels_than_go_in_are_no_velocity(tmp_path: Path) -> None:
    source = unpacked("guided_diffusion", tmp_path)
    outcome = ddpm("convert", source, "-o", tmp_path / "m.safetensors", "--from", "torchcfm")
    assert outcome.code == 1
    assert "6 channels come out of 3, which is no velocity" in outcome.err
