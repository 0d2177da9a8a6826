"""Tables that grow: what is written is what is read, in every kind of file."""

from pathlib import Path

import pytest

from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files.outputs import tables

TEXTS = {"name", "reason"}
ROWS: list[dict[str, tables.Value]] = [
    {"name": "dpm++2m", "calls": 5, "fid": 12.25, "reason": None},
    {"name": "0012e3", "calls": None, "fid": -1e-07, "reason": 'a|b, "c"; \u00e9'},
]
COLUMNS = list(ROWS[0])


@pytest.mark.parametrize("suffix", tables.SUFFIXES)
def test_round_trip(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "folder" / f"table{suffix}"
    assert tables.read(path, TEXTS) == []
    tables.write(path, COLUMNS, ROWS)
    assert tables.read(path, TEXTS) == ROWS
    before = path.read_bytes()
    tables.write(path, COLUMNS, tables.read(path, TEXTS))
    assert path.read_bytes() == before
    assert sorted(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("suffix", tables.SUFFIXES)
def test_an_empty_file_has_no_rows(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"table{suffix}"
    path.touch()
    assert tables.read(path, TEXTS) == []


@pytest.mark.parametrize(
    ("suffix", "content"),
    [
        (".csv", b"a,b\n1\n"),
        (".csv", b'a,b\n"1,2\n'),
        (".csv", b"a,\xff\n1,2\n"),
        (".json", b"[1, 2]"),
        (".json", b"{"),
        (".jsonl", b'{"a": 1}\n{"a"'),
        (".md", b"# A title\n"),
    ],
)
def test_what_is_no_table(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"table{suffix}"
    path.write_bytes(content)
    with pytest.raises(Refusal, match="no table, or it is corrupt"):
        tables.read(path, TEXTS)


def test_a_table_is_one_writers(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    path = tmp_path / "new" / "table.csv"
    with tables.held(path), pytest.raises(Refusal, match="another sweep"), tables.held(path):
        pass
    with tables.held(path):
        pass
    assert list(path.parent.iterdir()) == []


def test_places_are_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"use \.csv, "):
        tables.refuse(tmp_path / "table.xlsx")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(Refusal, match="is a folder"):
        tables.refuse(tmp_path / "folder.csv")
