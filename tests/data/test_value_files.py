"""Numbers that data say of their rows: tables, columns, files beside, and what is refused."""

import json
import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from image_sets import KINDS, fill, opened, picture
from record_sets import parquet, tar
from torch import Tensor

from ddpm_cli.data import value_files
from ddpm_cli.data.sets import arrays, images, records, stacks
from ddpm_cli.data.sources import Folder
from ddpm_cli.errors import ConfigError, Refusal

COUNT = 20
AGES = [float(age) if age % 4 else math.nan for age in range(COUNT)]
IMAGES = {f"{number:02}.png": picture(10 * number) for number in range(COUNT)}


def table(ending: str, column: str = "Age") -> bytes:
    rows = [
        {"file_name": name, column: None if math.isnan(age) else age, "word": "x"}
        for name, age in zip(IMAGES, AGES, strict=True)
    ]
    if ending == "jsonl":
        return "".join(json.dumps(row) + "\n" for row in rows).encode()
    cells = [["" if cell is None else str(cell) for cell in row.values()] for row in rows]
    return "\n".join(map(",".join, [list(rows[0]), *cells])).encode()


def own(data: Any) -> Tensor:
    """The numbers of all rows in their own units."""
    _, told = data[torch.arange(len(data))]
    about = data.values
    scaled: Tensor = told["values"] * torch.tensor(about.std) + torch.tensor(about.mean)
    return scaled


def level(data: Any) -> Tensor:
    """The number that each image was made from."""
    return data[torch.arange(len(data))][0][:, 0, 0, 0].float() / 10


def same(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a.float(), b.float(), atol=1e-4, equal_nan=True)


def made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def expected(levels: Tensor) -> Tensor:
    return torch.tensor([AGES[round(float(at))] for at in levels])


@KINDS
@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_columns_of_tables_on_the_scale_of_the_rows_to_train_on(
    kind: str, ending: str, tmp_path: Path
) -> None:
    files = {**IMAGES, f"metadata.{ending}": table(ending)}
    train, test = (
        opened(kind, made(tmp_path / split), files, split, values=["Age"], holdout=0.3)
        for split in ("train", "test")
    )
    assert len(train) + len(test) == COUNT
    assert train.values == test.values
    assert train.values.names == ("Age",)
    assert train.notes == ()
    for part in (train, test):
        assert same(own(part)[:, 0], expected(level(part)))
    known = train.conditions["values"][~train.conditions["values"].isnan()]
    assert float(known.mean()) == pytest.approx(0, abs=1e-5)
    assert float(known.std(correction=0)) == pytest.approx(1, abs=1e-5)


def test_a_column_that_is_not_there_or_says_words_is_refused(tmp_path: Path) -> None:
    files = {**IMAGES, "metadata.csv": table("csv")}
    with pytest.raises(
        ConfigError, match=r"data.values: no column 'agee' in .*; did you mean age"
    ):
        opened("folder", tmp_path / "a", files, values=["agee"])
    with pytest.raises(Refusal, match=r"line 2, word: 'x' is no number"):
        opened("folder", tmp_path / "b", files, values=["word"])
    with pytest.raises(Refusal, match=r"no table says its age .*\nadd one, with the columns"):
        opened("folder", tmp_path / "c", IMAGES, values=["age"])
    with pytest.raises(ConfigError, match="'age' is named twice"):
        opened("folder", tmp_path / "d", files, values=["age", "age"])
    other = {**IMAGES, "labels.csv": b"file,age\nother.png,3\n"}
    with pytest.raises(Refusal, match=r"'other.png' is none of the images"):
        opened("folder", tmp_path / "e", other, values=["age"])
    empty = {**IMAGES, "labels.csv": b"file,age\n01.png,?\n"}
    with pytest.raises(Refusal, match="no row to train on says its age"):
        opened("folder", tmp_path / "f", empty, values=["age"])


def test_an_array_beside_the_images_has_a_row_for_each_in_the_order_of_names(
    tmp_path: Path,
) -> None:
    np.save(tmp_path / "v.npy", np.stack([AGES, np.arange(COUNT)], axis=1))
    beside = str(tmp_path / "v.npy")
    found = opened("folder", tmp_path / "a", IMAGES, values_file=beside)
    assert found.values.names == ("1", "2")
    assert same(own(found)[:, 0], expected(level(found)))
    assert same(own(found)[:, 1], level(found))
    named = opened("folder", tmp_path / "b", IMAGES, values_file=beside, values=["age", "place"])
    assert named.values == found.values._replace(names=("age", "place"))
    second = opened("folder", tmp_path / "c", IMAGES, values_file=beside, values=["2"])
    assert torch.equal(second.conditions["values"][:, 0], found.conditions["values"][:, 1])
    with pytest.raises(ConfigError, match=r"'age': .* has 2 columns and no names"):
        opened("folder", tmp_path / "d", IMAGES, values_file=beside, values=["age"])


