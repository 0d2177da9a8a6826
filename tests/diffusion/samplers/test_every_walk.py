"""Every sampler on every schedule, along every list of levels, whatever is predicted."""

import math
from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any, NamedTuple

import pytest
import torch
from declared import SAMPLERS, load
from exact import FOUR_PIXELS, schedules
from sampling import CASES, cases, images, sample

from ddpm_cli.diffusion.levels import karras
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.diffusion.schedules import vp
from ddpm_cli.settings import catalog

every_sampler = cases()
# Knobs of level lists that have no `count`.
RULES = [name for name in catalog.names("levels") if name != "fitted"]  # which are explicit ones
LEVELS: dict[str, dict[str, Any]] = {"sections": {"counts": [4, 3, 3]}}


class Trial(NamedTuple):
    """A level list, a schedule, and the predictions that must make no difference."""

    rule: str
    schedule: str
    targets: list[str]


def trials(name: str, settings: Any) -> Iterator[Trial]:
    """Every walk that a sampler can take."""
    for rule in RULES:
        for schedule, process in schedules().items():
            # mu is the mean one index below: only trained levels have one.
            targets = set(catalog.names("parameterization"))
            between = rule in ("karras", "logsnr") or "-single" in name or "-sde" in name
            if process.steps is None or between or SAMPLERS[name].order == math.inf:
                targets.remove("mu")
            if settings.get("variance") == "learned":
                targets -= {"edm", "mu", "flow", "ve"}
            yield Trial(rule, schedule, sorted(targets))


def few(name: str, settings: Any) -> Iterator[Trial]:
    """One walk on each schedule, so chosen that all samplers together try every pair."""
    number, rules = CASES.index((name, settings)), RULES
    places = {schedule: place for place, schedule in enumerate(schedules())}
    for trial in trials(name, settings):
        place = places[trial.schedule]
        if trial.rule == rules[(place + number) % len(rules)]:
            first = number + 3 * (place // len(rules))
            some = [trial.targets[(first + i) % len(trial.targets)] for i in (0, 1, 2)]
            yield trial._replace(targets=some)


def test_few_trials_hold_every_pair() -> None:
    """Of sampler, schedule, levels and prediction, where they go together at all."""

    def pairs(choose: Callable[[str, Any], Iterator[Trial]]) -> set[frozenset[str]]:
        return {
            frozenset(pair)
            for case in CASES
            for rule, schedule, targets in choose(*case)
            for target in targets
            for pair in combinations((f"{case}", f"{schedule=}", rule, f"{target=}"), 2)
        }

    assert pairs(trials) - pairs(few) == set()


def check(name: str, settings: Any, trial: Trial) -> None:
    """A walk ends in no NaN, alpha(T) = 0 or not, and at the same image for each prediction."""
    process = schedules()[trial.schedule]
    # Adaptive solvers make many steps between two levels.
    knobs = LEVELS.get(trial.rule, {"count": 10 if SAMPLERS[name].order < math.inf else 2})
    if trial.rule == "explicit":
        last = (process.steps or 1000) - 1
        knobs = {"timesteps": sorted({0, 1, last // 4, last // 2, last})}
    levels = load("levels", trial.rule, **knobs)(process)
    step, like = load("sampler", name, **settings), images(name, 4)
    results = [
        sample(FOUR_PIXELS, process, levels, Rng(range(len(like))), step, like, target)
        for target in trial.targets
    ]
    for got in results:
        assert got.isfinite().all()
        # Solvers in eps subtract states of the size of the first level, 1e6 if alpha(T) = 0.
        slack = max(1e-6, 1e-11 * float(levels[0]))
        assert torch.allclose(got, results[0], rtol=1e-6, atol=slack), "whatever is predicted"
        # A second-order step from sigma = 20,000 to 200 overshoots; first-order ones cannot,
        # unless they add more noise than the next level holds.
        careful = SAMPLERS[name].order == 1 and settings.get("variance", "small") == "small"
        assert not careful or SAMPLERS[name].noisy or got.abs().max() < 3


@every_sampler
def test_is_never_nan_on_any_schedule(name: str, settings: Any, subtests: pytest.Subtests) -> None:
    for trial in few(name, settings):
        with subtests.test(**trial._asdict()):
            check(name, settings, trial)


@every_sampler
def test_walks_in_float64_pass_no_narrower_format(name: str, settings: Any) -> None:
    """What torch makes of a bare number, float32 unless told, must not touch the state."""
    step, like, ends = load("sampler", name, **settings), images(name, 3), []
    for dtype in (torch.float32, torch.float64):
        torch.set_default_dtype(dtype)
        try:
            process = vp(first=0.123, last=17.3)
            levels = karras(process, count=6, rho=6.3, low=0.0123, high=23.4)
            rng = Rng(range(len(like)))
            ends.append(sample(FOUR_PIXELS, process, levels, rng, step, like, "v"))
        finally:
            torch.set_default_dtype(torch.float32)
    assert ends[0].dtype == torch.float64
    assert torch.equal(*ends)


@pytest.mark.slow
@every_sampler
def test_is_never_nan_on_any_walk(name: str, settings: Any, subtests: pytest.Subtests) -> None:
    for trial in trials(name, settings):
        with subtests.test(**trial._asdict()):
            check(name, settings, trial)
