"""Rows are copied beside the work of the device, which waits for them before it uses them."""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import Tensor

from ddpm_cli.training.prefetch import Read, placed

CPU = torch.device("cpu")


class Log:
    """A queue beside the device's that keeps a diary."""

    def __init__(self) -> None:
        self.words: list[str] = []

    def aside(self) -> AbstractContextManager[object]:
        @contextmanager
        def copying() -> Iterator[None]:
            self.words.append("copy")
            yield

        return copying()

    def join(self, tensors: Iterable[Tensor]) -> None:
        self.words.append(f"join {[int(tensor[0]) for tensor in tensors]}")

    def read(self, count: int) -> Iterator[Read]:
        for number in range(count):
            self.words.append(f"read {number}")
            yield torch.full((2,), number), {"classes": torch.full((2,), 10 + number)}


def test_copies_are_made_aside_and_joined_before_they_are_used() -> None:
    log = Log()
    for rows, told in placed(log.read(2), CPU, log):
        log.words.append(f"use {int(rows[0])} {int(told['classes'][0])}")
    assert log.words == [
        "read 0", "copy", "join [0, 10]", "use 0 10", "read 1", "copy", "join [1, 11]", "use 1 11",
    ]  # fmt: skip


def test_without_a_queue_beside_they_are_used_at_once() -> None:
    log = Log()
    for rows, _ in placed(log.read(2), CPU):
        log.words.append(f"use {int(rows[0])}")
    assert log.words == ["read 0", "use 0", "read 1", "use 1"]
