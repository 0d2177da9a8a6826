"""Images of a set as they are loaded: sizes, modes, damage, and worker processes."""

import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from image_files import RGB, header, png
from image_sets import FLAT, KINDS, MEMORY, opened, pack, picture, values
from PIL import Image

from ddpm_cli.data.image_set import describe
from ddpm_cli.data.sets import images as sets
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files.images import pixels as images
from ddpm_cli.settings import catalog
from ddpm_cli.training import readers
from ddpm_cli.training.readers import Readers


@KINDS
@MEMORY
def test_different_sizes_are_refused_with_the_fix(kind: str, memory: int, tmp_path: Path) -> None:
    files = {**FLAT, "07.png": picture(7, 8, 9), "09.png": picture(9, 8, 9)}
    with pytest.raises(Refusal, match=r"07\.png: 9x8 pixels, expected 6x4") as refused:
        opened(kind, tmp_path, files, holdout=0, memory=memory)
    assert "18 of 6x4, 2 of 9x8" in refused.value.message
    assert "--set data.size=4 --set data.fit=crop" in refused.value.message


@MEMORY
def test_a_size_without_fit_must_be_met(memory: int, tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="expected 8x8"):
        opened("folder", tmp_path, FLAT, size=8, memory=memory)


@MEMORY
@pytest.mark.parametrize(("fit", "columns"), [("crop", [100, 100]), ("resize", [0, 200])])
def test_fit(fit: str, columns: list[int], memory: int, tmp_path: Path) -> None:
    stripes = torch.zeros(3, 20, 60, dtype=torch.uint8)
    stripes[:, :, 20:40], stripes[:, :, 40:] = 100, 200
    files = {"a.png": images.encode_png(stripes), "b.jpg": images.encode_png(stripes[:, :, 20:])}
    found = opened("folder", tmp_path, files, size=10, fit=fit, holdout=0, memory=memory)
    assert found.shape == (3, 10, 10)
    row = found[torch.tensor([0])][0][0, 0, 5].int()
    assert (row[[0, -1]] - torch.tensor(columns)).abs().max() <= 8  # Lanczos overshoots


def test_large_photographs_are_fitted(tmp_path: Path) -> None:
    photo = Image.linear_gradient("L").resize((1600, 1200)).convert("RGB")
    photo.save(tmp_path / "a.jpg", quality=95)
    found = sets.folder("train", path=str(tmp_path), size=32, fit="crop", holdout=0)
    column = found[torch.tensor([0])][0][0, 0, :, 16].int()
    assert (column - torch.linspace(4, 251, 32)).abs().max() < 4


@pytest.mark.parametrize(("mode", "expected"), [("L", [76]), ("RGBA", [255, 0, 0, 255])])
def test_mode(mode: images.Mode, expected: list[int], tmp_path: Path) -> None:
    Image.new("RGB", (4, 4), "red").save(tmp_path / "a.png")
    found = sets.folder("train", path=str(tmp_path), mode=mode, holdout=0)
    assert found[torch.tensor([0])][0][0, :, 0, 0].tolist() == expected


@pytest.mark.parametrize(
    ("knobs", "key"), [({"fit": "crop"}, r"data\.fit"), ({"size": 10**6}, r"data\.size")]
)
def test_impossible_wishes(knobs: dict[str, Any], key: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=key):
        opened("folder", tmp_path, FLAT, **knobs)


BOMB = png(header(60000, 60000, 8, RGB), [bytes(9)])

BAD = {"03.png": b"", "05.png": b"text", "08.png": picture(8)[:20], "11.png": BOMB}


@KINDS
@MEMORY
def test_corrupt_files_are_all_named(kind: str, memory: int, tmp_path: Path) -> None:
    with pytest.raises(Refusal) as refused:
        opened(kind, tmp_path, {**FLAT, **BAD}, holdout=0, memory=memory)
    lines = refused.value.message.splitlines()
    assert len(lines) == 3
    assert lines[0].endswith("03.png: empty file")
    assert lines[1].startswith("4 of 20 files are unreadable")
    assert all(name in lines[1] for name in ("05.png", "08.png", "11.png"))
    assert "--set data.skip_corrupt=true" in lines[2]


def test_of_many_corrupt_files_five_are_named(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="; and 15 more") as refused:
        opened("folder", tmp_path, {**dict.fromkeys(FLAT, b""), "a.png": picture(0)}, holdout=0)
    assert refused.value.message.count("empty file") == 5


def test_files_that_are_all_corrupt_are_not_to_be_skipped(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="none of the 20 files can be read") as refused:
        opened("folder", tmp_path, dict.fromkeys(FLAT, b""), holdout=0, skip_corrupt=True)
    assert "skip_corrupt" not in refused.value.message


