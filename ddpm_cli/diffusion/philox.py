"""Philox4x32-10, random words as a function of a counter and a key, and numbers made of them.

The same lines work on tensors, int64, and on arrays of NumPy, uint64, which CPUs multiply twice as
fast.  Whole numbers are exact, and of what follows all but the logarithm is one IEEE operation
after the other: uniform numbers have the same bits on every device, normal ones to an ulp.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ddpm_cli.diffusion.shapes import sent

Words = Any  # of int64 or uint64, of which the lower 32 bits are in use
Numbers = Any  # float64 of the same kind
Key = tuple[int, int]
Make = Callable[[Sequence[Words], Any], Iterator[Numbers]]

ROUNDS = 10
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)  # what the key grows by from round to round
_MASK = 0xFFFFFFFF
_LOW, _HALF = np.uint64(_MASK), np.uint64(32)
# Counters at once: what stays in the cache of a core, and what is worth launching kernels for.
_CPU_BLOCK, _BLOCK = 16_384, 2**20
# The bits of 2^20 as float64, where the last one of the mantissa is worth 2^-32.
_EXPONENT = 0x4130000000000000
# sin(pi u / 4) / u in powers of u^2, the highest first: right to 4e-15 on [-1, 1].
_SINE = (
    -1.7365167288597578e-09,
    3.1333840829093e-07,
    -3.6576192120767256e-05,
    0.0024903945673670634,
    -0.08074551218803863,
    0.785398163397445,
)


def philox(c0: Words, c1: Words, c2: Words, c3: Words, key: Key) -> tuple[Words, ...]:
    """The four words of each counter (c0, c1, c2, c3), whose words are broadcast.

    Ten times (c0, c1, c2, c3) <- (hi(M1 c2) ^ c1 ^ k0, lo(M1 c2), hi(M0 c0) ^ c3 ^ k1, lo(M0 c0))
    (Salmon 2011, "Parallel random numbers: as easy as 1, 2, 3", section 3.3).
    """
    for number in range(ROUNDS):
        k0, k1 = ((k + number * w) & _MASK for k, w in zip(key, _WEYL, strict=True))
        low0, low1 = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]  # with hi above, for a while
        c0, c2 = (low1 >> 32) ^ c1, (low0 >> 32) ^ c3
        c0 ^= k0
        c2 ^= k1
        c0 &= _MASK
        c2 &= _MASK
        c1, c3 = low1, low0
    return c0, c1 & _MASK, c2, c3 & _MASK


def uniforms(words: Sequence[Words], library: Any) -> Iterator[Numbers]:
    """A number in [0, 1) of 24 bits for each word w, exact as float32: floor(w / 2^8) / 2^24."""
    return ((word >> 8) * 2.0**-24 for word in words)


def normals(words: Sequence[Words], library: Any) -> Iterator[Numbers]:
    """Two unit normals for each two words (Box 1958), which are written over.

    With v, w in (0, 1): sqrt(-2 log v) times cos(pi u) and sin(pi u), u = 2 w - 1. Of the sine s
    of pi u / 4, cos(pi u) = 1 - 8 s^2 (1 - s^2), sin(pi u) = 4 s (1 - 2 s^2) sqrt(1 - s^2).
    """
    for first, second in (words[:2], words[2:]):
        square = library.log(_fraction(first, library))
        square *= -2
        u = _fraction(second, library)
        u -= 0.5
        u *= 2
        sine = _sine(u)
        q = sine * sine
        rest = 1 - q
        cosine = q * rest
        cosine *= -8
        cosine += 1
        cosine *= library.sqrt(square)
        yield cosine
        rest *= square
        q *= -8
        q += 4
        q *= sine
        q *= library.sqrt(rest)
        yield q


def _fraction(word: Words, library: Any) -> Numbers:
    """(w + 1/2) / 2^32, by way of 2^20 + w / 2^32, whose bits are at hand."""
    word |= _EXPONENT
    number = word.view(library.float64)
    number -= 2.0**20 - 2.0**-33
    return number


def _sine(u: Numbers) -> Numbers:
    """sin(pi u / 4) for u in [-1, 1]."""
    square = u * u
    result = square * _SINE[0]
    for coefficient in _SINE[1:-1]:
        result += coefficient
        result *= square
    result += _SINE[-1]
    result *= u
    return result


def numbers(
    make: Make,
    key: Key,
    entries: Sequence[int],
    draws: range,
    count: int,
    device: torch.device,
) -> Tensor:
    """What `make` makes for each draw and entry, `count` of it: float32 [draws, entries, count].

    The counter is (c0, draw, entry's lower and upper half); c0 goes up to a quarter of `count`,
    and word i of the four makes the i-th quarter of the numbers.
    """
    arrays = library(device)
    width, size = -(-count // 4), _CPU_BLOCK if device.type == "cpu" else _BLOCK
    rows = _rows(entries, draws, device)
    drawn = torch.empty(len(rows[0]), 4, width, dtype=torch.float32, device=device)
    target = drawn.numpy() if arrays is np else drawn
    deep = max(1, size // max(width, 1))
    for top in range(0, len(drawn), deep):
        part = slice(top, top + deep)
        for left in range(0, width, size):
            right = min(left + size, width)
            place = _whole(np.arange(left, right), device)[None]
            draw, lower, upper = (row[part] for row in rows)
            words = philox(place, draw, lower, upper, key)
            for word, values in enumerate(make(words, arrays)):
                target[part, word, left:right] = values
    flat = drawn.reshape(len(drawn), 4 * width)[:, :count]
    return flat.reshape(len(draws), len(entries), count)


def library(device: torch.device) -> Any:
    """What computes on a device: NumPy on the CPU, else torch."""
    return np if device.type == "cpu" else torch


def worth(device: torch.device) -> int:
    """How many numbers are made in about the time that the calls take by themselves."""
    return 4 * (_CPU_BLOCK if device.type == "cpu" else _BLOCK)


def _rows(entries: Sequence[int], draws: range, device: torch.device) -> list[Words]:
    """The words of the counter but for the first, each [draws * entries, 1]."""
    whole = np.asarray(entries, np.uint64)
    halves = (np.tile(half, len(draws)) for half in (whole & _LOW, whole >> _HALF))
    number = np.repeat(np.asarray(draws, np.uint64), len(whole))
    return [_whole(row, device)[:, None] for row in (number, *halves)]


def _whole(values: Any, device: torch.device) -> Words:
    """Whole numbers of NumPy as words on a device."""
    if library(device) is np:
        return values.astype(np.uint64)
    return sent(torch.from_numpy(values.astype(np.int64)), device)
