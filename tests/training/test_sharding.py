"""Weights shared out among processes train as whole ones do."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import runs
import torch
from groups import torchrun
from torch import nn

from ddpm_cli.files.checkpoints import averages, checkpoint
from ddpm_cli.training import sharding
from ddpm_cli.training.sharding import Turns

pytestmark = pytest.mark.slow
BATCH = ("--batch", 6)  # divides by one, two and three
WHOLE = ("--set", "network.dropout=0.0", *BATCH)
SHARD = ("--set", "train.shard=true")


def train(ranks: int, data: Path, folder: Path, *words: object) -> None:
    place = ["--set", f"data.path={data}", "-o", folder]
    done = torchrun(ranks, "train", *runs.SETTINGS, *WHOLE, *place, *words)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("computing on cpu") == 1


def assert_close(folder: Path, other: Path) -> None:
    """Equal numbers but for rounding; see test_distributed."""
    found, expected = runs.result(folder), runs.result(other)
    assert [line["step"] for line in found.losses] == [line["step"] for line in expected.losses]
    for mine, theirs in zip(found.losses, expected.losses, strict=True):
        assert mine == pytest.approx(theirs, rel=1e-4)
    assert found.state.keys() == expected.state.keys()
    for name, tensor in expected.model.items():
        assert found.model[name].shape == tensor.shape
        assert (found.model[name] - tensor).abs().mean() < 2e-5, name


@pytest.fixture(scope="module")
def one(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("one") / "run"
    assert runs.train(data, folder, *WHOLE).code == 0
    return folder


@pytest.mark.parametrize(
    "more", [(), ("--set", "train.accumulate=3", "--set", "train.recompute=true")]
)
def test_two_processes_with_shares_train_what_one_trains(
    more: Sequence[str], one: Path, data: Path, tmp_path: Path
) -> None:
    train(2, data, tmp_path / "two", *SHARD, *more)
    assert_close(tmp_path / "two", one)
    assert runs.contents(tmp_path / "two").keys() == runs.contents(one).keys()


def test_a_learned_schedule_is_shared(data: Path, tmp_path: Path) -> None:
    words = [
        "schedule={name='learned', width=8}",
        "parameterization.name='eps'",
        "loss.name='vdm'",
    ]
    chosen = [word for setting in words for word in ("--set", setting)]
    train(2, data, tmp_path / "two", *SHARD, *chosen)
    assert runs.train(data, tmp_path / "one", *WHOLE, *chosen).code == 0
    two, one = runs.result(tmp_path / "two").state, runs.result(tmp_path / "one").state
    for name in (name for name in one if name.startswith("weights.schedule.")):
        assert torch.allclose(two[name].double(), one[name].double(), rtol=2e-2, atol=2e-3), name


@pytest.mark.parametrize("shared", [(False, False, False), (True, False, True)])
def test_a_run_goes_on_in_other_worlds(
    shared: Sequence[bool], one: Path, data: Path, tmp_path: Path
) -> None:
    """1 -> 2 -> 1 -> 3 processes, with whole weights and with shares."""
    knobs = [(*SHARD,) if there else () for there in shared]
    folder, stop = tmp_path / "run", ("--minutes", 1e-9)
    assert runs.train(data, folder, *WHOLE, *stop).code == 0
    train(2, data, folder, *stop, *knobs[0])
    assert runs.train(data, folder, *WHOLE, *stop, *knobs[1]).code == 0
    assert runs.result(folder).step == 3
    train(3, data, folder, *knobs[2])
    assert_close(folder, one)


def test_averages_for_later_are_gathered(data: Path, tmp_path: Path) -> None:
    keep = ("--set", "train.averages=[0.05, 0.1]", "--set", "train.snapshots=2", "--steps", 4)
    train(2, data, tmp_path / "two", *SHARD, *keep, "--minutes", 1e-9)
    train(2, data, tmp_path / "two", *SHARD, *keep)
    assert runs.train(data, tmp_path / "one", *WHOLE, *keep).code == 0
    two, one = (averages.listed(tmp_path / name) for name in ("two", "one"))
    assert list(two) == list(one) == [2, 4]
    for step, path in one.items():
        found, expected = checkpoint.load(two[step])[1], checkpoint.load(path)[1]
        assert found.keys() == expected.keys()
        for name, tensor in expected.items():
            assert (found[name] - tensor).abs().mean() < 2e-5, name


def test_bfloat16_trains(data: Path, tmp_path: Path) -> None:
    train(2, data, tmp_path / "two", *SHARD, "--dtype", "bfloat16")
    assert runs.train(data, tmp_path / "one", *WHOLE, "--dtype", "bfloat16").code == 0
    two, one = runs.result(tmp_path / "two"), runs.result(tmp_path / "one")
    for mine, theirs in zip(two.losses, one.losses, strict=True):
        assert mine["loss"] == pytest.approx(theirs["loss"], rel=0.02)
    assert {tensor.dtype for tensor in two.model.values()} == {torch.float32}


def test_what_is_not_shared_out_passes_as_it_is() -> None:
    tensor = torch.ones(2)
    assert sharding.own(tensor) is sharding.whole(tensor) is tensor
    assert sharding.shared_as(tensor, torch.zeros(2)) is tensor
    turns = Turns([tensor, tensor.clone()])
    assert turns.fetch(tensor) is tensor
    turns.drain()
    with pytest.raises(ValueError, match="out of turn"):
        Turns([tensor]).fetch(tensor.clone())


def test_gradients_are_clipped_as_torch_does_it() -> None:
    layers = [nn.Linear(3, 3) for _ in range(2)]
    for layer in layers:
        for number, parameter in enumerate(layer.parameters(), 1):
            parameter.grad = torch.full_like(parameter, number)
    norm = sharding.clipped(layers[0].parameters(), 0.5)
    assert torch.equal(norm, nn.utils.clip_grad_norm_(layers[1].parameters(), 0.5))
