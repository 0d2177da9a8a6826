"""Images in tar archives of WebDataset: samples, classes, texts, order and damage."""

import io
import json
import tarfile
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from image_sets import MEMORY, fill, picture, values
from record_sets import read, tar

from ddpm_cli.data import forms, shards, tar_files, tar_index
from ddpm_cli.data.sets import records
from ddpm_cli.errors import ConfigError, Refusal

WORDS = ["owl", "cat", "dog"]


def sample(number: int, **others: Any) -> dict[str, bytes]:
    """The files of a sample, an image beside its class."""
    stem = f"{number:04}"
    texts = {"cls": str(number % 3)} | others
    return {f"{stem}.png": picture(number)} | {
        f"{stem}.{ending}": text if isinstance(text, bytes) else str(text).encode()
        for ending, text in texts.items()
        if text is not None
    }


def samples(*numbers: int, **others: Any) -> dict[str, bytes]:
    """The files of some samples."""
    return {name: data for number in numbers for name, data in sample(number, **others).items()}


def opened(path: Path, split: Any = "train", **knobs: Any) -> Any:
    return records.webdataset(split, path=str(path), **{"holdout": 0, **knobs})


@MEMORY
@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_samples_are_files_of_one_stem(kind: int, memory: int, tmp_path: Path) -> None:
    long = {f"{'x' * 150}/ä.png": picture(9), f"{'x' * 150}/ä.cls": b" 1\n"}
    ustar = kind == tarfile.USTAR_FORMAT
    files = {**samples(2, 0, 1), **({} if ustar else long), ".hid.png": b"", "README": b""}
    found = opened(tar(tmp_path / "a.tar", files, kind), memory=memory)
    assert values(found) == [0, 1, 2, *([] if ustar else [9])]
    assert found.labels.tolist() == [0, 1, 2, *([] if ustar else [1])]
    assert (found.classes, found.in_memory) == (("0", "1", "2"), bool(memory))


@pytest.mark.parametrize(
    ("others", "knobs", "classes"),
    [
        ({"cls": "10"}, {}, ("10",)),
        ({"cls": "a cat\n"}, {}, ("a cat",)),
        ({"cls": None, "json": json.dumps({"label": 3, "text": "x"})}, {}, ("3",)),
        ({"cls": None, "json": json.dumps({"class": "owl"})}, {}, ("owl",)),
        ({"cls": None, "json": json.dumps({"cls": 7})}, {}, ("7",)),
        ({"json": json.dumps({"kind": "owl"})}, {"label": "kind"}, ("owl",)),
        ({"txt": "owl"}, {"label": "txt"}, ("owl",)),
        ({"cls": None, "txt": "an owl"}, {}, None),
        ({"cls": None, "json": "{}"}, {}, None),
        ({}, {"labels": "none"}, None),
        ({"cls": "-1"}, {}, None),
    ],
)
def test_where_classes_stand(others: Any, knobs: Any, classes: Any, tmp_path: Path) -> None:
    found = opened(tar(tmp_path / "a.tar", samples(0, 1, **others)), **knobs)
    assert (len(found), found.classes) == (2, classes)


def test_texts_stand_beside_images(tmp_path: Path) -> None:
    files = {
        **sample(0, txt="a cat\n"), **sample(1, json=json.dumps({"caption": "a dog"})), **sample(2)
    }  # fmt: skip
    found = tar_files.Tars(tar(tmp_path / "a.tar", files))
    assert [found.text(name) for name in found.names] == ["a cat\n", "a dog", None]


def test_texts_of_other_names(tmp_path: Path) -> None:
    said = json.dumps({"prompts": ["a dog", "a puppy"], "text": "no"})
    files = {**sample(0, json=said), **sample(1, prompts="a cat")}
    path = tar(tmp_path / "a.tar", files)
    found = tar_files.Tars(path, text="prompts")
    assert [found.text(name) for name in found.names] == ["a dog\na puppy", "a cat"]
    with pytest.raises(ConfigError, match=r"data\.text: no sample of .* has a file \.words"):
        tar_files.Tars(path, text="words").told()


