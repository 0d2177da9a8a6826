"""Verbs on rows of numbers: tables and arrays in, tables, arrays and latents out."""

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from runs import Outcome, ddpm, done
from torch import Tensor

import ddpm_cli

STEPS = 8  # of a walk whose test does not say how many
GAPPY = (
    "memo,kind,age,height [cm],site\n"
    '"a, b",red,,170.250,n\n'
    "x,,31,NA,\n"
    "y,blue,40,160.0,s\n"
    'z,green,?,0155,"s"\n'
)


def table(text: str) -> list[list[str]]:
    return list(csv.reader(text.splitlines()))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, people: Path) -> Path:
    """The current folder, with a table that has gaps; the model is that of people.

    Walks are short: what a verb does with rows does not depend on how many steps it takes.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DDPM_MODEL", str(people))
    monkeypatch.setenv("DDPM_SET", f"levels.count={STEPS}")
    Path("gappy.csv").write_text(GAPPY)
    return tmp_path


def filled(*words: object) -> list[list[str]]:
    return table(done("inpaint", "gappy.csv", "-o", "-", *words).out)


class TestInpaint:
    """Gaps are filled, all else stays to the letter."""

    def test_given_cells_stay_to_the_letter(self) -> None:
        before, after = table(GAPPY), filled()
        assert after[0] == before[0]
        gaps = {(1, 2), (2, 1), (2, 3), (4, 2)}
        for row, (old, new) in enumerate(zip(before, after, strict=True)):
            for column, (was, now) in enumerate(zip(old, new, strict=True)):
                assert (was == now) != ((row, column) in gaps)
        assert after[2][1] in ("red", "green", "blue")
        assert all(after[row][2].lstrip("-").isdigit() for row in (1, 4))
        assert math.isfinite(float(after[2][3]))

    def test_a_row_depends_on_its_number_and_the_seed(self) -> None:
        whole = filled("--seed", 3, "--batch", 64)
        assert filled("--seed", 3, "--batch", 1) == whole
        assert filled("--seed", 4) != whole
        Path("gappy.csv").write_text("".join(GAPPY.splitlines(keepends=True)[:3]))
        assert filled("--seed", 3) == whole[:3]

    def test_several_seeds(self) -> None:
        names, *rows = filled("-n", 3)
        assert names[:2] == ["seed", "line"]
        assert [(row[0], row[1]) for row in rows[3:6]] == [("0", "5"), ("1", "2"), ("1", "3")]
        assert [row[2:] for row in rows[4:8]] == filled("--seed", 1)[1:]
        done("inpaint", "gappy.csv", "-n", 2, "-o", "f-{seed}.csv")
        assert table(Path("f-000001.csv").read_text()) == filled("--seed", 1)
        Path("gappy.csv").write_text("line,age,height [cm],kind\n1,,170,red\n")
        refused = ddpm("inpaint", "gappy.csv", "-n", 2, "-o", "-")
        assert (refused.code, "it has a column line" in refused.err) == (1, True)

    @pytest.mark.parametrize("method", ["covariance", "replace", "posterior"])
    @pytest.mark.parametrize("sampler", ["ddpm", "dpm-solver-pp-sde"])
    def test_methods_and_samplers(self, method: str, sampler: str) -> None:
        rows = filled("--method", method, "--sampler", sampler)
        assert rows[3] == ["y", "blue", "40", "160.0", "s"]
        assert rows != filled("--method", "replace", "--jump", 1, "--resample", 2)

    def test_masks(self) -> None:
        rows = filled("--mask", "age:4", "--mask", "height [cm]")
        assert rows[3][0:2] == ["y", "blue"]
        assert rows[3][2] != "40" or filled("--mask", "age:4", "--seed", 9)[3][2] != "40"
        assert all(row[3] not in ("170.250", "160.0", "0155") for row in rows[1:])
        np.save("mask.npy", np.array([[0, 0, 0], [0, 0, 0], [0, 1, 0], [0, 0, 0]]))
        by_file = filled("--mask", "mask.npy")
        assert (by_file[3][2], by_file[3][3] != "160.0") == ("40", True)
        Path("mask.csv").write_text("kind,age,height [cm]\n0,0,0\n0,0,0\n0,0,1\n0,0,0\n")
        assert filled("--mask", "mask.csv") == by_file
        assert filled("--mask", "2-3") == filled("--mask", "kind", "--mask", "age")
        assert filled("--mask", "3:4-4") == filled("--mask", "age:4")

    def test_columns_that_a_mask_names_may_be_missing(self) -> None:
        Path("gappy.csv").write_text("age,height [cm]\n33,170\n")
        refused = ddpm("inpaint", "gappy.csv", "-o", "-")
        assert (refused.code, "no column is named 'kind'" in refused.err) == (1, True)
        names, row = filled("--mask", "kind")
        assert (names, row[:2]) == (["age", "height [cm]", "kind"], ["33", "170"])
        assert row[2] in ("red", "green", "blue")

    @pytest.mark.parametrize(
        ("words", "code", "told"),
        [
            (("--mask", "agge"), 2, "did you mean age?"),
            (("--mask", "agge", "--dry-run"), 2, "did you mean age?"),
            (("--mask", "hole.csv", "--dry-run"), 1, "no such file"),
            (("--mask", "age:9"), 2, "write lines from 2 to 5"),
            (("--mask", "age:1"), 2, "write lines from 2 to 5"),
            (("--mask", "0"), 2, "columns have numbers from 1"),
            (("--mask", "6"), 2, "columns of gappy.csv have numbers from 1 to 5"),
            (("--mask", "2:"), 2, "has columns in another order"),
            (("--mask", "site"), 2, "site is the class, which is told and never filled"),
            (("--mask", "9:"), 2, "nothing in rows of 3"),
            (("--extend", "1,1,1,1"), 2, "of images"),
            (("--fit", "crop"), 2, "of images"),
            (("--method", "model"), 2, "was not trained to fill holes"),
            (("--scale", 2), 2, "--scale: of a guide, and none is given"),
            (("-o", "x.png"), 2, "unknown ending"),
            (("-o", "there.csv"), 1, "exists already"),
            (("-o", "gappy.csv", "--force"), 1, "is an input"),
        ],
    )
    def test_refusals(self, words: tuple[object, ...], code: int, told: str) -> None:
        Path("there.csv").write_text("a")
        place = () if "-o" in words else ("-o", "out.csv")
        refused = ddpm("inpaint", "gappy.csv", *place, *words)
        assert (refused.code, told in refused.err) == (code, True), refused.err
        assert not Path("out.csv").exists()
        assert Path("gappy.csv").read_text() == GAPPY

    def test_one_of_several_files_may_fail(self) -> None:
        Path("bad.csv").write_text("age,height [cm],kind\n1,2,purple\n")
        outcome = ddpm("inpaint", "gappy.csv", "bad.csv", "-o", "out/", "--json")
        assert (outcome.code, "'purple' is no category" in outcome.err) == (3, True)
        (line,) = map(json.loads, outcome.out.splitlines())
        assert (line["path"], line["input"], line["rows"]) == ("out/gappy.csv", "gappy.csv", 4)
        assert line["anew"] == pytest.approx(4 / 12)
        assert line["class"] == "own"
        again = done("inpaint", "gappy.csv", "-o", "out/", "--json", "--skip-existing")
        assert json.loads(again.out)["skipped"]

    def test_the_class_column_is_told(self) -> None:
        rows = filled()
        Path("gappy.csv").write_text(GAPPY.replace(",n\n", ",s\n"))
        assert filled()[1][2] != rows[1][2] or filled("-s", 1)[1][2] != rows[1][2]
        Path("gappy.csv").write_text(GAPPY.replace(",n\n", ",west\n"))
        refused = ddpm("inpaint", "gappy.csv", "-o", "-")
        assert (refused.code, "no class 'west'" in refused.err) == (1, True)
        Path("gappy.csv").write_text(GAPPY.replace(",n\n", ",\n"))
        outcome = done("inpaint", "gappy.csv", "-o", "-")
        assert "rows have no class, which is told and never filled; --class NAME" in outcome.err

    def test_columns_of_other_files(self) -> None:
        ages = np.array([31.5, np.nan])
        np.savez("a.npz", kind=np.array(["red", "green"]), age=ages, **{"height [cm]": ages + 130})
        done("inpaint", "a.npz", "-o", "out/")
        names, *rows = table(Path("out/a.csv").read_text())
        assert (names, rows[0]) == (["kind", "age", "height [cm]"], ["red", "31.5", "161.5"])
        assert (rows[1][0], "" in rows[1]) == ("green", False)
        line = json.loads(ddpm("nll", "a.npz", "--json").out.splitlines()[0])
        assert (line["input"], line["row"]) == ("a.npz", 0)

    def test_nothing_to_fill(self) -> None:
        text = "age,height [cm],kind\n31,160,red\n"
        Path("gappy.csv").write_text(text)
        outcome = done("inpaint", "gappy.csv", "-o", "out.csv")
        assert "no value is missing" in outcome.err
        assert Path("out.csv").read_text() == text

    def test_dry_run_and_replay(self) -> None:
        outcome = done("inpaint", "gappy.csv", "-o", "out.csv", "--dry-run")
        assert "constraints = []" in outcome.out
        assert not Path("out.csv").exists()

    def test_a_scorer_pulls(self) -> None:
        Path("old.py").write_text("def score(rows):\n    return rows[:, 0]\n")
        words = ("--mask", "age", "-n", 8, "--sampler", "ddim")
        ages = [int(row[4]) for row in filled(*words)[1:]]
        pulled = filled(*words, "--scorer", "old.py:score", "--scale", 0.5)
        older = [int(row[4]) for row in pulled[1:]]
        assert sum(older) > sum(ages)
        assert [row[3] for row in pulled[1::4]] == ["red"] * 8


def test_words_with_commas_and_quotes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are read from a table, learned, asked for, said and written as the same text."""
    monkeypatch.chdir(tmp_path)
    kinds, sites = ("red, dark", 'say "hi"', "it's"), ("New York, NY", 'the "old" one')
    with Path("q.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("age", "kind", "site"))
        writer.writerows((20 + row, kinds[row % 3], sites[row % 2]) for row in range(40))
    told = done("info", "q.csv", "--set", "data.label=site").out
    assert 'category, "red, dark" 14, it\'s 13, "say ""hi""" 13' in told
    assert 'site: "New York, NY" 20, "the ""old"" one" 20' in told
    done(
        "train", "--preset", "swiss-roll", "--set", "data.name=array",
        "--set", "data.path=q.csv", "--set", "data.label=site", "--set", "network.classes=2",
        "--set", "network.width=16", "--set", "train.warmup=0", "--steps", 2, "-o", "run",
    )  # fmt: skip
    assert '"New York, NY" "the ""old"" one"' in done("info", "run").out
    for label in (*sites, '"New York, NY","the ""old"" one"'):
        drawn = done("sample", "-m", "run", "-n", 4, "--steps", 2, "--class", label, "-o", "-").out
        rows = list(csv.DictReader(drawn.splitlines()))
        assert {row["kind"] for row in rows} <= {*kinds}
        assert {row["site"] for row in rows} == ({label} if label in sites else {*sites})
    scored = ddpm("nll", "q.csv", "-m", "run", "--class", sites[0], "--steps", 4)
    assert 'classes: "New York, NY"' in scored.err
    refused = ddpm("sample", "-m", "run", "--class", "new york").err
    assert "no class is named 'new york'; did you mean \"New York, NY\"?" in refused


class TestArrays:
    """Arrays of any shape, and points without names."""

    @pytest.fixture
    def points(self, roll: Path, monkeypatch: pytest.MonkeyPatch) -> Tensor:
        monkeypatch.setenv("DDPM_MODEL", str(roll))
        values = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
        values[1, 0] = values[3, 1] = math.nan
        np.save("points.npy", values.numpy())
        return values

    def test_gaps_and_tails(self, points: Tensor) -> None:
        done("inpaint", "points.npy", "-o", "out.npy")
        out = torch.from_numpy(np.load("out.npy"))
        assert out.dtype == torch.float32
        assert torch.equal(out.isnan(), torch.zeros(5, 2).bool())
        assert torch.equal(out[~points.isnan()], points[~points.isnan()])
        done("inpaint", "points.npy", "-o", "tails.npy", "-n", 3, "--mask", "1:")
        tails = torch.from_numpy(np.load("tails.npy"))
        assert tails.shape == (3, 5, 2)
        assert torch.equal(tails[2, [0, 2], 0], points[[0, 2], 0])
        assert not torch.equal(tails[0, :, 1], tails[1, :, 1])

    @pytest.mark.parametrize(
        ("shape", "fix"),
        [
            ((2,), "if it is one of them: numpy.save('FILE.npy', a[None])"),
            ((6, 2, 1), "numpy.save('FILE.npy', a.reshape(-1, 2))"),
            ((6, 3), "a .csv file with names"),
            ((6, 2, 4), "choose another model with -m"),
        ],
    )
    def test_other_shapes(self, shape: tuple[int, ...], fix: str, points: Tensor) -> None:
        np.save("other.npy", np.zeros(shape))
        refused = ddpm("nll", "other.npy", "--steps", 4)
        shown = "x".join(map(str, shape))
        what = (
            f"Error: other.npy: an array of shape {shown}; the model takes rows of 2 values, Nx2"
        )
        assert (refused.code, what in refused.err, fix in refused.err) == (1, True, True)

    def test_as_text(self, points: Tensor) -> None:
        names, *rows = table(done("inpaint", "points.npy", "-o", "-").out)
        assert names == ["x1", "x2"]
        assert float(rows[0][1]) == float(points[0, 1])


class TestOthers:
    """encode, interpolate, nll, guide and upscale."""

    @pytest.fixture
    def whole(self) -> list[list[str]]:
        done("inpaint", "gappy.csv", "-o", "whole.csv")
        return table(Path("whole.csv").read_text())

    def test_encode_and_back(self, whole: list[list[str]]) -> None:
        outcome = done("encode", "whole.csv", "-o", "z.safetensors", "--steps", 100)
        assert "4 rows, back to within" in outcome.out
        done("sample", "--from", "z.safetensors", "-o", "back.csv", "--steps", 100)
        names, *rows = table(Path("back.csv").read_text())
        assert names[:3] == ["age", "height [cm]", "kind"]
        for row, (_, kind, age, height, _) in zip(rows, whole[1:], strict=True):
            assert (row[0], row[2]) == (age, kind)
            assert float(row[1]) == pytest.approx(float(height), abs=0.05)
        refused = ddpm("encode", "gappy.csv", "-o", "other.safetensors")
        assert (
            refused.code,
            "line 2: a value is missing\ndraw it, with the same model: ddpm inpaint gappy.csv"
            in refused.err,
        ) == (1, True)
        done("encode", "whole.csv", "--method", "forward", "--at", "50%", "-o", "n.safetensors")
        done("sample", "--from", "n.safetensors", "-o", "other.csv")

    def test_interpolate(self, whole: list[list[str]]) -> None:
        done("interpolate", "whole.csv", "-n", 3, "-o", "between.csv", "--steps", 100)
        _, *rows = table(Path("between.csv").read_text())
        assert len(rows) == 7
        assert [row[0] for row in rows[::2]] == [row[2] for row in whole[1:]]
        assert len(table(done("interpolate", "--seeds", "1,2", "-n", 4, "-o", "-").out)) == 5
        refused = ddpm("interpolate", "gappy.csv", "-o", "x.csv")
        assert (refused.code, "a value is missing" in refused.err) == (1, True)

    def test_nll_is_a_score_of_rows(self, whole: list[list[str]]) -> None:
        Path("odd.csv").write_text(Path("whole.csv").read_text() + "odd,red,500,20,n\n")
        outcome = done("nll", "odd.csv", "-o", "scores.csv", "--json")
        rows = table(Path("scores.csv").read_text())
        assert rows[0] == ["input", "line", "class", "bits", "nats", "nll", "rank"]
        assert rows[-1][-1] == "1"
        lines = [json.loads(line) for line in outcome.out.splitlines()]
        assert [line["line"] for line in lines[:-1]] == [2, 3, 4, 5, 6]
        assert lines[0]["nll"] == pytest.approx(float(rows[1][5]))
        with_gaps = ddpm("nll", "gappy.csv")
        assert (with_gaps.code, with_gaps.err.count("a value is missing")) == (3, 3)
        some = Path("whole.csv").read_text().replace(",n\n", ",\n", 1)
        Path("some.csv").write_text(some)
        outcome = done("nll", "some.csv", "--class", "own", "--method", "vlb", "--json")
        assert "some.csv: line 2: " in outcome.err
        assert "no class, which is told and never filled; --class NAME" in outcome.err
        assert json.loads(outcome.out.splitlines()[0])["class"] == "none"
        Path("none.csv").write_text("age,height [cm],kind\n31,160,red\n")
        refused = ddpm("nll", "none.csv", "--class", "own")
        assert (refused.code, "none.csv: no column named 'site'" in refused.err) == (1, True)

    def test_values_that_are_far_are_named(self, whole: list[list[str]]) -> None:
        Path("good.csv").write_text("age,height [cm],kind\n31,160,red\n33,,blue\n")
        Path("far.csv").write_text("age,height [cm],kind\n31,160,red\n1e300,160,red\n")
        for words in (
            ("inpaint", "far.csv", "-o", "out.csv"),
            ("encode", "far.csv", "-o", "z.safetensors"),
            ("interpolate", "far.csv", "-o", "out.csv"),
        ):
            refused = ddpm(*words)
            told = "Error: far.csv: line 3, column age: 1e+300 is far from what training saw"
            assert (refused.code, refused.err.startswith(told)) == (1, True), refused.err
        outcome = ddpm("inpaint", "far.csv", "good.csv", "-o", "out/")
        assert (outcome.code, Path("out/good.csv").exists()) == (3, True)
        outcome = ddpm("nll", "far.csv", "--method", "vlb", "--json")
        assert (outcome.code, "1 of 2 rows failed" in outcome.err) == (3, True)
        assert json.loads(outcome.out.splitlines()[-1])["data"] == "1 of 2 rows"
        done("inpaint", "far.csv", "--mask", "age:3", "-o", "out.csv")

    def test_files_that_fail_are_no_rows(self, whole: list[list[str]]) -> None:
        Path("one.csv").write_text("age,height [cm],kind\n31,160,red\n")
        Path("word.csv").write_text("age,height [cm],kind\nabc,160,red\n")
        Path("cat.csv").write_text("age,height [cm],kind\n31,160,purple\n")
        outcome = ddpm("nll", "one.csv", "word.csv", "cat.csv", "--method", "vlb", "--json")
        assert (outcome.code, "2 of 3 files failed" in outcome.err) == (3, True)
        assert json.loads(outcome.out.splitlines()[-1])["data"] == "1 row"
        outcome = ddpm("nll", "word.csv", "cat.csv")
        assert (outcome.code, "all 2 files failed" in outcome.err) == (1, True)

    def test_guide_takes_rows_in_units_of_the_data(self) -> None:
        Path("age.py").write_text(
            "def score(rows):\n"
            "    assert rows.shape[1] == 5 and rows[:, 0].abs().max() > 1\n"
            "    return -(rows[:, 0] - 90) ** 2 / 50\n"
        )
        words = ("--sampler", "ddim", "--steps", 20, "-n", 16, "-o", "-")
        plain = table(done("sample", *words).out)[1:]
        pulled = table(done("guide", "--scorer", "age.py:score", *words).out)[1:]
        means = [sum(float(row[0]) for row in rows) / len(rows) for rows in (plain, pulled)]
        assert means[0] + 5 < means[1] < 120
        done("guide", "--class", "s", "-n", 2, "-o", "guided.csv")

    @pytest.mark.parametrize(
        "words",
        [
            ("inpaint", "gappy.csv", "-o", "there.csv"),
            ("inpaint", "gone.csv"),
            ("encode", "gone.csv", "-o", "z.safetensors"),
            ("encode", "gappy.csv", "-o", "z.safetensors"),
            ("nll", "gone.csv"),
            ("interpolate", "--seeds", "1,2", "-o", "i.png"),
            ("interpolate", "--seeds", "1,2", "-o", "i.gif"),
            ("sample", "-o", "there.csv"),
            ("sample", "-o", "s.png"),
            ("guide", "--restore", "mask", "--image", "a.png", "--mask", "1,1,2,2"),
            ("guide", "--restore", "fourier", "--image", "y.npy"),
            ("guide", "--guide", "restore:image=a.png"),
            ("sample", "--image", "a.png"),
        ],
    )
    def test_what_is_refused_has_no_plan_before(self, words: tuple[str, ...]) -> None:
        Path("there.csv").write_text("a")
        refused = ddpm(*words)
        usage = words[-1][:2] in ("i.", "s.") or words[0] == "guide" or "--image" in words
        assert refused.code == (2 if usage else 1)
        assert "network calls" not in refused.err
        assert refused.err.startswith("Error: ")
        assert words[0] != "guide" or "ddpm inpaint" in refused.err

    def test_upscale_refuses(self) -> None:
        refused: Outcome = ddpm("upscale", "gappy.csv")
        assert (refused.code, "it makes rows of 5 values, no images" in refused.err) == (1, True)


class TestPython:
    """The same from Python."""

    def test_the_same_rows(self, people: Path, roll: Path) -> None:
        model: Any = ddpm_cli.load(people)
        nan = math.nan
        values = torch.tensor([[nan, 170.25, 2.0], [31.0, nan, nan], [40.0, 160.0, 0.0]])
        steps = {"levels.count": STEPS}
        out = model.inpaint(values, seeds=0, classes=["n", "none", "s"], settings=steps)
        rows = filled()
        assert out.dtype == torch.float64
        assert [str(int(out[0, 0])), f"{out[1, 1]:.3f}"] == [
            rows[1][2],
            f"{float(rows[2][3]):.3f}",
        ]
        assert torch.equal(out[2], values[2].double())
        masked = model.inpaint(values, torch.tensor([True, False, False]), 1, settings=steps)
        assert masked[2, 0] != out[2, 0] or masked[1, 0] != out[1, 0]
        again = model.decode(model.encode(out, settings={"levels.count": 100}),
                             settings={"levels.count": 100})  # fmt: skip
        assert torch.equal(again[:, 0].double(), out[:, 0].round())
        assert model.nll(out, settings=steps).shape == (3,)
        with pytest.raises(ValueError, match="rows: of shape 2x2"):
            model.inpaint(torch.zeros(2, 2))
