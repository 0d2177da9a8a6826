"""Images in LMDBs of LSUN: what is read of a file that LMDB wrote, and what damage does to it."""

import lzma
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from image_sets import MEMORY, fill, values
from record_sets import read

from ddpm_cli.data import forms, lmdb_index, shards
from ddpm_cli.data.sets import records
from ddpm_cli.errors import Refusal

# 60 images 8x8 of the colours 0, 4, 8, ... by the keys 000 to 059, put in backwards, one 40x40 by
# the key 999, and what other programs keep beside them, length: written by lmdb 3.0.0.
WRITTEN = lzma.decompress((Path(__file__).parents[1] / "fixtures" / "lsun.mdb.xz").read_bytes())
COLOURS = [4 * value for value in range(60)]


def opened(path: Path, split: Any = "train", **knobs: Any) -> Any:
    usual = {"holdout": 0, "size": 8, "fit": "crop"}
    return records.lmdb(split, path=str(path), **{**usual, **knobs})


def made(root: Path, *folders: str) -> Path:
    """LMDBs below a folder, with their locks."""
    for folder in folders:
        fill(root / folder, {"data.mdb": WRITTEN, "lock.mdb": bytes(100)})
    return root


@MEMORY
def test_values_come_in_the_order_of_their_keys(memory: int, tmp_path: Path) -> None:
    root = made(tmp_path, "bedroom_train_lmdb")
    for path in (root / "bedroom_train_lmdb", root, root / "bedroom_train_lmdb" / "data.mdb"):
        found = opened(path, memory=memory)
        assert (len(found), values(found)[:60], found.classes) == (61, COLOURS, None)


def test_folders_say_classes_and_splits(tmp_path: Path) -> None:
    names = [f"{kind}_{part}_lmdb" for kind in ("bedroom", "cat_x") for part in ("train", "val")]
    root = made(tmp_path, *names)
    for split in ("train", "test"):
        found = opened(root, split)
        assert (len(found), found.classes) == (122, ("bedroom", "cat_x"))
        assert found.labels.tolist() == [0] * 61 + [1] * 61
    assert opened(root, labels="none").classes is None


def test_order_is_that_of_seed_and_step_alone(tmp_path: Path) -> None:
    root = made(tmp_path, "b", "a")
    straight = read(opened(root, memory=1), 0)
    found = opened(root, memory=0)
    for workers, ranks in ((0, 1), (2, 1), (1, 2), (2, 3)):
        assert read(found, workers, ranks) == straight


def test_it_is_what_lmdb_reads(tmp_path: Path) -> None:
    lmdb = pytest.importorskip("lmdb")
    rows = {
        f"{value * 7919 % 5000}".encode(): bytes([value % 256]) * value for value in range(5000)
    }
    environment = lmdb.open(str(tmp_path / "x"), map_size=2**26)
    with environment.begin(write=True) as transaction:
        for key, value in rows.items():
            transaction.put(key, value)
    with environment.begin(write=True) as transaction:
        for key in list(rows)[::3]:
            transaction.delete(key)
            del rows[key]
    environment.close()
    found = lmdb_index.index(tmp_path / "x" / "data.mdb")
    assert list(found.pieces) == sorted(rows)
    assert all(piece.read("") == rows[key] for key, piece in found.pieces.items())


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (WRITTEN[:9000], "damaged: cut: 9000 of its 28672 bytes"),
        (WRITTEN[:100], "damaged: too short"),
        (WRITTEN[:20] + b"\2" + WRITTEN[21:], "damaged: not of version 1"),
        (b"\x89PNG" + bytes(9000), "an image, not an LMDB"),
        (b"", "an empty file, not an LMDB"),
    ],
)
def test_damaged_files_are_named(data: bytes, what: str, tmp_path: Path) -> None:
    place = fill(tmp_path, {"a/data.mdb": data}) / "a"
    with pytest.raises(Refusal, match=rf"data\.mdb: {what}"):
        opened(place)


def test_what_is_left_of_a_damaged_file_is_used_if_wished(tmp_path: Path) -> None:
    made(tmp_path, "a")
    fill(tmp_path, {"b/data.mdb": WRITTEN[:9000]})
    with pytest.raises(Refusal, match=r"b/data\.mdb: damaged") as refused:
        opened(tmp_path)
    assert "data.skip_corrupt=true" in refused.value.message
    assert len(opened(tmp_path, skip_corrupt=True)) == 61


def test_values_that_are_no_images_are_named(tmp_path: Path) -> None:
    place = made(tmp_path, "a") / "a"
    at = lmdb_index.index(place / "data.mdb").pieces[b"007"].offset
    pickle = b"\x80\4cos\nsystem\n"
    data = WRITTEN[:at] + pickle + WRITTEN[at + len(pickle) :]
    (place / "data.mdb").write_bytes(data)
    with pytest.raises(Refusal, match=r"data\.mdb: 007: a Python pickle") as refused:
        opened(place)
    assert "data.skip_corrupt=true" in refused.value.message


def test_mutated_files_are_read_or_refused(tmp_path: Path) -> None:
    chances = torch.Generator().manual_seed(0)
    place = tmp_path / "data.mdb"
    for at in torch.randint(len(WRITTEN), (300,), generator=chances).tolist():
        changed = bytearray(WRITTEN)
        changed[at] ^= 1 << int(torch.randint(8, (1,), generator=chances))
        place.write_bytes(changed)
        found = lmdb_index.index(place)
        assert found.fault or len(found.pieces) == 62
        assert all(piece.offset + piece.size <= len(changed) for piece in found.pieces.values())


def test_what_is_an_lmdb(tmp_path: Path) -> None:
    holds = partial(shards.holds, form=forms.LMDB)
    root = made(tmp_path / "all", "a_lmdb")
    assert all(map(holds, (root, root / "a_lmdb", root / "a_lmdb" / "data.mdb")))
    fill(tmp_path, {"no/data.mdb": bytes(100)})
    assert not any(map(holds, (tmp_path / "no", tmp_path / "nothing")))
