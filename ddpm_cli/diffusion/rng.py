"""Randomness as a pure function of seeds: an image's numbers are its own, whatever the batch."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, Protocol

import torch
from torch import Tensor

from ddpm_cli.diffusion import philox

Kind = Literal["philox", "torch"]
Part = int | str | Sequence[int]  # of a key; a sequence has an entry for each image


def keyed(*parts: int | str, bits: Literal[32, 64] = 32) -> int:
    """A seed that depends on every part: (run seed, step, image index), (seed, "window"), ...

    As many bits as whoever reads it takes: torch's CPU generator no more than 32.
    """
    text = "/".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=bits // 8).digest(), "little")


class Rng:
    """Draws for a batch in which image i depends on its own entry of the key only.

    Of the parts of the key one is a sequence with an entry for each image: the seeds of images,
    (seeds, "nll"), or their places, (seed, "image", step, places).  Numbers are float32 and then
    cast, and are made on the device that asks.
    """

    def __init__(self, *parts: Part, kind: Kind = "philox") -> None:
        self._numbers: _Numbers = _Torch(*parts) if kind == "torch" else _Philox(*parts)

    def normal(self, like: Tensor) -> Tensor:
        """Unit normals in the shape [B, ...], dtype and device of `like`."""
        drawn = self._numbers.normals(like.shape[1:].numel(), like.device)
        if len(drawn) != len(like):
            raise ValueError(f"noise for {len(drawn)} images, not for {len(like)}")
        return drawn.reshape(like.shape).to(like.dtype)

    def uniform(self, n: int = 1, device: torch.device | str = "cpu") -> Tensor:
        """Uniform numbers in [0, 1), float32, shape [B, n]."""
        return self._numbers.uniforms(n, torch.device(device))


class Randomness(NamedTuple):
    """How seeds become numbers: the setting compute.rng, one for a whole run or walk.

    torch: one generator of torch an image, as before there was Philox. Old runs go on with it,
    and old images are made again.
    """

    kind: Kind = "philox"

    def rng(self, *parts: Part) -> Rng:
        """The draws of a batch; see `Rng`."""
        return Rng(*parts, kind=self.kind)

    def key(self, *parts: int | str) -> int:
        """A seed that depends on every part."""
        return keyed(*parts, bits=32 if self.kind == "torch" else 64)


PHILOX = Randomness()


class _Numbers(Protocol):
    """Numbers for a batch, float32 [B, count] on a device, other ones at each call."""

    def normals(self, count: int, device: torch.device) -> Tensor:
        """Unit normals."""

    def uniforms(self, count: int, device: torch.device) -> Tensor:
        """Uniform numbers in [0, 1)."""


class _Philox:
    """Philox: key and counter say which number it is, so that those of a batch are made at once.

    The key of 64 bits is a digest of all parts but for the entries. These are part of the counter,
    as are the number of the draw and the place in the image, so no number comes twice.
    """

    def __init__(self, *parts: Part) -> None:
        self._entries, shared = _parted(parts)
        digest = keyed(*shared("*"), bits=64)
        self._key = digest & 0xFFFFFFFF, digest >> 32
        self._draw = 0
        self._asked: tuple[int, torch.device] | None = None
        self._first, self._width, self._ahead = 0, 1, torch.empty(0)

    def uniforms(self, count: int, device: torch.device) -> Tensor:
        """The next draw, of uniform numbers."""
        self._draw += 1
        return self._made(philox.uniforms, range(self._draw - 1, self._draw), count, device)[0]

    def normals(self, count: int, device: torch.device) -> Tensor:
        """The next draw, of normal numbers, from those made ahead if it is among them.

        Of small batches ever more draws are made at a time, as the calls cost more than they.
        """
        number, self._draw = self._draw, self._draw + 1
        is_again, self._asked = self._asked == (count, device), (count, device)
        if is_again and number - self._first < len(self._ahead):
            return self._ahead[number - self._first]
        most = philox.worth(device) // max(1, len(self._entries) * count)
        self._width = max(1, min(4 * self._width if is_again else most // 16, most))
        draws = range(number, number + self._width)
        made = self._made(philox.normals, draws, count, device)
        self._first, self._ahead = number, made if len(made) > 1 else made[:0].clone()
        return made[0]

    def _made(self, make: philox.Make, draws: range, count: int, device: torch.device) -> Tensor:
        """Some draws [draws, B, count]; on the CPU for devices without float64."""
        place = torch.device("cpu") if device.type == "mps" else device
        return philox.numbers(make, self._key, self._entries, draws, count, place).to(device)


class _Torch:
    """One of torch's CPU generators an image, the Mersenne twister with a seed of 32 bits."""

    def __init__(self, *parts: Part) -> None:
        entries, shared = _parted(parts)
        seeds = entries if len(parts) == 1 else [keyed(*shared(entry)) for entry in entries]
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def normals(self, count: int, device: torch.device) -> Tensor:
        """The next numbers of each generator."""
        drawn = torch.empty(len(self._generators), count)
        for row, generator in zip(drawn, self._generators, strict=True):
            row.normal_(generator=generator)
        return drawn.to(device)

    def uniforms(self, count: int, device: torch.device) -> Tensor:
        """The next numbers of each generator."""
        drawn = torch.empty(len(self._generators), count)
        for row, generator in zip(drawn, self._generators, strict=True):
            row.uniform_(generator=generator)
        return drawn.to(device)


def _parted(parts: Sequence[Part]) -> tuple[Sequence[int], Callable[[int | str], list[int | str]]]:
    """The entries among the parts of a key, and the parts with something in their place."""
    (entries,) = (part for part in parts if not isinstance(part, (int, str)))

    def shared(stands: int | str) -> list[int | str]:
        return [part if isinstance(part, (int, str)) else stands for part in parts]

    return entries, shared
