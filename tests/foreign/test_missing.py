"""What may have been meant by a path where nothing is."""

from pathlib import Path

import pytest

from ddpm_cli.foreign import missing


def test_the_nearest_names_that_there_are(tmp_path: Path) -> None:
    (tmp_path / "photos" / "Cats").mkdir(parents=True)
    (tmp_path / ".cat").mkdir()
    there = tmp_path / "photos" / "Cats"
    assert missing.neighbour(tmp_path / "photos" / "cat") == there
    assert missing.neighbour(tmp_path / "photo" / "cats") == there
    assert missing.neighbour(tmp_path / "photos" / "xyz") is None
    assert missing.neighbour(there) is None, "what is there is no advice"
    assert missing.neighbour(tmp_path / ("n" * 5000)) is None


def test_the_hub_comes_last_and_never_within_a_folder_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = missing.refusal(Path("me/cats"), "data", fix="look").message.splitlines()
    assert said[:2] == ["me/cats: No such file or directory", "look"]
    assert said[2].startswith("if you mean me/cats on the Hugging Face Hub: hf download me/cats")
    Path("me").mkdir()
    assert "Hugging" not in missing.refusal(Path("me/cats"), "data").message
    assert "Hugging" not in missing.refusal(Path("you/cats"), "image").message
