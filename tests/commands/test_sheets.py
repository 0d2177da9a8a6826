"""Columns, zoom and labels of the sheets of every verb, and of a training."""

from pathlib import Path

import pytest
import runs
from PIL import Image
from runs import PLAIN, ddpm, done, replayed

pytestmark = [pytest.mark.small, pytest.mark.usefixtures("abc")]
QUICK = (*PLAIN, "--steps", 3, "--force")
LAID = ("--columns", 2, "--zoom", 3, "--labels", "seed,sampler")


def size(*words: object, place: str = "x.png") -> tuple[int, int]:
    """Width and height of the picture that a command makes; its record makes the same."""
    done(*words, *QUICK, "-o", place)
    before = Path(place).read_bytes()
    if not place.endswith(".gif"):
        assert ddpm(*replayed(place), "--force").code == 0
        assert Path(place).read_bytes() == before
    return Image.open(place).size


@pytest.mark.parametrize(
    "words",
    [
        ("sample", "-n", 3, "--sampler", "ddim"),
        ("guide", "--class", 7, "-n", 3, "--sampler", "ddim"),
        ("inpaint", "a.png", "--mask", "2,2,6,6", "-n", 3, "--sampler", "ddim"),
        ("upscale", "b.png", "--factor", 2, "--fit", "pad", "-n", 3, "--sampler", "ddim"),
    ],
    ids=lambda words: words[0],
)
def test_the_sheet_of_a_verb(words: tuple[object, ...]) -> None:
    if words[0] == "upscale":
        Image.open("b.png").resize((4, 4)).save("b.png")
        words = tuple(word for word in words if word not in ("--fit", "pad"))
    wide = 6 * len("seed 0") + 4
    assert size(*words, *LAID) == (2 * (wide + 2) + 2, 2 * (24 + 22 + 2) + 2)
    assert size(*words, "--zoom", 2) == (2 * 18 + 2, 2 * 18 + 2)
    for place in ("dir/", "{seed}.png"):
        outcome = ddpm(*words, *QUICK, "--zoom", 2, "-o", place)
        assert outcome.code == 2
        assert f"--zoom: of a sheet, as -o x.png, and -o {place} is none" in outcome.err


def test_one_image_alone_is_enlarged() -> None:
    assert size("sample", "--zoom", 4) == (32, 32)
    assert size("sample", "--zoom", 4, "--labels", "seed") == (36, 36 + 11)


def test_the_strip_and_the_film_of_an_interpolation() -> None:
    words = ("interpolate", "a.png", "b.png", "-n", 4, "--zoom", 2)
    assert size(*words) == (4 * 18 + 2, 20)
    assert size(*words, "--columns", 2) == (2 * 18 + 2, 2 * 18 + 2)
    assert size(*words, "--labels", "frame") == (4 * 18 + 2, 20 + 11)
    assert size(*words, place="x.gif") == (16, 16)
    assert ddpm(*words, *QUICK, "--columns", 2, "-o", "y.gif").code == 2


def test_the_strip_and_the_film_of_a_walk() -> None:
    words = ("sample", "-n", 3, *QUICK, "--zoom", 2, "-o", "x.npz", "--trajectory")
    done(*words, "w.png")
    sigma, level, title = 5 * 6 + 2, 5 * 6 + 2, 11  # pixels of letters beside and above
    assert Image.open("w.png").size == (sigma + 4 * level + 2, title + 3 * 18 + 2)
    done(*words, "w.gif", "--columns", 3)
    assert Image.open("w.gif").size == (3 * 18 + 2, 20)
    assert ddpm(*words, "w.npz").code == 2
    assert ddpm(*words, "w.png", "--labels", "seed").code == 2


def test_a_label_that_no_record_has() -> None:
    for verb in (
        ("sample",),
        ("interpolate", "a.png", "b.png"),
        ("inpaint", "a.png", "--mask", "2,2,6,6"),
    ):
        outcome = ddpm(*verb, *QUICK, "--labels", "sede", "-o", "new.png")
        assert (outcome.code, Path("new.png").exists()) == (2, False)
        assert "--labels sede: no image says its sede" in outcome.err


def test_the_sheets_of_a_training(data: Path, tmp_path: Path) -> None:
    laid = ("columns=3", "zoom=2", "labels=seed,class,step", "count=6")
    words = [word for each in laid for word in ("--set", f"train.sheet_{each}")]
    assert runs.train(data, tmp_path / "run", *words).code == 0
    (sheet,) = (tmp_path / "run" / "samples").iterdir()
    wide = 6 * len("step 12") + 4
    assert Image.open(sheet).size == (3 * (wide + 2) + 2, 2 * (16 + 33 + 2) + 2)
    outcome = runs.train(data, tmp_path / "other", "--set", "train.sheet_labels=sede")
    assert outcome.code == 2
    assert "train.sheet_labels sede: no image says its sede" in outcome.err


def test_the_shards_of_a_job_are_collected() -> None:
    for shard in ("1/2", "2/2"):
        done("sample", "-n", 5, *QUICK, "--shard", shard, "-o", "part-{shard}.npz")
    parts = sorted(Path().glob("part-*.npz"))
    done("collect", *parts, "-o", "all.npz", "--seeds", "0-4")
    done("sample", "-n", 5, *QUICK, "-o", "whole.npz")
    assert Path("all.npz").read_bytes() == Path("whole.npz").read_bytes()
