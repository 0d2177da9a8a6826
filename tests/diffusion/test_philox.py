"""Philox gives the published words, the same ones on every device, and numbers of their laws."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ddpm_cli.diffusion import philox
from ddpm_cli.diffusion.rng import Rng, keyed

CPU = torch.device("cpu")
ONES = 0xFFFFFFFF
# Random123's kat_vectors, "philox4x32 10": counter, key, words.
KNOWN = [
    ([0] * 4, [0] * 2, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ([ONES] * 4, [ONES] * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
        [0xA4093822, 0x299F31D0],
        "d16cfe09 94fdcceb 5001e420 24126ea1",
    ),
]


def arrays(values: Any) -> Any:
    return np.asarray(values, np.uint64)


def tensors(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.int64)


def plain(counter: list[int], key: list[int]) -> list[int]:
    """Salmon 2011 with whole numbers of Python, as the paper draws it."""
    (left, right, third, last), (first, second) = counter, key
    for _ in range(10):
        high0, low0 = divmod(0xD2511F53 * left, 2**32)
        high1, low1 = divmod(0xCD9E8D57 * third, 2**32)
        left, right, third, last = high1 ^ right ^ first, low1, high0 ^ last ^ second, low0
        first, second = (first + 0x9E3779B9) % 2**32, (second + 0xBB67AE85) % 2**32
    return [left, right, third, last]


@pytest.fixture
def by_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU as any other device has it."""
    monkeypatch.setattr(philox, "library", lambda device: torch)


@pytest.mark.parametrize("make", [arrays, tensors])
@pytest.mark.parametrize(("counter", "key", "words"), KNOWN)
def test_words_are_the_published_ones(
    make: Callable[[Any], Any], counter: list[int], key: list[int], words: str
) -> None:
    found = philox.philox(*(make([word]) for word in counter), (key[0], key[1]))
    assert " ".join(f"{int(word[0]):08x}" for word in found) == words
    assert plain(counter, key) == [int(word, 16) for word in words.split()]


@pytest.mark.parametrize("make", [arrays, tensors])
def test_words_are_those_of_the_plain_algorithm(make: Callable[[Any], Any]) -> None:
    drawn = np.random.default_rng(0).integers(0, 2**32, (4, 50)).tolist()
    found = philox.philox(*map(make, drawn), (0xDEADBEEF, 0x12345678))
    expected = [plain(list(c), [0xDEADBEEF, 0x12345678]) for c in zip(*drawn, strict=True)]
    assert np.stack([np.asarray(word) for word in found], 1).tolist() == expected


