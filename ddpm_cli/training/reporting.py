"""What a run tells of itself and keeps, and at which steps: metrics, checkpoints, sheets."""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, Protocol, TypeVar

from ddpm_cli import signals
from ddpm_cli.errors import Refusal
from ddpm_cli.training.batches import Share
from ddpm_cli.training.distributed import agreed
from ddpm_cli.training.held_out import described
from ddpm_cli.training.players import MODEL
from ddpm_cli.training.readers import FIX
from ddpm_cli.training.state import State

_Item = TypeVar("_Item")


class NotFinite(ArithmeticError):
    """The loss, the gradient or the weights became NaN or infinite."""


class Journal(Protocol):
    """Where a run leaves its traces, and where it hears that it must stop."""

    def log(self, values: dict[str, float]) -> None:
        """Keep one line of metrics."""

    def save(self, state: State) -> None:
        """Write a checkpoint to resume from."""

    def snapshot(self, state: State) -> None:
        """Keep the averages for later."""

    def sheet(self, state: State) -> None:
        """Draw samples of the averaged weights."""

    def evaluate(self, state: State) -> None:
        """Measure samples of the averaged weights, which leaves the state as it is."""

    def advance(self, note: str) -> None:
        """Count a step."""

    def stopping(self, overdue: bool) -> bool:
        """Whether the run was asked to save and stop, or is overdue in any process."""


class Every(NamedTuple):
    """How many steps lie between two lines of metrics, held-out measures, saves and sheets.

    sheet: 0 for none; eval: between two measures of samples, 0 for none.
    """

    log: int
    measure: int
    save: int
    sheet: int
    eval: int = 0


def is_due(step: int, every: int, steps: int) -> bool:
    """Whether what is done every so many steps, 0 for never, and at the last is due at a step."""
    return every > 0 and (step % every == 0 or step == steps)


class Reporter:
    """Watches a run step by step, and has the journal keep what is due.

    measure: numbers of the averaged weights on held-out images; minutes: when to stop, 0 never.
    """

    def __init__(
        self,
        state: State,
        journal: Journal,
        measure: Callable[[], dict[str, float]],
        share: Share,
        *,
        steps: int,
        batch: int,
        minutes: float,
        every: Every,
    ) -> None:
        self._state, self._journal, self._measure, self._share = state, journal, measure, share
        self._steps, self._batch, self._minutes, self._every = steps, batch, minutes, every
        for player in state.players.values():
            player.window.keep(share.rank)  # a state that is gone on with holds the sums of all
        self._began = self._logged = time.monotonic()
        self._counted = state.step
        self._note = self._accuracy = ""

    def keeping(self, source: Iterable[_Item]) -> Iterator[_Item]:
        """Give the items of a source, and save what was trained before one that does not come."""
        try:
            yield from source
        except Exception:
            if self._share.ranks == 1 and self._state.finite():
                self._journal.save(self._state)
            raise

    def finish(self, fault: str) -> None:
        """Refuse to call it done if workers were lost, unless all were asked to stop."""
        if fault and not signals.requested():
            why = f"{FIX}; the run is saved at step {self._state.step}, and goes on from there"
            raise Refusal(fault, why)

    def after_step(self, lr: float, fault: str = "") -> bool:
        """Keep what is due now that a step was made at this learning rate; whether to go on.

        fault: what went wrong while the batch was read, so that this step is the last.
        """
        state, journal, every = self._state, self._journal, self._every
        minutes = (time.monotonic() - self._began) / 60
        overdue = bool(self._minutes) and minutes >= self._minutes
        stop = journal.stopping(overdue or bool(fault))
        last = state.step == self._steps
        saving = state.step % every.save == 0 or last or stop
        logging = state.step % every.log == 0 or last
        if logging or saving:
            self._gather(saving)
        if logging:
            self._log(lr, state.step % every.measure < every.log or last)
        journal.advance(self._note)
        if state.spacing is not None and (last or state.spacing.is_due(state.step)):
            self._snapshot()
        if saving:
            self._save()
        if is_due(state.step, every.sheet, self._steps):
            journal.sheet(state)
        if not stop and is_due(state.step, every.eval, self._steps):
            stop = self._evaluated(saving)
        return not stop

    def _save(self) -> None:
        self._journal.save(self._state)
        for player in self._state.players.values():
            player.window.keep(self._share.rank)

    def _snapshot(self) -> None:
        """Keep the averages, before the state of this step that says they are there."""
        if agreed(self._share, not self._state.finite()):
            raise NotFinite(f"step {self._state.step}: non-finite weights")
        self._journal.snapshot(self._state)

    def _evaluated(self, is_saved: bool) -> bool:
        """Measure samples; whether the run was asked to stop meanwhile, which is saved here.

        A run that goes on from here makes up for a measure that was cut short.
        """
        began = time.monotonic()
        self._journal.evaluate(self._state)
        self._logged += time.monotonic() - began  # the speed is that of training
        stop = self._journal.stopping(overdue=False)
        if stop and not is_saved:
            self._gather(saving=True)
            self._save()
        return stop

    def _gather(self, saving: bool) -> None:
        """Add up what all processes saw; refuse to log or save what is not finite."""
        windows = [player.window for player in self._state.players.values()]
        for window in windows:
            window.gather(self._share.ranks)
        finite = all(window.finite() for window in windows)
        # Of weights that are shared out, others may have the share that is not finite.
        if not finite or (saving and agreed(self._share, not self._state.finite())):
            raise NotFinite(f"step {self._state.step}: non-finite loss, gradient or weights")

    def _log(self, lr: float, measuring: bool) -> None:
        """Keep a line of metrics; numbers of players beside the model bear their names."""
        step, elapsed = self._state.step, time.monotonic() - self._logged
        values: dict[str, float] = {"step": step, "lr": lr}
        for name, player in self._state.players.items():
            prefix = "" if name == MODEL else f"{name}_"
            values |= {prefix + key: number for key, number in player.window.summary().items()}
        values["images_per_second"] = (step - self._counted) * self._batch / elapsed
        values["images_seen"] = step * self._batch
        if measuring:
            values |= self._measure()
        if not all(map(math.isfinite, values.values())):
            raise NotFinite(f"step {step}: non-finite held-out loss")
        for player in self._state.players.values():
            player.window.clear()
        self._journal.log(values)
        self._accuracy = described(values) or self._accuracy
        self._note = f"loss {values['loss']:.4f}{self._accuracy}"
        self._logged, self._counted = time.monotonic(), step
