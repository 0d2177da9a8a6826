"""One reader of files of rows, whoever asks: sets, what is told of rows, recordings, verbs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ddpm_cli.data import array_files, given_rows, recordings, value_files
from ddpm_cli.data.columns import Wish
from ddpm_cli.data.sets.arrays import array
from ddpm_cli.errors import Refusal
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.files.images.inputs import Source

INFO = DataInfo((2,), mean=(0.0, 0.0), std=(1.0, 1.0))
VALUES = np.arange(8.0).reshape(4, 2) / 4


def learned(path: Path) -> Tensor:
    data = array("train", path=str(path), holdout=0.0)
    return data.in_units(torch.arange(len(data)))


READERS: dict[str, Callable[[Path], Tensor]] = {
    "set": learned,
    "told": lambda path: value_files.read(str(path), (), 4).rows,
    "given": lambda path: given_rows.read(Source(str(path), "a"), INFO).values,
    "recording": lambda path: recordings.read(path, Wish())[0].values,
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", ["npy", "npz", "columns", "csv"])
def test_all_read_the_same(kind: str, reader: str, tmp_path: Path) -> None:
    turned = reader == "recording" and kind in ("npy", "npz")  # time is the last axis there
    values = VALUES.T if turned else VALUES
    place = tmp_path / ("a.npz" if kind == "columns" else f"a.{kind}")
    if kind == "npy":
        np.save(place, values)
    elif kind == "npz":
        np.savez_compressed(place, whatever=values)
    elif kind == "columns":
        np.savez(place, x1=values[:, 0], x2=values[:, 1])
    else:
        place.write_text("\n".join(["x1,x2", *(f"{a},{b}" for a, b in values)]))
    found = READERS[reader](place)
    found = found.T if reader == "recording" else found
    assert torch.allclose(found.double(), torch.tensor(VALUES), atol=1e-6)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("a.npy", b"\x93NUMPY" + bytes(20), "no readable .npy file"),
        ("a.npz", b"PK" + bytes(20), "no readable .npz file"),
        ("a.csv", b"\n", "it holds nothing\nwrite the names of the columns"),
        ("a.csv", b"x1,x2\n", "a header and nothing else\nwrite the names"),
        ("a.csv", b"x1,x2\n\n1,2\n3\n", "line 4: 1 cell, expected 2\nevery line needs a cell"),
        ("a.txt", b"1\n", "unknown ending; give a .csv, .npy, .npz"),
    ],
)
def test_all_refuse_the_same(
    name: str, content: bytes, what: str, reader: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(Refusal) as caught:
        READERS[reader](tmp_path / name)
    assert what in caught.value.message


def test_samples_of_ours_are_rows_and_objects_are_never_unpickled(tmp_path: Path) -> None:
    about: dict[str, Any] = {"ddpm": np.array("{}"), "seeds": np.arange(4)}
    np.savez(tmp_path / "a.npz", samples=VALUES, **about)
    assert array_files.array(tmp_path / "a.npz").tolist() == VALUES.tolist()
    np.savez(tmp_path / "b.npz", np.array([{}, None], dtype=object))
    with pytest.raises(Refusal, match=r"no readable \.npz file"):
        array_files.array(tmp_path / "b.npz")
    np.savez(tmp_path / "c.npz", np.arange(3))
    assert array_files.array(tmp_path / "c.npz") is None


def test_rows_are_called_by_their_lines(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('x1,x2\n\n1,2\n3,"\n"\n5,6\n')
    given = given_rows.read(Source(str(tmp_path / "a.csv"), "a"), INFO)
    assert [*given.numbers] == [3, 4, 6]
    assert given.called(2) == f"{tmp_path}/a.csv: line 6"
    np.savez(tmp_path / "a.npz", x1=VALUES[:, 0], x2=VALUES[:, 1])
    given = given_rows.read(Source(str(tmp_path / "a.npz"), "a"), INFO)
    assert given.called(0) == f"{tmp_path}/a.npz: row 0"
