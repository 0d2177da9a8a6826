"""What follows the gradient: AdamW, or Muon for the matrices of blocks and AdamW for the rest."""

from collections.abc import Iterator, MutableMapping
from functools import reduce
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ddpm_cli.errors import ConfigError
from ddpm_cli.training import sharding

MOMENTUM = 0.95
# Odd polynomials that push all singular values towards 1, within 0.68 to 1.14 after five of them.
A, B, C = 3.4445, -4.7750, 2.0315
ROUNDS = 5
TINY = 1e-7


class Optimizer(Protocol):
    """What a player steps with, as the optimizers of torch are: groups of settings, and slots."""

    param_groups: list[dict[str, Any]]

    @property
    def state(self) -> MutableMapping[Tensor, dict[str, Tensor]]:
        """What is remembered for each parameter."""

    def step(self) -> object:
        """Follow the gradients that lie in the parameters."""


class Muon:
    """Momentum made orthogonal for matrices, AdamW for all other parameters.

    M <- 0.95 M + 0.05 G, W <- (1 - lr decay) W - 0.2 sqrt(max(rows, columns)) lr O with
    O = `orthogonal`(0.95 M + 0.05 G), as of Nesterov (Jordan 2024, "Muon"). A convolution
    [out, in, h, w] is the matrix [out, in h w]. The root makes steps as long as AdamW's are
    usually (Liu 2025, "Muon is scalable for LLM training", eq. 4), so that one learning rate
    serves both. Matrices of one shape are made orthogonal together; dtype: in which format.
    """

    def __init__(self, matrices: list[Tensor], others: list[Tensor], dtype: torch.dtype) -> None:
        self._adamw = adamw(others)
        self._own: dict[str, Any] = {"params": matrices}
        self._dtype = dtype
        self.param_groups: list[dict[str, Any]] = [*self._adamw.param_groups, self._own]

    @property
    def state(self) -> MutableMapping[Tensor, dict[str, Tensor]]:
        """AdamW's moments and the momenta of matrices, by parameter."""
        return self._adamw.state

    @torch.no_grad()
    def step(self) -> None:
        """Follow the gradients that lie in the parameters."""
        self._adamw.step()
        lr, decay = self._own["lr"], self._own["weight_decay"]
        for same in _by_shape(self._own["params"]):
            slopes = [p.grad for p in same if p.grad is not None]
            momenta = [self._momentum(p) for p in same]
            torch._foreach_lerp_(momenta, slopes, 1 - MOMENTUM)
            ahead = torch._foreach_lerp(slopes, momenta, MOMENTUM)
            moves = torch.stack([move.flatten(1) for move in ahead])
            moves = orthogonal(moves.to(self._dtype)).to(same[0].dtype)
            parts = [move.view_as(p) for move, p in zip(moves, same, strict=True)]
            torch._foreach_mul_(same, 1 - lr * decay)
            torch._foreach_add_(same, parts, alpha=-0.2 * max(moves.shape[1:]) ** 0.5 * lr)

    def _momentum(self, parameter: Tensor) -> Tensor:
        slots = self.state[parameter]
        if "momentum" not in slots:
            slots["momentum"] = torch.zeros_like(parameter)
        return slots["momentum"]


def optimizer(name: str, module: nn.Module, dtype: torch.dtype) -> Optimizer:
    """The optimizer `name` for all that is trained in a module, in the format it computes in."""
    trained: dict[str, Tensor] = {n: p for n, p in module.named_parameters() if p.requires_grad}
    if name == "adamw":
        return adamw(list(trained.values()))
    chosen = set(hidden(module))
    if not chosen:
        what = "train.optimizer: muon is for matrices in the blocks of a network, which has none"
        raise ConfigError(f"{what}; --set train.optimizer=adamw")
    others = [p for n, p in trained.items() if n not in chosen]
    return Muon([p for n, p in trained.items() if n in chosen], others, dtype)


def adamw(parameters: list[Tensor]) -> torch.optim.AdamW:
    """AdamW (Loshchilov 2019), fused where torch has the kernel."""
    fused = all(p.device.type in ("cpu", "cuda") for p in parameters)
    return torch.optim.AdamW(sharding.groups(parameters), fused=fused)


def hidden(module: nn.Module) -> Iterator[str]:
    """Names of the weights of linear and convolution layers in the blocks that a network stacks.

    Blocks are what stands in an nn.ModuleList, at any depth: not the first and the last layers of
    a network, its embeddings of the noise level and of classes, or a learned schedule.
    """
    lists = [name for name, part in module.named_modules() if isinstance(part, nn.ModuleList)]
    layers = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
    for name, part in module.named_modules():
        stacked = any(name.startswith(f"{one}.") for one in lists)
        if stacked and isinstance(part, layers) and part.weight.requires_grad:
            yield f"{name}.weight"


def orthogonal(matrices: Tensor) -> Tensor:
    """The nearest orthogonal matrices to [B, m, n], roughly: U V^T for U S V^T.

    X <- (a + b G + c G^2) X with G = X X^T, from X = M / |M|, five times: singular values that
    were not tiny end within 0.68 to 1.14 (Jordan 2024, "Muon", Newton-Schulz iteration).
    """
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=TINY)
    # TF32 and 16 bits would lose the small singular values, whose squares G has.
    exact = x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64)
    rounds = _rounds_of_gram if exact and x.shape[2] > 1.5 * x.shape[1] else _rounds
    x = rounds(x)
    return x.mT if tall else x


def _rounds(x: Tensor) -> Tensor:
    """The iteration as it is written."""
    for _ in range(ROUNDS):
        x = torch.baddbmm(x, _bend(torch.bmm(x, x.mT)), x, beta=A)
    return x


def _rounds_of_gram(x: Tensor) -> Tensor:
    """The same with two products by wide x instead of ten: G <- Q G Q, as all Q commute with G.

    All factors Q = a + b G + c G^2 are multiplied with each other, and then with x.
    """
    gram, factors = torch.bmm(x, x.mT), []
    for number in range(ROUNDS):
        factor = _bend(gram)
        factor.diagonal(dim1=1, dim2=2).add_(A)
        factors.append(factor)
        if number < ROUNDS - 1:
            gram = torch.bmm(torch.bmm(factor, gram), factor)
    return torch.bmm(reduce(torch.bmm, reversed(factors)), x)


def _bend(gram: Tensor) -> Tensor:
    """b G + c G^2."""
    return torch.baddbmm(gram, gram, gram, beta=B, alpha=C)


def _by_shape(parameters: list[Tensor]) -> list[list[Tensor]]:
    """Those that have a gradient, those of one shape together, in their order."""
    groups: dict[torch.Size, list[Tensor]] = {}
    for parameter in parameters:
        if parameter.grad is not None:
            groups.setdefault(parameter.shape, []).append(parameter)
    return list(groups.values())
