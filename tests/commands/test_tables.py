"""Tables from a file to samples: types are learned, and what is drawn is a table again."""

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import runs
import torch
from exact import by_sigma
from golden.analytic_model import Mixture
from torch import Tensor

from ddpm_cli.data.sets.arrays import array
from ddpm_cli.diffusion import levels
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.diffusion.samplers import heun
from ddpm_cli.diffusion.schedules.tables import linear
from ddpm_cli.diffusion.walk import start, walk
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.files.checkpoints.header import read_header
from ddpm_cli.models import datasets
from ddpm_cli.pipelines import info_columns

WORDS = ("nurse", 'the "boss", 1st', "clerk")
SHARES = (0.6, 0.1, 0.3)
HEADER = ["age", "income [kEUR]", "job", "height [cm]"]
SMALL = ["--set", "network.width=16", "--set", "network.depth=1", "--steps", "4"]


def table(path: Path, count: int = 2000, gaps: float = 0.0) -> Path:
    """Integers, a skewed number and words that go together, and a number beside them."""
    random = np.random.default_rng(0)
    jobs = random.choice(3, count, p=SHARES)
    z = random.normal(size=(count, 3))
    rows = [
        [
            str(int(30 + 10 * job + 4 * a)),
            f"{math.exp(job + 0.8 * b):.3f}",
            WORDS[job],
            f"{170 + 8 * c:.1f}",
        ]
        for job, (a, b, c) in zip(jobs, z, strict=True)
    ]
    for row in rows:
        for at in range(4):
            row[at] = "" if random.random() < gaps else row[at]
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([HEADER, *rows])
    return path


def read(path: Path) -> list[list[str]]:
    with path.open(newline="") as stream:
        return list(csv.reader(stream))


def drawn(mixture: Mixture, count: int) -> Tensor:
    """Samples of the exact denoiser of a mixture, at no other error than that of its levels."""
    schedule = linear()
    along = levels.karras(schedule, count=18, low=0.005)
    width = mixture.means.shape[1]
    rng = Rng(range(count))
    denoise, like = by_sigma(mixture, schedule), torch.empty(count, width, dtype=torch.float64)
    x = start(denoise, along, like, rng)
    *_, last = walk(denoise, x, along, rng, predictor=heun)
    return last.x


def test_a_table_comes_back_from_a_run(tmp_path: Path) -> None:
    path = table(tmp_path / "people.csv", 200)
    where = ["--set", "data.name=array", "--set", f"data.path={path}"]
    quantile = ["--set", 'data.quantile=["income [kEUR]"]']
    runs.done("train", "--preset", "swiss-roll", *where, *quantile, *SMALL, "-o", tmp_path / "run")
    runs.sample(tmp_path / "run", "-n", 30, "-o", tmp_path / "new.csv")
    names, *rows = read(tmp_path / "new.csv")
    assert names == HEADER
    assert len(rows) == 30
    for age, income, job, height in rows:
        assert str(int(age)) == age
        assert float(income) >= 0
        assert job in WORDS
        assert str(np.float32(height)) == height
    runs.sample(tmp_path / "run", "-n", 30, "-o", tmp_path / "new.npz")
    stored = np.load(tmp_path / "new.npz")
    assert stored["samples"].shape == (30, 4)
    words = json.loads(str(stored["ddpm"]))["categories"][2]
    assert [words[int(number)] for number in stored["samples"][:, 2]] == [row[2] for row in rows]
    told = json.loads(runs.done("info", tmp_path / "run", "--json").out)
    assert told["columns"] == HEADER
    assert (told["integers"], told["normal_scores"]) == (["age"], ["income [kEUR]"])
    assert told["categories"] == {"job": sorted(WORDS)}
    info = read_header(tmp_path / "run" / "model.safetensors").data
    assert info.cells(info.values_of([names, *rows])) == [names, *rows]


@pytest.mark.parametrize("encode", ["onehot", "bits"])
def test_the_exact_denoiser_draws_categories_as_often_as_they_are(
    encode: str, tmp_path: Path
) -> None:
    """Four words of known shares: each within three standard errors."""
    shares, count = torch.tensor([0.55, 0.3, 0.1, 0.05], dtype=torch.float64), 2000
    table = torch.arange(4, dtype=torch.float64)[:, None]
    info = seen(table.repeat_interleave(torch.tensor([11, 6, 2, 1]), 0), encode, tmp_path)
    means = info.normalized(table)
    mixture = Mixture(shares.tolist(), means.tolist(), torch.zeros_like(means).tolist())
    found = info.finished(drawn(mixture, count))[:, 0].long()
    errors = torch.bincount(found, minlength=4) / count - shares
    assert bool((errors.abs() < 3 * (shares * (1 - shares) / count).sqrt()).all())


