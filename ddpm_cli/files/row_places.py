"""How a row of a file is called, the same way wherever one is named.

Of a text file it is the line, as an editor counts them; of others the row, from 0 as NumPy counts.
"""

from collections.abc import Sequence
from pathlib import Path

SUFFIXES = (".csv", ".npy", ".npz", ".parquet")  # files of rows
LISTED = "a .csv, .npy, .npz or .parquet file"
TEXT = ".csv"


def shaped(shape: Sequence[int]) -> str:
    """What arrays of a shape are, without the axis of all of them."""
    noun = "rows" if len(shape) == 1 else "arrays"
    return f"{noun} of {'x'.join(map(str, shape))} value{'' if [*shape] == [1] else 's'}"


def is_text(place: object) -> bool:
    """Whether a file has lines."""
    return Path(str(place)).suffix.lower() == TEXT


def noun(place: object) -> str:
    """What a row of a file is."""
    return "line" if is_text(place) else "row"


def called(place: object, number: int) -> str:
    """A row of a file in a message; number: of its line, or of the row from 0."""
    return f"{place}: {noun(place)} {number}"
