"""Inpainting against RePaint's own code: a masked step, and whole runs with resampling."""

from collections.abc import Iterator
from functools import partial
from itertools import pairwise

import pytest
import torch
from exact import Recorded, by_index, process
from golden.load_golden import Case, Golden
from torch import Tensor

from ddpm_cli.diffusion.constraints import replace
from ddpm_cli.diffusion.denoiser import Denoise
from ddpm_cli.diffusion.edits import jumps
from ddpm_cli.diffusion.levels import linspace
from ddpm_cli.diffusion.samplers import ddpm
from ddpm_cli.diffusion.steps import Move, Visited
from ddpm_cli.diffusion.walk import start, walk
from ddpm_cli.diffusion.wrappers import clamp

GOLDEN = Golden("inpainting")
RUNS = GOLDEN.select("repaint_run_")
STEPS = GOLDEN.select("repaint_masked_step_")
LISTS = GOLDEN.select("jump_")  # tested in test_edits.py
EXCLUDED = GOLDEN.select("score_sde_", "diffusers_", "schedule_old")  # see golden/README.md


def test_every_case_is_accounted_for() -> None:
    assert sorted([*RUNS, *STEPS, *LISTS, *EXCLUDED]) == sorted(GOLDEN.cases)


def denoiser(case: Case) -> tuple[Denoise, Tensor]:
    """The exact denoiser of a case and its ten levels."""
    schedule, abar = process(case.params["beta_schedule"])
    denoise: Denoise = by_index(case.mixture, schedule, abar, "eps", torch.tanh)
    if case.params["clip_denoised"]:
        denoise = clamp(denoise)
    return denoise, linspace(schedule, count=int(case.params["timestep_respacing"]))


def test_the_lists_of_the_runs_are_ours() -> None:
    for key in RUNS:
        _, levels = denoiser(GOLDEN[key])
        made = resampled(GOLDEN[key], levels)
        assert torch.equal(made, levels[[9 - at for at in GOLDEN[key].params["times"]]])


def resampled(case: Case, levels: Tensor) -> Tensor:
    own = case.params["schedule_jump_params"]
    return jumps(levels, lengths=[own["jump_length"]], visits=[own["jump_n_sample"]])


def reordered(noise: Tensor, levels: Tensor) -> Iterator[Tensor]:
    """RePaint draws a step's noise before that of the known pixels, we after it."""
    draws, is_first = iter(noise), True
    for t, s in pairwise(levels.tolist()):
        if s > t:
            yield next(draws)
            continue
        own = next(draws)
        if not is_first:
            yield next(draws)  # the known pixels'
        is_first = False
        if s > 0:
            yield own


@pytest.mark.parametrize("key", RUNS)
def test_runs_with_resampling(key: str) -> None:
    case = GOLDEN[key]
    denoise, levels = denoiser(case)
    levels = resampled(case, levels)
    known, mask = case.inputs["gt"], case.inputs["mask"] == 1
    rng = Recorded(reordered(case.inputs["noise"], levels))
    x = start(denoise, levels, known, Recorded([case.inputs["x_T"]]))
    step = partial(ddpm, variance="learned")
    visited = list(walk(denoise, x, levels, rng, predictor=step, constrain=replace(known, mask)))
    down = [state for state, (t, s) in zip(visited, pairwise(levels), strict=True) if s < t]
    assert len(down) == case.params["n_reverse_steps"]
    alpha = denoise.schedule.alpha
    native = torch.stack([alpha(state.sigma) * state.x for state in down])
    want = case.outputs["samples"].clone()
    want[-1] = known.where(mask, want[-1])  # the peer leaves its own last draw there
    assert case.excess("samples", native[case.params["kept_reverse_steps"]], want) <= 0


@pytest.mark.parametrize("key", STEPS)
def test_masked_step(key: str) -> None:
    """Known pixels are pasted in at the level where the step starts, and then it is taken."""
    case = GOLDEN[key]
    denoise, levels = denoiser(case)
    place = len(levels) - 2 - case.params["t_index"]
    move = Move(levels[place], levels[place + 1], place, levels)
    known, mask = case.inputs["gt"], case.inputs["mask"] == 1
    own, theirs = case.inputs["noise"][:2]
    alpha = denoise.schedule.alpha
    x = case.inputs["x_T"] / alpha(move.t)
    x = replace(known, mask)(x, move, Visited(x, move.t, x), Recorded([theirs]))
    x0 = denoise(x, move.t).x0
    assert case.excess("pred_xstart", x0) <= 0
    got = ddpm(denoise, x, move, Recorded([own]), [], variance="learned")
    assert case.excess("sample", alpha(move.s) * got) <= 0
