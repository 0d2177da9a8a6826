"""What `ddpm info` says of tables that ddpm wrote: each is written by its verb, and told."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from runs import ddpm, done, sample

from ddpm_cli.files.outputs import tables
from ddpm_cli.pipelines import sweep_table

ROWS = ("-b", 4, "-n", 2)


def info(path: Path, *words: object) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(done("info", path, "--json", *words).out)
    return facts


def scores(run: Path, path: Path) -> None:
    done("nll", "-m", run, *ROWS, "-o", path)


def terms(run: Path, path: Path) -> None:
    done("nll", "-m", run, *ROWS, "--method", "vlb", "--steps", 4, "--terms", path)


def rates(run: Path, path: Path) -> None:
    done("nll", "-m", run, *ROWS, "--method", "vlb", "--steps", 4, "--rate-distortion", path)


def levels(run: Path, path: Path) -> None:
    path.write_text(done("schedule", "-m", run, "--rows", 2, "--csv").out)


def spectrum(run: Path, path: Path) -> None:
    image = path.with_name("image.png")
    sample(run, "--steps", 2, "-o", image)
    path.write_text(done("schedule", "-m", run, "--spectrum", image, "--rows", 2, "--csv").out)


@pytest.mark.parametrize(
    ("write", "by", "rows"),
    [
        (scores, "ddpm nll -o", 2),
        (terms, "ddpm nll --terms", 5),
        (rates, "ddpm nll --rate-distortion", 5),
        (levels, "ddpm schedule --csv", 2),
        (spectrum, "ddpm schedule --spectrum --csv", 2),
    ],
)
def test_a_table_is_told_by_its_columns(
    write: Callable[[Path, Path], None],
    by: str,
    rows: int,
    finished_small: Path,
    tmp_path: Path,
) -> None:
    path = tmp_path / "a table.csv"
    write(finished_small, path)
    facts = info(path)
    assert (facts["kind"], facts["written_by"], facts["rows"]) == ("table", by, rows)
    assert facts["columns"] == path.read_text().splitlines()[0].split(",")
    assert f"ddpm info 'data:{path}'" in facts["read_by"]
    refused = ddpm("info", path, "--command")
    assert refused.code == 1
    assert f"{path}: a table of {by}, which holds no record of its making" in refused.err


@pytest.mark.parametrize("ending", tables.SUFFIXES)
def test_a_sweep_says_what_it_measured(ending: str, tmp_path: Path) -> None:
    path, names = tmp_path / f"table{ending}", ["steps", "fid", "fid_error", *sweep_table.REST]
    row = {"steps": 2, "fid": 1.5, "fid_error": 0.5, "model": "runs/a", "n": 20}
    tables.write(path, names, [row, row | {"steps": 3}])
    facts = info(path)
    assert (facts["written_by"], facts["rows"]) == ("ddpm eval --sweep -o", 2)
    assert (facts["model"], facts["n"], facts["columns"]) == ("runs/a", 20, names)
    assert f"-o {path} goes on with it" in facts["read_by"]


def test_the_log_of_a_run(finished_small: Path) -> None:
    facts = info(finished_small / "metrics.jsonl")
    assert facts["written_by"] == "ddpm train"
    assert facts["rows"] == len((finished_small / "metrics.jsonl").read_text().splitlines())
    assert f"ddpm report {finished_small}" in facts["read_by"]


def test_what_is_asked_of_data_is_said_of_data(finished_small: Path, tmp_path: Path) -> None:
    path = tmp_path / "levels.csv"
    levels(finished_small, path)
    path.write_text(path.read_text() + "3,2,0.5,0.9,1,0.1,0.8\n")
    assert info(path, "--limit", 2)["kind"] == "data"
    assert "written_by" not in done("info", f"data:{path}").out
    path.write_text("t,sigma\n1,2\n3,4\n")
    assert info(path)["kind"] == "data"


def test_a_table_that_was_cut(finished_small: Path, tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    scores(finished_small, path)
    path.write_text(path.read_text()[:-9])
    facts = info(path)
    assert (facts["written_by"], facts["rows"]) == ("ddpm nll -o", None)
