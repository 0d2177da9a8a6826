"""The types that component knobs are annotated with: a base type and its legal range.

def ddim(denoise, x, move, rng, past, *, eta: Eta = 0.0) -> Tensor: ...

Settings may come from others, in the header of a checkpoint: whatever they say is bounded here,
beyond all that was ever published and below what could exhaust a machine before it is looked at.
"""

from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple


class Range(NamedTuple):
    """The legal values of a number: low <= value <= high, without an end that is open.

    Of a list it is the legal number of its items.
    """

    low: float | None
    high: float | None
    open_low: bool = False
    open_high: bool = False

    def __contains__(self, value: object) -> bool:
        if not isinstance(value, (int, float)):
            return False
        if self.low is not None and (value < self.low or (self.open_low and value == self.low)):
            return False
        if self.high is None:
            return True
        return value < self.high or (value == self.high and not self.open_high)

    def __str__(self) -> str:
        low, high = (None if end is None else _shown(end) for end in (self.low, self.high))
        if low is None or high is None:
            least = f"more than {low}" if self.open_low else f"at least {low}"
            most = f"less than {high}" if self.open_high else f"at most {high}"
            return least if low is not None else most if high is not None else "any number"
        if self.open_high:
            return f"{'more than ' if self.open_low else ''}{low} to less than {high}"
        return f"more than {low}, at most {high}" if self.open_low else f"{low} to {high}"


class Form(NamedTuple):
    """The legal values of a word: what fits a pattern as a whole, and in words what to give."""

    pattern: str
    words: str


class Truth(NamedTuple):
    """The words that true and false stand for, as they were once the only choice."""

    yes: str
    no: str


class Word(NamedTuple):
    """A word that stands for the number which the data of a run say; the default in training."""

    word: str


def _shown(end: float) -> str:
    """A number as it is read best: 1,000,000 or 1e-09."""
    return f"{int(end):,}" if end == int(end) and abs(end) < 1e15 else f"{end:g}"


# Whole numbers. A walk and a trained process have at most so many levels.
Count = Annotated[int, Range(1, 1_000_000_000)]
Index = Annotated[int, Range(0, 1_000_000_000)]
Seed = Annotated[int, Range(0, 4_294_967_295)]
Pixel = Annotated[int, Range(0, 65_535)]
PixelRange = Annotated[Sequence[Pixel], Range(0, 2)]
Length = Annotated[int, Range(2, 65_536)]  # of a signal
Period = Annotated[int, Range(2, 65_536)]
Stride = Annotated[int, Range(1, 1_000_000_000)]
Order = Annotated[int, Range(1, 3)]
LevelCount = Annotated[int, Range(1, 100_000)]
LevelIndex = Annotated[int, Range(0, 100_000)]
Times = Annotated[int, Range(1, 100_000)]
Batch = Annotated[int, Range(1, 1_048_576)]
Bits = Annotated[int, Range(1, 16)]
Few = Annotated[int, Range(1, 1_000)]
# Of equal parts of a walk, or of all of it.
Fews = Annotated[Sequence[Few], Range(1, 100)]
Overviews = Annotated[Sequence[Annotated[int, Range(0, 4)]], Range(1, 100)]
Parts = Annotated[int, Range(2, 100)]
Rank = Annotated[int, Range(2, 1_000)]
Side = Annotated[int, Range(0, 16_384)]
Workers = Annotated[int, Range(0, 256)]
Sampled = Annotated[int, Range(20, 10_000_000)]
SheetCount = Annotated[int, Range(0, 4_096)]
SnapshotCount = Annotated[int, Range(1, 1_000)]
Zoom = Annotated[int, Range(1, 64)]
Threads = Annotated[int, Range(0, 1_024)]

# What networks are made of: ADM has blocks = 3, the deep NCSN++ blocks = 8, both under ten levels.
Width = Annotated[int, Range(1, 16_384)]
Blocks = Annotated[int, Range(1, 32)]
Depth = Annotated[int, Range(1, 256)]
Heads = Annotated[int, Range(0, 1_024)]
TextLength = Annotated[int, Range(1, 4_096)]  # of bytes or tokens
TextDepth = Annotated[int, Range(0, 256)]
HeadWidth = Annotated[int, Range(0, 16_384)]
Classes = Annotated[int, Range(0, 100_000), Word("auto")]
Bottleneck = Annotated[int, Range(0, 16_384)]
Patch = Annotated[int, Range(1, 64)]
Frequencies = Annotated[int, Range(0, 32)]
Exponents = Annotated[Sequence[Annotated[int, Range(0, 16)]], Range(1, 17)]  # of 2
# ADM has half a width at 512x512.
Multiplier = Annotated[int | float, Range(0, 64, True)]
Multipliers = Annotated[list[Multiplier], Range(1, 10)]
Hidden = Annotated[int, Range(0, 65_536)]
# One of each level of a network.
Widths = Annotated[list[Width], Range(1, 10)]
Depths = Annotated[list[Depth], Range(1, 10)]
Hiddens = Annotated[list[Hidden], Range(1, 10)]
Resolution = Annotated[int, Range(1, 65_536)]
Resolutions = Annotated[list[Resolution], Range(0, 32)]
Epsilon = Annotated[float, Range(1e-12, 1)]
StemWidth = Annotated[int, Range(0, 16_384)]
Memory = Annotated[int, Range(0, 1_024)]
Levels = Annotated[list[Annotated[int, Range(0, 9)]], Range(0, 10)]
LevelHeads = Annotated[list[Annotated[int, Range(1, 1_024)]], Range(0, 10)]
LevelWidths = Annotated[list[Width], Range(0, 10)]

