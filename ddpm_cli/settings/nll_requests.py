"""What `ddpm nll` is asked for."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ddpm_cli.settings.request_parts import Look, Use

Method = Literal["ode", "vlb"]
Trace = Literal["exact", "rademacher", "gaussian", "antithetic"]
Dequantize = Literal["uniform", "truncated"]


@dataclass(frozen=True, kw_only=True)
class Nll:
    """`ddpm nll`: how likely files, or the first `count` rows of a data set, are.

    steps: what --steps says, which the layers hold, too; trace, probes None: as suits
    the data and the samples;
    dequantize, samples: how bytes become real numbers, and how many of them tighten the bound;
    bits: images have 2^bits levels, 8 unless told; drawn: so many of the bound's terms are drawn
    for each image, instead of all;
    terms, curve, scores: files of the bound's terms, of its rate-distortion curve, and of a line
    for each image or row; baselines: tell what compressors and histograms make of the same.
    """

    use: Use
    inputs: Sequence[str] = ()
    split: str | None = None
    count: int | None = None
    method: Method = "ode"
    steps: int | None = None
    trace: Trace | None = None
    probes: int | None = None
    repeats: int = 1
    dequantize: Dequantize = "uniform"
    samples: int = 1
    drawn: int | None = None
    bits: int | None = None
    moments: Path | None = None
    terms: Path | None = None
    curve: Path | None = None
    scores: Path | None = None
    baselines: bool = False
    seed: int = 0
    look: Look = field(default_factory=Look)
