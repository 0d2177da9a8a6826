"""What `ddpm fit` is asked for: moments of a model, or lists of levels."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ddpm_cli.settings.request_parts import Use


@dataclass(frozen=True, kw_only=True)
class Fit:
    """`ddpm fit`: moments of a model in the file `output`, by default beside it.

    count: images, at so many levels; diagonal: what a head for single pixels learns, if one is
    trained, for so many steps or minutes (0: no limit); trajectory: how many levels to choose.
    """

    use: Use
    output: Path | None = None
    count: int = 1024
    grid: int = 100
    estimate: Literal["error", "norm"] = "error"
    diagonal: Literal["npr", "sn"] | None = None
    steps: int = 3000
    minutes: float = 10.0
    trajectory: int | None = None
    seed: int = 0


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
