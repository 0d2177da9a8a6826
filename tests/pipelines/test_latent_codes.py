"""Latents of images in a picture, those of two models side by side."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image
from runs import ddpm, done

from ddpm_cli.files.images.pixels import encode_png
from ddpm_cli.pipelines import latent_codes


def drawn_to(name: str) -> None:
    generator = torch.Generator().manual_seed(ord(name[0]))
    pixels = torch.randint(0, 256, (1, 8, 8), generator=generator, dtype=torch.uint8)
    Path(name).write_bytes(encode_png(pixels, {}))


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pytest.importorskip("matplotlib")


def test_how_alike_latents_are() -> None:
    z = torch.randn(3, 1, 40, 40, generator=torch.Generator().manual_seed(0))
    other = torch.randn(3, 1, 40, 40, generator=torch.Generator().manual_seed(1))
    assert latent_codes.alike(z, 3 * z) == pytest.approx([1, 1, 1])
    assert latent_codes.alike(z, -z) == pytest.approx([-1, -1, -1])
    assert max(map(abs, latent_codes.alike(z, other))) < 0.1


def test_two_models_in_one_command(finished: Path) -> None:
    drawn_to("a.png")
    shutil.copytree(finished, "twin")
    words = ("--steps", 5, "--dtype", "float32", "-o", "codes.png")
    outcome = done("encode", "a.png", "-m", f"{finished},twin", *words)
    assert outcome.out.count(" dB\n") == 2
    assert outcome.out.endswith("codes.png\n")
    assert "cosine 1.000" in outcome.err
    with Image.open("codes.png") as picture:
        record = json.loads(picture.text["ddpm"])  # type: ignore[attr-defined]
    assert record["model"] == f"{finished},twin"
    assert len(record["hashes"]) == 2


def test_the_lines_are_the_first_dimensions() -> None:
    flat = torch.zeros(1, 1, 12, 12)
    late = flat.clone()
    late[0, 0, -1, -1] = 9.0
    assert torch.equal(*(latent_codes.drawn(["a"], [("m", z)]) for z in (flat, late)))
    early = flat.clone()
    early[0, 0, 0, 3] = 9.0
    drawn = [latent_codes.drawn(["a"], [("m", z)]) for z in (flat, early)]
    assert not torch.equal(*drawn)


def test_models_of_two_shapes_are_refused(finished: Path) -> None:
    drawn_to("a.png")
    outcome = ddpm("encode", "a.png", "-m", f"{finished},mnist", "-o", "codes.png")
    assert outcome.code == 2
    assert "compare models of one shape" in outcome.err


def test_a_model_of_rows_is_refused(roll: Path) -> None:
    Path("a.csv").write_text("x1,x2\n1,2\n")
    outcome = ddpm("encode", "a.csv", "-m", roll, "-o", "codes.png")
    assert outcome.code == 2
    assert "latents of rows go to a .safetensors file" in outcome.err
