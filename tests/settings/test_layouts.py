"""How a sheet is asked for: lists of keys, and what has an effect where."""

import pytest

from ddpm_cli.errors import ConfigError
from ddpm_cli.settings import layouts
from ddpm_cli.settings.layouts import USUAL, Layout


def test_keys_are_a_list_of_names() -> None:
    assert layouts.keys("seed, class,guidance.scale") == ("seed", "class", "guidance.scale")
    assert layouts.keys(None) == layouts.keys("") == layouts.keys("none") == ()


@pytest.mark.parametrize("text", ["seed,", "a b", "{seed}", "1", ",".join("abcdefghi"), ".a"])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--labels"):
        layouts.keys(text)


def test_what_has_no_effect_is_refused() -> None:
    USUAL.refuse_idle("dir/")
    Layout(zoom=2).refuse_idle("x.npz", used=("zoom",))
    for layout, name in (
        (Layout(3), "columns"),
        (Layout(zoom=2), "zoom"),
        (Layout(labels=("a",)), "labels"),
    ):
        assert layout.given == [name]
        with pytest.raises(ConfigError, match=f"--{name}: of a sheet, as -o x.png, and -o dir/"):
            layout.refuse_idle("dir/")


def test_a_run_says_how_its_sheets_look() -> None:
    train = {"sheet_columns": 0, "sheet_zoom": 1, "sheet_labels": ""}
    assert layouts.of_run(train) == USUAL
    train = {"sheet_columns": 4, "sheet_zoom": 2, "sheet_labels": "seed,step"}
    assert layouts.of_run(train) == Layout(4, 2, ("seed", "step"))
