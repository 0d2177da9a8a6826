"""Every verb that makes many results does a part of them with --shard, and all parts are all."""

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from groups import told, torchrun
from runs import ddpm, done
from safetensors.torch import load_file

pytestmark = pytest.mark.small

DRAW = ("--steps", 2, "-b", 2)
EDIT = ("a.png", "b.png", "c.png", *DRAW)
# Verbs that write a file a result, with a job of at least five of them.
FOLDERS: dict[str, tuple[Any, ...]] = {
    "sample": ("-n", 5, *DRAW),
    "sample classes": ("--seeds", "3-6,40", "--class", "1,3,0", *DRAW),
    "guide": ("-n", 5, "--class", "3", *DRAW),
    "inpaint": ("-n", 2, "--mask", "2,2,5,5", *EDIT),
    "upscale": ("-n", 2, "--task", "deblur", *EDIT),
}
ENCODE = ("encode", *EDIT, "--fast")


def files(folder: str) -> dict[str, bytes]:
    """The bytes of all files in a folder."""
    return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}


def rows(text: str) -> list[dict[str, Any]]:
    """The lines of JSON that a command prints, without what is measured in seconds."""
    return [
        {key: value for key, value in json.loads(line).items() if key != "seconds"}
        for line in text.splitlines()
    ]


@pytest.mark.parametrize("total", [1, 2, 3, 7])
@pytest.mark.parametrize("name", FOLDERS)
def test_the_parts_fill_one_folder_with_the_job(name: str, total: int, abc: Path) -> None:
    verb, words = name.split()[0], FOLDERS[name]
    whole = rows(done(verb, *words, "-o", "whole/", "--json").out)
    every = []
    for number in range(1, total + 1):
        part = ("--shard", f"{number}/{total}", "-o", "parts/", "--json")
        outcome = done(verb, *words, *part)
        every += rows(outcome.out)
        empty = not outcome.out
        assert ("nothing to do" in outcome.err) == empty
        assert f"shard {number}/{total}: " in outcome.err
    if total == 7:  # more than there are batches: images are dealt alone
        assert [*files("parts")] == [*files("whole")]
        return
    assert files("parts") == files("whole")
    renamed = json.loads(json.dumps(every).replace("parts/", "whole/"))
    assert renamed == whole


@pytest.mark.parametrize("name", FOLDERS)
def test_an_empty_part_loads_no_model_and_leaves_nothing(
    name: str, abc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = set(Path().iterdir())
    monkeypatch.setattr("ddpm_cli.models.model.restored", None)
    verb, words = name.split()[0], FOLDERS[name]
    outcome = done(verb, *words, "--shard", "1/50", "-o", "parts/")
    assert (outcome.out, set(Path().iterdir())) == ("", before)


def test_parts_of_a_job_array_go_on_where_they_were(abc: Path) -> None:
    words = ("sample", *FOLDERS["sample"], "-o", "parts/", "--skip-existing")
    for number in (2, 1, 2, 1):
        done(*words, "--shard", f"{number}/2")
    done("sample", *FOLDERS["sample"], "-o", "whole/")
    assert files("parts") == files("whole")


def test_an_array_tells_the_part(abc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for index in (0, 1):
        for key, value in {"ID": index, "MIN": 0, "MAX": 1, "COUNT": 2, "STEP": 1}.items():
            monkeypatch.setenv(f"SLURM_ARRAY_TASK_{key}", str(value))
        done("sample", *FOLDERS["sample"], "-o", "parts/", "--shard", "auto")
    done("sample", *FOLDERS["sample"], "-o", "whole/")
    assert files("parts") == files("whole")


def test_parts_in_one_file_each_are_the_whole_file(abc: Path) -> None:
    words = ("sample", "-n", 5, *DRAW)
    done(*words, "-o", "whole.npz")
    for number in (1, 2):
        done(*words, "-o", "part-{shard}.npz", "--shard", f"{number}/2")
    parts = [np.load(f"part-{number}.npz") for number in (1, 2)]
    with np.load("whole.npz") as whole:
        for key in ("images", "seeds", "classes"):
            assert np.array_equal(np.concatenate([part[key] for part in parts]), whole[key])


@pytest.mark.parametrize(
    "how", [("--fast", "--steps", 3), ("--method", "forward", "--at", "40%", "--seed", 5)]
)
def test_latents_of_the_parts_are_those_of_the_whole(how: tuple[Any, ...], abc: Path) -> None:
    words = ("encode", "a.png", "b.png", "c.png", "-b", 2, *how)
    done(*words, "-o", "whole.safetensors")
    for number in (1, 2):
        done(*words, "-o", "{shard}.safetensors", "--shard", f"{number}/2")
    whole, *parts = (load_file(f"{name}.safetensors")["latents"] for name in ("whole", 1, 2))
    assert [*map(len, parts)] == [2, 1]
    assert torch.equal(torch.cat(parts), whole)
    _, *again = shlex.split(done("info", "2.safetensors", "--command").out)
    done(*again, "-o", "again.safetensors")
    assert torch.equal(load_file("again.safetensors")["latents"], parts[1])


@pytest.mark.parametrize(
    "words", [("a.png", "b.png", "c.png"), ("--split", "test", "-n", 5, "--method", "vlb")]
)
def test_likelihoods_of_the_parts_are_those_of_the_whole(
    words: tuple[Any, ...], abc: Path
) -> None:
    words = ("nll", *words, "--steps", 3, "-b", 1, "--json")
    *whole, mean = rows(done(*words).out)
    parts = [rows(done(*words, "--shard", f"{number}/3").out) for number in (1, 2, 3)]
    assert [row for part in parts for row in part[:-1]] == whole
    sums = [part[-1] for part in parts]
    assert sum(part["images"] for part in sums) == mean["images"]
    weighed = sum(part["bits"] * part["images"] for part in sums) / mean["images"]
    assert weighed == pytest.approx(mean["bits"], rel=1e-12)
    assert [part["shard"] for part in sums] == ["1/3", "2/3", "3/3"]


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (("sample", "-n", 5, *DRAW), "-o samples-{shard}.png"),
        (("sample", "-n", 5, *DRAW, "-o", "x.npz"), "-o x-{shard}.npz"),
        (("guide", "-n", 5, "--class", "3", *DRAW, "-o", "d/x.png"), "-o d/x-{shard}.png"),
        (
            ("sample", "-n", 5, *DRAW, "-o", "d/", "--trajectory", "w.npz"),
            "--trajectory w-{shard}.npz",
        ),
        (ENCODE, "-o latents-{shard}.safetensors"),
        (("inpaint", "a.png", *FOLDERS["inpaint"][:4], *DRAW, "-o", "x.png"), "x-{shard}.png"),
        (("upscale", *FOLDERS["upscale"], "-o", "{name}.png"), "{name}-{shard}.png"),
        (
            ("nll", "--split", "test", *DRAW, "--method", "vlb", "--terms", "t.csv"),
            "--terms t-{shard}.csv",
        ),
    ],
)
def test_one_file_of_all_parts_is_refused(words: tuple[Any, ...], option: str, abc: Path) -> None:
    before = set(Path().iterdir())
    outcome = ddpm(*words, "--shard", "1/2")
    assert outcome.code == 2
    assert option in outcome.err
    assert set(Path().iterdir()) == before


