"""metrics.jsonl is read whatever became of it: torn lines, runs that went back, old lines."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from ddpm_cli.files import metrics


def written(folder: Path, *lines: Any) -> Path:
    path = folder / "metrics.jsonl"
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_bytes("\n".join(texts).encode("utf-8", "surrogateescape"))
    return path


def test_no_file_has_no_rows(tmp_path: Path) -> None:
    assert metrics.rows(tmp_path / "metrics.jsonl") == []
    assert metrics.rows(tmp_path) == []


def test_what_is_no_whole_line_is_left_out(tmp_path: Path) -> None:
    odd = ["[1]", "", "null", '{"loss": 1}', '{"step": "x"}', '{"step": true}', '{"step": NaN}',
           "\udcff\udcfe", "[" * 100_000, '{"step": ' + "9" * 5000 + "}"]  # fmt: skip
    path = written(tmp_path, *odd, {"step": 1, "loss": 0.5}, *odd, '{"step": 2, "lo')
    assert metrics.rows(path) == [{"step": 1, "loss": 0.5}]


def test_numbers_of_a_table_bear_its_name(tmp_path: Path) -> None:
    eval_ = {"fid": 3.5, "by": {"n": 10}, "protocol": "digits", "is_labelled": True}
    path = written(tmp_path, {"step": 1, "eval": eval_, "loss": None})
    assert metrics.rows(path) == [{"step": 1, "eval.fid": 3.5, "eval.by.n": 10}]


def test_lines_of_a_step_are_one_row(tmp_path: Path) -> None:
    path = written(tmp_path, {"step": 5, "loss": 1}, {"step": 5, "eval": {"fid": 2}})
    assert metrics.rows(path) == [{"step": 5, "loss": 1, "eval.fid": 2}]


def test_steps_that_were_made_again_count_once(tmp_path: Path) -> None:
    made = [{"step": step, "loss": step} for step in (10, 20, 30, 40)]
    again = [{"step": step, "loss": -step} for step in (20, 30)]
    rows = metrics.rows(written(tmp_path, *made, *again))
    assert [(row["step"], row["loss"]) for row in rows] == [(10, 10), (20, -20), (30, -30)]


def test_what_is_not_finite_stays(tmp_path: Path) -> None:
    (row,) = metrics.rows(written(tmp_path, '{"step": 1, "loss": NaN, "lr": 1e999}'))
    assert math.isnan(row["loss"])
    assert row["lr"] == math.inf


def test_seconds_of_old_lines_follow_from_the_speed() -> None:
    old = [{"step": 10, "images_per_second": 40}, {"step": 30, "images_per_second": 80}]
    assert metrics.seconds(old, 8) == [2, 4]
    new = [*old, {"step": 40, "seconds": 6.5}]
    assert metrics.seconds(new, 8) == [2, 4, 6.5]


def test_seconds_never_fall_and_are_unknown_where_nothing_tells() -> None:
    rows = [{"step": 1, "seconds": 5.0}, {"step": 2, "seconds": 3.0}]
    assert metrics.seconds(rows, 8) == [5, 5]
    assert metrics.seconds([{"step": 1}, {"step": 2, "seconds": 7}], 8) == [
        pytest.approx(math.nan, nan_ok=True), 7
    ]  # fmt: skip
