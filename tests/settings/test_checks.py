"""What configurations say together."""

import pytest

from ddpm_cli.errors import ConfigError
from ddpm_cli.settings.checks import differences, purpose, refuse_other_training
from ddpm_cli.settings.config import Layer, resolve


@pytest.mark.usefixtures("components")
def test_differences_name_keys_and_values() -> None:
    changes = {"train": {"lr": 1.0}, "corrector": {"name": "langevin"}, "wrappers": []}
    old, new = resolve([]), resolve([Layer("changes", changes)])
    changed = {key: (was, now) for key, was, now in differences(old, new)}
    assert changed["train.lr"] == (1e-3, 1.0)
    assert changed["corrector"] == (None, {"name": "langevin", "snr": 0.16})
    assert changed["wrappers"] == ([{"name": "clamp", "limit": 1.0}], [])
    assert differences(old, old) == []


def test_purpose_is_the_task_or_the_network() -> None:
    assert purpose(resolve([])) == ""
    assert purpose({"network": {"name": "unet"}, "task": {"name": "inpaint"}}) == "inpaint"
    assert purpose({"network": {"name": "classifier"}}) == "classifier"


def test_other_training_is_refused_but_for_free_tables() -> None:
    old = resolve([])
    new = resolve([Layer("changes", {"schedule": {"steps": 9}, "levels": {"count": 3}})])
    with pytest.raises(ConfigError) as refused:
        refuse_other_training(old, new, ["levels"])
    (problem,) = refused.value.problems
    assert problem.startswith("schedule.steps: 9 asked for")