def seen(values: Tensor, encode: str, folder: Path) -> DataInfo:
    """How a column of the words w0, w1, ... is seen."""
    place = folder / "t.csv"
    place.write_text("\n".join(["kind", *(f"w{int(value)}" for value in values[:, 0])]))
    return datasets.data_info(array("train", path=str(place), encode=encode, holdout=0.0))  # type: ignore[arg-type]


def test_mixed_columns_keep_what_they_have_to_do_with_each_other(tmp_path: Path) -> None:
    """The exact denoiser of what a network sees of a table, normals around each of its words."""
    path = str(table(tmp_path / "people.csv"))
    data = array("train", path=path, quantile=["2"], holdout=0.0)
    info, every = datasets.data_info(data), torch.arange(len(data))
    rows, own = data[every][0], data.in_units(every)
    parts = [rows[own[:, 2] == number].double() for number in range(3)]
    mixture = Mixture(
        [len(part) / len(rows) for part in parts],
        [part.mean(0).tolist() for part in parts],
        [part.var(0).tolist() for part in parts],
    )
    found = info.finished(drawn(mixture, 2000)).double()
    assert bool(found.isfinite().all())
    for number, share in enumerate(torch.bincount(own[:, 2].long()) / len(own)):
        mine, theirs = (all_rows[all_rows[:, 2] == number] for all_rows in (found, own))
        for part in (mine, theirs):
            part[:, 1] = (part[:, 1] + 0.01).log()
        assert abs(len(mine) / len(found) - share) < 3 * (share * (1 - share) / 2000) ** 0.5
        deviation = theirs.std(0)
        error = (mine.mean(0) - theirs.mean(0)) / deviation
        assert float(error[[0, 1, 3]].abs().max()) < 3.5 * len(mine) ** -0.5 + 0.05
    low, high = own.min(0).values, own.max(0).values
    assert bool((found[:, 1] >= 0).all())
    assert bool(((found - high) <= 0.5 * (high - low)).all())
    middle = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
    ratio = found[:, 1].quantile(middle) / own[:, 1].quantile(middle)
    assert float((ratio - 1).abs().max()) < 0.15


class TestGaps:
    def test_they_are_masked_or_filled(self, tmp_path: Path) -> None:
        path = str(table(tmp_path / "a.csv", 400, gaps=0.2))
        every: dict[str, Any] = {"path": path, "normalize": "quantile", "holdout": 0.0}
        masked, filled = (array("train", missing=m, **every) for m in ("mask", "fill"))
        assert (masked.has_gaps, filled.has_gaps) == (True, False)
        own, whole = (part.in_units(torch.arange(len(filled))) for part in (masked, filled))
        known = ~own.isnan()
        assert torch.equal(own[known], whole[known])
        assert bool((whole[:, 0] == whole[:, 0].round()).all())
        assert {*whole[:, 2].tolist()} == {0, 1, 2}
        again = array("train", missing="fill", **every).in_units(torch.arange(len(filled)))
        assert torch.equal(whole, again)

    def test_a_run_leaves_them_out_and_a_bound_cannot(self, tmp_path: Path) -> None:
        path = table(tmp_path / "a.csv", 200, gaps=0.2)
        words = ["train", "--preset", "swiss-roll", "--set", "data.name=array", *SMALL]
        words += ["--set", f"data.path={path}", "--set", "data.missing=mask"]
        runs.done(*words, "-o", tmp_path / "run")
        assert all(math.isfinite(line["loss"]) for line in runs.metrics(tmp_path / "run"))
        refused = runs.ddpm(*words, "--set", "loss.name=vlb", "-o", tmp_path / "other")
        assert refused.code == 2
        assert "data.missing: loss vlb cannot leave missing cells out" in refused.err

    def test_a_column_without_any_value_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "a.csv").write_text("a,b\n1,\n2,\n3,\n")
        outcome = runs.ddpm("info", tmp_path / "a.csv")
        assert outcome.code == 1
        assert "missing in all rows" in outcome.err


def test_info_tells_types_and_what_suits_them(tmp_path: Path) -> None:
    path = table(tmp_path / "a.csv", 400, gaps=0.1)
    (line,) = runs.done("info", path, "--json").out.splitlines()
    found = json.loads(line)
    assert [each["type"] for each in found["types"]] == ["integer", "number", "category", "number"]
    assert found["mean"][2] is None
    assert all(each["missing"] > 10 for each in found["types"])
    assert """--set 'data.quantile=["income [kEUR]"]'""" in found["command"]
    assert "--set data.missing=fill" in found["command"]
    said = runs.done("info", path).out
    assert "job: category, nurse" in said
    assert "income [kEUR]: number, 0." in said


def test_the_extent_of_a_column_has_no_zero_below_zero(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("\n".join(["age,day", *(f"{n},{n / 7}" for n in range(600))]))
    data = array("train", path=str(tmp_path / "a.csv"), holdout=0.0)
    found = info_columns.types({"train": data}) or []
    assert [info_columns.words(each) for each in found] == [
        "age: integer, 0 to 599",
        "day: number, 0 to 85.5714",
    ]