def test_a_table_beside_images_without_files_of_their_own(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", np.arange(COUNT, dtype=np.uint8)[:, None, None].repeat(8, 1) * 10)
    pixels = (
        np.full((COUNT, 8, 8), 0, np.uint8) + 10 * np.arange(COUNT, dtype=np.uint8)[:, None, None]
    )
    np.savez(tmp_path / "a.npz", pixels)
    lines = ["age;place", *(f"{'' if math.isnan(age) else age};3" for age in AGES)]
    (tmp_path / "v.csv").write_text("\n".join(lines))
    about = {"path": str(tmp_path / "a.npz"), "values_file": str(tmp_path / "v.csv")}
    for more in ({}, {"size": 4, "fit": "resize"}):
        found = stacks.npz("train", **about, values=["age"], **more)  # type: ignore[arg-type]
        assert same(own(found)[:, 0], expected(level(found)))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(3), "3 rows of numbers for 20 of data"),
        (np.zeros((COUNT, 2, 2)), r"an array of 20x2x2 values"),
        (np.full(COUNT, math.inf), "row 0: an infinite number"),
        (np.array(["a"] * COUNT), "values of type"),
    ],
)
def test_an_array_that_does_not_fit_is_refused(array: Any, message: str, tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", array)
    with pytest.raises(Refusal, match=message):
        opened("folder", tmp_path / "a", IMAGES, values_file=str(tmp_path / "v.npy"))


def test_other_files_beside_are_refused(tmp_path: Path) -> None:
    (tmp_path / "v.txt").write_text("1\n2\n")
    (tmp_path / "v.npy").write_bytes(b"\x93NUMPY" + bytes(20))
    for name in ("v.txt", "v.npy", "no.csv", "."):
        with pytest.raises(Refusal):
            opened("folder", tmp_path / f"a{len(name)}", IMAGES, values_file=str(tmp_path / name))


def test_columns_of_parquet_files(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    cells = [None if math.isnan(age) else age for age in AGES]
    place = parquet(tmp_path / "a.parquet", [*IMAGES.values()], age=cells, group=3)
    found = records.parquet("train", path=str(place), values=["age"])
    assert same(own(found)[:, 0], expected(level(found)))
    with pytest.raises(ConfigError, match=r"data.values: no column 'ages'"):
        records.parquet("train", path=str(place), values=["ages"])


def test_json_and_files_of_webdatasets(tmp_path: Path) -> None:
    files = {}
    for number, (name, data) in enumerate(IMAGES.items()):
        stem = name.removesuffix(".png")
        said = {} if math.isnan(AGES[number]) else {"age": AGES[number]}
        files |= {name: data, f"{stem}.json": json.dumps(said).encode()}
        files[f"{stem}.place"] = f"{number}\n".encode()
    place = tar(tmp_path / "a.tar", files)
    found = records.webdataset("train", path=str(place), values=["age", "place"])
    assert same(own(found)[:, 0], expected(level(found)))
    assert same(own(found)[:, 1], level(found))
    with pytest.raises(ConfigError, match=r"data.values: no column 'size'"):
        records.webdataset("train", path=str(place), values=["size"])


def test_columns_of_a_table_are_told_and_not_learned(tmp_path: Path) -> None:
    lines = [
        "a,age,b",
        *(f"{n * 0.5},{'' if math.isnan(age) else age},{-n}" for n, age in enumerate(AGES)),
    ]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    for word in ("age", "2"):
        found = arrays.array("train", path=str(tmp_path / "t.csv"), values=[word])
        assert found.shape == (2,)
        assert found.titles is not None
        assert found.titles.columns == ("a", "b")
        places = found[torch.arange(len(found))][0][:, 0] * found.std[0] + found.mean[0]
        assert same(own(found)[:, 0], expected(2 * places))


def test_measures_of_digits_are_on_the_scale_of_those_to_train_on(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    for part, count in (("train", 30), ("t10k", 10)):
        pixels = torch.randint(0, 256, (count, 5, 5), generator=generator, dtype=torch.uint8)
        head = struct.pack(">HBB3I", 0, 8, 3, count, 5, 5)
        (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(head + pixels.numpy().tobytes())
        head = struct.pack(">HBBI", 0, 8, 1, count)
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(head + bytes(count))
    train, test = (
        images.mnist(split, path=str(tmp_path), values=["slant", "ink"])
        for split in ("train", "test")
    )
    assert train.values == test.values
    assert train.values is not None
    assert train.values.names == ("slant", "ink")
    for part in (train, test):
        means = part[torch.arange(len(part))][0].float().mean((1, 2, 3)) / 255
        assert same(own(part)[:, 1], means)
    with pytest.raises(ConfigError, match="no column 'weight' in what is measured"):
        images.mnist("train", path=str(tmp_path), values=["weight"])


def test_columns_that_can_be_told_are_those_of_numbers_alone(tmp_path: Path) -> None:
    for kind, ending in (("a", "csv"), ("b", "jsonl")):
        files = {**IMAGES, f"metadata.{ending}": table(ending)}
        folder = Folder(fill(tmp_path / kind, files))
        assert value_files.offered(folder) == ("age",)
    labels = {**IMAGES, "labels.csv": b"file,label,size,empty\n01.png,3,4,\n02.png,5,,\n"}
    assert value_files.offered(Folder(fill(tmp_path / "c", labels))) == ("size",)
    assert value_files.offered(Folder(fill(tmp_path / "d", IMAGES))) == ()
