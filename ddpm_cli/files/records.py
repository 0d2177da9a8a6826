"""What all outputs share: how seeds are written, and what a file says of its own making."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

METADATA_KEY = "ddpm"

Record = Mapping[str, Any]
Names = Callable[[Sequence[int]], Sequence[str] | None]


def compact(seeds: Sequence[int]) -> str:
    """Seeds as --seeds takes them: [0, 1, 2, 40] is "0-2,40"."""
    parts: list[list[int]] = []
    for seed in seeds:
        if parts and seed == parts[-1][1] + 1:
            parts[-1][1] = seed
        else:
            parts.append([seed, seed])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)
