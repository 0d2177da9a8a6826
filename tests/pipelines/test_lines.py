"""With --json every verb that makes results says of each of them what it is, in the same words."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from runs import done

from ddpm_cli.files.checkpoints.header import read_header
from ddpm_cli.pipelines.lines import Spent, digest, seeded

pytestmark = pytest.mark.small

KEYS = {"seed", "class", "sampler", "levels", "steps", "calls", "seconds", "path", "hash"}
DRAW = ("--steps", 2, "-b", 2)
IMAGES = ("a.png", "b.png", "c.png")
HOLE = ("--mask", "2,2,5,5")
# The words of a verb, and the network calls of each of its rows.
VERBS: dict[str, tuple[tuple[Any, ...], list[float]]] = {
    "sample": (("-n", 3, *DRAW, "-o", "out/"), [2, 2, 2]),
    "sample sheet": (("-n", 3, *DRAW, "-o", "out/x.png"), [2]),
    "sample numbers": (("-n", 3, *DRAW, "-o", "out/x.npz"), [2]),
    "sample walk": (("-n", 3, *DRAW, "-o", "out/", "--trajectory", "out/w.npz"), [2, 2, 2, 2]),
    "sample heun": (("-n", 2, *DRAW, "--sampler", "heun", "-o", "out/"), [3, 3]),
    "guide": (("-n", 2, "--class", "3", *DRAW, "-o", "out/"), [4, 4]),
    "inpaint": ((*IMAGES, *HOLE, *DRAW, "-o", "out/"), [2, 2, 2]),
    "inpaint sheet": (("a.png", *HOLE, "-n", 3, *DRAW, "-o", "out/x.png"), [2]),
    "upscale": ((*IMAGES, "--task", "deblur", *DRAW, "-o", "out/"), [2, 2, 2]),
    "encode": ((*IMAGES, "--steps", 3, "-o", "out/x.safetensors"), [9, 9, 9, 9]),
    "encode noise": (
        (*IMAGES, "--method", "forward", "--at", "40%", "-o", "out/x.safetensors"),
        [0],
    ),
    "interpolate": (("--seeds", "1,2", "-n", 3, *DRAW, "--steps", 3, "-o", "out/"), [5, 5, 5]),
    "nll": ((*IMAGES, "--method", "vlb", "--steps", 3), [3, 3, 3, 3]),
    "fit": (("-n", 4, "--levels", 2, "-o", "out/x.safetensors"), [0]),
}


def rows(*words: Any) -> list[dict[str, Any]]:
    """The objects that a command prints."""
    return [json.loads(line) for line in done(*words, "--json").out.splitlines()]


def timeless(made: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key != "seconds"} for row in made]


@pytest.mark.parametrize("name", VERBS)
def test_each_row_says_what_the_result_is(name: str, abc: Path, finished: Path) -> None:
    verb, (words, calls) = name.split()[0], VERBS[name]
    more = {"nll": [], "fit": [finished, "--force"]}.get(verb, ["--force"])
    made = rows(verb, *words, *more)
    assert [row["calls"] for row in made] == calls
    for row in made[: -1 if verb == "nll" else None]:  # the last of nll sums up
        assert row.keys() >= KEYS | {"model", "model_hash"}
        assert row["model_hash"] == read_header(finished / "model.safetensors").hash
        if row["path"] is not None:
            assert row["hash"] == hashlib.sha256(Path(row["path"]).read_bytes()).hexdigest()
    files = {str(path) for path in Path("out").glob("*")}
    assert {row["path"] for row in made if row.get("path")} == files
    assert timeless(rows(verb, *words, *more)) == timeless(made)


def test_rows_name_the_seeds_of_one_file(abc: Path) -> None:
    (row,) = rows("sample", "--seeds", "1-3,7", *DRAW, "--class", "2", "-o", "x.npz")
    assert (row["seed"], row["seeds"], row["class"]) == (None, "1-3,7", "2")
    (row,) = rows("sample", "--seeds", "7", *DRAW, "-o", "x.png")
    assert (row["seed"], "seeds" in row) == (7, False)
    (row,) = rows("inpaint", "a.png", *HOLE, "--seeds", "4,6", *DRAW, "-o", "y.png")
    assert (row["seed"], row["seeds"], row["input"]) == (None, "4,6", "a.png")


def test_windows_cost_calls(abc: Path) -> None:
    made = rows("inpaint", "a.png", "--extend", "0,4,0,0", *DRAW, "-o", "x.png", "--fit", "pad")
    assert made[0]["calls"] == 2 * 1  # only the window with something unknown is walked


@pytest.mark.parametrize("name", ["sample", "guide", "inpaint", "upscale"])
def test_what_is_left_out_is_told(name: str, abc: Path) -> None:
    words, _ = VERBS[name]
    made = rows(name, *words)
    kept = made[0]
    Path(made[-1]["path"]).unlink()
    outcome = done(name, *words, "--skip-existing", "--json")
    *left, last = (json.loads(line) for line in outcome.out.splitlines())
    assert f"1 made, {len(made) - 1} skipped" in outcome.err
    assert timeless([last]) == timeless(made[-1:])
    assert len(left) == len(made) - 1
    assert left[0].keys() >= KEYS | {"skipped"}
    assert left[0]["skipped"] is True
    same = ("path", "seed", "hash", "model", "model_hash")
    assert [left[0][key] for key in same] == [kept[key] for key in same]
    assert "skipped" not in last
    every = done(name, *words, "--skip-existing")
    assert f"0 made, {len(made)} skipped" in every.err
    assert every.out == ""


@pytest.mark.parametrize(
    ("verb", "words"),
    [
        ("sample", ("-n", 3, *DRAW, "-o", "x.npz")),
        ("sample", ("-n", 3, *DRAW, "-o", "x.png")),
        ("inpaint", ("a.png", *HOLE, "-n", 3, *DRAW, "-o", "x.png")),
    ],
)
def test_one_file_is_left_out_as_one(verb: str, words: tuple[Any, ...], abc: Path) -> None:
    made = rows(verb, *words)
    (row,) = rows(verb, *words, "--skip-existing")
    assert (row["seeds"], row["hash"], row["skipped"]) == ("0-2", made[0]["hash"], True)


def test_a_file_that_is_gone_has_no_hash(tmp_path: Path) -> None:
    assert digest(tmp_path / "gone") is None


def test_what_several_images_took_is_added() -> None:
    assert Spent(1, 2, 0.5).plus(Spent(2, 4, 1.0)) == Spent(3, 6, 1.5)
    assert seeded([]) == {"seed": None, "seeds": ""}
