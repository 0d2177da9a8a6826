"""Functions of the user's own at work: what they must take and give, and their gradients."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ddpm_cli.errors import Refusal
from ddpm_cli.files import codes
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.guides.parts.faults import blamed
from ddpm_cli.guides.parts.user_code import Code
from ddpm_cli.settings import code_names

_SCORES = (
    "a scorer takes images float32 [B, C, H, W] in [-1, 1], or rows [B, ...] in the units of "
    "the data, and gives scores [B]"
)
_LOGITS = (
    "a classifier takes x_t = alpha x float32 [B, C, H, W] and noise labels float32 [B], "
    "and gives logits [B, K]"
)


@dataclass(frozen=True)
class Function:
    """A user's function of tensors [B, ...] that gives scores [B], or logits [B, classes].

    signature: in words, what it takes and gives.
    """

    name: str
    call: Callable[..., Any]
    signature: str
    classes: int = 0

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Its result, of the shape that it must have."""
        # Copies, as it may change its inputs in place.
        result = self.call(*(x.clone() for x in inputs))
        rows = len(inputs[0])
        if not isinstance(result, Tensor):
            what = f"it gives a {type(result).__name__}, not a tensor"
        elif not result.is_floating_point():
            what = f"it gives {str(result.dtype).removeprefix('torch.')}, not float32"
        elif result.shape not in self._shapes(rows):
            what = f"{rows} images in, a result {list(result.shape)} out"
        else:
            return result.reshape(self._shapes(rows)[0])
        raise Refusal(f"{self.name}: {what}", self.signature)

    def _shapes(self, rows: int) -> tuple[tuple[int, ...], ...]:
        return ((rows, self.classes),) if self.classes else ((rows,), (rows, 1))

    def blamed(self) -> AbstractContextManager[None]:
        """Refuse whatever is raised within as a fault of the function."""
        fix = f"{self.signature}; -vv shows where"
        return blamed(self.name, fix, code_names.split(self.name)[0])

    def objective(self, judge: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """judge(x) [B] of x [B, ...], where `judge` calls this function.

        The gradient is made here, too, so that whatever is wrong with the function shows here:
        the result is judge(x) + slope * (x - x), whose value and gradient are the same.
        """
        value, slope = self.with_slope(judge, x)
        if not bool(value.isfinite().all() & slope.isfinite().all()) and bool(x.isfinite().all()):
            what = "its gradient" if bool(value.isfinite().all()) else "its result"
            fix = "keep roots, norms, logarithms and divisors away from 0"
            raise Refusal(f"{self.name}: {what} is not finite", fix)
        return value + (slope * (x - x.detach())).flatten(1).sum(1)

    def with_slope(self, judge: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
        """judge(x) [B] and the gradient [B, ...] of its sum."""
        slope = None
        with self.blamed(), torch.enable_grad():
            place = x.detach().requires_grad_()
            value = judge(place)
            if value.requires_grad:
                (slope,) = torch.autograd.grad(value.sum(), place, allow_unused=True)
        if slope is None:
            fix = "leave out detach(), no_grad(), item(), argmax and rounding"
            raise Refusal(f"{self.name}: its result is not differentiable in the images", fix)
        return value.detach(), slope


def in_units(info: DataInfo, x0: Tensor) -> Tensor:
    """What scorers take of values x0 [B, ...] of a network: rows in the units of the data."""
    return codes.units(x0, info.mean, info.std, info.titles)


def scorer(
    code: Code, device: torch.device, shape: Sequence[int], info: DataInfo | None = None
) -> Function:
    """A function of images or rows [B, *shape] to scores [B], tried on two of them.

    info: of rows, what their units are.
    """
    function, trial = Function(code.name, code.on(device), _SCORES), images(device, shape)
    function.with_slope(function, trial if info is None else in_units(info, trial).float())
    return function


def classifier(
    code: Code, device: torch.device, shape: Sequence[int], info: DataInfo | None = None
) -> Function:
    """A function of x_t [B, *shape] and noise labels [B] to logits, tried on two images."""
    x, label = images(device, shape), torch.zeros(2, device=device)
    untried = Function(code.name, code.on(device), _LOGITS)
    with untried.blamed():
        logits = untried.call(x.clone(), label.clone())
    # What is no table of logits is refused as one of a single class.
    is_table = isinstance(logits, Tensor) and logits.ndim == 2
    function = replace(untried, classes=logits.shape[1] if is_table else 1)
    function.with_slope(lambda x: function(x, label).sum(1), x)
    return function


def images(device: torch.device, shape: Sequence[int]) -> Tensor:
    """Two images [2, *shape] unlike each other."""
    rows = torch.Size((2, *shape))
    return torch.linspace(-1, 1, rows.numel(), device=device).reshape(rows)
