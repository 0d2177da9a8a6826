"""How rows of files are called."""

from ddpm_cli.files import row_places


def test_lines_of_text_and_rows_of_others() -> None:
    assert row_places.called("a/b.CSV", 2) == "a/b.CSV: line 2"
    for name in ("a.npy", "a.npz", "a.parquet"):
        assert row_places.called(name, 0) == f"{name}: row 0"
    assert (row_places.noun("a.csv"), row_places.noun("a.npz")) == ("line", "row")


def test_what_arrays_are() -> None:
    assert row_places.shaped((1,)) == "rows of 1 value"
    assert row_places.shaped((2,)) == "rows of 2 values"
    assert row_places.shaped((2, 4)) == "arrays of 2x4 values"