def test_shards_of_a_pattern_and_a_folder_are_the_same(tmp_path: Path) -> None:
    for number in reversed(range(3)):
        tar(tmp_path / f"shards-{number:04}.tar", samples(*range(4 * number, 4 * number + 4)))
    for path in (tmp_path, tmp_path / "shards-{0000..0002}.tar"):
        assert values(opened(path)) == list(range(12))
    with pytest.raises(Refusal, match=r"shards-0003\.tar: No such file"):
        opened(tmp_path / "shards-{0000..0099}.tar")


def test_splits_are_the_names_of_shards(tmp_path: Path) -> None:
    tar(tmp_path / "c-train-0.tar", samples(0, 1))
    tar(tmp_path / "c-val-0.tar", samples(2))
    assert [values(opened(tmp_path, split)) for split in ("train", "test")] == [[0, 1], [2]]


def test_order_is_that_of_seed_and_step_alone(tmp_path: Path) -> None:
    for number in reversed(range(3)):
        numbers = range(10 * number, 10 * number + 10)
        tar(tmp_path / f"{number}.tar", samples(*(numbers if number else reversed(numbers))))
    straight = read(opened(tmp_path, memory=1), 0)
    found = opened(tmp_path, memory=0)
    for workers, ranks in ((0, 1), (2, 1), (1, 2), (2, 3)):
        assert read(found, workers, ranks) == straight
    assert sorted(value for colours, _ in straight[:5] for value in colours) == list(range(30))


@MEMORY
@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        ({"0005.png": b"text"}, r"a\.tar/0005\.png: a text file, no image"),
        ({"0005.jpg": picture(5)}, r"a\.tar/0005: 2 images of one stem: \.cls, \.jpg, \.png"),
        ({"0006.cls": b"1"}, r"a\.tar/0006: no image among its files: \.cls"),
        ({"0006.png": picture(6)}, r"a\.tar/0006\.png: no class"),
        ({"0006.png": picture(6), "0006.json": b"{"}, r"0006\.png: its \.json is damaged"),
        ({"0006.png": picture(6), "0006.json": b"[1]"}, "its .json is no object"),
        ({"0006.png": picture(6), "0006.json": b'{"label": [1]}'}, "neither a number nor"),
        ({"0006.png": picture(6), "0006.cls": b"\xff"}, "no UTF-8 text"),
        ({"0006.png": picture(6), "0006.cls": bytes(5000)}, "5000 bytes; the limit is 4096"),
    ],
)
def test_faulty_samples_are_named_or_skipped(
    wrong: dict[str, bytes], what: str, memory: int, tmp_path: Path
) -> None:
    place = tar(tmp_path / "a.tar", {**samples(*range(6)), **wrong})
    with pytest.raises(Refusal, match=what) as refused:
        opened(place, memory=memory)
    assert "data.skip_corrupt=true" in refused.value.message
    assert len(refused.value.message.splitlines()) <= 3
    found = opened(place, memory=memory, skip_corrupt=True)
    assert values(found) == [value for value in range(6) if f"{value:04}.png" not in wrong][
        :6
    ] or ("0005.jpg" in wrong and values(found) == list(range(5)))
    assert len(found.skipped) == 1


def test_a_file_that_is_there_twice(tmp_path: Path) -> None:
    place = tar(tmp_path / "a.tar", samples(0, 1))
    with tarfile.open(place, "a") as archive:
        archive.addfile(tarfile.TarInfo("0000.png"))
    with pytest.raises(Refusal, match=r"a\.tar/0000: a file of it is there twice"):
        opened(place)


def test_one_of_several_images_is_chosen(tmp_path: Path) -> None:
    place = tar(tmp_path / "a.tar", samples(0, 1, **{"seg.png": picture(9), "webp": picture(7)}))
    assert values(opened(place, image="seg.png")) == [9, 9]
    with pytest.raises(Refusal, match=r"--set data\.image=png"):
        opened(place)
    with pytest.raises(ConfigError, match=r"data\.image.*endings are cls, png, seg\.png, webp"):
        opened(place, image="bmp")
    with pytest.raises(ConfigError, match=r"data\.label"):
        opened(place, image="png", label="kind")


