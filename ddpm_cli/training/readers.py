"""Rows of a data set read ahead by worker processes.

They hand rows over through pipes, so that they need no shared memory (/dev/shm), hear no signal
but their end, and end with the process that reads the pipes.
"""

import multiprocessing
import pickle
import signal
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Protocol

import torch
from torch import Tensor

from ddpm_cli import signals
from ddpm_cli.data.image_set import Conditions
from ddpm_cli.errors import Refusal

PATIENCE = 300.0  # seconds for one batch: longer takes only what never ends
HURRY = 5.0  # the same once the process was asked to stop
BEAT = 0.5  # seconds between two looks at that
# A copy of this process shares its memory; where that is not safe, the set is sent.
START = "fork" if sys.platform == "linux" else "spawn"
FIX = "--set train.workers=0 reads in the main process"
_CAUSES = {"SIGKILL": ", by the system if memory is full", "SIGBUS": ": is /dev/shm full?"}


class Images(Protocol):
    """A set of images or arrays indexed by positions; see data.image_set.Data."""

    def __len__(self) -> int: ...

    def __getitem__(self, indices: Tensor) -> tuple[Tensor, Conditions]:
        """Rows [B, ...], uint8 pixels or normalized floats, and what is told of them."""


class Readers:
    """The rows of a set in a given order, as a context manager that ends its workers.

    Worker k of n reads every n-th item from the k-th on, and waits until it is taken. `fault`
    says why workers were lost; what they owed is then read here, so that a step is whole.
    """

    def __init__(self, images: Images, order: Iterable[Tensor], workers: int) -> None:
        """Start the workers; order: the positions of each item, the same at every iteration."""
        self.fault = ""
        self._images, self._order = images, order
        self._pipes: list[Connection] = []
        self._processes: list[BaseProcess] = []
        try:
            with signals.held_back():
                for number in range(workers):
                    self._start(number, workers)
        except OSError as error:
            self._end()
            what = f"train.workers: only {len(self._processes)} of {workers} could be started"
            raise Refusal(f"{what}: {error.strerror}", FIX) from None

    def __enter__(self) -> "Readers":
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def __iter__(self) -> Iterator[tuple[Tensor, Conditions]]:
        """Rows and what is told of them, an item of the order each."""
        for number, indices in enumerate(self._order):
            if self._pipes and not self.fault:
                found = self._taken(number % len(self._pipes))
                if isinstance(found, Exception):
                    raise found
                if found is not None:
                    rows, told = found
                    told = {kind: torch.from_numpy(values) for kind, values in told.items()}
                    yield torch.from_numpy(rows), told
                    continue
            yield self._images[indices]

    def _start(self, number: int, workers: int) -> None:
        context: Any = multiprocessing.get_context(START)
        mine, theirs = context.Pipe(duplex=False)
        self._pipes.append(mine)
        inherited = self._pipes if START == "fork" else []
        items = (self._order, number, workers)
        arguments = (self._images, *items, theirs, inherited)
        process = context.Process(target=_work, args=arguments, daemon=True)
        try:
            process.start()
        finally:
            theirs.close()
        self._processes.append(process)

    def _taken(self, worker: int) -> Any:
        """What a worker has read, or the exception it met; None, and a fault, if it is lost."""
        pipe, waited = self._pipes[worker], 0.0
        place = f"train.workers: worker {worker + 1} of {len(self._pipes)}"
        while not pipe.poll(BEAT):
            waited += BEAT
            if waited >= (HURRY if signals.requested() else PATIENCE):
                self.fault = f"{place} gave nothing for {waited:g} s"
                return None
        try:
            return pipe.recv()
        except (EOFError, OSError):
            self._processes[worker].join(BEAT)
            self.fault = f"{place} {_ending(self._processes[worker].exitcode)}"
            return None

    def _end(self) -> None:
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.join()
        for pipe in self._pipes:
            pipe.close()


def _work(
    images: Images,
    order: Iterable[Tensor],
    number: int,
    workers: int,
    pipe: Connection,
    inherited: list[Connection],
) -> None:
    """Send each item that falls to this worker, or what went wrong with it.

    inherited: copies of the ends that the parent reads; a pipe breaks when nobody has one.
    """
    signals.ignore()
    torch.set_num_threads(1)
    for end in inherited:
        end.close()
    try:
        for indices in islice(order, number, None, workers):
            rows, told = images[indices]
            pipe.send((rows.numpy(), {kind: values.numpy() for kind, values in told.items()}))
    except BrokenPipeError:
        pass
    except Exception as error:  # noqa: BLE001 - the parent raises it
        pipe.send(_portable(error))


def _portable(error: Exception) -> Exception:
    """An exception that can be sent: itself, or what it says."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - of this very process
    except Exception:  # noqa: BLE001 - a class of a program may fail in any way
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def _ending(code: int | None) -> str:
    """How a process ended, in words."""
    if code is None or code >= 0:
        return f"ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"was killed ({name}{_CAUSES.get(name, '')})"
