"""How a row of a file is called, the same way wherever one is named.

Of a text file it is the line, as an editor counts them; of others the row, from 0 as NumPy counts.
"""

from pathlib import Path

SUFFIXES = (".csv", ".npy", ".npz", ".parquet")  # files of rows
LISTED = "a .csv, .npy, .npz or .parquet file"
TEXT = ".csv"


def is_text(place: object) -> bool:
    """Whether a file has lines."""
    return Path(str(place)).suffix.lower() == TEXT


def noun(place: object) -> str:
    """What a row of a file is."""
    return "line" if is_text(place) else "row"


def called(place: object, number: int) -> str:
    """A row of a file in a message; number: of its line, or of the row from 0."""
    return f"{place}: {noun(place)} {number}"
