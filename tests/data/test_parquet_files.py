"""Images in Parquet files: columns, classes, splits, order, damage, and nothing read twice."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from image_sets import MEMORY, picture, values
from record_sets import ANIMALS, features, parquet, read

from ddpm_cli.data import forms, parquet_files, shards
from ddpm_cli.data.sets import records
from ddpm_cli.errors import ConfigError, Refusal

pytest.importorskip("pyarrow")

TEN = [picture(value) for value in range(10)]
THIRDS = [value % 3 for value in range(10)]
HUB = features()


def opened(path: Path, split: Any = "train", **knobs: Any) -> Any:
    return records.parquet(split, path=str(path), **{"holdout": 0, **knobs})


@MEMORY
@pytest.mark.parametrize("group", [1, 4, 100])
def test_rows_and_the_names_of_their_classes(memory: int, group: int, tmp_path: Path) -> None:
    place = parquet(tmp_path / "a.parquet", TEN, THIRDS, metadata=HUB, group=group)
    found = opened(place, memory=memory)
    assert (values(found), found.classes) == (list(range(10)), tuple(ANIMALS))
    assert found.labels.tolist() == THIRDS
    assert found.in_memory == bool(memory)


@pytest.mark.parametrize("labels", [["b", "a"] * 5, [2, 10] * 5, [True, False] * 5])
def test_classes_without_listed_names_name_themselves(labels: Any, tmp_path: Path) -> None:
    found = opened(parquet(tmp_path / "a.parquet", TEN, labels))
    first, second = labels[:2]
    ordered = sorted([str(first), str(second)], key=lambda word: (len(word), word))
    assert [found.classes[label] for label in found.labels] == [str(word) for word in labels]
    assert list(found.classes) == ordered or not isinstance(first, int) or labels[0] is True


def test_a_column_of_bytes_is_one_of_images(tmp_path: Path) -> None:
    place = parquet(tmp_path / "a.parquet", TEN, image="img", is_struct=False, n=list(range(10)))
    found = opened(place)
    assert (values(found), found.classes) == (list(range(10)), None)


def test_splits_are_the_names_of_files(tmp_path: Path) -> None:
    for number in range(2):
        name = f"data/train-{number:05}-of-00002.parquet"
        parquet(tmp_path / name, TEN[5 * number :][:5], THIRDS[5 * number :][:5], metadata=HUB)
    parquet(tmp_path / "data/test-00000-of-00001.parquet", TEN[:3], [-1] * 3, metadata=HUB)
    assert values(opened(tmp_path, labels="none")) == list(range(10))
    assert values(opened(tmp_path, "test", labels="none")) == [0, 1, 2]
    with pytest.raises(Refusal, match=r"test-00000-of-00001\.parquet: row 0: no class"):
        opened(tmp_path, "test")
    parquet(tmp_path / "data/validation-00000-of-00001.parquet", TEN[7:], [0] * 3, metadata=HUB)
    assert values(opened(tmp_path, "test")) == [7, 8, 9]  # whose classes are told


def test_a_pattern_names_files_and_misses_none(tmp_path: Path) -> None:
    for number in range(3):
        parquet(tmp_path / f"s-{number:02}.parquet", TEN[3 * number :][:3])
    assert values(opened(tmp_path / "s-{00..02}.parquet")) == list(range(9))
    assert values(opened(tmp_path / "s-{02,00}.parquet")) == [6, 7, 8, 0, 1, 2]
    with pytest.raises(Refusal, match=r"s-03\.parquet: No such file") as refused:
        opened(tmp_path / "s-{00..03}.parquet")
    assert "1 of the 4 files" in refused.value.message


def test_the_share_for_test_follows_from_names_alone(tmp_path: Path) -> None:
    place = parquet(tmp_path / "a.parquet", TEN, THIRDS)
    parts = [values(opened(place, split, holdout=0.3)) for split in ("train", "test")]
    assert [len(part) for part in parts] == [7, 3]
    assert sorted(parts[0] + parts[1]) == list(range(10))
    again = [values(opened(place, split, holdout=0.3, memory=0)) for split in ("train", "test")]
    assert again == parts


def test_order_is_that_of_seed_and_step_alone(tmp_path: Path) -> None:
    for number in reversed(range(3)):  # written in another order than they are read
        colours = range(10 * number, 10 * number + 10)
        place = tmp_path / f"{number}.parquet"
        parquet(place, [picture(value) for value in colours], THIRDS, metadata=HUB, group=3)
    straight = read(opened(tmp_path, memory=1), 0)
    found = opened(tmp_path, memory=0)
    for workers, ranks in ((0, 1), (2, 1), (1, 2), (2, 3)):
        assert read(found, workers, ranks) == straight
    assert sorted(value for colours, _ in straight[:5] for value in colours) == list(range(30))


def test_row_groups_are_read_as_they_are_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = parquet(tmp_path / "a.parquet", TEN, group=2)
    files = parquet_files.Parquet(place)
    monkeypatch.setattr(parquet_files, "HELD", 1)
    assert [files.open(name).read() for name in files.names] == TEN
    assert len(files._held) == 1


def test_row_groups_beyond_a_limit_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_files, "GROUP_LIMIT", 100)
    with pytest.raises(Refusal, match=r"a\.parquet: row group 0 has \d+ bytes; the limit is 100"):
        opened(parquet(tmp_path / "a.parquet", TEN))


def test_an_old_pyarrow_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyarrow.__version__", "14.0.0")
    with pytest.raises(Refusal, match=r"pyarrow 14\.0\.0 is too old") as refused:
        opened(tmp_path)
    assert "pip install 'ddpm-cli[parquet]'" in refused.value.message


def test_texts_stand_beside_images(tmp_path: Path) -> None:
    words = ["a cat", None, *["x"] * 8]
    files = parquet_files.Parquet(parquet(tmp_path / "a.parquet", TEN, caption=words))
    assert [files.text(name) for name in files.names[:2]] == ["a cat", None]


def test_texts_of_other_columns(tmp_path: Path) -> None:
    said = [["a cat", "a  tom"], *[None] * 9]
    file = parquet(tmp_path / "a.parquet", TEN, said=said, caption=["no"] * 10)
    files = parquet_files.Parquet(file, text="said")
    assert [files.text(name) for name in files.names[:2]] == ["a cat\na tom", None]
    with pytest.raises(ConfigError, match=r"data\.text: no column 'words' of texts"):
        parquet_files.Parquet(file, text="words")


def test_columns_can_be_chosen(tmp_path: Path) -> None:
    place = parquet(tmp_path / "a.parquet", TEN, THIRDS, kind=["x"] * 10, mask=TEN)
    assert opened(place, label="kind").classes == ("x",)
    assert values(opened(place, image="mask")) == list(range(10))
    for key, name in (("image", "label"), ("image", "no"), ("label", "mask")):
        with pytest.raises(ConfigError, match=rf"data\.{key}: no column '{name}'"):
            opened(place, **{key: name})


@MEMORY
def test_damaged_rows_are_named_or_skipped(memory: int, tmp_path: Path) -> None:
    rows = [*TEN[:3], b"text", None, *TEN[5:]]
    place = parquet(tmp_path / "a.parquet", rows, THIRDS)
    with pytest.raises(Refusal, match=r"a\.parquet: row 3: a text file, no image") as refused:
        opened(place, memory=memory)
    assert "row 4: no bytes" in refused.value.message
    found = opened(place, memory=memory, skip_corrupt=True)
    assert values(found) == [0, 1, 2, *range(5, 10)]
    assert found.labels.tolist() == [0, 1, 2, *THIRDS[5:]]


def test_damaged_files_are_named_or_skipped(tmp_path: Path) -> None:
    parquet(tmp_path / "a.parquet", TEN[:5])
    whole = parquet(tmp_path / "b.parquet", TEN[5:]).read_bytes()
    for bad in (whole[:-9], whole[:200], b""):
        (tmp_path / "b.parquet").write_bytes(bad)
        if bad:
            with pytest.raises(Refusal, match=r"b\.parquet: damaged") as refused:
                opened(tmp_path)
            assert "skip_corrupt" in refused.value.message
            found = opened(tmp_path, skip_corrupt=True)
            assert values(found) == [0, 1, 2, 3, 4]
            assert len(found.skipped) == 1
    with pytest.raises(Refusal, match=r"b\.parquet: an empty file"):
        opened(tmp_path)
    with pytest.raises(Refusal, match=r"c\.parquet: No such file"):
        opened(tmp_path / "c.parquet")


def test_mutated_files_are_read_or_refused(tmp_path: Path) -> None:
    place = tmp_path / "mutated.parquet"
    data = parquet(place, TEN[:4], THIRDS[:4], metadata=HUB).read_bytes()
    chances = torch.Generator().manual_seed(0)
    for at in torch.randint(len(data), (80,), generator=chances).tolist():
        changed = bytearray(data)
        changed[at] ^= 1 << int(torch.randint(8, (1,), generator=chances))
        place.write_bytes(changed)
        message = "mutated"
        try:
            assert len(opened(place)) == 4
        except (Refusal, ConfigError) as refused:
            message = refused.message
        assert "mutated" in message


def test_odd_classes_are_refused(tmp_path: Path) -> None:
    place = tmp_path / "a.parquet"
    for labels, metadata, what in (
        ([7] * 10, HUB, "row 0: class 7; expected 0 to 2"),
        ([*[1] * 9, None], HUB, "row 9: no class"),
    ):
        parquet(place, TEN, labels, metadata=metadata)
        with pytest.raises(Refusal, match=what) as refused:
            opened(place)
        assert "data.labels=none" in refused.value.message
        assert opened(place, labels="none").classes is None
    found = opened(place, skip_corrupt=True)
    assert (len(found), len(found.skipped)) == (9, 1)


def test_what_is_a_parquet_set(tmp_path: Path) -> None:
    holds = partial(shards.holds, form=forms.PARQUET)
    place = parquet(tmp_path / "in" / "a.parquet", TEN)
    named = str(place).replace("a.p", "{a,b}.p")
    assert all(map(holds, (place, tmp_path, Path(named))))
    (tmp_path / "no.parquet").write_bytes(b"text")
    assert not any(map(holds, (tmp_path / "no.parquet", tmp_path / "nothing")))
