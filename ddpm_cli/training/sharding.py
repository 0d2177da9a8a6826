"""Fully sharded training (FSDP2): each process keeps a share of every tensor that is trained.

A tensor that is shared out is a DTensor; all else is the same in every process.
"""

import warnings
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeGuard

import torch
from torch import Tensor, nn

from ddpm_cli.hardware import Compute
from ddpm_cli.networks.parts.blocks import blocks

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor


def share_out(networks: Iterable[nn.Module], ranks: int, compute: Compute) -> None:
    """Share out the weights of networks on the CPU, block by block, among all processes.

    Weights stay float32; they are gathered in the number format of the computation, and gradients
    are added up in float32. Noise labels keep their own precision.
    """
    # Imported where it is needed: it takes a second.
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    # The network's last view is changed by nobody.
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view")
    mesh = init_device_mesh(compute.device.type, (ranks,))
    narrow = None if compute.dtype == torch.float32 else compute.dtype
    policy = MixedPrecisionPolicy(narrow, torch.float32, cast_forward_inputs=False)
    for network in networks:
        network.to(memory_format=torch.contiguous_format)
        for part in (*blocks(network), network):
            fully_shard(part, mesh=mesh, reshard_after_forward=True, mp_policy=policy)


def is_shared(tensor: Tensor) -> "TypeGuard[DTensor]":
    """Whether this process has only a share of a tensor."""
    return hasattr(tensor, "full_tensor")


def groups(parameters: Iterable[Tensor]) -> list[dict[str, Any]]:
    """Groups for an optimizer: what is shared out and what is not, which it must not mix."""
    listed = list(parameters)
    kinds = ([p for p in listed if is_shared(p) == shared] for shared in (True, False))
    return [{"params": kind} for kind in kinds if kind]


def own(tensor: Tensor) -> Tensor:
    """The share of this process, in place; of what is not shared out all of it."""
    return tensor.to_local() if is_shared(tensor) else tensor


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor. All processes must ask for it."""
    return tensor.full_tensor() if is_shared(tensor) else tensor


class Turns:
    """Tensors that all processes gather in the same order, whatever becomes of them in one."""

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        self._left = deque(tensors)

    def fetch(self, tensor: Tensor) -> Tensor:
        """All of the tensor whose turn it is, which must be this one."""
        if self._left.popleft() is not tensor:
            raise ValueError("tensors are gathered out of turn")
        return whole(tensor)

    def drain(self) -> None:
        """Take part in what is left."""
        while self._left:
            whole(self._left.popleft())


def shared_as(tensor: Tensor, like: Tensor) -> Tensor:
    """A tensor that every process has, shared out as another one is."""
    if not is_shared(like):
        return tensor
    from torch.distributed.tensor import distribute_tensor

    mesh = like.device_mesh
    there = tensor.to(mesh.device_type)
    return distribute_tensor(there, mesh, like.placements, src_data_rank=None)


def clipped(parameters: Iterable[nn.Parameter], limit: float) -> Tensor:
    """Shorten the gradient of all parameters to `limit`; its norm before.

    Beside what is shared out, gradients are averaged here over all processes.
    """
    trained = [parameter for parameter in parameters if parameter.grad is not None]
    if not any(map(is_shared, trained)):
        before: Tensor = nn.utils.clip_grad_norm_(trained, limit)
        return before
    shares = [p.grad for p in trained if p.grad is not None and is_shared(p)]
    alike = [p.grad for p in trained if p.grad is not None and not is_shared(p)]
    for gradient in alike:
        torch.distributed.all_reduce(gradient.div_(torch.distributed.get_world_size()))
    norms = [whole(nn.utils.get_total_norm(kind)) for kind in (shares, alike) if kind]
    norm: Tensor = torch.linalg.vector_norm(torch.stack(norms))
    # The formula of clip_grad_norm_, which takes no mixture of both.
    scale = (limit / (norm + 1e-6)).clamp(max=1.0)
    torch._foreach_mul_([own(gradient) for gradient in (*shares, *alike)], scale)
    return norm
