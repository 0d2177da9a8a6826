"""Which data a path holds, told by its content without torch."""

import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from ddpm_cli.data import recognizing
from ddpm_cli.data.recognizing import TELLERS, recognized
from ddpm_cli.settings import catalog
from ddpm_cli.settings.toml import parse_set


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def put(*names: str, content: bytes = b"x") -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(content)


def settings(path: str) -> dict[str, object] | None:
    found = recognized(Path(path))
    return found and found.settings


def test_folders() -> None:
    put("photos/x/a.JPG", "other/a.txt", "photos/.hidden.png", "hidden/.a.png")
    assert settings("photos") == {"name": "folder", "path": "photos"}
    assert settings("other") is None
    assert settings("hidden") is None
    assert settings("nothing") is None


@pytest.mark.parametrize(
    ("names", "path", "expected"),
    [
        (["m/train-images-idx3-ubyte"], "m", ("mnist", "m")),
        (["m/MNIST/raw/train-images-idx3-ubyte.gz"], "m", ("mnist", "m/MNIST/raw")),
        (
            ["m/FashionMNIST/raw/train-images-idx3-ubyte.gz"], "m",
            ("fashion-mnist", "m/FashionMNIST/raw"),
        ),
        (["fashion/train-images-idx3-ubyte"], "fashion", ("fashion-mnist", "fashion")),
        (["c/cifar-10-batches-py/data_batch_1"], "c", ("cifar10", "c")),
        (["c/cifar-10-batches-py/data_batch_1"], "c/cifar-10-batches-py", ("cifar10", "c")),
        (["c/cifar-100-binary/train.bin"], "c", ("cifar100", "c")),
        (["c/train.bin", "c/test.bin"], "c", ("cifar100", "c")),
    ],
)  # fmt: skip
def test_sets_of_the_field(names: list[str], path: str, expected: tuple[str, str]) -> None:
    put(*names)
    assert settings(path) == dict(zip(("name", "path"), expected, strict=True))


def test_emoji() -> None:
    put(
        "e/1f600.png",
        "e/2764-fe0f.png",
        "e/1f1eb-1f1f7.png",
        "numbers/1000.png",
        "numbers/2000.png",
    )
    put("mixed/1f600.png", "mixed/cat.png")
    assert settings("e") == {"name": "emoji", "path": "e"}
    assert settings("numbers") == {"name": "folder", "path": "numbers"}
    assert settings("mixed") == {"name": "folder", "path": "mixed"}
    with zipfile.ZipFile("e.zip", "w") as archive:
        archive.writestr("72x72/emoji_u1f469_200d_1f33e.png", b"")
    assert settings("e.zip") == {"name": "emoji", "path": "e.zip"}


def test_files() -> None:
    with zipfile.ZipFile("a.zip", "w") as archive:
        archive.writestr("x/a.png", b"")
    with zipfile.ZipFile("b.zip", "w") as archive:
        archive.writestr("a.txt", b"")
    with zipfile.ZipFile("c.zip", "w") as archive:  # as EDM packs latents
        archive.writestr("00000/img00000000.npy", b"")
        archive.writestr("dataset.json", b"{}")
    put("edm/00000/img00000000.npy", "edm/dataset.json")
    assert settings("c.zip") == {"name": "archive", "path": "c.zip"}
    assert settings("edm") == {"name": "folder", "path": "edm"}
    np.save("a.npy", np.zeros((2, 3)))
    Path("b.npy").write_text("nonsense")
    assert settings("a.zip") == {"name": "archive", "path": "a.zip"}
    assert settings("b.zip") is None
    assert settings("a.npy") == {"name": "array", "path": "a.npy"}
    assert settings("b.npy") is None


