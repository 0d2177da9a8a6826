"""Randomness: an image depends on its own seed only, and the values never change."""

import math

import pytest
import torch

from ddpm_cli.diffusion.rng import Rng, keyed


class TestRng:
    def test_image_depends_on_its_own_seed_only(self) -> None:
        like = torch.empty(3, 1, 5, 5, dtype=torch.float64)
        rng = Rng([10, 11, 12])
        batch = [rng.normal(like), rng.normal(like)]
        for row, seed in enumerate([10, 11, 12]):
            alone = Rng([seed])
            for drawn in batch:
                assert torch.equal(alone.normal(like[:1])[0], drawn[row])

    def test_numbers_are_float32_whatever_they_are_cast_to(self) -> None:
        wide = Rng([1]).normal(torch.empty(1, 100, dtype=torch.float64))
        narrow = Rng([1]).normal(torch.empty(1, 100))
        assert wide.dtype == torch.float64
        assert torch.equal(wide, narrow.double())

    def test_memory_layout_does_not_matter(self) -> None:
        like = torch.empty(2, 3, 4, 4)
        last = like.to(memory_format=torch.channels_last)
        assert torch.equal(Rng([1, 2]).normal(like), Rng([1, 2]).normal(last))

    def test_moments(self) -> None:
        drawn = Rng([4]).normal(torch.empty(1, 100_000))
        assert float(drawn.mean()) == pytest.approx(0, abs=4 / math.sqrt(1e5))
        assert float(drawn.std()) == pytest.approx(1, abs=4 / math.sqrt(2e5))

    def test_uniform_has_a_row_an_image(self) -> None:
        drawn = Rng([1, 2]).uniform(1000)
        assert drawn.shape == (2, 1000)
        assert 0 <= drawn.min() < drawn.max() < 1
        assert torch.equal(drawn[1], Rng([2]).uniform(1000)[0])

    def test_batch_must_match_the_seeds(self) -> None:
        with pytest.raises(ValueError, match="argument"):
            Rng([1, 2]).normal(torch.empty(3, 1))

    def test_values_are_stable(self) -> None:
        """A release that changes these changes every image that a seed stands for."""
        drawn = Rng([0]).normal(torch.empty(1, 3))[0].tolist()
        assert drawn == pytest.approx(STABLE_NORMALS, abs=1e-6)


STABLE_NORMALS = [1.5409961, -0.2934289, -2.1787894]


class TestKeyed:
    def test_values_are_stable(self) -> None:
        assert keyed(0, 1, 2) == 2649961579
        assert keyed(7, "class") == 1506761952

    def test_every_part_counts(self) -> None:
        keys = {keyed(seed, step, i) for seed in range(5) for step in range(20) for i in range(20)}
        assert len(keys) == 5 * 20 * 20
        assert keyed(1, 23) != keyed(12, 3)
        assert keyed(1, 2) != keyed(2, 1)

    def test_keys_are_legal_seeds(self) -> None:
        keys = [keyed("seed", number) for number in range(2000)]
        assert all(0 <= key < 2**32 for key in keys)
        assert max(keys) > 2**32 * 0.99
