"""Work in a thread beside the training, one piece after the other."""

import threading
from collections.abc import Callable


class Cancelled(Exception):
    """The work was given up."""


class Background:
    """Does one piece of work at a time; whoever waits for it hears what went wrong."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._fault: BaseException | None = None
        self._given_up = False

    def start(self, work: Callable[[], None]) -> None:
        """Begin once the work before is done, which must have gone well."""
        self.wait()

        def attempt() -> None:
            try:
                work()
            except BaseException as fault:  # noqa: BLE001 - raised by `wait`
                self._fault = fault

        self._thread = threading.Thread(target=attempt)
        self._thread.start()

    @property
    def failed(self) -> bool:
        """Whether the work went wrong, which `wait` will tell."""
        return self._fault is not None

    def wait(self) -> None:
        """Let the work be done, and raise what went wrong with it, once."""
        if self._thread is not None:
            try:
                self._thread.join()
            except BaseException:  # a second signal, which waits for nothing
                self.give_up()
                raise
            self._thread = None
        fault, self._fault = self._fault, None
        if fault is not None:
            raise fault

    def give_up(self) -> None:
        """End the work at its next `check`, whatever becomes of it."""
        self._given_up = True
        if self._thread is not None:
            self._thread.join()
        self._thread = self._fault = None

    def check(self) -> None:
        """Called by the work now and then: raise Cancelled if it shall end."""
        if self._given_up:
            raise Cancelled
