"""Which Parquet files are tables of numbers and words, not images."""

from pathlib import Path
from typing import Any


def holds(path: Path) -> bool:
    """Whether a file is a table, by the types of its columns; not without pyarrow."""
    if path.suffix.lower() != ".parquet" or not path.is_file():
        return False
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        return False
    try:
        schema = pyarrow.parquet.read_schema(path)
    except (pyarrow.ArrowException, OSError):
        return False
    return bool(schema.names) and all(_is_cell(pyarrow.types, kind) for kind in schema.types)


def _is_cell(types: Any, kind: Any) -> bool:
    """Whether values of a type are numbers, truths or words."""
    if types.is_dictionary(kind):
        kind = kind.value_type
    numbers = (types.is_integer, types.is_floating, types.is_boolean, types.is_null)
    return any(tells(kind) for tells in (*numbers, types.is_string, types.is_large_string))
