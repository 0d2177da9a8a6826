"""How long a run takes: forecast from its first steps, and from what it does beside them."""

import math
import time
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from ddpm_cli import console
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.errors import ConfigError
from ddpm_cli.files.checkpoints import averages
from ddpm_cli.models import cost, flops
from ddpm_cli.pipelines.materials import HELD_OUT, POINTS, Materials
from ddpm_cli.pipelines.train_eval import Evaluation
from ddpm_cli.settings import budgets
from ddpm_cli.settings.checks import JUDGES, purpose
from ddpm_cli.settings.config import Config
from ddpm_cli.training.state import State

WARM = 3  # first steps whose time says nothing: memory is laid out, kernels are chosen
LEAST = 3  # steps that are timed after them
SECONDS = 5.0  # for which steps are timed, or this share of a short budget
SHARE = 0.05
FEWEST = 50  # steps of a run that a budget leaves room for
ADAPTIVE = 100  # network calls of a walk that takes as many as it needs
DISK = 200e6  # bytes a second that a save is hashed and written at


class Beside(NamedTuple):
    """What a run does beside its steps: network calls for a sheet's image, bytes of a save.

    held_out: images of a measure; evaluated: images that this process draws for an eval, which
    takes so many seconds beside that; kept: bytes of a snapshot of averages.
    """

    calls: int
    saved: int
    held_out: int
    is_image: bool
    evaluated: int = 0
    evaluating: float = 0.0
    kept: int = 0

    @classmethod
    def of(
        cls, materials: Materials, state: State, evaluation: Evaluation | None = None
    ) -> "Beside":
        """That of a run."""
        tensors = state.tensors()
        saved = sum(tensor.nbytes for tensor in tensors.values())
        kept = sum(tensor.nbytes for tensor in averages.part(tensors).values())
        held_out = min(HELD_OUT, len(materials.sets.test))
        each = calls(materials.config, state.model.schedule)
        usual = cls(each, saved, held_out, is_image=len(materials.info.shape) > 1, kept=kept)
        if evaluation is None:
            return usual
        sharing = 1 if state.is_shared else materials.place.ranks
        drawn = -(-materials.config["train"]["eval_count"] // sharing)
        return usual._replace(evaluated=drawn, evaluating=evaluation.seconds)


def calls(config: Config, schedule: Schedule) -> int:
    """Network calls for a sample; a classifier draws none."""
    if purpose(config) in JUDGES:
        return 0
    try:
        counted = cost.counted(config, schedule).calls
    except ConfigError:  # a walk that is refused when it is asked for, and drawn without guidance
        counted = None
    return ADAPTIVE if counted is None else counted


class Pace(NamedTuple):
    """Seconds that a step takes, and those that the network takes to see one image."""

    step: float
    image: float

    @classmethod
    def of(cls, moments: Sequence[float], batch: int, ranks: int) -> "Pace":
        """From the moments at which steps ended, the first when they began.

        The mean of the middle half, as others disturb single steps. Forward is a third of a step.
        """
        every = [after - before for before, after in pairwise(moments)]
        steps = sorted(every[WARM:] or every[-1:])
        cut = len(steps) // 4
        middle = steps[cut : len(steps) - cut]
        step = sum(middle) / len(middle)
        return cls(step, step * ranks / (flops.PASSES * batch))


def is_enough(moments: Sequence[float], budget: float | None = None) -> bool:
    """Whether steps that ended at these moments tell the speed; see `Pace.of`.

    At once, if so slow a step can never be made FEWEST times in a budget of seconds.
    """
    wanted = SECONDS if budget is None else min(SECONDS, SHARE * budget)
    if budget is not None and len(moments) > 2:
        fastest = min(after - before for before, after in pairwise(moments))
        if fastest * FEWEST > budget:
            return True
    return len(moments) > WARM + LEAST and bool(moments[-1] - moments[WARM] >= wanted)


def seconds(config: Config, pace: Pace, beside: Beside) -> float:
    """How long a run of a configuration takes, with its measures, saves and sheets."""
    train = config["train"]
    steps = int(train["steps"])
    sheets, measures, saves = (
        math.ceil(steps / train[every]) for every in ("sheet_every", "measure_every", "save_every")
    )
    evals = math.ceil(steps / (train["eval_every"] or math.inf))
    seen = (
        beside.evaluated * beside.calls * evals
        + on_sheet(train["sheet_count"], beside) * beside.calls * sheets
        + beside.held_out * measures
    )
    written = saves * beside.saved + min(train["snapshots"], steps) * beside.kept
    beside_steps = seen * pace.image + written / DISK + evals * beside.evaluating
    return float(steps * pace.step + beside_steps)


def on_sheet(count: int, beside: Beside) -> int:
    """What a sheet of `count` images draws: of arrays, if any, the points of a plot."""
    return count if beside.is_image or not count else POINTS


def speed(materials: Materials, pace: Pace) -> str:
    """Images a second in words."""
    noun = "images" if materials.info.is_image else "rows"
    rate = materials.config["train"]["batch"] / pace.step
    return f"{rate:,.0f} {noun}/s" if rate >= 10 else f"{rate:.2g} {noun}/s"


class Forecast:
    """Says once, when the first steps of a run were made, how long it will take."""

    def __init__(self, materials: Materials, beside: Beside, done: int) -> None:
        self._materials, self._beside, self._done = materials, beside, done
        self._moments: list[float] | None = [time.monotonic()]

    def step(self, bar: console.Progress) -> None:
        """Count a step."""
        if self._moments is None:
            return
        self._moments.append(time.monotonic())
        if is_enough(self._moments):
            bar.say(self._words(self._moments))
            self._moments = None

    def _words(self, moments: Sequence[float]) -> str:
        config, place = self._materials.config, self._materials.place
        pace = Pace.of(moments, config["train"]["batch"], place.ranks)
        whole = seconds(config, pace, self._beside)
        left = whole * (1 - (self._done + len(moments) - 1) / config["train"]["steps"])
        words = f"about {console.duration(left)} at {speed(self._materials, pace)}"
        if whole > budgets.LONG and not self._done and budgets.budget(config) is None:
            words += f"; --budget {budgets.proposed(whole)} trains a smaller run"
        return words
