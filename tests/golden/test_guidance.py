"""Guided walks against guided-diffusion: how a score enters DDPM and DDIM."""

from functools import partial

import pytest
import torch
from exact import Recorded, by_index, by_sigma, process, states
from golden.load_golden import Case, Golden
from torch import Tensor

from ddpm_cli.diffusion.denoiser import Denoise, Prediction, Wrapped
from ddpm_cli.diffusion.guidance import Pair, guidance, rescaled
from ddpm_cli.diffusion.guiders import cfg
from ddpm_cli.diffusion.levels import leading, linspace, logsnr
from ddpm_cli.diffusion.samplers import ddim, ddpm, dpm_solver_pp_multi
from ddpm_cli.diffusion.schedules.processes import vp
from ddpm_cli.diffusion.steps import Move
from ddpm_cli.diffusion.walk import start
from ddpm_cli.diffusion.wrappers import clamp, threshold

GOLDEN = Golden("guidance")
COVERED = GOLDEN.select("classifier_ddpm_", "classifier_ddim_")
SOLVED = GOLDEN.select("dpmsolver_")
THRESHOLDS = GOLDEN.select("dynamic_threshold_")
TWO_PASSES = GOLDEN.select("cfg_ddim_")
RESCALED = GOLDEN.select("rescale_noise_cfg")
ONE_STEP = GOLDEN.select("one_step_")
VARIANCES = {"fixed_small": "small", "learned_range": "learned"}


def test_every_case_is_accounted_for() -> None:
    covered = [*COVERED, *SOLVED, *THRESHOLDS, *TWO_PASSES, *RESCALED, *ONE_STEP]
    assert sorted(covered) == sorted(GOLDEN.cases)


def guided(denoise: Denoise, case: Case) -> Denoise:
    """The exact classifier's gradient with respect to x, which is alpha times the native one."""

    def call(x: Tensor, sigma: Tensor) -> Prediction:
        alpha = denoise.schedule.alpha(sigma)
        gradient = case.mixture.class_score(alpha * x, alpha, alpha * sigma, case.inputs["labels"])
        params = case.params
        scale = params.get("classifier_scale", params.get("guidance_scale")) * alpha
        return denoise(x, sigma)._replace(score=scale * gradient)

    return Wrapped(denoise, call)


@pytest.mark.parametrize("key", COVERED)
def test_walk(key: str) -> None:
    case = GOLDEN[key]
    schedule, abar = process(case.params["beta_schedule"])
    variance = VARIANCES[case.params["var_type"]]
    channel = torch.tanh if variance == "learned" else None
    denoise: Denoise = by_index(case.mixture, schedule, abar, channel=channel)
    if case.params["clip_denoised"]:
        denoise = clamp(denoise)
    if key.startswith("classifier_ddim"):
        path, step = leading(schedule, count=10), partial(ddim, eta=case.params["eta"])
    else:
        path, step = linspace(schedule, count=10), partial(ddpm, variance=variance)
    noise = case.inputs["noise"]
    visited = list(states(guided(denoise, case), case.inputs["x_T"], path, noise, step))
    native = torch.stack([schedule.alpha(state.sigma) * state.x for state in visited])
    assert case.excess("traj", native[case.params["kept_steps"]]) <= 0


class Labelled:
    """The exact denoiser of a mixture whose class is open; None stands for no class."""

    def __init__(self, case: Case) -> None:
        self.schedule, self.abar = process("linear")
        self.mixture = case.mixture

    def bind(self, *, classes: Tensor) -> Denoise:
        def call(x: Tensor, sigma: Tensor) -> Prediction:
            a = self.schedule.alpha(sigma)
            free = classes < 0
            native = self.mixture.score(a * x, a, a * sigma, classes.clamp(min=0))
            native[free] = self.mixture.score(a * x, a, a * sigma)[free]
            return Prediction(x + sigma**2 * a * native)

        return Wrapped(by_index(self.mixture, self.schedule, self.abar), call)


