"""What a walk costs, and what planning says of its levels."""

from typing import Any

import pytest

from ddpm_cli.diffusion.schedules import cosine
from ddpm_cli.models.cost import fit_calls, plan
from ddpm_cli.settings.config import Config

QUADRATIC = {"name": "quadratic", "count": 100, "reach": 0.8}


def config(levels: dict[str, Any]) -> Config:
    return {"sampler": {"name": "ddim"}, "levels": levels, "edits": []}


def test_what_a_list_dropped_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    fit_calls(config(QUADRATIC), cosine(), 91)
    assert capsys.readouterr().err == "", "nothing is said of lists that are tried"
    assert plan(config(QUADRATIC), cosine()) == (96, 96)
    said = "levels.quadratic: 4 of 100 levels repeat others and are left out\n"
    assert capsys.readouterr().err == said


def test_ends_that_nobody_chose_are_moved_without_a_word(
    capsys: pytest.CaptureFixture[str],
) -> None:
    karras = {"name": "karras", "count": 5, "rho": 7.0, "low": 0.002, "high": 80.0}
    plan(config(karras), cosine())
    assert capsys.readouterr().err == ""
    plan(config(karras | {"low": 0.001}), cosine())
    assert "levels.karras: low 0.001 is below the process and moved to" in capsys.readouterr().err
