"""Docstrings say what settings are for; JSON and editors get it from there."""

import pytest

from ddpm_cli.settings import catalog
from ddpm_cli.settings.knob_help import sentences


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("A step.", {}),
        ("A step. a: how much.", {"a": "how much"}),
        ("A step.\n\na: how\nmuch, as b. b: none; c: no knob.", {"a": "how much, as b"}),
        ("A step. a, b: both. On it goes.", {"a": "both. On it goes", "b": "both. On it goes"}),
        ("Of a: no, that is prose.", {}),
        ("x: [B, C]. a: one; auto: if there is memory.", {"a": "one; auto: if there is memory"}),
        ("A step (a: in brackets).", {}),
    ],
)
def test_what_is_said_of_a_setting(text: str, said: dict[str, str]) -> None:
    found = sentences(text, ["x", "a", "b"])
    assert {key: found[key] for key in said} == said
    assert set(found) - {"x", "b"} == set(said) - {"x", "b"}


def test_the_catalog_has_it() -> None:
    knobs = catalog.fixed("train").knobs
    assert knobs["sheet_zoom"].help == "pixels a side for each pixel"
    assert knobs["resident"].help.endswith("at most a quarter of what is free")
