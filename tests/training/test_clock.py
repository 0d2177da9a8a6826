"""Lines of metrics tell when they were written, and after how much training."""

import json
import time
from pathlib import Path

import pytest
import torch
from runs import train

from ddpm_cli.training import clock


def test_a_clock_goes_on_from_before(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([100.0, 107.5])
    monkeypatch.setattr(time, "monotonic", lambda: next(now))
    monkeypatch.setattr(time, "time", lambda: 1.7e9)
    read = clock.Clock(torch.device("cpu"), before=60.0).read()
    assert (read["time"], read["seconds"]) == (1.7e9, 67.5)


def test_the_peak_of_memory_counts_bytes() -> None:
    peak = clock.peak_memory(torch.device("cpu"))
    held = torch.ones(8_000_000, dtype=torch.float64)
    after = clock.peak_memory(torch.device("cpu"))
    if peak is not None and after is not None:
        assert held.nbytes < after
        assert peak <= after


def test_lines_of_a_run_that_goes_on(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert train(data, run, "--steps", 8, "--set", "train.decay=constant").code == 0
    first = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    assert train(data, run, "--steps", 15, "--set", "train.decay=constant").code == 0
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["images_seen"] for line in lines] == [8 * line["step"] for line in lines]
    passed = [line["seconds"] for line in lines]
    assert passed == sorted(passed)
    assert passed[-1] > first["seconds"] > 0
    assert [line["time"] for line in lines] == sorted(line["time"] for line in lines)
    assert abs(lines[-1]["time"] - time.time()) < 600
