"""Several inputs, of which some fail: the rest is done, and each failure is one line on stderr."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from ddpm_cli import console
from ddpm_cli.errors import PartialFailure, Refusal, many

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class Failures:
    """Counts the inputs that fail; `finish` ends the command with exit code 3, or 1 for all.

    A command with one input fails as if there were no batch.
    """

    def __init__(self, total: int, nouns: str = "inputs") -> None:
        """Take the number of inputs, and what they are."""
        self._total, self._failed, self._nouns = total, 0, nouns

    @property
    def total(self) -> int:
        """How many inputs there are."""
        return self._total

    @property
    def count(self) -> int:
        """How many inputs have failed so far."""
        return self._failed

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Report the refusal of one input and go on behind the with block."""
        try:
            yield
        except Refusal as refusal:
            if self._total == 1:
                raise
            self._failed += 1
            console.error("Error: " + "; ".join(refusal.message.splitlines()))

    def passing(
        self, work: Callable[[_Item], _Result], items: Iterable[_Item]
    ) -> Iterator[_Result]:
        """Give what `work` makes of each item, without those that it refuses."""
        for item in items:
            with self.caught():
                yield work(item)

    @property
    def _said(self) -> str:
        return f"{self._failed} of {many(self._total, self._nouns)}"

    def finish(self, *before: "Failures") -> None:
        """Raise what the command ends with if any input failed; call it after the last one.

        before: of what these inputs are from, as rows are from files.
        """
        if self._failed == self._total and self._failed:
            raise Refusal(f"all {self._total} {self._nouns} failed")
        if failed := [each for each in (*before, self) if each._failed]:
            what = " and ".join(each._said for each in failed)
            raise PartialFailure(f"{what} failed; the rest is done")
