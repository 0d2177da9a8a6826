"""DDPM and DDIM walks against diffusers' schedulers."""

from functools import partial

import pytest
import torch
from exact import by_index, process, states
from golden.load_golden import Case, Golden
from torch import Tensor

from ddpm_cli.diffusion.denoiser import Denoise
from ddpm_cli.diffusion.levels import explicit, leading, linspace, trailing
from ddpm_cli.diffusion.samplers import ddim, ddpm
from ddpm_cli.diffusion.schedules.tables import Table
from ddpm_cli.diffusion.steps import Step
from ddpm_cli.diffusion.wrappers import clamp

GOLDEN = Golden("samplers_diffusers")
VARIANCES = {"fixed_small": "small", "fixed_large": "large", "learned_range": "learned"}
TARGETS = {"sample": "x0", "v_prediction": "v"}
# The peer's DDIM steps to t - T // S, which these lists do not contain.
OFF_THE_LIST = [
    key for key in GOLDEN.select("ddim_") if "_linspace_" in key or "_trailing_off0_S30_" in key
]
EXCLUDED = {
    key: reason
    for prefixes, reason in {
        ("ddim_inverse_",): "evaluates eps at the target level",
        ("ddpm_fixed_large_log_bug",): "the peer returns NaN",
    }.items()
    for key in GOLDEN.select(*prefixes)
}
COVERED = GOLDEN.select("ddpm_", "ddim_", without=(*EXCLUDED, *OFF_THE_LIST))
FIRST_STEP = [key for key in OFF_THE_LIST if 0 in GOLDEN[key].params["kept_steps"]]
INCONSISTENT = {
    "ddim_g2_linspace_off0_S30_eta0.0_toone1",
    "ddim_g2_linspace_off0_S50_eta0.0_toone1",
    "ddim_g2_trailing_off0_S30_eta0.0_toone1",
}


def test_every_case_is_accounted_for() -> None:
    found = [*COVERED, *FIRST_STEP, *INCONSISTENT, *EXCLUDED]
    assert sorted(found) == sorted(GOLDEN.cases)


def step(case: Case) -> Step:
    if case.id.startswith("ddpm"):
        return partial(ddpm, variance=VARIANCES[case.params["variance_type"]])
    # The peer keeps the network's own noise beside a clipped image, unless told otherwise.
    keeps = not case.params.get("use_clipped_model_output", False)
    return partial(ddim, eta=case.params["eta"], direction="raw" if keeps else "clamped")


def denoiser(case: Case) -> Denoise:
    schedule, abar = process("linear")
    target = TARGETS.get(case.params.get("prediction_type"), "eps")
    learned = case.params.get("variance_type") == "learned_range"
    channel = torch.tanh if learned else None
    made: Denoise = by_index(case.mixture, schedule, abar, target, channel)
    return clamp(made) if case.params["clip_sample"] else made


def levels(case: Case, schedule: Table) -> Tensor:
    """Our own list, which must be the peer's; without set_alpha_to_one it ends at index 0."""
    count = case.params["num_inference_steps"]
    made = {
        "leading": lambda: leading(
            schedule, count=count, offset=case.params.get("steps_offset", 0)
        ),
        "linspace": lambda: linspace(schedule, count=count),
        "trailing": lambda: trailing(schedule, count=count),
    }[case.params["timestep_spacing"]]()
    timesteps = case.values["timesteps"]
    assert torch.equal(made, explicit(schedule, timesteps=timesteps))
    if case.params.get("set_alpha_to_one", True):
        return made
    last = explicit(schedule, timesteps=[0])[:1]
    # A last step from index 0 to index 0 leaves the state as it is.
    return made[:-1] if timesteps[-1] == 0 else torch.cat([made[:-1], last])


def native_states(case: Case, path: Tensor) -> tuple[Tensor, Tensor]:
    """Every state of a walk in the peer's scale, and every x0."""
    denoise = denoiser(case)
    noise = case.inputs.get("noise", ())
    visited = list(states(denoise, case.inputs["x_T"], path, noise, step(case)))
    native = [denoise.schedule.alpha(state.sigma) * state.x for state in visited]
    return torch.stack(native), torch.stack([state.x0 for state in visited])


@pytest.mark.parametrize("key", COVERED)
def test_walk(key: str) -> None:
    case = GOLDEN[key]
    schedule, _ = process("linear")
    got, x0 = native_states(case, levels(case, schedule))
    kept, want = case.params["kept_steps"], case.outputs["traj"]
    # The peer adds noise to the finished sample wherever the last index is above 0; that noise
    # is invisible (1e-10) for the small variance only.
    noisy = case.values["timesteps"][-1] > 0 and case.params.get("variance_type") in (
        "fixed_large",
        "learned_range",
    )
    count = len(kept) - noisy
    stays = kept[-1] == len(got)  # the peer's last step from index 0 to index 0
    kept = [min(number, len(got) - 1) for number in kept] if stays else kept
    assert case.excess("traj", got[kept[:count]], want[:count]) <= 0
    if "pred_x0" in case.outputs:
        size = len(x0)
        assert case.excess("pred_x0", x0, case.outputs["pred_x0"][:size]) <= 0
        if noisy:
            assert case.excess("traj", got[-1], case.outputs["pred_x0"][-1]) <= 0
            assert case.excess("traj", got[-1], want[-1]) > 1e-4, "the peer's noise"


@pytest.mark.parametrize("key", FIRST_STEP)
def test_first_step_of_an_inconsistent_walk(key: str) -> None:
    case = GOLDEN[key]
    schedule, _ = process("linear")
    first = case.values["timesteps"][0]
    path = explicit(schedule, timesteps=[first, first - 1000 // 10])[:-1]
    got, _ = native_states(case, path)
    assert case.excess("traj", got[0], case.outputs["traj"][0]) <= 0


@pytest.mark.parametrize("key", FIRST_STEP)
def test_walk_along_the_list_differs_from_the_inconsistent_one(key: str) -> None:
    """If this fails, the case is consistent after all and belongs to the covered ones."""
    case = GOLDEN[key]
    schedule, _ = process("linear")
    got, _ = native_states(case, levels(case, schedule))
    assert case.excess("traj", got[-1], case.outputs["traj"][-1]) > 1e-3
