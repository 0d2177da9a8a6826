"""Data-parallel training under torchrun; one process needs none of it."""

import contextlib
import os
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch._C._distributed_c10d import TCPStore

from ddpm_cli import console
from ddpm_cli.errors import Refusal
from ddpm_cli.training import sharding
from ddpm_cli.training.batches import Share

PATIENCE = timedelta(seconds=10)  # for an answer of the store that a group met at


class Group(NamedTuple):
    """This process's place among the processes that torchrun started, here or elsewhere."""

    rank: int
    ranks: int
    local_rank: int
    local_ranks: int = 1

    @property
    def share(self) -> Share:
        """The part of each batch that this process computes."""
        return Share(self.rank, self.ranks)

    @property
    def leads(self) -> bool:
        """Whether this process writes files and talks."""
        return self.rank == 0


def group() -> Group:
    """Read the place of this process from the environment that torchrun sets."""
    usual = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}
    return Group(*(int(os.environ.get(name, default)) for name, default in usual.items()))


def start(place: Group, device: torch.device) -> None:
    """Join the group: NCCL between CUDA devices, gloo otherwise."""
    if place.ranks > 1:
        backend = "nccl" if device.type == "cuda" else "gloo"
        torch.distributed.init_process_group(backend)


class Telling:
    """Lets one process alone tell what went wrong in a group.

    The others notice that it is gone, or have the same fault, and end with its exit code.
    """

    def __init__(self, place: Group) -> None:
        self._place = place

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, fault: BaseException | None, trace: object) -> None:
        joined = self._place.ranks > 1 and torch.distributed.is_initialized()
        if not joined or not isinstance(fault, Exception):
            return
        rank, code = _first(f"{self._place.rank} {getattr(fault, 'exit_code', 1)}")
        if rank != self._place.rank:
            raise SystemExit(code) from None
        console.take_the_word()
        if isinstance(fault, torch.distributed.DistError) or "gloo" in str(fault).lower():
            why = "the same command goes on from the last save"
            raise Refusal("a process of the group was lost", why) from None


def _first(mine: str) -> tuple[int, int]:
    """Rank and exit code of the process that failed first, which is `mine` if none did before."""
    try:
        host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        store = TCPStore(host, port, is_master=False, timeout=PATIENCE)
        first = store.compare_set("ddpm/fault", "", mine).decode()
    except (KeyError, ValueError, RuntimeError):
        first = mine  # the first process kept the store, and is gone
    rank, code = map(int, first.split())
    return rank, code


def wait(place: Group) -> None:
    """Let no process go on before all have come here."""
    if place.ranks > 1:
        torch.distributed.barrier()


def local_device(device: torch.device, place: Group) -> torch.device:
    """The device of this process: on CUDA each has its own."""
    if device.type != "cuda" or place.ranks == 1:
        return device
    torch.cuda.set_device(place.local_rank)
    return torch.device("cuda", place.local_rank)


def stop(place: Group) -> None:
    """Leave the group."""
    if place.ranks > 1 and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def parallel(module: nn.Module, place: Group, device: torch.device) -> nn.Module:
    """Average gradients over the group, for a module whose forward is the loss."""
    if place.ranks == 1:
        return module
    if any(map(sharding.is_shared, module.parameters())):
        return module  # which does so by itself
    devices = [device.index] if device.type == "cuda" else None
    return nn.parallel.DistributedDataParallel(module, device_ids=devices)


def unsynchronized(module: nn.Module, wanted: bool) -> AbstractContextManager[None]:
    """Where gradients add up in each process, to be averaged by a later backward pass."""
    if wanted and isinstance(module, nn.parallel.DistributedDataParallel):
        return module.no_sync()
    return contextlib.nullcontext()


def agreed(place: Group | Share, flag: bool) -> bool:
    """Whether any process of the group raises the flag: all take the same branch."""
    if place.ranks == 1:
        return flag
    raised = _passed(int(flag))
    torch.distributed.all_reduce(raised, op=torch.distributed.ReduceOp.MAX)
    return bool(raised)


def told(place: Group, number: int) -> int:
    """The number that the first process of the group has."""
    if place.ranks == 1:
        return number
    first = _passed(number)
    torch.distributed.broadcast(first, 0)
    return int(first)


def _passed(number: int) -> Tensor:
    """A whole number where the processes of a group can hand it on."""
    device = "cuda" if torch.distributed.get_backend() == "nccl" else "cpu"
    return torch.tensor(number, dtype=torch.int64, device=device)


def whole(part: Tensor, ranks: int) -> Tensor:
    """The parts of a batch [B / ranks] of all processes, in their order: [B]."""
    if ranks == 1:
        return part
    parts = [torch.empty_like(part) for _ in range(ranks)]
    torch.distributed.all_gather(parts, part.contiguous())
    return torch.cat(parts)
