"""Columns of tables: which are learned, what is kept of them, and the ways out of bad cells."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from image_sets import rows

from ddpm_cli.data.sets.arrays import array
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.settings.config import Layer, resolve
from ddpm_cli.settings.toml import parse_set


def table(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def learned(path: Path, **knobs: Any) -> list[list[float]]:
    """All rows of a file as they are, sorted."""
    train = array("train", path=str(path), normalize="none", **knobs)
    test = array("test", path=str(path), normalize="none", **knobs)
    return sorted([*rows(train).tolist(), *rows(test).tolist()])


TABLE = ",age,income,job\n0,24,18.5,clerk\n1,37,33.9,nurse\n2,42,40.8,clerk\n3,40,19.0,clerk\n"


@pytest.mark.parametrize(
    ("knobs", "names"),
    [
        ({"label": "job"}, ("", "age", "income")),
        ({"label": "4", "skip": ["1"]}, ("age", "income")),
        ({"label": "job", "skip": ["", "income"]}, ("age",)),
        ({"columns": ["income", "age"]}, ("income", "age")),
        ({"columns": ["2"], "label": "job"}, ("age",)),
        ({"skip": ["job"]}, ("", "age", "income")),
    ],
)
def test_chosen(knobs: dict[str, Any], names: tuple[str, ...], tmp_path: Path) -> None:
    path = str(table(tmp_path / "a.csv", TABLE))
    found = array("train", path=path, normalize="none", holdout=0.25, seed=3, **knobs)
    whole = array("train", path=path, label="job", normalize="none", holdout=0.25, seed=3)
    assert found.titles is not None
    assert found.titles.columns == names
    assert found.titles.whole == tuple(name != "income" for name in names)
    assert found.titles.label == ("job" if "label" in knobs else None)
    assert whole.titles is not None
    assert whole.titles.columns is not None
    picked = [whole.titles.columns.index(name) for name in names]
    assert torch.equal(rows(found), rows(whole)[:, picked])


def test_of_an_array(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.array([[0.5, np.nan, 2, 7], [1, 2, 4, 7], [1, 3, 9, 8]]))
    knobs: dict[str, Any] = {"columns": ["3", "1"], "label": "4"}
    assert learned(path, **knobs) == [[2, 0.5], [4, 1], [9, 1]]
    found = array("train", path=str(path), **knobs)
    assert found.classes == ("7", "8")
    assert found.titles is not None
    assert (found.titles.columns, found.titles.whole[0]) == (None, True)


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        (np.array([1234567, 1234568]), ("1234567", "1234568")),
        (np.array([0.1, 0.25], dtype=np.float32), ("0.1", "0.25")),
    ],
)
def test_classes_of_an_array_keep_their_digits(
    values: np.ndarray, classes: tuple[str, ...], tmp_path: Path
) -> None:
    np.save(tmp_path / "a.npy", np.stack([np.arange(2, dtype=values.dtype), values], 1))
    assert array("train", path=str(tmp_path / "a.npy"), label="2").classes == classes


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"columns": ["agee"]}, "data.columns: no column is named 'agee'; did you mean age?"),
        ({"skip": ["5"]}, "data.skip: no column is named '5'; choose from age, income, job"),
        ({"values": ["agee"]}, "data.values: no column is named 'agee'; did you mean age?"),
        ({"skip": ["job"], "label": "job"}, "data.skip: 'job' is data.label"),
        ({"skip": ["job"], "columns": ["age"]}, "data.skip: data.columns says already"),
        ({"columns": ["age", "2"]}, "data.columns: '2' is named twice"),
        ({"skip": ["1", "2", "3", "4"]}, "data.skip: no column of "),
        ({"columns": ["job"], "label": "job"}, "data.columns: no column of "),
    ],
)
def test_that_there_are_not(knobs: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        array("train", path=str(table(tmp_path / "a.csv", TABLE)), **knobs)
    assert caught.value.message.startswith(message)


def test_of_one_name_are_told_apart_by_number(tmp_path: Path) -> None:
    path = table(tmp_path / "a.csv", "a,a,b\n1,2,3\n4,5,6\n")
    with pytest.raises(ConfigError, match="columns 1 and 2 are named 'a'; give its number"):
        array("train", path=str(path), skip=["a"])
    assert learned(path, skip=["2"]) == [[1, 3], [4, 6]]


def test_numbers_of_a_file_without_names_are_places(tmp_path: Path) -> None:
    path = table(tmp_path / "a.csv", "3,2,1\n4,5,6\n")
    assert learned(path, columns=["1", "3"]) == [[3, 1], [4, 6]]


@pytest.mark.parametrize(
    ("text", "knobs", "what", "ways"),
    [
        (
            "a,b,job\n1,2,clerk\n3,,nurse\n",
            {},
            "line 3, column 2 (b): an empty cell is no number",
            [
                "column 2 (b): fill the gaps, or drop the row that has some",
                """--set 'data.skip=["b"]'""",
            ],
        ),
        (
            "a,b\n1,2\n3,4\n5,6o\n",
            {"categories": ["a"]},
            "line 4, column 2 (b): '6o' is no number",
            ["""words can be the class: --set data.label=b"""],
        ),
        (
            "a,job\n1,clerk\n2,\n3,nurse\n",
            {},
            "line 3, column 2 (job): an empty cell is no word",
            ["column 2 (job): fill the gaps", "or --set data.missing=fill or mask"],
        ),
        (
            "a,b\n1,2\n3,NA\n5,\n",
            {"skip": []},
            "line 3, column 2 (b): 'NA' is no number",
            ["fill the gaps, or drop the 2 rows", """--set 'data.skip=["b"]'"""],
        ),
        (
            "a,b,c\n1,2,x\n3,,y\n",
            {"columns": ["b", "a"]},
            "line 3, column 2 (b): an empty cell is no number",
            ["drop the row that has", """--set 'data.columns=["a"]'"""],
        ),
        (
            "a,b,c\n1,2,x\n3,,y\n",
            {"skip": ["c"]},
            "line 3, column 2 (b): an empty cell is no number",
            ["drop the row that has", """--set 'data.skip=["c", "b"]'"""],
        ),
        (
            "age,2020\n1,2\n",
            {},
            "line 1, column 1: 'age' is no number",
            ["add --set data.header=yes"],
        ),
        (
            "a,b\n1,\n2,x\n",
            {"label": "b"},
            "line 2, column 2 (b): no class",
            ["fill it in, or drop the row"],
        ),
    ],
)
def test_words_and_gaps_name_the_ways_out(
    text: str, knobs: dict[str, Any], what: str, ways: list[str], tmp_path: Path
) -> None:
    path = table(tmp_path / "a.csv", text)
    with pytest.raises(Refusal) as caught:
        array("train", path=str(path), **knobs)
    first, *rest = caught.value.message.splitlines()
    assert first == f"{path}: {what}"
    assert len(rest) <= 2
    for way in ways:
        assert way in "\n".join(rest)


class TestFilesOfColumns:
    COLUMNS: dict[str, Any] = {  # noqa: RUF012
        "age": [30, 41, 52, 63],
        "kind": ["b", "a", "b", "b"],
        "size": [0.1, 1 / 3, 1e-20, 4.0],
    }

    def of(self, path: Path, **knobs: Any) -> list[list[float]]:
        found = array("train", path=str(path), holdout=0.0, **knobs)
        assert found.titles is not None
        assert found.titles.columns == ("age", "kind", "size")
        assert found.titles.words(1) == ("a", "b")
        return found.in_units(torch.arange(len(found))).float().tolist()

    def test_npz(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "a.npz", **self.COLUMNS)
        rows = [[30, 1, 0.1], [41, 0, 1 / 3], [52, 1, 1e-20], [63, 1, 4]]
        found = torch.tensor(self.of(tmp_path / "a.npz"))
        assert torch.allclose(found, torch.tensor(rows), atol=1e-6)

    def test_parquet(self, tmp_path: Path) -> None:
        pyarrow = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        columns = self.COLUMNS | {"age": [30, None, 52, 63]}
        parquet.write_table(pyarrow.table(columns), tmp_path / "a.parquet")
        with pytest.raises(Refusal, match=r"column 1 \(age\): an empty cell"):
            self.of(tmp_path / "a.parquet")
        filled = self.of(tmp_path / "a.parquet", missing="fill")
        assert filled[2] == [52, 1, pytest.approx(0, abs=1e-6)]

    @pytest.mark.parametrize(
        ("columns", "message"),
        [
            ({"a": np.zeros(3), "b": np.zeros(4)}, "its columns differ: 3 of a, 4 of b"),
            (
                {"a": np.zeros((3, 2)), "b": np.zeros(3)},
                "a is no column but 3x2 of float64",
            ),
            ({"a": np.array([None, 1], dtype=object)}, "no readable .npz file"),
        ],
    )
    def test_others_are_refused(self, columns: Any, message: str, tmp_path: Path) -> None:
        np.savez(tmp_path / "a.npz", **columns)
        with pytest.raises(Refusal, match=message):
            array("train", path=str(tmp_path / "a.npz"))


class TestCategories:
    def test_words_are_some_and_others_may_be_asked_for(self, tmp_path: Path) -> None:
        path = table(tmp_path / "a.csv", "x,zip,job\n1,20,b\n2,10,a\n3,20,b\n")
        found = array("train", path=str(path), categories=["zip"], holdout=0.0)
        assert found.titles is not None
        assert found.titles.categories == ((), ("10", "20"), ("a", "b"))
        assert found.shape == (5,)
        assert found.titles.whole == (True, False, False)
        bits = array("train", path=str(path), categories=["zip"], encode="bits", holdout=0.0)
        assert bits.shape == (3,)

    def test_of_an_array(self, tmp_path: Path) -> None:
        np.save(tmp_path / "a.npy", np.array([[0.5, 3], [1, 7], [1, 3]]))
        found = array("train", path=str(tmp_path / "a.npy"), categories=["2"], holdout=0.0)
        assert found.titles is not None
        assert found.titles.categories == ((), ("3", "7"))
        assert found.in_units(torch.arange(3))[:, 1].tolist() == [0, 1, 0]

    def test_none_may_be_a_word_but_an_empty_cell_is_none(self, tmp_path: Path) -> None:
        path = table(tmp_path / "a.csv", "x,job\n1,none\n2,\n3,low\n")
        found = array("train", path=str(path), missing="mask", holdout=0.0)
        assert found.titles is not None
        assert found.titles.words(1) == ("low", "none")
        assert found.in_units(torch.arange(3))[:, 1].isnan().tolist() == [False, True, False]

    def test_names_are_too_many(self, tmp_path: Path) -> None:
        lines = [f"{number},name{number}" for number in range(50)]
        path = table(tmp_path / "a.csv", "\n".join(["x,name", *lines]))
        with pytest.raises(Refusal, match=r"name\): 50 different words on 50 lines") as caught:
            array("train", path=str(path))
        assert "data.skip" in caught.value.message
        assert array("train", path=str(path), categories=["name"]).shape == (51,)

    @pytest.mark.parametrize(
        ("knobs", "message"),
        [
            (
                {"quantile": ["job"], "categories": ["job"]},
                "data.quantile: 'job' holds",
            ),
            ({"categories": ["job"], "label": "job"}, "data.categories: 'job' is not among"),
            ({"quantile": ["ag"]}, r"data.quantile: no column is named 'ag'; did you mean age\?"),
        ],
    )
    def test_settings_that_do_not_go_together(
        self, knobs: dict[str, Any], message: str, tmp_path: Path
    ) -> None:
        path = table(tmp_path / "a.csv", TABLE)
        with pytest.raises(ConfigError, match=message):
            array("train", path=str(path), **knobs)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (",x\n0,5\n1,7\n2,9\n", """column 1 has no name and numbers the rows"""),
        (",x\n0,5\n4,7\n9,9\n", """leave it out: --set 'data.skip=[""]'"""),
        ("id,x\n1,5\n2,7\n3,9\n", """column 1 (id) numbers the rows"""),
        ("id,x\n1,5\n3,7\n9,9\n", ""),
        ("x\n0\n1\n2\n3\n", ""),
        (",x\n5,5\n1,7\n2,9\n", ""),
    ],
)
def test_an_index_is_named(
    text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(table(tmp_path / "a.csv", text))
    array("test", path=path)
    assert capsys.readouterr().err == ""
    array("train", path=path)
    err = capsys.readouterr().err
    assert said in err
    assert bool(err) == bool(said)


def test_numbers_of_columns_need_no_quotes() -> None:
    asked = parse_set("data.skip=[1, 'b']")["data"] | parse_set("data.label=2")["data"]
    settings = resolve([Layer("a test", {"data": {"name": "array"} | asked})])["data"]
    assert (settings["label"], settings["skip"]) == ("2", ["1", "b"])
    with pytest.raises(
        ConfigError, match=r"data\.label: 0 does not fit.*; give a name, or a number"
    ):
        resolve([Layer("a test", {"data": {"name": "array", "label": 0}})])


@pytest.mark.parametrize(
    ("label", "columns", "place"),
    [("b", (), 1), ("a", (), 0), ("c", (), None), ("", (), None), ("b", ("c", "a"), None)],
)
def test_the_class_stands_where_it_stood(
    label: str, columns: tuple[str, ...], place: int | None, tmp_path: Path
) -> None:
    (tmp_path / "t.csv").write_text("a,b,c\n" + "1,2,3\n4,5,6\n7,8,9\n" * 9)
    found = array("train", path=str(tmp_path / "t.csv"), label=label, columns=columns)
    assert found.titles is not None
    assert found.titles.place == place


def test_an_array_of_several_axes_has_no_columns_to_tell(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((4, 2, 3)))
    with pytest.raises(ConfigError, match=r"data\.values: .* has 3 axes, so no columns"):
        array("train", path=str(tmp_path / "a.npy"), values=["1"])
