"""Tables in Parquet files, told from images."""

from pathlib import Path

import pytest
from record_sets import parquet

from ddpm_cli.data import parquet_tables


def test_tables_and_images(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    files = pytest.importorskip("pyarrow.parquet")
    table = pyarrow.table({"age": [1, None], "job": ["a", "b"], "ill": [True, False]})
    files.write_table(table, tmp_path / "a.parquet")
    assert parquet_tables.holds(tmp_path / "a.parquet")
    assert not parquet_tables.holds(parquet(tmp_path / "b.parquet", [b"x"]))
    (tmp_path / "c.parquet").write_bytes(b"PAR1")
    assert not parquet_tables.holds(tmp_path / "c.parquet")
    assert not parquet_tables.holds(tmp_path)
