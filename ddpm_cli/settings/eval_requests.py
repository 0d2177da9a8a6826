"""What `ddpm eval` is asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ddpm_cli.settings.request_parts import Use
from ddpm_cli.settings.sweeps import Axis


@dataclass(frozen=True, kw_only=True)
class Eval:
    """`ddpm eval`: how samples compare with a reference, by a protocol or part by part.

    samples, reference, train: a folder, a zip file, a file of arrays or of statistics, NAME:SPLIT
    of a data set, or a model; features: the name of a network, and of its knobs those that are
    asked for; code: FILE.py:NAME, run in its place; metrics: NAME or NAME:knob=value each; count:
    images of the samples; blocks: so many runs of `count` seeds; floor: score the reference
    against itself; statistics: where its moments go; sweep: a model is measured in every cell of
    these lists, output, plot: where the table and its picture go.
    """

    use: Use
    samples: str | None = None
    reference: str | None = None
    train: str | None = None
    protocol: str | None = None
    features: Mapping[str, Any] = field(default_factory=dict)
    code: str | None = None
    metrics: Sequence[str] = ()
    count: int | None = None
    blocks: int | None = None
    seed: int = 0
    floor: bool = False
    badge: bool = False
    statistics: Path | None = None
    sweep: Sequence[Axis] = ()
    output: Path | None = None
    plot: Path | None = None
