"""DDPM and DDIM walks against improved-diffusion's and ermongroup/ddim's own code."""

from functools import partial

import pytest
import torch
from exact import Recorded, by_index, process, states
from golden.load_golden import Case, Golden
from torch import Tensor

from ddpm_cli.diffusion.denoiser import Denoise
from ddpm_cli.diffusion.latents import encode
from ddpm_cli.diffusion.levels import explicit, leading, linspace, quadratic
from ddpm_cli.diffusion.samplers import ddim, ddpm
from ddpm_cli.diffusion.schedules.tables import Table
from ddpm_cli.diffusion.steps import Step
from ddpm_cli.diffusion.walk import walk
from ddpm_cli.diffusion.wrappers import clamp

GOLDEN = Golden("samplers_ddpm_ddim")
ENCODED = GOLDEN.select("ddim_encode_")
COVERED = GOLDEN.select("ddpm_", "ddim_", "ddimrepo_", without=tuple(ENCODED))
VARIANCES = {"fixed_small": "small", "fixed_large": "large", "learned_range": "learned"}


def test_every_case_is_accounted_for() -> None:
    assert sorted([*COVERED, *ENCODED]) == sorted(GOLDEN.cases)


def levels(case: Case, schedule: Table) -> Tensor:
    """The list of levels by our own rule where we have one, checked against the peer's."""
    sequence = case.params.get("seq_ascending")
    if sequence is None:
        rule, count = linspace, case.params["timestep_respacing"]
        if count.startswith("ddim"):
            rule, count = leading, count.removeprefix("ddim")
        return rule(schedule, count=int(count))
    rule = quadratic if case.params.get("skip_type") == "quad" else leading
    made = rule(schedule, count=len(sequence))
    assert torch.equal(made, explicit(schedule, timesteps=sequence))
    return made


def step(case: Case) -> Step:
    if case.id.startswith("ddimrepo_ddpm"):
        return partial(ddpm, variance="large")
    if case.id.startswith("ddpm"):
        return partial(ddpm, variance=VARIANCES[case.params["var_type"]])
    return partial(ddim, eta=case.params["eta"])


def clips(case: Case) -> bool:
    return bool(case.params.get("clip_denoised", case.id.startswith("ddimrepo_ddpm")))


def check(case: Case, target: str) -> None:
    """Walk with a network that predicts `target` and compare every recorded state."""
    schedule, abar = process(case.params.get("beta_schedule", "linear"))
    channel = torch.tanh if case.params.get("var_type") == "learned_range" else None
    denoise: Denoise = by_index(case.mixture, schedule, abar, target, channel)
    if clips(case):
        denoise = clamp(denoise)
    visited = list(
        states(
            denoise,
            case.inputs["x_T"],
            levels(case, schedule),
            case.inputs.get("noise", ()),
            step(case),
        )
    )
    native = torch.stack([schedule.alpha(state.sigma) * state.x for state in visited])
    assert case.excess("traj", native[case.params["kept_steps"]]) <= 0
    if "pred_x0" in case.outputs:
        assert case.excess("pred_x0", torch.stack([state.x0 for state in visited])) <= 0


@pytest.mark.parametrize("key", COVERED)
def test_walk(key: str) -> None:
    case = GOLDEN[key]
    check(case, case.params.get("model_output", "eps"))


@pytest.mark.parametrize("key", [key for key in COVERED if "_g2_" in key and "50" not in key])
def test_walk_does_not_depend_on_what_the_network_predicts(
    key: str, subtests: pytest.Subtests
) -> None:
    for target in ("eps", "x0", "v"):
        with subtests.test(target=target):
            check(GOLDEN[key], target)


@pytest.mark.parametrize("key", ENCODED)
def test_from_data_to_noise_and_back(key: str) -> None:
    """The data is the state at the lowest level, and the walk is the list turned round."""
    case = GOLDEN[key]
    schedule, abar = process(case.params["beta_schedule"])
    denoise = by_index(case.mixture, schedule, abar)
    down = levels(case, schedule)
    x = case.inputs["x0_data"] / schedule.alpha(down[-2])
    visited = list(encode(denoise, x, down, ddim))
    native = torch.stack([schedule.alpha(state.sigma) * state.x for state in visited])
    assert case.excess("traj", native[case.params["kept_steps"]]) <= 0
    *_, back = walk(denoise, visited[-1].x, down, Recorded(()), predictor=ddim)
    assert case.excess("decoded_again", back.x) <= 0
