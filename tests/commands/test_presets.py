"""`ddpm presets`: the list, and one preset in full."""

import json
from pathlib import Path

import pytest
from runs import ddpm

from ddpm_cli.settings.toml import parse_toml


def test_list(local_presets: Path, tmp_path: Path) -> None:
    (local_presets / "mine.toml").write_text("summary = 'my own'")
    (tmp_path / "package/presets/digits.toml").write_text("summary = 'small'")
    result = ddpm("presets")
    assert result.out == "digits  small\nmine    my own  [local]\n"
    lines = ddpm("presets", "--json").out.splitlines()
    assert json.loads(lines[0]) == {"name": "digits", "summary": "small", "where": "packaged"}


def test_nothing_to_list(local_presets: Path) -> None:
    result = ddpm("presets")
    assert (result.code, result.out) == (0, "")


@pytest.mark.usefixtures("components")
def test_one_is_printed_in_full(local_presets: Path) -> None:
    (local_presets / "mine.toml").write_text("train = {steps = 7}")
    text = ddpm("presets", "mine").out
    assert parse_toml(text, "stdout")["train"] == {"steps": 7, "lr": 1e-3, "note": ""}
    values = json.loads(ddpm("presets", "mine", "--json").out)
    assert values["train"]["steps"] == 7


def test_unknown_name(local_presets: Path) -> None:
    result = ddpm("presets", "../mine")
    assert result.code == 2
    assert "../mine" in result.err
