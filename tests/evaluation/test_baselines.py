"""Bits of compressors and histograms, against what is known."""

import gzip
import math

import pytest
import torch

from ddpm_cli.evaluation.baselines import SEEN, Histograms, compressed, histograms, png
from ddpm_cli.files.images.pixels import encode_png


def noise(count: int, levels: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(count)
    return torch.randint(0, levels, (count, 1, 8, 8), generator=generator, dtype=torch.uint8)


def test_compressors_see_all_images_as_one_file() -> None:
    found = {one.name: one.bits for one in compressed(noise(500, 256))}
    assert list(found) == ["gzip -9", "bz2 -9", "xz -9e"]
    assert all(8 <= bits < 8.2 for bits in found.values()), "noise does not shrink"
    two = {one.name: one.bits for one in compressed(noise(500, 2))}
    assert all(1 < bits < 1.6 for bits in two.values()), "one bit at best"
    content = noise(500, 2).numpy().tobytes()
    assert two["gzip -9"] == 8 * len(gzip.compress(content, 9)) / len(content)


def test_png_counts_each_file_whole() -> None:
    images = noise(3, 4)
    sizes = [8 * len(encode_png(image)) / 64 for image in images]
    found = png(images)
    assert found.bits == pytest.approx(sum(sizes) / 3)
    spread = torch.tensor(sizes, dtype=torch.float64).std()
    assert found.error == pytest.approx(float(spread) / math.sqrt(3))
    assert png(images[:1]).error is None


def test_histograms_of_independent_pixels_find_their_entropy() -> None:
    """Half of the pixels are coins of 0.1, the others never change."""
    generator = torch.Generator().manual_seed(0)
    rows = (torch.rand(20_000, 1, 2, 4, generator=generator) < 0.1).byte() * 255
    rows[..., 2:] = 7
    found = histograms(rows[:5000], rows[5000:].split(4000), 256)
    entropy = -0.1 * math.log2(0.1) - 0.9 * math.log2(0.9)
    assert found.bits == pytest.approx(entropy / 2, abs=0.015)
    assert found.error == pytest.approx(0.005, abs=0.003)
    assert "15000 images in training" in found.of


def test_chances_of_all_levels_add_up_to_one() -> None:
    table = Histograms(4)
    table.add(torch.tensor([[0, 3], [0, 1], [2, 1]]))
    every = torch.tensor([[level, level] for level in range(4)])
    apart = torch.stack([table.bits(every[:, :1].repeat(1, 2))])
    assert apart.shape == (1, 4)
    first = Histograms(4)
    first.add(torch.tensor([[0], [0], [2]]))
    chances = 2 ** -first.bits(torch.arange(4)[:, None])
    assert float(chances.sum()) == pytest.approx(1)
    assert float(chances[0]) == pytest.approx((2 + SEEN) / (3 + 4 * SEEN))
