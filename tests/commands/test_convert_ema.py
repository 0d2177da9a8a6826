"""`ddpm convert RUN --ema`: an average of any length, made of what a run kept."""

import json
import shlex
import shutil
import signal
from pathlib import Path

import pytest
import runs
import torch
from runs import ddpm, done, flip_bit, signal_after
from runs import train_small as train

from ddpm_cli.files.checkpoints import averages, checkpoint
from ddpm_cli.pipelines.ema_best import search

KEEP = ("--set", "train.averages=[0.05, 0.1]", "--set", "train.sheet_count=0")
LAST = "step-0000012.safetensors"
TOLERANCE = 1e-6  # of weights of about 1, after twelve steps at 0.004


@pytest.fixture(scope="module")
def kept(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with averages for later; copy it before changing it."""
    folder = tmp_path_factory.mktemp("kept") / "run"
    assert train(data, folder, *KEEP).code == 0
    return folder


@pytest.fixture
def copied(kept: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(kept, tmp_path / "run"))


def test_it_is_the_average_of_a_run_that_was_trained_with_it(
    kept: Path, data: Path, tmp_path: Path
) -> None:
    """Within 1e-6 of each weight, from which the average of 0.1 is a hundred times as far."""
    other, output = tmp_path / "other", tmp_path / "m.safetensors"
    assert train(data, other, *KEEP[2:], "--set", "train.ema_length=0.075").code == 0
    told = done("convert", kept, "--ema", "0.075", "-o", output)
    assert told.out == f"{output}\n"
    assert "Warning" not in told.err
    _, found = checkpoint.load(output)
    _, expected = checkpoint.load(other / "model.safetensors")
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype
        assert torch.allclose(found[name], tensor, atol=TOLERANCE), name
    done("convert", kept, "--ema", "0.1", "-o", output, "--force")
    _, longer = checkpoint.load(output)
    assert any((longer[k] - t).abs().max() > 100 * TOLERANCE for k, t in expected.items())


@pytest.mark.parametrize(("number", "length"), [(0, "0.05"), (1, "0.1")])
def test_a_length_that_was_kept_is_as_it_was(
    number: int, length: str, kept: Path, tmp_path: Path
) -> None:
    done("convert", kept, "--ema", length, "-o", tmp_path / "m.safetensors")
    _, found = checkpoint.load(tmp_path / "m.safetensors")
    _, there = checkpoint.load(kept / "averages" / LAST)
    for name, tensor in found.items():
        assert torch.equal(tensor, there[f"averages.{number}.{name}"]), name


def test_the_model_says_what_it_is_and_draws(kept: Path, tmp_path: Path) -> None:
    output = tmp_path / "m.safetensors"
    told = json.loads(done("convert", kept, "--ema", "0.08", "-o", output, "--json").out)
    header = checkpoint.load(output)[0]
    newest = checkpoint.load(kept / "averages" / LAST)[0]
    assert (header.kind, header.step, header.config) == ("model", 12, newest.config)
    assert told["hash"] == header.hash
    assert told["ema"] == header.averages
    assert header.averages is not None
    assert header.averages["length"] == 0.08
    assert (header.averages["run"], header.averages["newest"]) == ("run", newest.hash)
    assert json.loads(done("info", output, "--json").out)["ema"] == header.averages
    about = json.loads(done("info", kept, "--json").out)
    assert about["snapshots"] == {"count": 12, "last": 12}
    assert json.loads(done("info", kept / "averages" / LAST, "--json").out)["kind"] == "averages"
    done("sample", "-m", output, "-n", 1, "-o", tmp_path / "a.png", *runs.PLAIN)
    refused = ddpm("sample", "-m", kept / "averages" / LAST, "-o", tmp_path / "b.png")
    assert (refused.code, "for ddpm convert --ema" in refused.err) == (1, True)


def test_of_a_stopped_run_its_state_is_the_newest(data: Path, tmp_path: Path) -> None:
    folder, few = tmp_path / "run", (*KEEP, "--set", "train.snapshots=2")
    with signal_after(7, signal.SIGTERM):
        assert train(data, folder, *few).code == 143
    assert list(averages.listed(folder)) == [6]
    done("convert", folder, "--ema", "0.1", "-o", tmp_path / "m.safetensors")
    header, found = checkpoint.load(tmp_path / "m.safetensors")
    assert header.step == 8
    _, there = checkpoint.load(folder / "state.safetensors")
    assert all(torch.equal(t, there[f"averages.1.{k}"]) for k, t in found.items())
    warned = ddpm("convert", folder, "--ema", "0.02", "--dry-run")
    assert warned.code == 0
    assert "Warning: --ema 0.02: the snapshots give that average but for" in warned.err
    flip_bit(folder / "state.safetensors", -1000)
    done("convert", folder, "--ema", "0.1", "-o", tmp_path / "m.safetensors", "--force")
    assert checkpoint.load(tmp_path / "m.safetensors")[0].step == 6


class TestRefused:
    def test_a_run_that_kept_nothing_names_one_that_does(
        self, finished: Path, data: Path, tmp_path: Path
    ) -> None:
        outcome = ddpm("convert", finished, "--ema", "0.1", "-o", tmp_path / "m.safetensors")
        assert (outcome.code, outcome.out) == (1, "")
        what, command = outcome.err.splitlines()
        assert what == f"Error: {finished}: it kept no averages to make another one of"
        words = shlex.split(command.removeprefix("type: ddpm "))
        words[words.index("-o") + 1] = str(tmp_path / "again")
        assert ddpm(*words, "--dry-run").code == 0

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["--ema", "0.5"], "--ema 0.5: more than 0, at most 0.28"),
            (["--ema", "0"], "--ema 0: more than 0"),
            (["--ema", "nan"], "--ema nan: more than 0"),
            (["--ema", "most"], "--ema most: a length as 0.1, or best"),
            (["--ema", "0.1", "--to", "onnx"], "--to: not with --ema"),
            (["--ema", "0.1", "-n", "50"], "--count: of --ema best"),
            (["--protocol", "digits"], "--protocol: of --ema best"),
            (["--ema", "0.1", "--set", "levels.count=3"], "--ema best alone takes settings"),
            (["--ema", "best", "--protocol", "adm"], "where are the weights of inception?"),
            (["--ema", "best", "--protocol", "x"], "--protocol x: there is none"),
        ],
    )
    def test_what_has_no_effect(
        self, words: list[str], message: str, kept: Path, tmp_path: Path
    ) -> None:
        outcome = ddpm("convert", kept, *words, "-o", tmp_path / "m.safetensors")
        assert outcome.code == 2, outcome.err
        assert message in outcome.err
        assert not (tmp_path / "m.safetensors").exists()

    def test_what_is_no_run(self, kept: Path, tmp_path: Path) -> None:
        model = kept / "model.safetensors"
        outcome = ddpm("convert", model, "--ema", "0.1", "-o", tmp_path / "m.safetensors")
        assert outcome.code == 1
        assert f"type: ddpm convert {kept} --ema" in outcome.err
        assert ddpm("convert", tmp_path / "x", "--ema", "0.1", "-o", tmp_path / "m").code == 1

    def test_what_is_damaged_or_of_another_run(
        self, copied: Path, data: Path, tmp_path: Path
    ) -> None:
        words = ("convert", copied, "--ema", "0.1", "-o", tmp_path / "m.safetensors")
        flip_bit(copied / "averages" / "step-0000003.safetensors", -1000)
        outcome = ddpm(*words)
        assert outcome.code == 1
        assert "corrupt" in outcome.err
        (copied / "averages" / "step-0000003.safetensors").unlink()
        assert ddpm(*words).code == 0
        assert ddpm(*words).code == 1  # it is there
        other = tmp_path / "other"
        assert train(data, other, *KEEP, "--seed", 1, "--steps", 3).code == 0
        for name in ("step-0000003.safetensors", "step-0000002.safetensors"):
            shutil.copy(other / "averages" / name, copied / "averages" / name)
        outcome = ddpm(*words, "--force")
        assert outcome.code == 1
        assert "of another run than" in outcome.err


class TestBest:
    def test_without_features_the_held_out_loss_decides(self, kept: Path, tmp_path: Path) -> None:
        words = ("convert", kept, "--ema", "best")
        first = done(*words, "-o", tmp_path / "a.safetensors", "--json")
        assert "no samples are measured" in first.err
        assert "the held-out loss decides" in first.err
        told = json.loads(first.out)
        costs = {row["length"]: row["held_out"] for row in told["lengths"]}
        assert 8 <= len(costs) <= 10
        assert told["ema"]["length"] == min(costs, key=costs.__getitem__)
        assert told["ema"]["by"] == {"held_out": min(costs.values())}
        assert f"best: length {told['ema']['length']:g}" in first.err
        done(*words, "-o", tmp_path / "b.safetensors")
        written = [(tmp_path / name).read_bytes() for name in ("a.safetensors", "b.safetensors")]
        assert written[0] == written[1]

    def test_samples_are_measured_as_by_eval(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        data = runs.bars(tmp_path / "bars")
        run, output = tmp_path / "run", tmp_path / "m.safetensors"
        few = ("--set", "train.snapshots=4", "--set", "levels.count=2", "--steps", 4)
        assert train(data, run, *KEEP, *few).code == 0
        chosen = done(
            "convert", run, "--ema", "best", "--protocol", "digits", "-n", 24, "--seed", 5,
            "--set", "levels.count=3", "-o", output, "--json",
        )  # fmt: skip
        told = json.loads(chosen.out)
        assert {"protocol": "digits", "n": 24, "seed": 5}.items() <= told["ema"]["by"].items()
        words = ("--ref", "mnist:test", "--set", f"data.path={data}", "--protocol", "digits")
        plain = ("--set", "levels.count=3", "--json", *runs.PLAIN)
        measured = json.loads(done("eval", output, *words, "-n", 24, "--seed", 5, *plain).out)
        assert measured["metrics"]["fid"]["value"] == pytest.approx(told["ema"]["by"]["fid"])


@pytest.mark.parametrize("least", [0.02, 0.047, 0.25])
def test_the_search_comes_near_the_least_cost(least: float) -> None:
    tried: list[float] = []

    def cost(length: float) -> float:
        tried.append(length)
        return abs(length / least - 1)

    assert search(cost, 0.02, 0.25) == pytest.approx(least, rel=0.15)
    assert len(tried) == len(set(tried)) <= 10
