"""Cascades: what one model draws the next enlarges, with its class and noise of its own."""

import io
import json
import sys
from pathlib import Path

import pytest
import torch
from runs import ddpm, replayed, train

from ddpm_cli import console, hardware
from ddpm_cli.data.sets import images
from ddpm_cli.files.images.pixels import encode_png, open_image, read_metadata
from ddpm_cli.models import memory


@pytest.fixture(scope="module")
def models(
    data: Path, finished: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """A base of 4x4 images, a model that doubles them, and an unconditional one of 8x8."""
    root = tmp_path_factory.mktemp("models")
    x, conditions = images.mnist("train", path=str(data))[torch.arange(48)]
    for number, (image, label) in enumerate(zip(x, conditions["classes"].tolist(), strict=True)):
        place = root / "images" / "train" / str(label) / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(encode_png(image[:, ::2, ::2]))
    source = f"data={{name='folder', path='{root}/images', mode='L', holdout=0.1}}"
    wishes = {
        "base": ("--set", source, "--set", "network.classes=4"),
        "sr": ("--set", "task={name='upscale', noise=0.4}"),
    }
    for name, words in wishes.items():
        done = train(data, root / name, *words)
        assert done.code == 0, done.err
    return {"base": root / "base", "sr": root / "sr", "plain": finished}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_cascade_is_sample_piped_into_upscale(
    models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = f"{models['base']},{models['sr']}"
    words = ("-s", 5, "--dtype", "float32", "--aug-noise", 0.3)
    done = ddpm("sample", "-m", names, *words, "-o", "both.png", "--json")
    assert done.code == 0, done.err
    label = json.loads(done.out)
    first = ddpm("sample", "-m", models["base"], *words[:4], "-o", "-")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(first.binary)))
    then = ddpm("upscale", "-", "-m", models["sr"], *words, "-o", "-")
    assert then.code == 0, then.err
    assert torch.equal(open_image("both.png", "L"), open_image(io.BytesIO(then.binary), "L"))
    record, other = read_metadata("both.png"), read_metadata(io.BytesIO(then.binary))
    assert record["classes"] == other["classes"] != ["none"]
    assert record["stage"] == other["stage"] == 1
    assert label["path"] == "both.png"


def test_stages_draw_noise_of_their_own(models: dict[str, Path]) -> None:
    """Two doublings from one seed would show the same noise twice if they shared it."""
    low = encode_png(torch.full((1, 4, 4), 128, dtype=torch.uint8))
    Path("first.png").write_bytes(low)
    Path("later.png").write_bytes(encode_png(open_image(io.BytesIO(low), "L"), {"stage": 1}))
    assert ddpm("upscale", "first.png", "later.png", "-m", models["sr"], "-o", "out").code == 0
    assert not torch.equal(open_image("out/first.png", "L"), open_image("out/later.png", "L"))


def test_each_seed_is_enlarged_with_its_class(models: dict[str, Path]) -> None:
    names = f"{models['base']},{models['sr']}"
    words = ("sample", "-m", names, "--dtype", "float32")
    assert ddpm(*words, "-n", 4, "--class", 2, "-o", "many/", "-b", 3).code == 0
    assert ddpm(*words, "-s", 2, "--class", 2, "-o", "one.png").code == 0
    alone, among = open_image("one.png", "L"), open_image("many/000002.png", "L")
    assert alone.shape == (1, 8, 8)
    assert int((alone.int() - among.int()).abs().max()) <= 1
    assert read_metadata("one.png")["classes"] == ["2"]


def test_replayed_cascade_gives_the_same_bytes(models: dict[str, Path]) -> None:
    names = f"{models['base']},{models['sr']}"
    words = ("-m", names, "-s", 1, "--dtype", "float32", "--aug-noise", 0.1)
    assert ddpm("sample", *words, "-o", "x.png").code == 0
    first = Path("x.png").read_bytes()
    command = replayed("x.png")
    again = ddpm(*command, "--force")
    assert again.code == 0, again.err
    assert Path("x.png").read_bytes() == first


def test_unconditional_model_can_be_the_second_stage(models: dict[str, Path]) -> None:
    done = ddpm("sample", "-m", f"{models['base']},{models['plain']}", "-n", 2, "-o", "x/")
    assert done.code == 0, done.err
    assert "4 steps, 4 network calls" in done.err
    assert open_image("x/000001.png", "L").shape == (1, 8, 8)


