"""Lists of levels say what they lack of what was asked for."""

from typing import Any

import pytest

from ddpm_cli.diffusion import levels
from ddpm_cli.diffusion.schedules import cosine, edm
from ddpm_cli.diffusion.shortfall import shortfall


@pytest.mark.parametrize(
    ("name", "knobs", "said"),
    [
        ("trailing", {"count": 50}, []),
        ("quadratic", {"count": 100}, ["4 of 100 levels repeat others and are left out"]),
        (
            "explicit",
            {"timesteps": [999, 5, 5, 0]},
            ["1 of 4 levels repeat others and are left out"],
        ),
        ("explicit", {"sigmas": [9.0, 3.0, 0.0]}, []),
        (
            "explicit",
            {"sigmas": [99.0, 90.0, 3.0, 1e-4]},
            [
                "1 of 4 levels repeat others and are left out",
                "3 lie beyond the process, 0.002 to 80, and are moved to its ends",
            ],
        ),
        (
            "logsnr",
            {"count": 4, "low": 1e-4, "high": 99.0},
            [
                "low 0.0001 is below the process and moved to 0.002",
                "high 99 is above the process and moved to 80",
            ],
        ),
        ("karras", {"count": 4, "low": 0.01, "high": 10.0}, []),
    ],
)
def test_shortfall(name: str, knobs: dict[str, Any], said: list[str]) -> None:
    schedule = edm() if "timesteps" not in knobs and name != "quadratic" else cosine()
    assert shortfall(schedule, getattr(levels, name)(schedule, **knobs), **knobs) == said
