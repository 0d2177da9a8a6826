"""What a batch takes of memory is known before it is made."""

from pathlib import Path

import pytest
import torch
from runs import ddpm, train

from ddpm_cli import hardware
from ddpm_cli.models import memory, model
from ddpm_cli.pipelines import opening
from ddpm_cli.settings.request_parts import Use

VERBS: list[tuple[str, ...]] = [
    ("sample", "-n", "99999"),
    ("guide", "-n", "99999"),
    ("inpaint", "a.png", "--mask", "0,0,4,4", "-n", "99999"),
    ("upscale", "a.png", "--method", "zero-shot", "--fit", "resize", "-n", "99999"),
    ("interpolate", "a.png", "b.png", "-n", "99999"),
]


@pytest.mark.parametrize("words", VERBS, ids=[words[0] for words in VERBS])
def test_a_batch_that_does_not_fit_is_refused_before_work(
    words: tuple[str, ...], finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ddpm("sample", "-m", finished, "--steps", 1, "-o", "a.png")
    ddpm("sample", "-m", finished, "--steps", 1, "-o", "b.png")
    monkeypatch.setattr(hardware, "free_memory", lambda _: 10**8)
    words = (*words, "-m", str(finished), "--dtype", "float32", "--batch", "99999")
    outcome = ddpm(*words, "-o", "out/")
    assert outcome.code == 1, outcome.err
    error, fix = outcome.err.splitlines()[-2:]
    assert error.startswith("Error: --batch 99999: needs about ")
    assert error.endswith("GB of memory, 0.1 GB are free")
    assert 100 < int(fix.split()[1]) < 20_000
    assert not list(tmp_path.glob("out/*"))


def test_a_small_batch_is_not_looked_at(monkeypatch: pytest.MonkeyPatch, finished: Path) -> None:
    monkeypatch.setattr(hardware, "free_memory", lambda _: 1)
    opened = opening.opened(Use(model=str(finished)))
    memory.refuse_large(model.opened(opened.place, opened.config), 99)


def test_the_bundled_model_takes_about_a_megabyte_a_row() -> None:
    """Of 96 rows 1.28 MB each were measured, of float32."""
    opened = opening.opened(Use(model="mnist"))
    compute = hardware.compute(device="cpu", dtype="float32")
    drawer = model.opened(opened.place, opened.config, compute)
    assert 1.0e6 < memory.row_bytes(drawer) < 2.0e6


def test_a_training_batch(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "free_memory", lambda _: 10**8)
    outcome = train(data, tmp_path / "run", "--batch", 99999)
    assert outcome.code == 1
    error, fix = outcome.err.splitlines()[-2:]
    assert error.startswith("Error: --batch 99999: needs about ")
    assert 50 < int(fix.split()[1]) < 20_000
    parts = ("--set", "train.accumulate=3")
    assert (
        "of which each part has 33333: needs"
        in train(data, tmp_path / "run", "--batch", 99999, *parts).err
    )


def test_what_is_dropped_does_not_count() -> None:
    layers = [torch.nn.Linear(100, 100) for _ in range(20)]
    with memory.watched() as seen:
        x = torch.zeros(1, 100)
        for layer in layers:
            x = layer(x).detach()
    assert max(seen) <= 800
    with memory.watched() as seen:
        kept = [layer(x) for layer in layers]
    assert max(seen) == 400 * len(kept)