# Numbers with a unit, or none.
Fraction = Annotated[float, Range(0, 1)]
Share = Annotated[float, Range(0, 1, True)]
SignedShare = Annotated[float, Range(-1, 1)]
AverageLength = Annotated[float, Range(0, 0.28)]  # 0.289 is the mean of all steps
AverageLengths = Annotated[Sequence[Annotated[float, Range(0, 0.28, True)]], Range(0, 8)]
Decay = Annotated[float, Range(0, 1, False, True)]
Positive = Annotated[float, Range(0, 1_000_000_000, True)]
NonNegative = Annotated[float, Range(0, 1_000_000_000)]
Numbers = Annotated[list[NonNegative], Range(0, 100_000)]
Counts = Annotated[Sequence[LevelCount], Range(0, 1_000)]
Halvings = Annotated[Sequence[LevelCount], Range(1, 17)]  # numbers of steps
LevelIndices = Annotated[list[LevelIndex], Range(0, 100_000)]
Sigma = Annotated[float, Range(1e-9, 1_000_000)]
Beta = Annotated[float, Range(1e-9, 1)]
Rate = Annotated[float, Range(1e-6, 1_000)]
Time = Annotated[float, Range(1e-9, 1)]
Curvature = Annotated[float, Range(0.1, 1_000)]
Logarithm = Annotated[float, Range(-100, 100)]
Coordinate = Annotated[float, Range(-1_000_000, 1_000_000)]
Spread = Annotated[float, Range(0.01, 100)]
Strength = Annotated[float, Range(0, 1_000_000)]
Eta = Annotated[float, Range(0, 100)]
Noise = Annotated[float, Range(0, 100)]
Tolerance = Annotated[float, Range(1e-14, 1)]
Ratio = Annotated[float, Range(0, 100, True)]
Scale = Annotated[float, Range(0, 1_000_000, True)]
Factor = Annotated[float, Range(1, 4_096, True)]
Pixels = Annotated[float, Range(0, 1_000, True)]
# Far above what any run survives, which says so itself, at the step where it fails.
LearningRate = Annotated[float, Range(0, 1e30, True)]
# A fixed strength, or the least and the largest one that is drawn.
Quality = Annotated[int, Range(1, 100)]  # of JPEG
Qualities = Annotated[Sequence[Quality], Range(1, 2)]
Blurs = Annotated[Sequence[Pixels], Range(1, 2)]
Lights = Annotated[Sequence[Share], Range(1, 2)]
Noises = Annotated[Sequence[Noise], Range(1, 2)]

# A column of a table: its name, or its number, which becomes a word.
Column = Annotated[str, Range(1, 65_536)]
ColumnList = Annotated[Sequence[Column], Range(0, 65_536)]

# How a table is read, and what a network sees of its columns.
Header = Literal["auto", "yes", "no"]
Encode = Literal["onehot", "bits"]
Normalize = Annotated[Literal["standard", "quantile", "none"], Truth("standard", "none")]
Missing = Literal["error", "mask", "fill"]

# How particles are weighed on their way, and which one an image is.
Potential = Literal["difference", "max", "sum"]
Pick = Literal["drawn", "best"]

# What stands below an image: layouts.keys reads it.
Labels = Annotated[
    str,
    Form(r"|[A-Za-z_][\w.-]*(\s*,\s*[A-Za-z_][\w.-]*){0,7}", "keys, as seed,class, or nothing"),
]

# How long a run may take: settings.budgets reads it.
Budget = Annotated[
    str,
    Form(
        r"(\d+(\.\d+)?[dhms])+|\d+(\.\d+)?(e\+?\d{1,3})?flops?",
        "a length of time, as 30m, 2h or 1h30m, or FLOPs, as 5e15flop",
    ),
]