def test_cut_and_damaged_shards_are_named_or_skipped(tmp_path: Path) -> None:
    tar(tmp_path / "a.tar", samples(0, 1))
    place = tar(tmp_path / "b.tar", samples(2, 3, 4))
    whole = place.read_bytes()
    header = next(at for at in range(512, len(whole), 512) if whole[at:].startswith(b"0003.png"))
    spoilt = whole[: header + 150] + b"9" + whole[header + 151 :]
    for data in (spoilt, whole[: header + 600], whole[: header + 200], whole[:header]):
        place.write_bytes(data)
        with pytest.raises(Refusal, match=r"b\.tar: damaged: ") as refused:
            opened(tmp_path)
        assert "data.skip_corrupt=true" in refused.value.message
        assert values(opened(tmp_path, skip_corrupt=True)) == [0, 1, 2]
    for data, what in (
        (b"", "an empty file"),
        (b"PK\3\4" + bytes(600), "a zip file, not a tar"),
        (b"\x1f\x8b" + bytes(600), "a gzip file, not a tar"),
    ):
        place.write_bytes(data)
        with pytest.raises(Refusal, match=what):
            opened(place)


@pytest.mark.parametrize("size", [2**40, -512])
def test_headers_that_lie(size: int, tmp_path: Path) -> None:
    entry = tarfile.TarInfo("b.png")
    entry.size = size
    kinds = (tarfile.REGTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE)
    for kind in kinds:
        entry.type = kind
        data = tar(tmp_path / "a.tar", samples(0)).read_bytes()[: 4 * 512]
        (tmp_path / "b.tar").write_bytes(data + entry.tobuf(tarfile.GNU_FORMAT) + bytes(4096))
        with pytest.raises(Refusal, match=r"b\.tar: damaged"):
            opened(tmp_path / "b.tar")


def test_mutated_archives_are_read_or_refused(tmp_path: Path) -> None:
    place = tmp_path / "mutated.tar"
    data = tar(place, samples(0, 1, 2, json="{}")).read_bytes()
    chances = torch.Generator().manual_seed(0)
    for at in torch.randint(9000, (80,), generator=chances).tolist():
        changed = bytearray(data)
        changed[at] ^= 1 << int(torch.randint(8, (1,), generator=chances))
        place.write_bytes(changed)
        message = "mutated"
        try:
            assert len(opened(place)) <= 4
        except Refusal as refused:
            message = refused.message
        assert "mutated" in message


def test_only_headers_are_read_to_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tar(tmp_path / "a.tar", {f"{n}.png": bytes(100_000) for n in range(5)})
    seen = 0

    class Counted(io.FileIO):
        def read(self, count: int | None = -1) -> Any:
            nonlocal seen
            data = super().read(count)
            seen += len(data or b"")
            return data

    monkeypatch.setattr(Path, "open", lambda path, *_, **__: Counted(path))
    assert len(tar_index.index(place).members) == 5
    assert seen < 10_000


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_the_index_is_that_of_tarfile(kind: int, tmp_path: Path) -> None:
    names = ["a.png", "é/ü.cls", f"{'d' * 60}/{'n' * 90}.png", "b"]
    if kind != tarfile.USTAR_FORMAT:
        names += ["x" * 300, f"{'y' * 200}/{'z' * 200}", "line\nbreak", "a=b c"]
    with tarfile.open(tmp_path / "a.tar", "w", format=kind) as archive:
        for number, name in enumerate(names):
            entry = tarfile.TarInfo(name)
            entry.size = 300 * number
            entry.uname = "ü" * (kind == tarfile.PAX_FORMAT)
            archive.addfile(entry, io.BytesIO(bytes(entry.size)))
            for other in (tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE):
                entry = tarfile.TarInfo(f"{name}-{ord(other)}")
                entry.type, entry.linkname = other, names[0] if other != tarfile.DIRTYPE else ""
                archive.addfile(entry)
    found = tar_index.index(tmp_path / "a.tar")
    with tarfile.open(tmp_path / "a.tar") as archive:
        theirs = [(m.name, m.offset_data, m.size) for m in archive if m.type == tarfile.REGTYPE]
    assert (found.members, found.fault) == (theirs, "")


def test_what_is_a_set_of_shards(tmp_path: Path) -> None:
    holds = partial(shards.holds, form=forms.TAR)
    place = tar(tmp_path / "in" / "a-0.tar", samples(0))
    named = Path(str(place).replace("0.tar", "{0..3}.tar"))
    assert all(map(holds, (place, tmp_path, named)))
    fill(tmp_path, {"no.tar": b"text"})
    assert not any(map(holds, (tmp_path / "no.tar", tmp_path / "nothing")))
