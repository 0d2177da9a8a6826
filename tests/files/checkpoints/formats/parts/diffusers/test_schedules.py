"""Schedulers of diffusers in our terms, by closed forms and by our own schedules."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ddpm_cli.diffusion.schedules.tables import Table
from ddpm_cli.errors import Refusal
from ddpm_cli.files.checkpoints.formats.parts.diffusers import schedules, walks
from ddpm_cli.models import build, walk_parts
from ddpm_cli.settings.config import Layer, resolve

HERE = Path("pipe")


def betas(**config: Any) -> Tensor:
    """The betas of a scheduler's configuration as our schedule has them."""
    settings = schedules.process(config, HERE)
    made = build.schedule(resolve([Layer("test", settings)]))
    assert isinstance(made, Table)
    return made.betas()


def test_betas() -> None:
    line = torch.linspace(1e-3, 0.03, 50, dtype=torch.float64)
    ends = {"num_train_timesteps": 50, "beta_start": 1e-3, "beta_end": 0.03}
    assert torch.allclose(betas(**ends), line)
    roots = torch.linspace(1e-3**0.5, 0.03**0.5, 50, dtype=torch.float64) ** 2
    assert torch.allclose(betas(**ends, beta_schedule="scaled_linear"), roots)
    curve = torch.linspace(-6, 6, 50, dtype=torch.float64).sigmoid()
    assert torch.allclose(betas(**ends, beta_schedule="sigmoid"), 1e-3 + 0.029 * curve)
    assert torch.allclose(betas(trained_betas=line.tolist()), line)
    cosine = betas(num_train_timesteps=50, beta_schedule="squaredcos_cap_v2")
    assert float(cosine[-1]) == pytest.approx(0.999)


@pytest.mark.parametrize("name", ["linear", "scaled_linear", "sigmoid", "squaredcos_cap_v2"])
def test_zero_terminal_snr(name: str) -> None:
    """The first abar stays, the last is 0 (Lin 2024, algorithm 1)."""
    plain = betas(beta_schedule=name)
    ended = betas(beta_schedule=name, rescale_betas_zero_snr=True)
    assert torch.allclose(ended[0], plain[0])
    assert float((1 - ended).prod()) < 1e-11


def test_predictions() -> None:
    for theirs, ours in {"epsilon": "eps", "sample": "x0", "v_prediction": "v"}.items():
        made = schedules.process({"prediction_type": theirs}, HERE)
        assert made["parameterization"] == {"name": ours}
    flow = schedules.process({"_class_name": "FlowMatchEulerDiscreteScheduler"}, HERE)
    assert (flow["parameterization"]["name"], flow["label"]["scale"]) == ("flow", 1000)
    edm = schedules.process({"_class_name": "EDMEulerScheduler", "sigma_data": 1.0}, HERE)
    assert edm["parameterization"] == {"name": "edm", "sigma_data": 1.0}


@pytest.mark.parametrize(
    ("key", "config"),
    [
        ("prediction_type", {"prediction_type": "score"}),
        ("beta_schedule", {"beta_schedule": "laplace"}),
        ("num_train_timesteps", {"num_train_timesteps": 0}),
        ("_class_name", {"_class_name": "CMStochasticIterativeScheduler"}),
    ],
)
def test_process_without_an_equivalent_is_named(key: str, config: dict[str, Any]) -> None:
    with pytest.raises(Refusal, match=key):
        schedules.process(config, HERE)


WALKS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"_class_name": "DDPMScheduler"}, {"name": "ddpm", "variance": "small"}),
    ({"variance_type": "fixed_large"}, {"name": "ddpm", "variance": "large"}),
    ({"_class_name": "DDIMScheduler"}, {"name": "ddim", "eta": 0.0, "direction": "raw"}),
    ({"_class_name": "EulerDiscreteScheduler"}, {"name": "ddim", "eta": 0.0}),
    ({"_class_name": "EulerAncestralDiscreteScheduler"}, {"name": "ddim", "eta": 1.0}),
    ({"_class_name": "HeunDiscreteScheduler"}, {"name": "heun"}),
    (
        {"_class_name": "DPMSolverMultistepScheduler", "algorithm_type": "sde-dpmsolver++"},
        {"name": "dpm-solver-pp-multi", "order": 2, "eta": 1.0},
    ),
    (
        {"_class_name": "DPMSolverMultistepScheduler", "algorithm_type": "dpmsolver"},
        {"name": "dpm-solver-multi", "solver": "midpoint"},
    ),
    (
        {"_class_name": "DPMSolverSinglestepScheduler", "solver_order": 3},
        {"name": "dpm-solver-pp-single", "order": 3},
    ),
    ({"_class_name": "UniPCMultistepScheduler", "solver_type": "bh1"}, {"name": "unipc"}),
    ({"_class_name": "PNDMScheduler"}, {"name": "ddim"}),
]


@pytest.mark.parametrize(("config", "sampler"), WALKS)
def test_walk(config: dict[str, Any], sampler: dict[str, Any]) -> None:
    made = walks.walk(config, 1000)
    assert made.settings["sampler"] | sampler == made.settings["sampler"]
    complete = resolve([Layer("test", schedules.process(config, HERE) | made.settings)])
    assert walk_parts.levels(complete, build.schedule(complete))[-1] == 0
    assert bool(made.notes) == (config.get("_class_name") in ("PNDMScheduler",) or "Singlestep" in
                                config.get("_class_name", ""))  # fmt: skip


def test_levels() -> None:
    def levels(kind: str, **config: Any) -> dict[str, Any]:
        made = walks.walk({"_class_name": kind, **config}, 1000).settings["levels"]
        assert isinstance(made, dict)
        return made

    ddim = levels("DDIMScheduler", steps_offset=1)
    assert ddim == {"name": "leading", "count": 50, "offset": 1}
    assert levels("DDIMScheduler", timestep_spacing="trailing")["name"] == "trailing"
    solver = "DPMSolverMultistepScheduler"
    assert levels(solver)["ends"] == "top"
    assert levels(solver, use_karras_sigmas=True)["name"] == "karras"
    assert levels(solver, use_lu_lambdas=True)["name"] == "logsnr"
    flow = walks.walk({"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0}, None)
    assert flow.settings["levels"] == {"name": "linspace", "count": 50, "shift": 3.0}


def test_wrappers() -> None:
    def wrappers(**config: Any) -> Any:
        return walks.walk(config, 1000).settings["wrappers"]

    assert wrappers() == [{"name": "clamp", "limit": 1.0}]
    assert wrappers(clip_sample_range=2) == [{"name": "clamp", "limit": 2.0}]
    assert wrappers(clip_sample=False) == []
    assert wrappers(_class_name="EulerDiscreteScheduler", clip_sample=True) == []
    assert wrappers(thresholding=True) == [{"name": "clamp", "limit": 1.0}]
    dynamic = wrappers(thresholding=True, sample_max_value=9, dynamic_thresholding_ratio=0.9)
    assert dynamic == [{"name": "threshold", "percentile": 0.9}]
