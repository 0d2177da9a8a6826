"""`ddpm info SOURCE`: what is in a set, and a command that trains on it."""

import io
import json
import shlex
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import runs
from PIL import Image

RANDOM = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def image(place: str, width: int, height: int, *channels: int, dtype: Any = np.uint8) -> None:
    Path(place).parent.mkdir(parents=True, exist_ok=True)
    high = np.iinfo(dtype).max
    Image.fromarray(RANDOM.integers(0, high, (height, width, *channels), dtype)).save(place)


def facts(*words: object) -> dict[str, Any]:
    (line,) = runs.done("info", *words, "--json").out.splitlines()
    found: dict[str, Any] = json.loads(line)
    return found


def mixed() -> str:
    """Images of all kinds, in two classes, with what may be wrong with some."""
    for number in range(12):
        image(f"mixed/a/{number}.png", 40 + number, 50, 3)
        image(f"mixed/b/{number}.png", 50, 50)
    Path("mixed/a/copy.png").write_bytes(Path("mixed/a/3.png").read_bytes())
    Image.new("RGB", (50, 50), (9, 9, 9)).save("mixed/a/flat.png")
    image("mixed/b/alpha.png", 50, 50, 4)
    image("mixed/b/deep.png", 50, 50, dtype=np.uint16)
    Image.open("mixed/a/5.png").convert("P").save("mixed/b/palette.png")
    Path("mixed/b/bad.png").write_bytes(b"nonsense")
    whole = Path("mixed/a/4.png").read_bytes()
    Path("mixed/a/cut.png").write_bytes(whole[: len(whole) // 2])
    return "mixed"


def grey() -> str:
    for number in range(5):
        image(f"grey/{number}.png", 30, 30)
    return "grey"


def spaced() -> str:
    for number in range(12):
        image(f"my photos/{number}.jpg", 90, 70, 3)
    return "my photos"


def loose() -> str:
    for number in range(12):
        image(f"loose/x/{number}.png", 16, 16)
    image("loose/top.png", 16, 16)
    return "loose"


def tiny() -> str:
    for number in range(20):
        image(f"tiny/{number}.png", 4, 4)
    return "tiny"


def packed() -> str:
    """A zip file with a table of labels and texts."""
    rows = [
        {"file_name": f"{n}.png", "label": "ab"[n % 2], "text": f"text {n}"} for n in range(20)
    ]
    with zipfile.ZipFile("set.zip", "w") as archive:
        for row in rows:
            image(str(row["file_name"]), 20, 20, 3)
            archive.write(str(row["file_name"]))
        archive.writestr("metadata.jsonl", "\n".join(map(json.dumps, rows)))
    return "set.zip"


def points() -> str:
    np.save("points.npy", RANDOM.normal(2, 3, (60, 3)))
    return "points.npy"


def pixels() -> str:
    np.save("pixels.npy", RANDOM.integers(0, 255, (30, 3, 16, 16), np.uint8))
    return "pixels.npy"


def table() -> str:
    rows = [f"{n * 1.5},{n * n},{'ab'[n % 3 == 0]}" for n in range(30)]
    Path("t.csv").write_text("\n".join(["x,y,kind", *rows]))
    return "t.csv"


def idx() -> str:
    """Grey images of 24x20 with labels, and no others to test on."""
    images = RANDOM.integers(0, 255, (40, 20, 24), np.uint8)
    shape = b"".join(size.to_bytes(4, "big") for size in images.shape)
    Path("my-images-idx3-ubyte").write_bytes(b"\0\0\x08\3" + shape + images.tobytes())
    labels = bytes(number % 4 for number in range(40))
    Path("my-labels-idx1-ubyte").write_bytes(b"\0\0\x08\1\0\0\0\x28" + labels)
    return "my-images-idx3-ubyte"


def shards() -> str:
    """Two tar archives of images, their classes and their texts."""
    for part in range(2):
        with tarfile.open(f"shards-{part}.tar", "w") as archive:
            for number in range(12):
                image("one.png", 20, 20, 3)
                files = {"png": Path("one.png").read_bytes(), "cls": b"%d" % (number % 2)}
                for ending, data in {**files, "txt": b"a text"}.items():
                    entry = tarfile.TarInfo(f"{part}{number}.{ending}")
                    entry.size = len(data)
                    archive.addfile(entry, io.BytesIO(data))
    return "shards-{0..1}.tar"


def stacked() -> str:
    np.savez("set.npz", RANDOM.integers(0, 255, (30, 16, 16, 3), np.uint8), np.arange(30) % 5)
    return "set.npz"


def cifar() -> str:
    """Five files of training records and one to test on, of which two are trained on."""
    folder = Path("cifar/cifar-10-batches-bin")
    folder.mkdir(parents=True)
    records = RANDOM.integers(0, 10, (120, 3073), np.uint8)
    records[110:112] = records[:2]
    names = [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]
    for number, name in enumerate(names):
        (folder / name).write_bytes(records[20 * number : 20 * number + 20].tobytes())
    return "cifar"


MADE = [mixed, grey, spaced, loose, tiny, packed, points, pixels, table, idx, shards, stacked]
QUICK = ("--steps", 1, "--batch", 2, "--set", "train.sheet_count=0", "--set", "network.width=8")


@pytest.mark.parametrize("make", MADE)
def test_the_command_trains(make: Callable[[], str]) -> None:
    name, *words = shlex.split(facts(make())["command"])
    assert name == "ddpm"
    outcome = runs.ddpm(*words, *QUICK)
    assert outcome.code == 0, outcome.err
    assert list(Path("runs").glob("*/model.safetensors"))


def test_everything_about_a_folder() -> None:
    found = facts(mixed())
    assert found["data"] == {"name": "folder", "path": "mixed"}
    assert found["train"] + found["test"] == found["looked_at"] + 1  # the cut one is counted
    assert found["looked_at"] == 29
    assert found["modes"] == {"RGB": 14, "L": 12, "RGBA": 1, "16-bit grey": 1, "palette": 1}
    assert (found["sizes"]["min"], found["sizes"]["max"]) == ([40, 50], [51, 50])
    assert found["sizes"]["common"][0] == {"size": [50, 50], "images": 16}
    classes = found["classes"]
    assert (classes["from"], classes["count"]) == ("the folders' names", 2)
    assert found["duplicates"]["images"] == 1
    assert found["duplicates"]["pairs"] == [["mixed/a/3.png", "mixed/a/copy.png"]]
    assert found["near_constant"] == {"images": 1, "first": ["mixed/a/flat.png"]}
    assert found["bad"]["files"] == 2
    assert [reason.split(": ")[0] for reason in found["bad"]["first"]] == [
        "mixed/b/bad.png", "mixed/a/cut.png"
    ]  # fmt: skip
    assert "data.skip_corrupt=true" in found["command"]
    assert any("transparency" in note for note in found["notes"])


def test_in_words() -> None:
    lines = runs.done("info", mixed()).out.splitlines()
    keys = [line.split("  ")[0] for line in lines if not line.startswith(" ")]
    assert keys == [
        "source", "read by", "train", "test", "sizes", "modes", "classes", "mean", "deviation",
        "duplicates", "near constant", "bad files", "note", "note", "to train",
    ]  # fmt: skip
    assert lines[1].split("  ")[-1] == "--set data.name=folder --set data.path=mixed"


def test_mean_and_deviation_of_each_channel() -> None:
    values = RANDOM.integers(0, 255, (12, 8, 8, 3), np.uint8)
    for number, one in enumerate(values):
        Path("a").mkdir(exist_ok=True)
        Image.fromarray(one).save(f"a/{number}.png")
    found = facts("a")
    assert found["mean"] == pytest.approx((values / 255).mean((0, 1, 2)).tolist())
    assert found["std"] == pytest.approx((values / 255).std((0, 1, 2)).tolist())
    rows = np.load(points())
    assert facts("points.npy")["mean"] == pytest.approx(rows.mean(0).tolist(), rel=1e-4)
    assert facts("points.npy")["std"] == pytest.approx(rows.std(0).tolist(), rel=1e-4)


def test_texts_are_counted_and_shown() -> None:
    found = facts(packed())
    assert found["captions"] == {"images": 20, "first": ["text 0", "text 1", "text 10"]}
    assert found["classes"]["from"] == "metadata.jsonl"
    assert found["classes"]["rows"] == {"a": 10, "b": 10}
    assert "--set text.form=pooled --set text.length=16" in found["command"]


def test_what_other_readers_tell() -> None:
    found = facts(shards())
    assert found["data"] == {"name": "webdataset", "path": "shards-{0..1}.tar"}
    assert found["captions"] == {"images": 24, "first": ["a text"] * 3}
    assert found["classes"]["rows"] == {"0": 12, "1": 12}
    found = facts(stacked())
    assert (found["data"]["name"], found["classes"]["count"]) == ("npz", 5)
    assert (found["sizes"]["min"], found["modes"]) == ([16, 16], {"RGB": 30})


def test_arrays_are_shown_whole() -> None:
    found = facts(idx())
    images = np.frombuffer(Path("my-images-idx3-ubyte").read_bytes()[16:], np.uint8)
    assert found["sizes"]["min"] == found["sizes"]["max"] == [24, 20]
    assert found["mean"] == pytest.approx([images.mean() / 255])
    assert (found["train"], found["test"], found["notes"]) == (38, 2, [])
    assert "test_images" not in found["command"]
    values = RANDOM.integers(0, 255, (30, 20, 24, 3), np.uint8)
    np.savez_compressed("packed.npz", arr_0=values, arr_1=np.arange(30) % 5)
    found = facts("packed.npz")
    assert (found["classes"]["count"], found["sizes"]["min"]) == (5, [24, 20])
    assert found["mean"] == pytest.approx((values / 255).mean((0, 1, 2)).tolist())


def test_a_table_says_its_class() -> None:
    found = facts(table())
    assert found["data"]["label"] == "kind"
    assert found["classes"]["rows"] == {"a": 20, "b": 10}
    assert found["columns"] == ["x", "y"]
    Path("t.csv").write_text("x,y,kind\n1,2,3\n" * 1 + "4,5,6\n" * 19)
    assert facts("t.csv")["classes"] is None
    assert facts("t.csv", "--set", "data.label=kind")["classes"]["count"] == 2


def test_images_to_test_on_that_are_trained_on() -> None:
    found = facts(cifar())
    assert found["data"] == {"name": "cifar10", "path": "cifar"}
    assert found["duplicates"]["across"] == 2
    assert found["command"] == "ddpm train --preset cifar10 --set data.path=cifar -o runs/cifar"
    assert found["duplicates"]["pairs"] == [["train 0", "test 10"], ["train 1", "test 11"]]


@pytest.mark.parametrize(
    ("target", "count", "command"),
    [
        ("data:mnist", 70000, "ddpm train --preset mnist -o runs/mnist"),
        ("data:two-points", 12000, "ddpm train --preset two-points -o runs/two-points"),
    ],
)
def test_sets_that_are_known_by_name(target: str, count: int, command: str) -> None:
    found = facts(target, "--limit", 50)
    assert found["train"] + found["test"] == count
    assert (found["looked_at"], found["command"]) == (50, command)
    assert "looked at      50 of" in runs.done("info", target, "--limit", 50).out


def test_a_sheet_of_all_classes() -> None:
    runs.done("info", mixed(), "--sheet", "a/some.png")
    with Image.open("a/some.png") as page:
        assert page.width > 8 * 50
    assert "exists already" in runs.ddpm("info", "mixed", "--sheet", "a/some.png").err
    runs.done("info", "mixed", "--sheet", "a/some.png", "--force")
    refused = runs.ddpm("info", points(), "--sheet", "b.png")
    assert (refused.code, refused.out) == (2, "")
    assert "--sheet: no images in this set" in refused.err
    assert runs.ddpm("info", "mixed", "--sheet", "b.txt").code == 2
    assert not Path("b.png").exists()


def test_one_image_is_told_and_no_command() -> None:
    image("one/a.png", 16, 16)
    found = facts("one")
    assert (found["train"], found["test"], found["command"]) == (1, 0, None)


def test_all_files_bad_is_a_failure() -> None:
    Path("bad").mkdir()
    for number in range(3):
        Path(f"bad/{number}.png").write_bytes(b"x")
    outcome = runs.ddpm("info", "bad")
    assert (outcome.code, outcome.out) == (1, "")
    assert "none of the" in outcome.err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["data:mnits"], 2, "did you mean mnist?"),
        (["mnist", "--limit", "3"], 2, "--limit: only for data, which mnist is not"),
        (["mnist", "--set", "data.label=3"], 2, "--set: only for data"),
        (["data:mnist", "--toml"], 2, "--toml: only for models"),
        (["data:mnist", "--set", "train.steps=3"], 2, "--set train: only data.KEY"),
        (["data:mnist", "--set", "data.size=3"], 2, "data.size: unknown key for mnist"),
        (["nothing"], 1, "nothing: no such file, run or bundled model"),
    ],
)
def test_what_is_refused(words: list[str], code: int, message: str) -> None:
    outcome = runs.ddpm("info", *words)
    assert (outcome.code, outcome.out) == (code, "")
    assert message in outcome.err


def test_models_and_runs_come_first(finished: Path) -> None:
    image("runs/sheet.png", 8, 8)
    Path("runs/one").symlink_to(finished)
    outcome = runs.ddpm("info", "runs")
    assert outcome.code == 1
    assert "runs: a folder of runs (one)" in outcome.err
    assert json.loads(runs.done("info", finished, "--json").out)["kind"] == "model"
    assert json.loads(runs.done("info", "mnist", "--json").out)["kind"] == "model"
