"""What people first give, and what they are told: what it is, and a next command that works."""

import shlex
from pathlib import Path

import foreign_files
import pytest
import runs
from first_contacts import Row, models_and_images, sets, words

ROWS = [
    *sets.CONTAINERS,
    *sets.FOLDERS,
    *sets.TABLES,
    *models_and_images.MODELS,
    *models_and_images.IMAGES,
    *words.SETTINGS,
]
NEVER = ("internal", "Traceback", "fault in ddpm", "not enough values")
LINES = 3  # of a message


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.command} {[*row.files][:1]}")
def test_what_is_refused_says_what_it_is_and_what_works(
    row: Row, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    foreign_files.write(tmp_path, row.files)
    before = runs.contents(tmp_path)
    outcome = runs.ddpm(*shlex.split(row.command))
    said = outcome.err[outcome.err.index("Error: ") :]
    assert [word for word in row.must.split("|") if word not in said] == [], said
    never = [*NEVER, *filter(None, row.never.split("|"))]
    assert [word for word in never if word in said] == [], said
    assert len(said.splitlines()) <= LINES, said
    assert outcome.code == row.code, said
    assert runs.contents(tmp_path) == before
    assert not outcome.out
