"""Files that appear together or not at all."""

from pathlib import Path

import pytest

from ddpm_cli.files import staging


def test_all_appear_at_the_end(tmp_path: Path) -> None:
    place = tmp_path / "deep" / "folder"
    with staging.staged(place) as folder:
        for name in ("a", "b"):
            (folder / name).write_text(name)
        assert not (place / "a").exists()
    assert [path.name for path in sorted(place.iterdir())] == ["a", "b"]


def test_what_fails_leaves_nothing_and_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("mine")

    def interrupted() -> None:
        with staging.staged(tmp_path) as folder:
            (folder / "a").write_text("new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text() == "mine"
