import csv
import io
import json
import math
import sys
from pathlib import Path

import pytest
import torch
from runs import Outcome, ddpm

from ddpm_cli.diffusion.schedules import tables
from ddpm_cli.errors import ConfigError
from ddpm_cli.files.checkpoints import checkpoint
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.files.checkpoints.header import Header
from ddpm_cli.pipelines.schedule import COLUMNS, tabulate
from ddpm_cli.settings.config import Layer, resolve


class Continuous:
    """A process of continuous time: sigma = 80 t, unscaled."""

    steps = None

    def sigma(self, t):  # type: ignore[no-untyped-def]
        return 80 * t

    def alpha(self, sigma):  # type: ignore[no-untyped-def]
        return sigma**0


def run(*arguments: str) -> Outcome:
    outcome = ddpm("schedule", *arguments)
    assert outcome.code in (0, 2), outcome.err
    return outcome


def test_linear_schedule_has_the_betas_of_the_paper() -> None:
    table = tabulate(tables.linear(steps=1000, first=1e-4, last=0.02), None)
    assert [row["t"] for row in table] == list(range(1, 1001))
    assert [row["index"] for row in table] == list(range(1000))
    betas = [row["beta"] for row in table]
    assert betas == pytest.approx([1e-4 + (0.02 - 1e-4) * i / 999 for i in range(1000)], rel=1e-9)
    assert table[0]["abar"] == pytest.approx(0.9999)
    assert table[-1]["abar"] == pytest.approx(4.03583e-05, rel=1e-5)
    assert table[-1]["sigma"] == pytest.approx(157.407, rel=1e-5)
    for row in table[::100]:
        assert row["logsnr"] == pytest.approx(math.log(row["abar"] / (1 - row["abar"])), abs=1e-9)


@pytest.mark.parametrize("count", [1, 2, 3, 20, 10, 11, None])
def test_rows_are_spread_evenly_and_their_betas_are_of_one_step(count: int | None) -> None:
    whole = tabulate(tables.cosine(steps=10), None)
    table = tabulate(tables.cosine(steps=10), count)
    assert len(table) == min(count or 10, 10)
    assert all(row in whole for row in table)
    assert table[0] == whole[0]
    assert count == 1 or table[-1] == whole[-1]


def test_continuous_schedule_has_no_index_and_no_beta() -> None:
    table = tabulate(Continuous(), 3)  # type: ignore[arg-type]
    assert [row["t"] for row in table] == [0, 0.5, 1]
    assert table[1]["sigma"] == 40
    assert table[1]["index"] is None
    assert table[1]["beta"] is None
    with pytest.raises(ConfigError, match="continuous"):
        tabulate(Continuous(), None)  # type: ignore[arg-type]


def test_text() -> None:
    lines = run("--rows", "3", "--set", "schedule.steps=100").out.splitlines()
    assert lines[0].split() == list(COLUMNS)
    assert [line.split()[:2] for line in lines[1:]] == [["1", "0"], ["51", "50"], ["100", "99"]]
    assert len({len(line) for line in lines}) == 1


def test_default_is_twenty_rows() -> None:
    assert len(run().out.splitlines()) == 21


def test_csv_and_json_have_the_same_rows_in_full_precision() -> None:
    options = ("--rows", "all", "--set", "schedule.name=linear", "--set", "schedule.steps=90")
    rows = list(csv.DictReader(io.StringIO(run(*options, "--csv").out)))
    objects = [json.loads(line) for line in run(*options, "--json").out.splitlines()]
    assert len(rows) == len(objects) == 90
    for row, values in zip(rows, objects, strict=True):
        assert tuple(row) == tuple(values) == COLUMNS
        assert {key: float(text) for key, text in row.items()} == values


@pytest.mark.parametrize("place", ["run", "run/model.safetensors"])
def test_model(place: str, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    settings = resolve([Layer("test", {"schedule": {"name": "linear", "steps": 50}})])
    header = Header("model", settings, DataInfo((1, 4, 4)), 0)
    checkpoint.save(tmp_path / "run/model.safetensors", {"weight": torch.zeros(1)}, header)
    of_model = run("--json", "-m", str(tmp_path / place)).out
    assert of_model == run("--json", "--set", "schedule={name='linear', steps=50}").out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rows", "0"], "--rows '0'"),
        (["--rows", "-1"], "--rows '-1'"),
        (["--rows", "\u0663"], "--rows"),
        (["--rows", "9" * 5000], "--rows"),
        (["--csv", "--json"], "only one"),
        (["--set", "schedule.steps=0"], "1 to 100,000"),
        (["--set", "schedule.name=cosin"], "did you mean cosine?"),
    ],
)
def test_refusals(arguments: list[str], message: str) -> None:
    result = run(*arguments)
    assert result.code == 2
    assert message in result.err


class TestPlot:
    def test_missing_package_names_the_line_to_type(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
        result = ddpm("schedule", "--plot", tmp_path / "a.png")
        assert result.code == 1
        assert "pip install 'ddpm-cli[plot]'" in result.err
        assert list(tmp_path.iterdir()) == []

    def test_picture(self, tmp_path: Path) -> None:
        pytest.importorskip("matplotlib")
        path = tmp_path / "a.png"
        result = run("--plot", str(path))
        assert result.out == f"{path}\n"
        assert path.read_bytes().startswith(b"\x89PNG")
        again = ddpm("schedule", "--plot", path)
        assert again.code == 1
        assert "--force" in again.err
        assert run("--plot", str(path), "--force").code == 0

    def test_unknown_kind_of_picture(self, tmp_path: Path) -> None:
        pytest.importorskip("matplotlib")
        result = run("--plot", str(tmp_path / "a.xyz"))
        assert result.code == 2
        assert list(tmp_path.iterdir()) == []
