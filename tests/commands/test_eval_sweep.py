"""`ddpm eval --sweep`: a row for each cell, kept when it is there already, and what is refused."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import random_models
import torch
from runs import Outcome, ddpm, done

from ddpm_cli import signals
from ddpm_cli.data.sets.images import mnist
from ddpm_cli.files.images.pixels import encode_png
from ddpm_cli.pipelines import sweep
from ddpm_cli.pipelines.sweep_cells import Ready

COUNT = 20  # the least of which a jackknife is taken
TWO = ("--sweep", "sampler=ddim,heun", "--sweep", "calls=1,3")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A little model of digits, `little`, and beside it some real digits, `here/real`."""
    folder = tmp_path_factory.mktemp("home")
    network = {**random_models.UNET, "patch": 4, "attention": [], "classes": 10}
    random_models.saved(
        folder / "little",
        network,
        shape=(1, 28, 28),
        classes=tuple("0123456789"),
        sampler={"name": "ddim", "eta": 1.0},
    )
    (folder / "here" / "real").mkdir(parents=True)
    images, _ = mnist("test")[torch.arange(40)]  # type: ignore[arg-type]
    for row, image in enumerate(images):
        (folder / "here" / "real" / f"{row}.png").write_bytes(encode_png(image))
    return folder


@pytest.fixture(autouse=True)
def here(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder and a cache of the test's own; the digits are in `real`, the model beside it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "here").mkdir()
    (tmp_path / "little").symlink_to(home / "little")
    (tmp_path / "here" / "real").symlink_to(home / "here" / "real")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def swept(*words: object, model: str = "../little") -> Outcome:
    return ddpm("eval", model, "--ref", "real", "-n", COUNT, *words)


def rows(path: str) -> list[dict[str, str]]:
    with Path(path).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def untimed(found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    timed = ("seconds_per_image", "skipped")
    return [{key: row[key] for key in row if key not in timed} for row in found]


@pytest.fixture(scope="module")
def whole(home: Path) -> list[dict[str, Any]]:
    """The rows of a sweep of two settings that nothing stopped."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(home / "cache"))
        patch.chdir(home / "here")
        return [json.loads(line) for line in swept(*TWO, "--json").out.splitlines()]


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The cells that are measured, in their order."""
    seen: list[str] = []
    real_cell = sweep._cell

    def cell(one: Ready, *rest: Any) -> Any:
        seen.append(one.cell.words)
        return real_cell(one, *rest)

    monkeypatch.setattr(sweep, "_cell", cell)
    return seen


def test_a_row_for_each_cell(measured: list[str]) -> None:
    outcome = swept(*TWO, "-o", "t.csv", "--json", "--metric", "fid", "--metric", "kid")
    assert outcome.code == 0, outcome.err
    told = [json.loads(line) for line in outcome.out.splitlines()]
    assert [(row["sampler"], row["calls"]) for row in told] == [
        ("ddim", 1), ("ddim", 3), ("heun", 1), ("heun", 3),
    ]  # fmt: skip
    assert len(measured) == 4
    for row, written in zip(told, rows("t.csv"), strict=True):
        assert list(row) == list(written)
        assert float(written["fid"]) == row["fid"] > 0 < row["fid_error"]
        assert (row["n"], row["seeds"], row["network_calls"]) == (COUNT, "0-19", row["calls"])
        assert row["seconds_per_image"] > 0
        assert row["reason"] is row["settings"] is None
        assert row["protocol"].startswith("none: fid, kid:")
        assert "real" in row["reference"]
    # One call from the same noise is the same image, whatever the sampler is.
    assert told[0]["fid"] == told[2]["fid"]
    assert told[1]["fid"] != told[3]["fid"]
    assert "4 cells, 160 network calls to make, about" in outcome.err
    facts = json.loads(done("info", "t.csv", "--json").out)
    assert (facts["written_by"], facts["rows"]) == ("ddpm eval --sweep -o", 4)


def test_a_cell_is_an_evaluation_of_its_own(whole: list[dict[str, Any]]) -> None:
    row = whole[3]
    alone = json.loads(swept("--sampler", "heun", "--calls", 3, "--json").out)
    assert row["fid"] == pytest.approx(alone["metrics"]["fid"]["value"], rel=1e-7)
    assert row["fid_error"] == pytest.approx(alone["metrics"]["fid"]["error"], rel=1e-7)
    assert alone["samples"]["hash"].startswith(row["model_hash"])


@pytest.mark.parametrize("suffix", ["csv", "tsv", "json", "jsonl", "md"])
def test_a_stopped_sweep_goes_on(
    suffix: str,
    measured: list[str],
    whole: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Rows that are there are kept; all but seconds is as if it had not been stopped."""
    words = (*TWO, "-o", f"t.{suffix}", "--json")
    with monkeypatch.context() as patched:

        def stops() -> int | None:
            return 15 if len(measured) == 3 else None

        patched.setattr(signals, "requested", stops)
        first = swept(*words)
    kept = [json.loads(line) for line in first.out.splitlines()]
    assert len(kept) == 2
    measured.clear()
    outcome = swept(*words)
    assert outcome.code == 0, outcome.err
    assert measured == ["sampler=heun calls=1", "sampler=heun calls=3"]
    told = [json.loads(line) for line in outcome.out.splitlines()]
    assert untimed(told) == untimed(whole)
    assert [row.get("skipped", False) for row in told] == [True, True, False, False]
    assert [row["seconds_per_image"] for row in told[:2]] == [
        row["seconds_per_image"] for row in kept
    ]
    before = Path(f"t.{suffix}").read_bytes()
    assert [json.loads(line)["skipped"] for line in swept(*words).out.splitlines()] == [True] * 4
    assert Path(f"t.{suffix}").read_bytes() == before


def test_a_sweep_can_grow(measured: list[str]) -> None:
    assert swept("--sweep", "calls=1,3", "-o", "t.csv").code == 0
    measured.clear()
    assert swept("--sweep", "calls=2,3", "-o", "t.csv").code == 0
    assert measured == ["calls=2"]
    assert [row["calls"] for row in rows("t.csv")] == ["2", "3", "1"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("-n", COUNT + 1), "n is 20, this sweep's 21"),
        (("--seed", 5), "seeds is 0-19, this sweep's 5-24"),
        (("--class", 3), "class is none, this sweep's 3"),
        (("--metric", "kid"), "protocol is none: fid, this sweep's none: kid"),
        (("--set", "sampler.eta=0.5"), "settings is none, this sweep's sampler.eta=0.5"),
        (("--dtype", "float32"), "dtype is bfloat16, this sweep's float32"),
        (("--ref", "other"), "reference is real"),
        (("--sweep", "guidance.scale=1"), "keys are calls, this sweep's calls, guidance.scale"),
    ],
)
def test_a_table_of_other_figures_is_not_continued(
    words: tuple[object, ...], told: str, here: Path, home: Path
) -> None:
    start = ("--sweep", "calls=1", "-o", "t.csv", "--dtype", "bfloat16")
    assert swept(*start).code == 0
    before = Path("t.csv").read_bytes()
    Path("other").mkdir()
    for path in sorted((home / "here" / "real").iterdir())[:20]:
        (here / "other" / path.name).write_bytes(path.read_bytes())
    outcome = swept(*start, *words)
    assert outcome.code == 1
    assert f"Error: t.csv: its {told}" in outcome.err
    assert Path("t.csv").read_bytes() == before
    assert swept(*start, *words, "--force").code == 0


def test_another_model_is_refused(tmp_path: Path) -> None:
    words = ("--sweep", "calls=1", "-o", "t.csv")
    assert swept(*words).code == 0
    text = Path("t.csv").read_text()
    (row,) = rows("t.csv")
    Path("t.csv").write_text(text.replace(row["model_hash"], "0" * 16))
    outcome = swept(*words)
    assert outcome.code == 1
    assert f"its model hash is {'0' * 16}, this sweep's {row['model_hash']}" in outcome.err


@pytest.mark.parametrize("content", ["a,b\n1,2\n", "not,a\n1\n"])
def test_a_file_that_is_no_table_stays(content: str) -> None:
    Path("t.csv").write_text(content)
    outcome = swept("--sweep", "calls=1", "-o", "t.csv")
    assert outcome.code == 1
    assert "Error: t.csv: no table" in outcome.err
    assert Path("t.csv").read_text() == content


def test_an_impossible_cell_is_a_row_with_its_reason() -> None:
    words = ("--sweep", "guidance.scale=1,2", "--sweep", "calls=1,4", "-o", "t.csv")
    outcome = swept(*words)
    assert outcome.code == 3
    assert "1 of 4 cells could not be measured" in outcome.err
    found = rows("t.csv")
    assert [bool(row["reason"]) for row in found] == [False, False, True, False]
    assert "too few for one step" in found[2]["reason"]
    assert found[2]["fid"] == ""
    assert "too few" in outcome.out
    again = swept(*words)
    assert (again.code, rows("t.csv")) == (3, found)


def test_a_key_that_fits_some_samplers_alone() -> None:
    words = ("--sweep", "sampler=ddim,heun", "--sweep", "sampler.eta=0,1", "--steps", 2)
    outcome = swept(*words, "--json")
    assert outcome.code == 2
    assert "sampler.eta: unknown key for heun" in outcome.err


def test_what_fails_in_one_cell_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest is done, and the cell is tried again the next time."""
    words = ("--sweep", "calls=1,2", "-o", "t.csv")
    from ddpm_cli.errors import Refusal
    from ddpm_cli.pipelines import eval as evaluation

    real_one, seen = evaluation.compared, []

    def compared(*arguments: Any) -> Any:
        seen.append(1)
        if len(seen) == 1:
            raise Refusal("seeds 0-11: values that are not finite", "try --dtype float32")
        return real_one(*arguments)

    monkeypatch.setattr(evaluation, "compared", compared)
    outcome = swept(*words)
    assert outcome.code == 3
    assert [row["reason"][:10] for row in rows("t.csv")] == ["seeds 0-11", ""]
    assert swept(*words).code == 0
    assert [row["reason"] for row in rows("t.csv")] == ["", ""]
    assert len(seen) == 3


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--sweep", "sampler=ddim,huen"), "did you mean heun?"),
        (("--sweep", "calls=1", "--sweep", "guidance.scale=1,big"), "'big' does not fit"),
        (("--sweep", "guidance.scal=1,2"), "did you mean scale?"),
        (("--sweep", "network.width=8,16"), "network.width"),
        (("--sweep", "cals=1,2"), "did you mean calls?"),
        (("--sweep", "calls=1", "--steps", 5), "--steps: --sweep calls says already which"),
        (("--sweep", "sampler=ddim", "--sampler", "heun"), "--sampler: --sweep sampler says"),
        (("--sweep", "sampler=ddim", "--set", "sampler.name=heun"), "set already"),
        (("--sweep", "calls=1", "--floor"), "--floor"),
        (("--sweep", "calls=1", "--badge"), "--badge: not with --sweep"),
        (("--sweep", "calls=1", "-o", "t.xlsx"), "unknown ending"),
        (("--sweep", "calls=1", "--plot", "t.gif"), "unknown ending"),
        (("-o", "t.csv"), "--output: of --sweep"),
        (("--plot", "t.png"), "--plot: of --sweep"),
    ],
)
def test_refused_before_any_work(
    words: tuple[object, ...], told: str, measured: list[str]
) -> None:
    outcome = swept(*words)
    assert (outcome.code, outcome.out, measured) == (2, "", [])
    assert told in outcome.err
    assert sum(line != "" for line in outcome.err.split("Error: ")[1].splitlines()) <= 3
    assert [path.name for path in Path().iterdir()] == ["real"]


def test_files_are_not_swept() -> None:
    outcome = ddpm("eval", "real", "--ref", "real", "--sweep", "calls=1")
    assert outcome.code == 2
    assert "--sweep: of a model" in outcome.err


def test_a_dry_run_prints_the_cells(measured: list[str]) -> None:
    words = (*TWO, "--sweep", "guidance.scale=1,2", "-o", "t.csv", "--dry-run")
    outcome = swept(*words)
    assert outcome.code == 0
    heading, *lines = outcome.out.splitlines()
    assert heading.split() == [
        "sampler", "calls", "guidance.scale", "network_calls", "images", "plan",
    ]  # fmt: skip
    assert len(lines) == 8
    assert lines[0].split() == ["ddim", "1", "1", "1", "20", "to", "draw"]
    assert "too few" in lines[1]
    told = [json.loads(line) for line in swept(*words, "--json").out.splitlines()]
    assert told[2] == {
        "sampler": "ddim", "calls": 3, "guidance.scale": 1, "network_calls": 3, "images": 20,
        "plan": "to draw",
    }  # fmt: skip
    assert (measured, Path("t.csv").exists()) == ([], False)


def test_tasks_of_an_array_measure_other_cells() -> None:
    """Each writes a table of its own, and together they hold every cell."""
    for number in (1, 2, 3):
        words = ("--shard", f"{number}/3", "-o", "t-{shard}.csv")
        assert swept(*TWO, *words).code == 0
    found = [[row["sampler"] + row["calls"] for row in rows(f"t-{n}.csv")] for n in (1, 2, 3)]
    assert found == [["ddim1"], ["ddim3"], ["heun1", "heun3"]]
    assert swept(*TWO, "--shard", "1/5", "-o", "none.csv").code == 0
    assert not Path("none.csv").exists()


def test_seeds_and_number_formats_are_swept_too() -> None:
    words = ("--sweep", "seed=0,100", "--sweep", "compute.dtype=float32,bfloat16", "--steps", 1)
    outcome = swept(*words, "--json")
    assert outcome.code == 0, outcome.err
    told = [json.loads(line) for line in outcome.out.splitlines()]
    assert [(row["seeds"], row["dtype"]) for row in told] == [
        ("0-19", "float32"), ("0-19", "bfloat16"), ("100-119", "float32"), ("100-119", "bfloat16"),
    ]  # fmt: skip
    assert len({row["fid"] for row in told}) == 4


def test_the_plot_is_drawn_and_follows_its_table() -> None:
    pytest.importorskip("matplotlib")
    words = ("--sweep", "calls=1,2", "--plot", "t.png")
    assert swept(*words, "-o", "t.csv").code == 0
    first = Path("t.png").read_bytes()
    assert swept(*words, "-o", "t.csv").code == 0
    assert Path("t.png").read_bytes() == first
    outcome = swept(*words, "-o", "new.csv")
    assert outcome.code == 1
    assert "t.png: exists already" in outcome.err


def test_fitted_levels_stand_beside_spacings_where_there_are_any() -> None:
    walk = ("--sampler", "dpm++2m", "--sweep", "levels=karras,fitted", "--sweep", "steps=2,7")
    told = swept(*walk, "-o", "t.csv", model="mnist")
    assert told.code == 3, told.err
    found = {(row["levels"], row["steps"]): row["reason"] for row in rows("t.csv")}
    lacking = found.pop(("fitted", "7"))
    assert "no fit of dpm-solver-pp-multi has 7 levels" in lacking
    assert "ddpm fit mnist --levels 7" in lacking
    assert found == dict.fromkeys([("karras", "2"), ("karras", "7"), ("fitted", "2")], "")
