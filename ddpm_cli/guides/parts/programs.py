"""Programs of the user's own that judge images: exported by torch.export, run without trust.

A classifier program takes images and noise labels and gives logits; a scorer takes images and
gives a number each, larger for what it likes better. Both are differentiable in the images.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ddpm_cli.errors import Refusal
from ddpm_cli.guides.parts import containers, graphs


class Program:
    """A loaded program: tensors [B, ...] in, a tensor [B, ...] out, for any B.

    A program that was exported for a fixed number of rows is given as many at a time; the last
    ones are repeated to make up the number, and what comes of that is dropped.
    """

    def __init__(self, path: Path, graph: graphs.Graph, stored: Mapping[str, Tensor]) -> None:
        """Take the graph and its stored tensors; see `load`."""
        self.path, self._graph, self._stored = path, graph, stored
        self.inputs = graph.inputs
        fixed = {one.sizes[0] for one in graph.inputs if one.sizes and one.sizes[0] is not None}
        if any(not one.sizes for one in graph.inputs) or len(fixed) > 1 or 0 in fixed:
            raise containers.refused(path, "its inputs have no number of rows in common")
        self.batch = fixed.pop() if fixed else None

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Run it on any number of rows; the result is differentiable in the inputs."""
        self._refuse_inputs(inputs)
        given = [x.to(one.dtype) for x, one in zip(inputs, self.inputs, strict=True)]
        if self.batch is None:
            return self._run(given)
        count = len(inputs[0])
        parts = [
            self._run([_padded(x[first : first + self.batch], self.batch) for x in given])
            for first in range(0, count, self.batch)
        ]
        return torch.cat(parts)[:count]

    def _run(self, inputs: Sequence[Tensor]) -> Tensor:
        # A copy, because a program may change its inputs in place.
        copies = [x.clone() for x in inputs]
        before = {name: value._version for name, value in self._stored.items()}
        try:
            made = graphs.run(self._graph, self._stored, copies)
        except torch.OutOfMemoryError:
            raise
        except (ArithmeticError, IndexError, KeyError, TypeError, ValueError) as error:
            raise self._failed(error) from None
        except RuntimeError as error:
            if "can't allocate memory" in str(error):
                raise
            raise self._failed(error) from None
        if any(value._version != before[name] for name, value in self._stored.items()):
            raise self._misfit("it changes its own tensors as it runs")
        if isinstance(made, Tensor) and not made.ndim:
            raise self._misfit("it gives one number for all images, not one for each")
        if not isinstance(made, Tensor) or not made.ndim or len(made) != len(inputs[0]):
            shape = _shown(made.shape) if isinstance(made, Tensor) else "no tensor"
            raise self._misfit(f"{len(inputs[0])} rows in, {shape} out")
        return made

    def _refuse_inputs(self, inputs: Sequence[Tensor]) -> None:
        if len(inputs) != len(self.inputs):
            raise self._misfit(f"it takes {len(self.inputs)} inputs, not {len(inputs)}")
        for x, one in zip(inputs, self.inputs, strict=True):
            sizes = one.sizes[1:]
            fits = len(sizes) == x.ndim - 1 and all(
                size in (None, given) for size, given in zip(sizes, x.shape[1:], strict=True)
            )
            if not fits:
                given = _shown(x.shape[1:])
                raise self._misfit(f"input {one.name} takes {_shown(sizes)}, not {given}")

    def _misfit(self, why: str) -> Refusal:
        return Refusal(f"{self.path}: {why}; export it for these images")

    def _failed(self, error: Exception) -> Refusal:
        why = (str(error).splitlines() or [type(error).__name__])[0]
        return Refusal(f"{self.path}: the program failed: {why[:200]}")


def load(path: Path, device: torch.device | str = "cpu") -> Program:
    """Read a .pt2 file of torch.export.save onto a device; nothing in it is trusted.

    Its graph is interpreted, with the operators of files/operators.py; pickles, TorchScript,
    compiled libraries and all else that could run code are refused before they are read.
    """
    place = torch.device(device)
    with containers.opened(path) as container:
        graph = graphs.parse(container.json(containers.MODEL), place)
        stored = container.tensors(place)
        missing = [key for _, key in graph.stored if key not in stored]
        if missing:
            raise containers.refused(path, f"{missing[0]} is missing")
        return Program(path, graph, stored)


def scorer(
    path: Path, device: torch.device | str, shape: Sequence[int]
) -> Callable[[Tensor], Tensor]:
    """A program of images [B, *shape] in [-1, 1] to scores [B], checked by one run."""
    program = load(path, device)
    _refuse_kinds(program, ("images",))

    def score(x: Tensor) -> Tensor:
        made = program(x)
        if made.shape not in ((len(x),), (len(x), 1)):
            raise Refusal(f"{path}: scores of shape {_shown(made.shape)}; expected one an image")
        return made.reshape(len(x)).to(x.dtype)

    _refuse_constant(path, score, torch.zeros(1, *shape, device=device))
    return score


class Classifier(NamedTuple):
    """A program of images [B, ...] and noise labels [B] to logits [B, classes]."""

    logits: Callable[[Tensor, Tensor], Tensor]
    classes: int


def classifier(path: Path, device: torch.device | str, shape: Sequence[int]) -> Classifier:
    """A program of images [B, *shape] and noise labels [B], checked by one run."""
    program = load(path, device)
    _refuse_kinds(program, ("images", "noise labels"))

    def logits(x: Tensor, label: Tensor) -> Tensor:
        made = program(x, label)
        if made.ndim != 2:
            wanted = "expected BATCHxCLASSES"
            raise Refusal(f"{path}: logits of shape {_shown(made.shape)}; {wanted}")
        return made.to(x.dtype)

    x, label = torch.zeros(1, *shape, device=device), torch.zeros(1, device=device)
    _refuse_constant(path, lambda x: logits(x, label), x)
    return Classifier(logits, logits(x, label).shape[1])


def _refuse_kinds(program: Program, roles: tuple[str, ...]) -> None:
    """Refuse a program that does not take float32 tensors, as many as there are roles."""
    if len(program.inputs) != len(roles):
        wanted = f"{len(roles)} inputs ({', '.join(roles)})"
        what = f"{program.path}: it has {len(program.inputs)} inputs, expected {wanted}"
        raise Refusal(what, "export it with these inputs")
    for one, role in zip(program.inputs, roles, strict=True):
        if one.dtype != torch.float32:
            kind = str(one.dtype).removeprefix("torch.")
            raise Refusal(f"{program.path}: its {role} are {kind}; export it with float32")


def _refuse_constant(path: Path, function: Callable[[Tensor], Tensor], x: Tensor) -> None:
    """Refuse what cannot guide because its gradient in x is not there."""
    with torch.enable_grad():
        x = x.clone().requires_grad_()
        made = function(x).sum()
        found = torch.autograd.grad(made, x, allow_unused=True)[0] if made.requires_grad else None
    if found is None:
        what = f"{path}: its result is not differentiable in the images"
        raise Refusal(what, "export it without detach(), no_grad(), argmax and rounding")


def _padded(x: Tensor, count: int) -> Tensor:
    """Rows [count, ...], the last one repeated."""
    if len(x) == count:
        return x
    return torch.cat([x, x[-1:].expand(count - len(x), *x.shape[1:])])


def _shown(shape: Sequence[int | None]) -> str:
    sizes = ["any" if size is None else str(size) for size in shape]
    return "x".join(sizes) or "a number each"
