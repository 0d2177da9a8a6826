"""Randomness: an image depends on its own seed only, and the values never change."""

import math

import pytest
import torch

from ddpm_cli.diffusion.rng import Kind, Randomness, Rng, keyed


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
        with pytest.raises(ValueError, match="for 2 images, not for 3"):
            Rng([1, 2]).normal(torch.empty(3, 1))

    @pytest.mark.parametrize("kind", ["philox", "torch"])
    def test_values_are_stable(self, kind: Kind) -> None:
        """A release that changes these changes every image that a seed stands for."""
        drawn = Rng([0], kind=kind).normal(torch.empty(1, 3))[0].tolist()
        assert drawn == pytest.approx(STABLE[kind][0], abs=1e-6)
        rng = Rng(0, "image", 5, range(2), kind=kind)
        assert rng.uniform(3)[1].tolist() == pytest.approx(STABLE[kind][1], abs=1e-7)

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
    def test_other_formats_are_rounded_float32(self, dtype: torch.dtype) -> None:
        like = torch.empty(2, 500)
        assert torch.equal(Rng([1, 2]).normal(like.to(dtype)), Rng([1, 2]).normal(like).to(dtype))

    @pytest.mark.parametrize("kind", ["philox", "torch"])
    @pytest.mark.parametrize("parts", [(), ("nll",)])
    def test_calls_differ_and_do_not_depend_on_the_batch(
        self, kind: Kind, parts: tuple[str, ...]
    ) -> None:
        seeds = [4, 2**40 + 4, 17]
        whole, alone = Rng(seeds, *parts, kind=kind), Rng(seeds[1:2], *parts, kind=kind)
        drawn = []
        for count in (9, 9, 9, 30, 9, 9, 9, 9):  # other shapes come in between
            like = torch.empty(3, count)
            drawn.append(whole.normal(like))
            assert torch.equal(alone.normal(like[:1])[0], drawn[-1][1])
            assert torch.equal(alone.uniform(2)[0], whole.uniform(2)[1])
        first = torch.stack([rows[:, 0] for rows in drawn])
        assert len(first.unique()) == first.numel() - (kind == "torch" and parts == ()) * 8

    def test_what_is_made_ahead_is_what_is_made_at_once(self) -> None:
        like = torch.empty(2, 784)
        steady, torn = Rng([1, 2]), Rng([1, 2])
        drawn = [steady.normal(like) for _ in range(40)]
        for number, expected in enumerate(drawn):
            if number % 3 == 2:  # forget what was made
                torn.uniform()
                steady = Rng([1, 2])
                for _ in range(number):
                    steady.uniform()
                assert torch.equal(steady.normal(like), expected)
            else:
                assert torch.equal(torn.normal(like), expected)

    def test_one_part_of_a_key_is_a_sequence(self) -> None:
        for parts in ((1, "image"), ([1], "image", [2])):
            with pytest.raises(ValueError, match="unpack"):
                Rng(*parts)

    def test_every_part_counts(self) -> None:
        like, places = torch.empty(2, 8), [3, 4]
        keys = [
            (places,), (places, "nll"), (0, "image", 5, places), (0, "image", 6, places),
            (1, "image", 5, places), (0, "time", 5, places), ("held out", places),
            ([0, 1], "image", 5), (0, "image", [2**32 + 3, 5]), (0, "image", places),
        ]  # fmt: skip
        drawn = torch.cat([Rng(*key).normal(like) for key in keys])
        assert len(drawn.flatten().unique()) == drawn.numel()


# Of Rng([0]).normal, and of what a step of training asks for image 1 at step 5.
STABLE: dict[str, tuple[list[float], list[float]]] = {
    "philox": (
        [-1.1177747, 1.8956803, 1.0085967],
        [0.40401405, 0.95370990, 0.24509424],
    ),
    "torch": ([1.5409961, -0.2934289, -2.1787894], [0.02573395, 0.63560641, 0.11844367]),
}


class TestRandomness:
    def test_torch_keys_as_before(self) -> None:
        """(seed, "nll") for each seed and (seed, "image", step, place) for each place."""
        old = Randomness("torch")
        like = torch.empty(2, 20)
        for mine, seeds in [
            (old.rng([3, 4], "nll"), [keyed(3, "nll"), keyed(4, "nll")]),
            (
                old.rng(7, "image", 2, range(5, 7)),
                [keyed(7, "image", 2, 5), keyed(7, "image", 2, 6)],
            ),
            (old.rng([3, 4]), [3, 4]),
        ]:
            expected = [torch.Generator().manual_seed(seed) for seed in seeds]
            rows = torch.stack([torch.randn(20, generator=g) for g in expected])
            assert torch.equal(mine.normal(like), rows)
            rows = torch.stack([torch.rand(4, generator=g) for g in expected])
            assert torch.equal(mine.uniform(4), rows)

    def test_keys_have_as_many_bits_as_their_readers(self) -> None:
        assert Randomness("torch").key(7, "window", 1) == keyed(7, "window", 1) < 2**32
        keys = [Randomness("philox").key("seed", number) for number in range(200)]
        assert 2**63 < max(keys) < 2**64


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
