"""What `ddpm fit --levels` is asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ddpm_cli.settings.request_parts import Use


@dataclass(frozen=True, kw_only=True)
class FitLevels:
    """`ddpm fit --levels`: lists of so many levels each, in the file `output` or beside the model.

    count: images from the seed `seed` on, far from those that figures are measured on; grid:
    levels of the reference; walks: what it may cost to improve a list.
    """

    use: Use
    counts: Sequence[int]
    output: Path | None = None
    count: int = 64
    grid: int = 60
    walks: int = 60
    seed: int = 10_000_000