@pytest.mark.parametrize(
    ("verb", "words"),
    [
        ("sample", ("-n", 2, "-o", "x-{shard}.png")),
        ("inpaint", ("a.png", "--mask", "2,2,5,5", "-o", "x-{shard}.png")),
        ("encode", ("a.png", "-o", "x-{shard}.safetensors")),
    ],
)
def test_the_field_needs_a_shard(verb: str, words: tuple[Any, ...], abc: Path) -> None:
    outcome = ddpm(verb, *words, *DRAW)
    assert (outcome.code, "give --shard 1/8" in outcome.err) == (2, True)


@pytest.mark.parametrize("shard", ["0/2", "3/2", "x", "auto"])
@pytest.mark.parametrize("verb", ["sample", "guide", "inpaint", "upscale", "encode", "nll"])
def test_a_wrong_part_is_refused(verb: str, shard: str, abc: Path) -> None:
    more = {"sample": (), "guide": ("--class", "3"), "inpaint": ("a.png", "--mask", "2,2,5,5")}
    outcome = ddpm(verb, *more.get(verb, ("a.png",)), "--shard", shard)
    assert outcome.code == 2
    assert "--shard" in outcome.err.splitlines()[0]


def test_an_input_that_fails_ends_its_own_part_alone(abc: Path) -> None:
    Path("b.png").write_bytes(b"none")
    words = ("inpaint", "--mask", "2,2,5,5", *EDIT, "-b", 1, "-o", "parts/")
    assert [ddpm(*words, "--shard", f"{number}/3").code for number in (1, 2, 3)] == [0, 1, 0]
    assert [*files("parts")] == ["a.png", "c.png"]


def test_a_dry_run_says_the_part_and_writes_nothing(abc: Path) -> None:
    outcome = done("sample", "-n", 5, *DRAW, "-o", "d/", "--shard", "2/2", "--dry-run")
    assert "shard 2/2: 3 of 5 images" in outcome.err
    assert not Path("d").exists()


@pytest.mark.slow
def test_a_part_is_dealt_to_the_processes_of_a_group(abc: Path) -> None:
    words = ("sample", "-n", 6, "--steps", 2, "-b", 1)
    done(*words, "-o", "whole/")
    for number in (1, 2):
        group = torchrun(2, *words, "-o", "parts/", "--shard", f"{number}/2")
        assert group.returncode == 0, told(group)
    assert files("parts") == files("whole")