@pytest.mark.parametrize(
    ("name", "file", "content"),
    [
        ("parquet", "a.parquet", b"PAR1"),
        ("webdataset", "a.tar", b"\0" * 257 + b"ustar"),
        ("lmdb", "data.mdb", b"\0" * 16 + b"\xde\xc0\xef\xbe"),
    ],
)
def test_what_other_programs_pack(name: str, file: str, content: bytes) -> None:
    put(f"d/{file}", content=content)
    put(f"e/{file}", f"e/x/{file}")
    assert settings("d") == {"name": name, "path": "d"}
    assert settings(f"d/{file}") == {"name": name, "path": f"d/{file}"}
    assert settings("e") is None


def test_arrays_in_one_file() -> None:
    np.savez("a.npz", images=np.zeros((2, 4, 4), np.uint8))
    np.savez("b.npz", mu=np.zeros(3), sigma=np.zeros((3, 3)))
    assert settings("a.npz") == {"name": "npz", "path": "a.npz"}
    assert settings("b.npz") is None
    np.savez("c.npz", age=np.arange(3), job=np.array(["a", "b", "a"]))
    assert settings("c.npz") == {"name": "array", "path": "c.npz", "label": "job"}
    for name in ("arr_0", "any"):
        np.savez("d.npz", **{name: np.zeros((3, 2))})
        assert settings("d.npz") == {"name": "array", "path": "d.npz"}
    np.savez("e.npz", x=np.arange(3), y=np.arange(4))
    Path("f.npz").write_bytes(Path("c.npz").read_bytes()[:200])
    assert settings("e.npz") is settings("f.npz") is None


def test_sound() -> None:
    put("d/a.wav", content=b"RIFF0000WAVEfmt ")
    put("e/a.wav", content=b"RIFF0000AVI ")
    for place in ("d", "d/a.wav"):
        assert settings(place) == {"name": "series", "path": place, "window": 96}
    assert settings("e") is settings("e/a.wav") is None


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("x,y\n1,2\n", None),
        ("x,kind\n1,a\n2,b\n", "kind"),
        ("x,label\n1,3\n", "label"),
        ("1,a\n2,b\n", "2"),
        ("x,p,q\n1,a,b\n", None),
        ("x\ta\n1\tb\n", "a"),
        ("a\nb\n", None),
        ("x,y\n1,\n", None),
        ("x\n\n1\n", None),
    ],
)
def test_the_class_of_a_table(text: str, label: str | None) -> None:
    Path("a.csv").write_text(text)
    expected = {"name": "array", "path": "a.csv"} | ({"label": label} if label else {})
    assert settings("a.csv") == expected


def test_images_and_labels_in_idx_files() -> None:
    head = b"\0\0\x08\3"
    put("train-images.idx3", "t10k-images.idx3", "one.bin", content=head)
    put("train-labels.idx1", "t10k-labels.idx1")
    assert settings("train-images.idx3") == {
        "name": "idx",
        "images": "train-images.idx3",
        "test_images": "t10k-images.idx3",
        "labels": "train-labels.idx1",
        "test_labels": "t10k-labels.idx1",
    }
    assert settings("one.bin") == {"name": "idx", "images": "one.bin"}
    assert settings("train-labels.idx1") is None


@pytest.mark.parametrize("path", ["my photos", "3", "true", "a'b", 'a"b', "[x]", "ü", "a=b"])
def test_words_are_read_back(path: str) -> None:
    import shlex

    words = shlex.split(recognizing.assignments({"name": "folder", "path": path}))
    assert words[0::2] == ["--set"] * 2
    assert parse_set(words[3]) == {"data": {"path": path}}


def test_tellers_name_what_there_is() -> None:
    assert {teller.name for teller in TELLERS} <= {*catalog.names("data")}


def test_no_torch_is_needed() -> None:
    put("photos/a.png")
    code = "import sys; from pathlib import Path; from ddpm_cli.data.recognizing import recognized"
    code += "; assert recognized(Path('photos')); assert not {'torch', 'PIL'} & {*sys.modules}"
    subprocess.run([sys.executable, "-c", code], check=True)
