"""What is predicted of the first images while their bits come in."""

from pathlib import Path

import pytest
import torch
from exact import FOUR_PIXELS, by_sigma
from PIL import Image
from runs import ddpm, done

from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.diffusion.schedules.tables import cosine
from ddpm_cli.diffusion.variational import terms
from ddpm_cli.evaluation.decompression import SHOWN, STAGES, Decompression
from ddpm_cli.files.images.pixels import encode_png


def test_predictions_of_the_first_images_are_kept() -> None:
    schedule = cosine(steps=100)
    levels = torch.cat([schedule.levels.flip(0), torch.zeros(1, dtype=torch.float64)])
    denoise = by_sigma(FOUR_PIXELS, schedule).bind()
    stages = Decompression(levels)
    assert len(stages.places) == STAGES
    for first in (0, 3):
        seeds = range(first, first + 3)
        x0 = Rng(seeds, "data").normal(torch.empty(3, 1, 2, 2, dtype=torch.float64))
        list(terms(stages.watching(denoise), x0, levels, Rng(seeds), "small"))
        stages.add(x0)
    assert stages.images.shape == (SHOWN, STAGES, 1, 2, 2)
    x0 = Rng(range(4), "data").normal(torch.empty(4, 1, 2, 2, dtype=torch.float64))
    assert torch.equal(stages.images[:, -1], x0)
    rng = Rng(range(4))
    for number, sigma in enumerate(levels[:-1]):
        x = x0 + sigma * rng.normal(x0)
        if number in stages.places:
            found = stages.images[:, stages.places.index(number)]
            assert torch.allclose(found, denoise(x, sigma).x0, atol=1e-12)


def test_a_curve_has_a_strip_below(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    for number in range(2):
        pixels = torch.full((1, 8, 8), 100 * number, dtype=torch.uint8)
        Path(f"{number}.png").write_bytes(encode_png(pixels, {}))
    way = ("-m", finished, "--method", "vlb", "--steps", 12)
    sizes = []
    for inputs in (["0.png"], ["0.png", "1.png"]):
        done("nll", *inputs, *way, "--rate-distortion", f"{len(inputs)}.curve.png")
        with Image.open(f"{len(inputs)}.curve.png") as picture:
            sizes.append(picture.size)
    assert sizes[1][0] == sizes[0][0] == 900
    assert sizes[1][1] > sizes[0][1] + 100
    refused = ddpm("nll", "0.png", *way, "--rate-distortion", "1.curve.png")
    assert "exists already" in refused.err
