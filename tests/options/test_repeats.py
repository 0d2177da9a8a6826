"""What is given twice is united, refused, or the last of it counts: never lost unawares."""

from pathlib import Path

import pytest
from runs import ddpm

from ddpm_cli import cli

TWICE = [
    ("sample", "-m", "mnist", "-m", "mnist-upscale"),
    ("sample", "--config", "a.toml", "--config", "b.toml"),
    ("sample", "--init", "a.png", "--init", "b.png", "--at", "4"),
    ("guide", "--scorer", "a.py:f", "--scorer=b.py:f"),
    ("guide", "--classifier", "a", "--classifier", "b"),
    ("guide", "--restore", "mask", "--restore", "deblur"),
    ("guide", "--image", "a.png", "--image", "b.png"),
    ("inpaint", "a.png", "--extend", "1,0,0,0", "--extend", "0,1,0,0"),
    ("inpaint", "a.png", "--mask", "0,0,4,4", "--class", "1", "--class", "2"),
]


@pytest.mark.parametrize("words", TWICE, ids=" ".join)
def test_where_one_value_is_taken(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = ddpm(*words)
    assert outcome.code == 2
    assert "given 2 times, and one value is taken; " in outcome.err
    assert len(outcome.err.splitlines()) == 1


def test_the_last_of_others_counts(finished: Path) -> None:
    words = ("--steps", 9, "--steps", 3, "-n", 5, "-n", 2, "-o", "a.png", "-o", "b.png")
    outcome = ddpm("sample", "-m", finished, *words, "--dry-run")
    assert outcome.code == 0, outcome.err
    assert "2 images, 3 steps" in outcome.err


def test_classes_and_seeds_unite(finished: Path) -> None:
    def said(*words: object) -> str:
        return ddpm("sample", "-m", finished, "--dry-run", *words).err

    assert "5 images" in said("--seeds", "0-3", "--seeds", "40")
    assert "3 images" in said("--class", "1,2", "--class", "7")
    assert "seed 3 is named twice" in said("--seeds", "0-3", "--seeds", "3")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--seeds", "1,2", "--seed", "7"), "--seed: --seeds says already which"),
        (("--seeds", "1,2", "-n", "7"), "--count: --seeds says already which"),
        (("--force", "--skip-existing"), "--skip-existing: --force says already"),
    ],
)
def test_options_that_contradict_each_other(
    words: tuple[str, ...], message: str, finished: Path
) -> None:
    outcome = ddpm("sample", "-m", finished, *words)
    assert outcome.code == 2
    assert message in outcome.err


def test_what_is_not_shared_out_is_refused_in_a_group(monkeypatch: pytest.MonkeyPatch) -> None:
    for verb in set(cli.ddpm.commands) - {"train", "sample", "guide"}:
        monkeypatch.setenv("WORLD_SIZE", "2")
        outcome = ddpm(verb)
        assert outcome.code == 2
        why = f"2 processes, of which ddpm {verb} needs one; leave torchrun out"
        assert outcome.err == f"Error: torchrun: {why}\n"
        monkeypatch.setenv("WORLD_SIZE", "1")
        assert "torchrun" not in ddpm(verb, "--nonsense").err
