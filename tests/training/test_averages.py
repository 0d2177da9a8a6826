"""Averages for later: when they are kept, and that a stopped run keeps what a whole one does."""

import signal
from pathlib import Path

import pytest
import runs
import torch
from runs import STEPS, assert_same, contents, result, signal_after, watched
from runs import train_small as train
from torch import nn

from ddpm_cli.files.checkpoints import averages, checkpoint
from ddpm_cli.training.averages import Averages, Spacing
from ddpm_cli.training.curves import average_decay

KEEP = (
    "--set", "train.averages=[0.05, 0.1]", "--set", "train.snapshots=4",
    "--set", "train.sheet_count=0",
)  # fmt: skip


def due(spacing: Spacing, steps: int) -> list[int]:
    return [step for step in range(1, steps + 1) if spacing.is_due(step)]


@pytest.mark.parametrize(("steps", "count"), [(5000, 16), (100, 16), (7, 7), (5, 16), (9, 1)])
def test_snapshots_are_even_and_the_last_is_at_the_end(steps: int, count: int) -> None:
    found = due(Spacing(steps, count), steps)
    assert len(found) == min(steps, count)
    assert found[-1] == steps
    gaps = [after - before for before, after in zip([0, *found], found, strict=False)]
    assert max(gaps) - min(gaps) <= 1
    assert due(Spacing(steps, count), 2 * steps)[: len(found)] == found  # as it began


def test_each_is_the_average_of_its_length() -> None:
    layer, chance = nn.BatchNorm1d(2), torch.Generator().manual_seed(0)
    kept, expected = Averages(layer, [0.05, 0.2]), [torch.zeros(2), torch.zeros(2)]
    for step in range(20):
        with torch.no_grad():
            layer.weight.copy_(torch.randn(2, generator=chance))
        kept.update(step)
        for number, length in enumerate((0.05, 0.2)):
            decay = average_decay(step, 0.0, length)
            expected[number] = decay * expected[number] + (1 - decay) * layer.weight.detach()
    tensors = kept.tensors()
    for number in (0, 1):
        assert torch.allclose(tensors[f"{number}.weight"], expected[number], atol=1e-6)
    assert "buffers.running_mean" in tensors
    assert "0.running_mean" not in tensors
    other = Averages(nn.BatchNorm1d(2), [0.05, 0.2])
    other.load(tensors)
    assert torch.equal(other.tensors()["1.weight"], tensors["1.weight"])


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("averages") / "run"
    assert train(data, folder, *KEEP).code == 0
    return folder


def snapshots(folder: Path) -> dict[str, bytes]:
    return contents(folder / averages.FOLDER)


def test_a_stopped_run_keeps_what_a_whole_one_does(
    whole: Path, data: Path, tmp_path: Path
) -> None:
    assert list(averages.listed(whole)) == [3, 6, 9, 12]
    for stop in (2, 5):  # at a snapshot, and between two
        with signal_after(stop, signal.SIGTERM):
            assert train(data, tmp_path / "run", *KEEP).code == 143
    assert list(averages.listed(tmp_path / "run")) == [3, 6, 9]
    assert train(data, tmp_path / "run", *KEEP).code == 0
    assert_same(result(tmp_path / "run"), result(whole))
    assert snapshots(tmp_path / "run") == snapshots(whole)
    # They are no part of the training.
    assert train(data, tmp_path / "plain", "--set", "train.sheet_count=0").code == 0
    plain = result(tmp_path / "plain").model
    assert result(whole).model.keys() == plain.keys()
    assert all(torch.equal(tensor, result(whole).model[name]) for name, tensor in plain.items())


def test_what_is_kept_says_what_it_is(whole: Path) -> None:
    header, tensors = checkpoint.load(averages.path(whole, STEPS))
    assert (header.kind, header.step) == ("averages", STEPS)
    kept = {"lengths": [0.05, 0.1], "steps": STEPS, "snapshots": 4}
    assert header.averages == kept
    state, all_of_it = checkpoint.load(whole / "state.safetensors")
    assert state.averages == kept
    assert checkpoint.load(whole / "model.safetensors")[0].averages is None
    assert all(torch.equal(tensor, all_of_it[name]) for name, tensor in tensors.items())
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float32}


def test_a_longer_run_goes_on_as_it_began_and_keeps_its_end(
    whole: Path, data: Path, tmp_path: Path
) -> None:
    knobs = (*KEEP, "--set", "train.decay=constant")
    for steps in (8, 9, 13):
        assert train(data, tmp_path / "run", *knobs, "--steps", steps).code == 0
    assert list(averages.listed(tmp_path / "run")) == [2, 4, 6, 8, 9, 10, 12, 13]


def test_of_steps_that_are_made_again_nothing_is_left(
    data: Path, whole: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    for name, content in contents(whole).items():
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_bytes(content)
    (run / "state.safetensors").unlink()  # 12; the one before is of step 8
    (run / "averages" / ".step-0000012.safetensors.tmp").write_bytes(b"half")
    assert train(data, run, *KEEP, "--minutes", 1e-9).code == 0
    assert list(averages.listed(run)) == [3, 6, 9]
    assert not list(run.rglob(".*tmp*"))
    assert train(data, run, *KEEP).code == 0
    for step, path in averages.listed(whole).items():
        found, expected = (checkpoint.load(each)[1] for each in (averages.path(run, step), path))
        assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    assert train(data, run, "--force", "--steps", 1).code == 0
    assert not (run / averages.FOLDER).exists()


def test_a_kill_at_any_file_operation_loses_and_doubles_nothing(
    data: Path, tmp_path: Path
) -> None:
    words = (*KEEP, "--steps", 4, "--set", "train.save_every=2", "--set", "train.snapshots=3")
    with watched(tmp_path / "run") as moments:
        assert train(data, tmp_path / "run", *words).code == 0
    expected = snapshots(tmp_path / "run")
    assert len(expected) == 3
    # What else is written matters to nothing that is kept here.
    told = {(*files, files.get("state.safetensors")): files for files in moments}
    assert len(told) > 10
    for number, files in enumerate(told.values()):
        folder = tmp_path / f"{number}"
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        assert train(data, folder, *words).code == 0
        assert snapshots(folder) == expected, sorted(files)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train.averages=[0.05]"], "train.averages: .* with \\[0.05, 0.1\\], not \\[0.05\\]"),
        (["train.snapshots=8"], "train.snapshots: .* with 4, not 8"),
    ],
)
def test_what_is_kept_does_not_change_on_the_way(
    words: list[str], message: str, data: Path, whole: Path
) -> None:
    more = [part for word in words for part in ("--set", word)]
    outcome = train(data, whole, *KEEP, *more, "--steps", 20)
    assert outcome.code == 2
    assert runs.re.search(message, outcome.err), outcome.err


def test_what_it_costs_is_said_before(data: Path, tmp_path: Path) -> None:
    said = train(data, tmp_path / "run", *KEEP, "--dry-run").err
    assert "4 snapshots of 2 averages for ddpm convert --ema take" in said
    twice = train(data, tmp_path / "run", "--set", "train.averages=[0.1, 0.1005]", "--dry-run")
    assert twice.code == 2
    assert "train.averages: 0.1 and 0.1005 are one average" in twice.err
