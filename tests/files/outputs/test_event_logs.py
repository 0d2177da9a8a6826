"""Numbers and sheets of a run go to TensorBoard and Weights & Biases, and go on where it does."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from runs import contents, train

LOGS = ("--set", "train.sheet_every=4", "--set", "train.sheet_count=4")
CONSTANT = ("--set", "train.decay=constant")


def logging(kind: str) -> tuple[str, ...]:
    return (*LOGS, *CONSTANT, "--set", f"train.logs={kind}")


@pytest.mark.parametrize("kind", ["tensorboard", "wandb"])
@pytest.mark.parametrize("words", [(), ("--dry-run",)])
def test_a_missing_package_is_told_before_any_work(
    kind: str, words: tuple[str, ...], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, kind, None)
    outcome = train(data, tmp_path / "run", *logging(kind), *words)
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.splitlines() == [
        f"Error: {kind} is not installed", "type: pip install 'ddpm-cli[logs]'"
    ]  # fmt: skip
    assert not (tmp_path / "run").exists()


def test_without_logs_there_is_nothing_more(data: Path, tmp_path: Path) -> None:
    assert train(data, tmp_path / "run", *LOGS).code == 0
    assert not {"tensorboard", "wandb"} & {path.name for path in (tmp_path / "run").iterdir()}


class TestTensorBoard:
    def events(self, run: Path) -> tuple[dict[str, list[tuple[int, float, float]]], list[int]]:
        """What TensorBoard shows: of each number its steps, times and values; steps of sheets."""
        accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
        found = accumulator.EventAccumulator(str(run / "tensorboard"), {"images": 0})
        found.Reload()
        tags = found.Tags()
        numbers = {
            tag: [(e.step, e.wall_time, e.value) for e in found.Scalars(tag)]
            for tag in tags["scalars"]
        }
        assert tags["images"] == ["samples"]
        return numbers, [image.step for image in found.Images("samples")]

    def test_the_same_numbers_and_sheets(self, data: Path, tmp_path: Path) -> None:
        pytest.importorskip("tensorboard")
        run = tmp_path / "run"
        assert train(data, run, *logging("tensorboard")).code == 0
        numbers, sheets = self.events(run)
        assert sheets == [4, 8, 12]
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        for name in ("loss", "loss_q1", "held_out", "lr", "images_per_second", "seconds"):
            told = [(line["step"], line["time"], line[name]) for line in lines if name in line]
            assert len(told) == len(numbers[name]), name
            for mine, theirs in zip(numbers[name], told, strict=True):
                assert mine == pytest.approx(theirs, rel=1e-6), name

    def test_a_run_goes_on_in_its_place(self, data: Path, tmp_path: Path) -> None:
        """And steps that are made again are shown once."""
        pytest.importorskip("tensorboard")
        run, words = tmp_path / "run", logging("tensorboard")
        assert train(data, run, *words).code == 0
        (run / "state.safetensors").unlink()  # so that it goes on from the save before
        assert train(data, run, *words, "--steps", 15).code == 0
        numbers, sheets = self.events(run)
        assert [step for step, _, _ in numbers["loss"]] == [5, 10, 15]
        assert sheets == [4, 8, 12, 15]

    def test_starting_over_forgets_what_was_there(self, data: Path, tmp_path: Path) -> None:
        pytest.importorskip("tensorboard")
        run, words = tmp_path / "run", logging("tensorboard")
        assert train(data, run, *words).code == 0
        assert train(data, run, *words, "--steps", 5, "--force").code == 0
        assert [step for step, _, _ in self.events(run)[0]["loss"]] == [5]


class TestWeightsAndBiases:
    @pytest.fixture
    def begun(self, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
        """What stands in for the package, and notes each run that is begun and what it is told."""
        runs: list[dict[str, Any]] = []

        def init(**options: Any) -> SimpleNamespace:
            told: dict[str, Any] = {"options": options, "lines": [], "finished": 0}
            runs.append(told)
            return SimpleNamespace(
                define_metric=lambda name, step_metric: None,
                log=told["lines"].append,
                finish=lambda: told.update(finished=told["finished"] + 1),
            )

        stand_in = SimpleNamespace(init=init, Image=lambda path: Path(path).name, Settings=dict)
        monkeypatch.setitem(sys.modules, "wandb", stand_in)
        monkeypatch.delenv("WANDB_MODE", raising=False)
        return runs

    def test_it_is_told_the_same_and_stays_one_run(
        self, begun: list[dict[str, Any]], data: Path, tmp_path: Path
    ) -> None:
        run, words = tmp_path / "run", logging("wandb")
        assert train(data, run, *words).code == 0
        assert train(data, run, *words, "--steps", 15).code == 0
        first, second = begun
        assert (first["options"]["mode"], first["options"]["dir"]) == ("offline", str(run))
        assert first["options"]["id"] == second["options"]["id"]
        assert first["options"]["config"]["train"]["batch"] == 8
        assert [line["step"] for line in first["lines"] if "loss" in line] == [5, 10, 12]
        assert [line["samples"] for line in first["lines"] if "samples" in line] == [
            f"step-{step:07d}.png" for step in (4, 8, 12)
        ]
        assert [line["step"] for line in second["lines"] if "loss" in line] == [15]
        assert (first["finished"], second["finished"]) == (1, 1)
        assert train(data, run, *words, "--force").code == 0
        assert begun[2]["options"]["id"] != first["options"]["id"]

    def test_on_the_disk_alone(self, data: Path, tmp_path: Path) -> None:
        """By the package itself, if it is installed."""
        pytest.importorskip("wandb")
        outcome = train(data, tmp_path / "run", *logging("wandb"))
        assert outcome.code == 0, outcome.err
        names = contents(tmp_path / "run").keys()
        assert any(name.endswith(".wandb") for name in names)
        assert outcome.out.splitlines() == [str(tmp_path / "run" / "model.safetensors")]