def test_models_that_do_not_fit_each_other_are_refused(models: dict[str, Path]) -> None:
    done = ddpm("sample", "-m", f"{models['base']},mnist-upscale", "-o", "x.png")
    assert done.code == 1
    assert "makes 1x4x4" in done.err
    assert "enlarges 1x14x14" in done.err
    both = f"{models['base']},{models['sr']}"
    done = ddpm("sample", "-m", both, "--aug-noise", 0.9, "-o", "x.png")
    assert (done.code, "trained with up to 0.4" in done.err) == (2, True)
    done = ddpm("sample", "-m", f"{models['plain']},{models['plain']}", "-o", "x.png")
    assert (done.code, "enlarges smaller images" in done.err) == (1, True)
    done = ddpm("sample", "-m", models["base"], "--aug-noise", 0.1, "-o", "x.png")
    assert (done.code, "second model" in done.err) == (2, True)
    done = ddpm("sample", "-m", models["base"], "--downscale", "-o", "x.png")
    assert (done.code, "second model" in done.err) == (2, True)
    assert not Path("x.png").exists()


@pytest.mark.parametrize(
    ("words", "side", "said"),
    [
        ((), 16, "trained on 1x4x4: enlarges 1x8x8 by 9 windows"),
        (("--downscale",), 8, ""),
    ],
)
def test_what_is_larger_is_enlarged_by_windows_or_shrunk_first(
    models: dict[str, Path],
    words: tuple[str, ...],
    side: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = f"{models['plain']},{models['sr']}"
    usual = ("-s", 5, "--dtype", "float32")
    done = ddpm("sample", "-m", names, *usual, *words, "-o", "both.png")
    assert (done.code, said in done.err) == (0, True), done.err
    both = open_image("both.png", "L")
    assert both.shape == (1, side, side)
    first = ddpm("sample", "-m", models["plain"], *usual, "-o", "-")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(first.binary)))
    then = ddpm("upscale", "-", "-m", models["sr"], *usual, *words, "-o", "-")
    assert torch.equal(both, open_image(io.BytesIO(then.binary), "L"))
    command = replayed("both.png")
    assert ddpm(*command, "--force").code == 0
    assert torch.equal(both, open_image("both.png", "L"))


@pytest.mark.parametrize(("batch", "rows"), [(1, 1), (2, 2), (8, 8), (64, 18)])
def test_a_stage_sees_no_more_windows_at_once_than_the_batch(
    models: dict[str, Path], monkeypatch: pytest.MonkeyPatch, batch: int, rows: int
) -> None:
    """Of two samples nine windows each; the bar hears of the rows of each call."""
    seen = list[int]()
    monkeypatch.setattr(
        console.Progress, "advance", lambda _, count=1, note="": seen.append(count)
    )
    names = f"{models['plain']},{models['sr']}"
    done = ddpm("sample", "-m", names, "-n", 2, "--batch", batch, "-o", "x/")
    assert done.code == 0, done.err
    assert max(seen) == rows


def test_a_stage_that_does_not_fit_into_memory_is_refused(
    models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "LARGE", 9 * 64)
    monkeypatch.setattr(hardware, "free_memory", lambda _: 1)
    words = ("sample", "-m", f"{models['plain']},{models['sr']}", "-o", "x.png")
    done = ddpm(*words)
    assert (done.code, "--batch 9: needs about " in done.err) == (1, True), done.err
    assert not Path("x.png").exists()
    assert ddpm(*words, "--batch", 8).code == 0, "too few to be looked at"


def test_bundled_models_make_a_cascade_and_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    few = ("--steps", 1, "--dtype", "float32")
    done = ddpm("sample", "-m", "mnist,mnist-upscale", "-n", 2, *few, "-o", "x/")
    assert done.code == 0, done.err
    assert open_image("x/000001.png", "L").shape == (1, 56, 56)
    first = ddpm("sample", *few, "-o", "-")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(first.binary)))
    then = ddpm("upscale", "-", *few, "-o", "-")
    assert then.code == 0, then.err
    assert open_image(io.BytesIO(then.binary), "L").shape == (1, 56, 56)
