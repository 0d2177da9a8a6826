"""What of the table `guidance` makes sense with a model."""

from typing import Any

import pytest

from ddpm_cli.errors import ConfigError
from ddpm_cli.settings.passes import check_guidance


@pytest.mark.parametrize(
    ("guidance", "classes", "dropped", "told"),
    [
        ({"name": "cfg", "scale": 1.0, "low": 0.5}, 10, 0.1, "guidance.low: of no use"),
        ({"name": "cfg", "scale": 2.0}, 0, 0.1, "trained without classes"),
        ({"name": "cfg", "scale": 2.0}, 10, 0.0, "always saw the class"),
    ],
)
def test_guidance_needs_a_null_class(
    guidance: dict[str, Any], classes: int, dropped: float, told: str
) -> None:
    config = {"network": {"classes": classes}, "train": {"drop_class": dropped}}
    check_guidance({**config, "guidance": {"name": "cfg", "scale": 1.0}})
    with pytest.raises(ConfigError, match=told):
        check_guidance({**config, "guidance": guidance})
