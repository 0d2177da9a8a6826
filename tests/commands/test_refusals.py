"""What people first give, and what they are told: what it is, and a next command that works."""

import errno
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import foreign_files as make
import numpy as np
import pytest
import runs
import torch
from first_contacts import INPAINT, G, Row, models_and_images, sets, train, words
from PIL import Image

from ddpm_cli import cli

ROWS = [
    *sets.CONTAINERS,
    *sets.FOLDERS,
    *sets.TABLES,
    *models_and_images.MODELS,
    *models_and_images.IMAGES,
    *words.SETTINGS,
]
NEVER = ("internal", "Traceback", "fault in ddpm", "not enough values")
LINES = 3  # of a message


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.command} {[*row.files][:1]}")
def test_what_is_refused_says_what_it_is_and_what_works(
    row: Row, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make.write(tmp_path, row.files)
    before = runs.contents(tmp_path)
    outcome = runs.ddpm(*shlex.split(row.command))
    said = outcome.err[outcome.err.index("Error: ") :]
    assert [word for word in row.must.split("|") if word not in said] == [], said
    never = [*NEVER, *filter(None, row.never.split("|"))]
    assert [word for word in never if word in said] == [], said
    assert len(said.splitlines()) <= LINES, said
    assert outcome.code == row.code, said
    assert runs.contents(tmp_path) == before
    assert not outcome.out


# What a refusal says to type in a shell, and the options that it then says to give.
SHELL = re.compile(
    r"(?:^|: |\()((?:mkdir|python|gzip|cp|iconv|for|cd) .*?)(?:,? then |,$|\)?$)", re.MULTILINE
)
THEN = re.compile(r"then ((?:--set \S+ ?)+)")
ZIP = make.zipped({"i.zip": make.zipped({"a.png": G, "b.png": G})})
USUAL = "--preset tiny --set data.holdout=0.5 --set train.warmup=0 --set wrappers=[]"


@pytest.mark.parametrize(
    ("row", "more"),
    [
        (Row({"o.zip": ZIP}, train("archive", "o.zip")), ""),
        (Row({"a.npz": make.npz(x=np.eye(2), y=np.ones(2))}, train("array", "a.npz")), ""),
        (Row({"a.pt": make.pytorch(torch.eye(2))}, train("array", "a.pt")), ""),
        (Row({"a.csv.gz": make.gzipped(b"1,2\n3,4\n")}, train("array", "a.csv.gz")), "a.csv"),
        (Row({"a.tsv": b"1\t2\n3\t4\n"}, train("array", "a.tsv")), "a.csv"),
        (Row({"d/a.jfif": G, "d/b.jfif": G}, train("folder", "d")), "d"),
    ],
    ids=lambda row: row.command if isinstance(row, Row) else "",
)
def test_the_way_out_works(
    row: Row, more: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Typed as it was printed; `more` is the path of the data where words say it."""
    monkeypatch.chdir(tmp_path)
    make.write(tmp_path, row.files)
    said = typed(row.command)
    then = THEN.search(said)
    options = then[1] if then else f"--set data.path={more}"
    outcome = runs.ddpm(*shlex.split(f"{row.command} {USUAL} --set network.classes=0 {options}"))
    assert "data: 1 " in outcome.err, outcome.err


def test_the_setting_that_is_said_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make.write(tmp_path, {"s.tar": make.tarred({"a.png": G, "b.png": G})})
    command = f"{train('archive', 's.tar')} {USUAL} --set network.classes=0"
    said = re.search(r"--set data.name=\S+ --set data.path=\S+", runs.ddpm(*command.split()).err)
    assert said
    assert "data: 1 " in runs.done(*command.split(), *said[0].split()).err


def test_classes_in_names_become_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make.write(tmp_path, sets.FLAT)
    command = f"{train('folder', 'd', '--set network.classes=2')} {USUAL}"
    typed(command)
    outcome = runs.done(*shlex.split(f"{command} --set data.labels=csv"))
    assert "2 classes" in outcome.err
    assert (tmp_path / "d/labels.csv").read_text().splitlines()[:2] == [
        "file,label", "cat_000.png,cat",
    ]  # fmt: skip


def test_an_array_becomes_an_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make.write(tmp_path, {"a.npy": make.npy(np.eye(28, dtype=np.uint8))})
    typed(INPAINT.format("a.npy"))
    runs.done(*shlex.split(INPAINT.format("a.png")), "--steps", "2")


def typed(command: str) -> str:
    """What a command that is refused says, when a shell was given what it says to type."""
    said = runs.ddpm(*shlex.split(command)).err
    found = SHELL.search(said)
    assert found, said
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    subprocess.run(["sh", "-c", found[1]], check=True, env={**os.environ, "PATH": path})
    return said


class TestModelsOfArrays:
    """A model of points in the plane, and what takes images, classes or both."""

    @pytest.mark.parametrize(
        ("command", "code", "words"),
        [
            ("guide --class 3", 2, "trained without classes|--classifier FILE"),
            ("sample --class 1", 2, "trained without classes; leave it out"),
            ("upscale a.png", 1, "makes rows of 2 values, no images|-m"),
            ("encode a.png", 1, "makes rows of 2 values, no images|-m"),
            (INPAINT.format("a.png"), 1, "makes rows of 2 values, no images|-m"),
        ],
    )
    def test_they_are_told_apart(
        self,
        command: str,
        code: int,
        words: str,
        roll: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.chdir(tmp_path)
        make.write(tmp_path, {"a.png": make.png((28, 28))})
        outcome = runs.ddpm(*shlex.split(command), "-m", roll)
        assert outcome.code == code
        assert [word for word in words.split("|") if word not in outcome.err] == [], outcome.err


class TestWhatIsSaidBesides:
    def test_the_variable_that_names_a_preset(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DDPM_PRESET", "mnits")
        outcome = runs.ddpm("train", "--dry-run")
        assert outcome.code == 2
        assert "DDPM_PRESET: preset 'mnits'" in outcome.err
        assert "did you mean mnist" in outcome.err

    def test_a_warm_up_longer_than_the_run(self, data: Path, tmp_path: Path) -> None:
        outcome = runs.train(data, tmp_path / "run", "--steps", 2, "--set", "train.warmup=50")
        assert outcome.code == 0
        assert "train.warmup: 50 steps of 2 in all" in outcome.err
        assert "of train.lr; --set train.warmup=0 is shorter" in outcome.err

    def test_a_colour_photograph_for_a_grey_model(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        Image.new("RGB", (28, 28), "red").save("red.png")
        Image.new("RGB", (28, 28), "grey").save("grey.png")
        said = runs.done(*shlex.split(INPAINT.format("red.png")), "--steps", "2").err
        assert "red.png: in colour, of which the model sees and makes grey alone" in said
        said = runs.done("inpaint", "grey.png", "--mask", "1,1,5,5", "--steps", "2").err
        assert "colour" not in said

    @pytest.mark.parametrize(
        ("shape", "move"),
        [((9, 8, 8, 3), "a.transpose(0, 3, 1, 2)"), ((9, 8, 8), "a[:, None]"), ((9, 3, 8, 8), "")],
    )
    def test_images_in_an_array_with_their_channels_last(
        self, shape: tuple[int, ...], move: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        values = np.random.default_rng(0).integers(0, 255, shape, np.uint8)
        make.write(tmp_path, {"a.npy": make.npy(values)})
        outcome = runs.ddpm(*shlex.split(train("array", "a.npy")))
        assert (move in outcome.err) if move else ("channels come first" not in outcome.err)

    def test_a_column_called_label(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """As in MNIST as a table: 785 columns, the first of which is the class."""
        monkeypatch.chdir(tmp_path)
        make.write(tmp_path, {"a.csv": b"label,p1\n5,0.1\n3,0.2\n4,0.7\n"})
        told = (
            "the column label is learned as a number; if it is the class: --set data.label=label"
        )
        command = train("array", "a.csv", "--set data.holdout=0.4")
        assert told in runs.ddpm(*shlex.split(command)).err
        assert told not in runs.ddpm(*shlex.split(f"{command} --set data.label=label")).err

    def test_a_full_disk(self) -> None:
        code, lines = cli.explain(OSError(errno.ENOSPC, "No space left on device", "a.png"))
        assert (code, lines[0]) == (1, "Error: a.png: No space left on device")
        assert "free some space" in lines[1]