def words_of(seed: int, draw: int, count: int) -> list[list[int]]:
    """All words [4][width] of one image of a walk."""
    digest = keyed("*", bits=64)
    key, entry = [digest % 2**32, digest >> 32], [seed % 2**32, seed >> 32]
    blocks = [plain([place, draw, *entry], key) for place in range(-(-count // 4))]
    return [list(word) for word in zip(*blocks, strict=True)]


@pytest.mark.parametrize("seed", [3, 2**32 + 3, 2**64 - 1])
def test_uniform_numbers_are_those_of_the_plain_algorithm(seed: int) -> None:
    rng = Rng([7, seed])
    for draw, count in enumerate([1, 10, 8]):
        expected = [w // 2**8 / 2**24 for word in words_of(seed, draw, count) for w in word]
        assert rng.uniform(count)[1].tolist() == expected[:count]


def test_normal_numbers_are_those_of_box_and_muller() -> None:
    rng, count = Rng([5]), 4000
    for draw in range(3):  # those made ahead, too
        first, second, third, last = words_of(5, draw, count)
        expected = []
        for one, other in ((first, second), (third, last)):
            radius = [math.sqrt(-2 * math.log((w + 0.5) / 2**32)) for w in one]
            angle = [math.pi * (2 * (w + 0.5) / 2**32 - 1) for w in other]
            pairs = list(zip(radius, angle, strict=True))
            expected += [r * math.cos(a) for r, a in pairs] + [r * math.sin(a) for r, a in pairs]
        found = rng.normal(torch.empty(1, count))[0]
        assert_an_ulp_apart(found, torch.tensor(expected, dtype=torch.float64).float())


def assert_an_ulp_apart(found: Tensor, expected: Tensor) -> None:
    assert found.dtype == expected.dtype == torch.float32
    assert int((found.view(torch.int32) - expected.view(torch.int32)).abs().max()) <= 1


@pytest.mark.parametrize("count", [1, 2, 7, 784, 3 * 32 * 32, 60_001])
def test_devices_make_the_same_numbers(count: int, request: pytest.FixtureRequest) -> None:
    """What NumPy makes on the CPU is what tensors make anywhere, uniform numbers to the bit."""
    like = torch.empty(3, count)
    before = Rng(range(3)), Rng(range(3))
    expected = [before[0].uniform(count), *(before[1].normal(like) for _ in range(4))]
    request.getfixturevalue("by_tensors")
    after = Rng(range(3)), Rng(range(3))
    assert torch.equal(after[0].uniform(count), expected[0])
    for drawn in expected[1:]:
        assert_an_ulp_apart(after[1].normal(like), drawn)


@pytest.mark.gpu
@pytest.mark.parametrize("count", [1, 784, 60_001])
def test_a_gpu_makes_the_same_numbers(count: int) -> None:
    here, there = Rng(range(64)), Rng(range(64))
    assert torch.equal(there.uniform(count, "cuda").cpu(), here.uniform(count))
    for _ in range(4):
        drawn = there.normal(torch.empty(64, count, device="cuda"))
        assert drawn.is_cuda
        assert_an_ulp_apart(drawn.cpu(), here.normal(torch.empty(64, count)))


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = Rng(range(5)).normal(torch.empty(5, 3, 40, 40))
    for size in (100, 1200, 5000):
        monkeypatch.setattr(philox, "_CPU_BLOCK", size)
        assert torch.equal(Rng(range(5)).normal(torch.empty(5, 3, 40, 40)), expected)


def test_a_device_without_numbers_gets_shapes() -> None:
    like = torch.empty(2, 3, 4, 4, device="meta", dtype=torch.float16)
    rng = Rng([1, 2])
    assert all(rng.normal(like).shape == like.shape for _ in range(3))
    drawn = rng.normal(like)
    assert (drawn.device.type, drawn.dtype) == ("meta", torch.float16)
    assert rng.uniform(3, "meta").shape == (2, 3)


class TestLaws:
    """Bounds are four to five deviations of what is estimated."""

    count = 2_000_000

    def test_moments_of_normal_numbers(self) -> None:
        x = Rng(range(200)).normal(torch.empty(200, 10_000)).double().flatten()
        for power, mean, variance in (
            (1, 0, 1),
            (2, 1, 2),
            (3, 0, 15),
            (4, 3, 96),
            (6, 15, 10170),
        ):
            error = 4.5 * math.sqrt(variance / self.count)
            assert float((x**power).mean()) == pytest.approx(mean, abs=error), power

    @pytest.mark.parametrize("make", ["normal", "uniform"])
    def test_distribution(self, make: str) -> None:
        """Kolmogorov and Smirnov's distance, which is above 1.95 / sqrt(n) once in a thousand."""
        rng = Rng(range(100))
        if make == "uniform":
            u = rng.uniform(20_000).double().flatten().sort().values + 2.0**-25
        else:
            x = rng.normal(torch.empty(100, 20_000)).double().flatten().sort().values
            u = torch.special.ndtr(x)
        even = (torch.arange(self.count) + 0.5) / self.count
        assert float((u - even).abs().max()) < 1.95 / math.sqrt(self.count)

    def test_tails_go_as_far_as_32_bits_do(self) -> None:
        x = Rng(range(200)).normal(torch.empty(200, 10_000)).flatten().abs()
        assert 4.5 < float(x.max()) < math.sqrt(2 * 33 * math.log(2))
        beyond = int((x > 4).sum())  # 127 are expected
        assert 127 - 5 * math.sqrt(127) < beyond < 127 + 5 * math.sqrt(127)

    @pytest.mark.parametrize("apart", ["images", "draws", "steps", "seeds", "pixels", "quarters"])
    def test_neighbours_know_nothing_of_each_other(self, apart: str) -> None:
        """Correlations of the numbers, their squares and their signs are within their errors."""
        images, count = 64, 4096
        like = torch.empty(images, count)
        rng = Rng(0, "image", 5, range(images))
        first = rng.normal(like)
        second = {
            "images": lambda: first.roll(1, 0),
            "draws": lambda: rng.normal(like),
            "steps": lambda: Rng(0, "image", 6, range(images)).normal(like),
            "seeds": lambda: Rng(1, "image", 5, range(images)).normal(like),
            "pixels": lambda: first.roll(1, 1),
            "quarters": lambda: first.roll(count // 4, 1),
        }[apart]()
        for change in (lambda x: x, lambda x: x.square() - 1, lambda x: x.sign()):
            a, b = change(first.double()).flatten(), change(second.double()).flatten()
            correlation = float((a * b).mean() / (a.std() * b.std()))
            assert abs(correlation) < 4.5 / math.sqrt(images * count)

    def test_no_number_of_a_run_comes_twice(self) -> None:
        """Two million pairs of step and image: keys differ by steps, counters by images."""
        steps, images = 2000, 1000
        keys = {keyed(0, "image", step, "*", bits=64) for step in range(steps)}
        assert len(keys) == steps
        firsts = set()
        for step in range(steps):
            words = (np.arange(images, dtype=np.uint64), *np.zeros((3, 1), np.uint64))
            place, *rest = words
            digest = keyed(0, "image", step, "*", bits=64)
            made = philox.philox(rest[0], rest[1], place, rest[2], (digest & ONES, digest >> 32))
            firsts.update((made[0] << np.uint64(32) | made[1]).tolist())
        assert len(firsts) == steps * images
