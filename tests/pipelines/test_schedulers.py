"""Our processes as schedulers of diffusers: what is read back is what was written."""

from pathlib import Path
from typing import Any

import pytest
import torch

from ddpm_cli.files.checkpoints.formats.parts.diffusers import schedules, walks
from ddpm_cli.models import build
from ddpm_cli.pipelines import schedulers
from ddpm_cli.pipelines.schedulers import Scheduler
from ddpm_cli.settings.config import Config, Layer, resolve


def configured(**tables: Any) -> Config:
    return resolve([Layer("test", tables)])


def found(**tables: Any) -> Scheduler:
    config = configured(**tables)
    return schedulers.found(config, build.schedule(config))


PROCESSES: list[dict[str, Any]] = [
    {"name": "linear"},
    {"name": "linear", "steps": 100},
    {"name": "linear", "steps": 100, "rescale": False, "zero_terminal": True},
    {"name": "scaled-linear", "steps": 500},
    {"name": "cosine", "steps": 200},
    {"name": "cosine", "cap": 0.99},
    {"name": "sigmoid"},
    {"name": "table", "values": [0.1, 0.2, 0.3]},
    {"name": "vp", "steps": 50},
    {"name": "linear", "continuous": True},
]


@pytest.mark.parametrize("schedule", PROCESSES)
def test_process_there_and_back(schedule: dict[str, Any]) -> None:
    made = found(schedule=schedule)
    assert made.problems == ()
    ours = build.schedule(configured(schedule=schedule))
    back = build.schedule(configured(**schedules.process(made.config, Path("x"))))
    count = made.config["num_train_timesteps"]
    t = torch.arange(1, count + 1, dtype=torch.float64) / count
    assert torch.allclose(ours.sigma(t), back.sigma(t), rtol=1e-6)


def test_known_betas_keep_their_name() -> None:
    assert found(schedule={"name": "linear"}).config["beta_schedule"] == "linear"
    assert found(schedule={"name": "cosine"}).config["beta_schedule"] == "squaredcos_cap_v2"
    assert "trained_betas" in found(schedule={"name": "cosine", "cap": 0.9}).config


def test_walk_there_and_back() -> None:
    tables = {
        "sampler": {"name": "ddpm", "variance": "large"},
        "levels": {"name": "leading", "count": 1000, "offset": 0},
        "wrappers": [{"name": "clamp", "limit": 2.0}],
    }
    settings = walks.walk(found(**tables).config, 1000).settings
    assert settings == tables


def test_flow_there_and_back() -> None:
    tables = {
        "schedule": {"name": "flow"},
        "parameterization": {"name": "flow"},
        "label": {"name": "time", "scale": 1000.0},
        "levels": {"name": "linspace", "shift": 3.0},
    }
    made = found(**tables)
    assert made.config == {
        "_class_name": "FlowMatchEulerDiscreteScheduler",
        "num_train_timesteps": 1000,
        "shift": 3.0,
    }
    assert schedules.process(made.config, Path("x"))["label"]["scale"] == 1000


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ({"parameterization": {"name": "edm"}}, "parameterization.name: edm"),
        ({"schedule": {"name": "ve"}}, "schedule.name: ve"),
        ({"label": {"name": "time"}}, "label.name: time has no equivalent; index"),
        ({"label": {"name": "index", "scale": 0.25}}, "label.name: index"),
        ({"units": {"low": 0.0, "high": 1.0}}, "units"),
        ({"schedule": {"name": "flow"}}, "parameterization.target"),
    ],
)
def test_process_without_an_equivalent_is_named(tables: dict[str, Any], words: str) -> None:
    made = found(**tables)
    assert any(words in problem for problem in made.problems)
    assert made.config == {}


def test_what_is_left_out_is_said() -> None:
    made = found(levels={"name": "karras"}, sampler={"name": "ddpm", "variance": "optimal"})
    assert len(made.notes) == 3
    assert "use_clipped_model_output=True" in " ".join(made.notes)
    raw = found(sampler={"name": "ddim", "direction": "raw"})
    assert "use_clipped_model_output=True" not in " ".join(raw.notes)
