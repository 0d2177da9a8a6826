"""The closing line of a training is a command that works as it is printed."""

import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import runs
from image_sets import picture
from runs import PLAIN

SMALL = (
    *PLAIN, "--steps", 2, "--batch", 4, "--set", "levels.count=2", "--set", "train.warmup=1",
)  # fmt: skip
UNET = 'network={{name="unet", width=8, multipliers=[1], blocks=1, attention=[], classes={}}}'
PETS = ("--set", "data.name=folder", "--set", "data.path=pets", "--set", "data.mode=L")
MLP = ("--set", "network={name='mlp', width=8}", "--set", "wrappers=[]")


def of_array(name: str, *words: object) -> tuple[object, ...]:
    return (
        "--set",
        "data.name=array",
        "--set",
        f"data.path={name}",
        "--set",
        "wrappers=[]",
        *words,
    )


def folders() -> tuple[object, ...]:
    for label in ("cat", "dog"):
        Path("pets", label).mkdir(parents=True)
        for number in range(12):
            Path("pets", label, f"{number}.png").write_bytes(picture(20 * number, 8))
    return PETS


def images() -> tuple[object, ...]:
    return (*folders(), "--set", UNET.format(2))


def table(count: int) -> tuple[object, ...]:
    lines = [",".join(f"{n * 1.5 + k}" for k in range(count)) for n in range(20)]
    Path("a.csv").write_text("\n".join(lines))
    return of_array("a.csv", *MLP)


def signals() -> tuple[object, ...]:
    np.save("a.npy", np.random.default_rng(0).normal(size=(20, 32)))
    return of_array("a.npy", *MLP)


def bands() -> tuple[object, ...]:
    np.save("a.npy", np.random.default_rng(0).normal(size=(20, 6, 16, 16)))
    return of_array("a.npy", "--set", UNET.format(0))


def toy() -> tuple[object, ...]:
    return ("--preset", "swiss-roll", "--set", "data.count=200")


def classifier() -> tuple[object, ...]:
    runs.done("train", *images(), *SMALL, "-o", "runs/base")
    shape = "width=8, multipliers=[1], attention=[], classes=2"
    network = f'network={{name="classifier", {shape}}}'
    extra = ("--set", "loss.name=cross-entropy", "--set", "train.drop_class=0")
    return (*PETS, "--set", network, *extra)


def inpaint() -> tuple[object, ...]:
    return (*images(), "--set", "task.name=inpaint")


def upscale() -> tuple[object, ...]:
    return (*images(), "--set", "task.name=upscale")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def hint(words: tuple[object, ...], folder: str) -> list[str]:
    """Train for a moment; the words of the command that the last line prints."""
    line = runs.done("train", *words, *SMALL, "-o", folder).err.splitlines()[-1]
    assert line.startswith("try: ddpm ")
    return shlex.split(line)[2:]


@pytest.mark.parametrize(
    ("make", "suffix"),
    [
        (images, ".png"),
        (lambda: table(1), ".csv"),
        (lambda: table(2), ".csv"),
        (lambda: table(3), ".csv"),
        (lambda: table(5), ".csv"),
        (signals, ".csv"),
        (bands, ".npy"),
        (toy, ".csv"),
        (classifier, ".png"),
        (inpaint, ".png"),
        (upscale, ".png"),
    ],
)
def test_it_works_as_printed(make: Callable[[], tuple[object, ...]], suffix: str) -> None:
    words = hint(make(), "my runs/the {first}, one")
    made = Path(f"the _first_, one{suffix}")
    assert words[-1] == str(made)
    runs.done(*words)
    assert made.is_file()


@pytest.mark.parametrize("folder", [".", "-x", "runs/a.b"])
def test_any_folder(folder: str) -> None:
    words = hint(table(2), folder)
    runs.done(*words)
    assert Path(words[-1]).is_file()


def test_files_that_exist_are_not_named() -> None:
    Path("first.csv").touch()
    Path("first-2.csv").touch()
    assert hint(table(2), "runs/first")[-1] == "first-3.csv"


def test_a_classifier_without_a_model_to_guide_is_shown() -> None:
    words = [*classifier()]
    Path("runs").rename("elsewhere")
    line = hint(tuple(words), "runs/judge")
    assert line == ["info", "runs/judge"]
    runs.done(*line)


def test_without_a_name_for_the_file_arrays_become_numbers() -> None:
    runs.done("train", *bands(), *SMALL, "-o", "run")
    runs.done("sample", "-m", "run", "-n", 2)
    assert np.load("samples.npy").shape == (2, 6, 16, 16)


class TestWarning:
    """Classes that the network is not told are named, with what to type."""

    def said(self, *words: object) -> list[str]:
        outcome = runs.ddpm("train", *words, *SMALL, "--dry-run")
        assert outcome.code == 0, outcome.err
        return [line for line in outcome.err.splitlines() if line.startswith("Warning: ")]

    def test_of_folders(self) -> None:
        words = (*folders(), "--set", UNET.format(0))
        (line,) = self.said(*words)
        assert line.startswith("Warning: data: 2 classes, of which the network is told nothing")
        assert "--set network.classes=2" in line
        outcome = runs.done("train", *words, *SMALL, "-o", "run")
        assert outcome.err.splitlines().count(line) == 1
        assert self.said(*words, "--set", "network.classes=2") == []
        assert self.said(*words, "--set", "data.labels=none") == []

    def test_of_tables(self) -> None:
        Path("a.csv").write_text("x,y,kind\n" + "1,2,a\n2,5,b\n3,3,c\n" * 5)
        words = of_array("a.csv", "--set", "data.label=kind", *MLP)
        (line,) = self.said(*words, "--set", "network.classes=0")
        assert "--set network.classes=3" in line
        assert "data.labels" not in line

    def test_of_a_file_of_labels(self) -> None:
        words = (*folders(), "--set", UNET.format(0), "--set", "data.labels=csv")
        rows = [f"cat/{n}.png,{n % 3}\ndog/{n}.png,0\n" for n in range(12)]
        Path("pets/labels.csv").write_text("file,label\n" + "".join(rows))
        (line,) = self.said(*words)
        assert "--set network.classes=3" in line

    def test_not_of_one_folder_nor_of_known_sets(self) -> None:
        words = (*folders(), "--set", UNET.format(0))
        Path("pets/dog").rename("dog")
        assert self.said(*words) == []
        assert self.said("--preset", "tiny", "--set", UNET.format(0)) == []


@pytest.mark.parametrize("name", ["all", "none", "own"])
def test_classes_of_a_name_that_class_gives_a_meaning_are_refused(name: str) -> None:
    words = folders()
    Path("pets/dog").rename(f"pets/{name}")
    outcome = runs.ddpm("train", *words, "--set", UNET.format(2), *SMALL, "--dry-run")
    assert outcome.code == 2
    assert f"data: a class named {name!r}, which --class gives another meaning" in outcome.err
