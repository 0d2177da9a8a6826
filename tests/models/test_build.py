"""From a configuration to the objects it names: whose complaints name which key."""

import pytest

from ddpm_cli.errors import ConfigError
from ddpm_cli.models import build
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
        build.images(resolve([]), "train")
    assert refused.value.message == told
