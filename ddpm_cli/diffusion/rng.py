"""Randomness as a pure function of a seed: one generator an image, whatever the batch."""

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor


def keyed(*parts: int | str) -> int:
    """A seed that depends on every part: (run seed, step, image index), (seed, "class"), ...

    It has 32 bits, as torch's CPU generator reads no more.
    """
    text = "/".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=4).digest(), "little")


class Rng:
    """Draws for a batch in which image i depends on its own seed only.

    Numbers are made in float32 on the CPU and then cast, so that devices agree.
    """

    def __init__(self, seeds: Sequence[int]) -> None:
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def normal(self, like: Tensor) -> Tensor:
        """Unit normals in the shape [B, ...], dtype and device of `like`."""
        drawn = torch.empty(like.shape, dtype=torch.float32)
        for row, generator in zip(drawn, self._generators, strict=True):
            row.normal_(generator=generator)
        return drawn.to(device=like.device, dtype=like.dtype)

    def uniform(self, n: int = 1) -> Tensor:
        """Uniform numbers in [0, 1), float32, shape [B, n]."""
        return torch.stack([torch.rand(n, generator=g) for g in self._generators])