@KINDS
@MEMORY
def test_corrupt_files_can_be_skipped(kind: str, memory: int, tmp_path: Path) -> None:
    files = {**{f"a/{n}": data for n, data in {**FLAT, **BAD}.items()}, "b/0.png": picture(99)}
    found = opened(kind, tmp_path, files, holdout=0, memory=memory, skip_corrupt=True)
    assert len(found) == len(found.skipped) + 13 == 17
    assert values(found) == [n for n in range(20) if n not in (3, 5, 8, 11)] + [99]
    assert found.labels is not None
    assert found.labels.tolist() == [0] * 16 + [1]
    assert describe(found).endswith("4 unreadable files skipped")


@KINDS
@MEMORY
def test_nothing_readable(kind: str, memory: int, tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="empty file"):
        opened(kind, tmp_path, dict.fromkeys(FLAT, b""), memory=memory, skip_corrupt=True)


def test_a_file_damaged_behind_its_header_is_named_when_it_is_read(tmp_path: Path) -> None:
    files = {**FLAT, "04.png": picture(4)[:-15]}
    found = opened("folder", tmp_path, files, holdout=0, memory=0)
    with pytest.raises(Refusal, match=r"04\.png: damaged image") as refused:
        found[torch.tensor([3, 4])]
    assert "data.skip_corrupt" in refused.value.message
    found = opened("folder", tmp_path, files, holdout=0, memory=0, skip_corrupt=True)
    assert found[torch.tensor([3, 4])][0][:, 0, 0, 0].tolist() == [3, 5]


def test_a_file_replaced_while_training_is_named(tmp_path: Path) -> None:
    found = opened("folder", tmp_path, FLAT, holdout=0, memory=0)
    (tmp_path / "set" / "02.png").write_bytes(picture(2, 9, 9))
    with pytest.raises(Refusal, match=r"02\.png: 9x9 pixels now"):
        found[torch.tensor([2])]


def test_an_entry_that_unpacks_too_far_is_refused(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.zip", FLAT)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zz.png", bytes(130 * 2**20))
    with pytest.raises(Refusal, match=r"a\.zip/zz\.png: 136314880 bytes"):
        sets.archive("train", path=str(path), holdout=0)


@settings(max_examples=60, deadline=None)
@given(at=st.integers(0, 10_000), value=st.integers(0, 255))
def test_a_mutated_archive_is_read_or_refused(
    at: int, value: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "mutated.zip"
    pack(path, {name: FLAT[name] for name in list(FLAT)[:4]})
    data = bytearray(path.read_bytes())
    data[at % len(data)] = value
    path.write_bytes(data)
    message = "mutated.zip"
    try:
        assert len(sets.archive("train", path=str(path), holdout=0)) <= 4
    except Refusal as refused:
        message = refused.message
    assert "mutated.zip" in message


@KINDS
@pytest.mark.parametrize("start", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_workers_decode_what_the_main_process_does(
    kind: str, start: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = opened(kind, tmp_path, FLAT, holdout=0, memory=0)
    values(found)  # the archive is open before the workers start
    order = [torch.tensor([7, 3, 7]), torch.tensor([0, 19]), torch.tensor([1])]
    monkeypatch.setattr(readers, "START", start)
    with Readers(found, order, 2) as batches:
        seen = [pixels[:, 0, 0, 0].tolist() for pixels, _ in batches]
    assert seen == [batch.tolist() for batch in order]


def test_an_error_in_a_worker_is_one_clean_refusal(tmp_path: Path) -> None:
    found = opened("folder", tmp_path, {**FLAT, "04.png": picture(4)[:-15]}, holdout=0, memory=0)
    with (
        Readers(found, [torch.tensor([4])], 1) as batches,
        pytest.raises(Refusal) as refused,
    ):
        list(batches)
    lines = refused.value.message.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(str(tmp_path / "set" / "04.png"))
    assert "Traceback" not in refused.value.message


def test_a_set_can_be_copied(tmp_path: Path) -> None:
    found = opened("archive", tmp_path, FLAT, holdout=0, memory=0)
    assert values(pickle.loads(pickle.dumps(found))) == values(found)  # noqa: S301 - our own


def test_the_catalog_knows_every_set_and_its_knobs() -> None:
    assert set(catalog.names("data")) >= {"mnist", "cifar10", "cifar100", "folder", "archive"}
    knobs = catalog.find("data", "folder").knobs
    theirs = catalog.find("data", "archive").knobs
    assert [knob._replace(help="") for knob in theirs.values()] == [
        knob._replace(help="") for knob in knobs.values()
    ]
    assert {"path", "size", "mode", "fit", "holdout", "skip_corrupt", "memory"} <= set(knobs)
    assert catalog.load(catalog.find("data", "fashion-mnist")) is sets.fashion_mnist