@pytest.mark.parametrize("key", TWO_PASSES)
def test_two_passes(key: str) -> None:
    case = GOLDEN[key]
    inner, labels = Labelled(case), case.inputs["labels"]
    null = {"classes": torch.full_like(labels, -1)}
    pair = Pair.of_nulls(inner, {"classes": labels}, null)
    denoise = guidance(pair, cfg, name="cfg", scale=case.params["equivalent_s"])
    path = leading(inner.schedule, count=10)
    visited = list(states(denoise, case.inputs["x_T"], path, (), partial(ddim, eta=0.0)))
    native = torch.stack([inner.schedule.alpha(state.sigma) * state.x for state in visited])
    assert case.excess("traj", native[case.params["kept_steps"]]) <= 0
    t = path[0]
    x = start(denoise, path, case.inputs["x_T"], Recorded([case.inputs["x_T"]]))
    assert case.excess("eps_first_step", (x - denoise(x, t).x0) / t) <= 0


@pytest.mark.parametrize("key", RESCALED)
def test_rescaling(key: str) -> None:
    case = GOLDEN[key]
    c, u = case.inputs["cond"], case.inputs["uncond"]
    guided = u + case.params["guidance_scale"] * (c - u)
    assert case.excess("rescaled", rescaled(guided, c, case.params["guidance_rescale"])) <= 0


@pytest.mark.parametrize("key", ONE_STEP)
def test_one_step(key: str) -> None:
    """A recorded gradient shifts ddpm's mean, and the predicted image of all others."""
    case = GOLDEN[key]
    schedule, abar = process("linear")
    numbers, x_t, gradient = (case.inputs[name] for name in ("t", "x_t", "gradient"))
    for row, number in enumerate(numbers.tolist()):
        t, s = schedule.sigma(torch.tensor([number + 1, number], dtype=torch.float64) / 1000)
        alpha, before = schedule.alpha(t), schedule.alpha(s)
        x, score = x_t[row : row + 1] / alpha, alpha * gradient[0, row : row + 1]
        plain = by_index(case.mixture, schedule, abar)
        pulled = Wrapped(plain, lambda x, sigma, p=plain, g=score: p(x, sigma)._replace(score=g))
        move, still = Move(t, s, 0, torch.stack([t, s, 0 * s])), torch.zeros_like(x)
        for name, denoise in (("mean", plain), ("mean_shifted", pulled)):
            got = before * ddpm(denoise, x, move, Recorded([still]), [])
            assert case.excess(name, got, case.outputs[name][row : row + 1]) <= 0
        guided = pulled(x, t).guided(float(t))
        want = case.outputs["score_pred_x0"][row : row + 1]
        assert case.excess("score_pred_x0", guided, want) <= 0


@pytest.mark.parametrize("key", SOLVED)
def test_solver(key: str) -> None:
    """Between exact predictions, classifier-free guidance is guidance by the exact classifier."""
    case, schedule = GOLDEN[key], vp()
    last = float(schedule.sigma(torch.tensor(case.params["t_end"], dtype=torch.float64)))
    levels = logsnr(schedule, count=13, low=last)[:-1]
    denoise = guided(by_sigma(case.mixture, schedule), case)
    # The peer lowers the order at the end of walks of fewer than 10 steps, not of these 12.
    step = partial(dpm_solver_pp_multi, lower_order_final=10)
    *_, state = states(denoise, case.inputs["x_T"], levels, (), step)
    assert case.excess("final", schedule.alpha(state.sigma) * state.x) <= 0


@pytest.mark.parametrize("key", THRESHOLDS)
def test_dynamic_threshold(key: str) -> None:
    """diffusers caps the threshold, at 1 unless told otherwise, which is plain clamping."""
    case = GOLDEN[key]
    (x0,) = case.inputs.values()
    inner = Wrapped(by_index(case.mixture, *process("linear")), lambda x, sigma: Prediction(x))
    denoise = threshold(inner, percentile=case.params["dynamic_thresholding_ratio"])
    got = denoise(x0, torch.tensor(1.0)).x0
    assert case.excess("dpm_solver_max_val_1", got) <= 0
    if case.values["agree"]:
        assert case.excess("diffusers", got) <= 0
    alone = denoise(x0[1:2], torch.tensor(1.0)).x0
    assert torch.equal(alone[0], got[1]), "an image's own percentile"
