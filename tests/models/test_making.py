"""How a table becomes the component it names: whose complaints name which key."""

from typing import Any

import pytest

from ddpm_cli.errors import ConfigError
from ddpm_cli.models import datasets, making
from ddpm_cli.settings import catalog
from ddpm_cli.settings.config import resolve


@pytest.mark.parametrize(
    ("complaint", "told"),
    [
        (ValueError("too few"), "data.mnist: too few"),
        (ConfigError("data.path: none", "data.size: 0"), "data.path: none\ndata.size: 0"),
    ],
)
def test_complaints_of_components_name_their_table_once(
    complaint: ValueError, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(split: str, **knobs: object) -> None:
        raise complaint

    monkeypatch.setattr(catalog, "load", lambda component: broken)
    with pytest.raises(ConfigError) as refused:
        datasets.images(resolve([]), "train")
    assert refused.value.message == told


@pytest.mark.parametrize(
    ("table", "settings", "called", "told"),
    [
        ("schedule", {"name": "scaled-linear", "steps": 3}, "", "schedule.steps: 3 is too few"),
        ("schedule", {"name": "table", "values": []}, "", "schedule.table: no values"),
        ("schedule", {"name": "table", "values": []}, "--table", "--table: no values"),
    ],
)
def test_complaints_name_the_knob_or_what_was_asked_for(
    table: str, settings: dict[str, Any], called: str, told: str
) -> None:
    with pytest.raises(ConfigError, match=rf"^{told}"):
        making.maker(table, settings, called)()
