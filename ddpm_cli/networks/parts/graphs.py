"""Networks as CUDA graphs: the kernels of a call are recorded once and launched all together.

The host takes longer to launch the kernels of a small network than the device to run them.  A
graph reads and writes the same memory each time: inputs are copied there, results are copied out.
"""

import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ddpm_cli import console
from ddpm_cli.hardware import Compute

MOST = 8  # recordings of a network, each with memory of its own; other calls are made as usual
_WARM = 3  # runs before a recording, in which libraries choose their algorithms

_Made = TypeVar("_Made")


class Recorder(Protocol):
    """Records what a device is told to do."""

    def warm(self, work: Callable[[], object]) -> None:
        """Do some work a few times, aside."""

    def record(self, work: Callable[[], _Made]) -> tuple[_Made, Callable[[], None]]:
        """The tensors that some work makes, and what makes them anew in the same memory."""


class Cuda:
    """Records on the current device of CUDA; all recordings share their memory."""

    def __init__(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()

    def warm(self, work: Callable[[], object]) -> None:
        """Do some work on a stream of its own, as recordings are made on one."""
        stream, current = torch.cuda.Stream(), torch.cuda.current_stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(current)
        with torch.cuda.stream(stream):
            for _ in range(_WARM):
                work()
        current.wait_stream(stream)

    def record(self, work: Callable[[], _Made]) -> tuple[_Made, Callable[[], None]]:
        """Record some work; what other threads do meanwhile is no part of it."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            made = work()
        return made, graph.replay


class _Plan(NamedTuple):
    """A recorded call: what is read, what comes out, and what runs it."""

    inputs: list[Tensor]
    output: Tensor
    run: Callable[[], None]
    slopes: "_Slopes | None" = None

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        """The network's answer to inputs, in memory of its own."""
        for place, value in zip(self.inputs, inputs, strict=True):
            place.copy_(value)
        self.run()
        return self.output.detach().clone()


class _Slopes(NamedTuple):
    """A recorded backward pass: all gradients lie one after the other in `flat`."""

    given: Tensor
    flat: Tensor
    parts: list[Tensor | None]
    run: Callable[[], None]
    pending: list["weakref.ref[_Pass]"]  # the forward pass whose backward pass is to come

    def call(self, given: Tensor) -> list[Tensor | None]:
        """The gradients of the weights, in memory of their own."""
        self.given.copy_(given)
        self.run()
        fresh = self.flat.clone()
        return [
            None if part is None
            else fresh.as_strided(part.shape, part.stride(), part.storage_offset())
            for part in self.parts
        ]  # fmt: skip

    def is_awaited(self) -> bool:
        """Whether what the last forward pass left is still needed."""
        return any(one() is not None for one in self.pending)


class _Pass:
    """One forward pass, alive as long as a backward pass may come."""


class _Replayed(torch.autograd.Function):
    """A recorded call with a recorded backward pass, in the eyes of autograd."""

    @staticmethod
    def forward(ctx: Any, plan: _Plan, slopes: _Slopes, count: int, *tensors: Tensor) -> Tensor:
        ctx.slopes, ctx.count, ctx.one = slopes, count, _Pass()
        slopes.pending[:] = [weakref.ref(ctx.one)]
        return plan.call(tensors[:count])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, given: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.one is None:
            raise RuntimeError("a recorded network has one backward pass for each forward pass")
        ctx.one = None
        return (None, None, None, *[None] * ctx.count, *ctx.slopes.call(given))


class Graphed:
    """A network's forward pass that is recorded when inputs of a shape come the second time.

    As usual go calls that a recording does not fit: where an input needs a gradient, where
    somebody listens to parts of the network, and a forward pass while a backward pass is due.
    What cannot be recorded is warned of once, and then goes as usual.
    """

    def __init__(self, network: nn.Module, recorder: Recorder) -> None:
        self._network, self._forward, self._recorder = network, network.forward, recorder
        self._plans: dict[Any, _Plan | None] = {}  # None: seen once
        self._fits = True

    def __call__(self, *inputs: Tensor, **conditions: Tensor) -> Tensor:
        """What the network's own forward pass gives."""
        tensors = [*inputs, *conditions.values()]
        learning = torch.is_grad_enabled() and any(w.requires_grad for w in self._weights())
        plan = self._plan(tensors, len(inputs), tuple(conditions), learning)
        if plan is None:
            output: Tensor = self._forward(*inputs, **conditions)
            return output
        if plan.slopes is None:
            return plan.call(tensors)
        weights = [weight for weight in self._weights() if weight.requires_grad]
        given = (plan, plan.slopes, len(tensors), *tensors, *weights)
        replayed: Tensor = _Replayed.apply(*given)
        return replayed

    @property
    def plain(self) -> Callable[..., Tensor]:
        """The network's own forward pass."""
        return self._forward

    def _weights(self) -> list[nn.Parameter]:
        return list(self._network.parameters())

    def _plan(
        self, tensors: list[Tensor], count: int, names: tuple[str, ...], learning: bool
    ) -> _Plan | None:
        """What was recorded of calls like this one, or is now; None if it goes as usual."""
        if not self._fits or not all(isinstance(value, Tensor) for value in tensors):
            return None
        if torch.is_grad_enabled() and any(value.requires_grad for value in tensors):
            return None
        # Weights that were moved or replaced are no longer where a recording reads them.
        key = (
            names, learning, self._network.training, _casts(tensors[0].device.type),
            *((v.shape, v.dtype, v.stride(), v.device) for v in tensors),
            *(weight.data_ptr() for weight in self._weights()[:1]),
        )  # fmt: skip
        if key not in self._plans:
            if len(self._plans) < MOST:
                self._plans[key] = None
            return None
        plan = self._plans[key]
        if plan is None:
            plan = self._plans[key] = self._recorded(tensors, count, names, learning)
        if plan is not None and plan.slopes is not None and plan.slopes.is_awaited():
            return None
        return plan

    def _recorded(
        self, tensors: list[Tensor], count: int, names: tuple[str, ...], learning: bool
    ) -> _Plan | None:
        if any(m._forward_hooks or m._forward_pre_hooks for m in self._parts()):
            self._fits = False
            return None
        places = [value.detach().clone() for value in tensors]

        def forward() -> Tensor:
            with _uncached(places[0].device.type), torch.set_grad_enabled(learning):
                named = dict(zip(names, places[count:], strict=True))
                output: Tensor = self._forward(*places[:count], **named)
                return output

        record = self._learning if learning else self._plain
        try:
            with _aside(places[0].device):
                return record(places, forward)
        except (RuntimeError, NotImplementedError) as error:
            self._fits = False
            why = str(error).strip().splitlines()[0]
            console.warn(f"no CUDA graph of the network, which is called as usual: {why}")
            return None

    def _parts(self) -> list[nn.Module]:
        return [module for module in self._network.modules() if module is not self._network]

    def _plain(self, places: list[Tensor], forward: Callable[[], Tensor]) -> _Plan:
        self._recorder.warm(forward)
        return _Plan(places, *self._recorder.record(forward))

    def _learning(self, places: list[Tensor], forward: Callable[[], Tensor]) -> _Plan:
        """A forward pass and its backward pass, which reads what the former left behind."""
        weights = [weight for weight in self._weights() if weight.requires_grad]
        flat, parts = _in_a_row(weights)

        def slopes(output: Tensor, given: Tensor) -> list[Tensor | None]:
            found = torch.autograd.grad(output, weights, given, allow_unused=True)
            kept = [(p, f) for p, f in zip(parts, found, strict=True) if f is not None]
            torch._foreach_copy_([p for p, _ in kept], [f for _, f in kept])
            return [None if f is None else p for p, f in zip(parts, found, strict=True)]

        def both() -> None:
            output = forward()
            slopes(output, torch.zeros_like(output))

        self._recorder.warm(both)
        output, run = self._recorder.record(forward)
        given = torch.zeros_like(output)
        made, back = self._recorder.record(lambda: slopes(output, given))
        return _Plan(places, output, run, _Slopes(given, flat, made, back, []))


def called(network: nn.Module, compute: Compute) -> nn.Module:
    """A network on its device as it is to be called: compiled, recorded, or as it is."""
    network = compute.run(network)
    return graphed(network) if compute.records(network) else network


def graphed(network: nn.Module, recorder: Recorder | None = None) -> nn.Module:
    """The network, called through recordings from now on; recorder: CUDA's, if not another."""
    network.forward = Graphed(network, recorder or Cuda())
    return network


def _in_a_row(weights: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """Memory for all gradients of weights of one kind, and the part of each, laid out as it is."""
    flat = torch.zeros(
        sum(weight.numel() for weight in weights),
        dtype=weights[0].dtype,
        device=weights[0].device,
    )
    parts, first = [], 0
    for weight in weights:
        parts.append(flat.as_strided(weight.shape, weight.stride(), first))
        first += weight.numel()
    return flat, parts


@contextmanager
def _aside(device: torch.device) -> Iterator[None]:
    """On a device of which no random numbers are used up, so that dropout draws what it drew."""
    is_cuda = device.type == "cuda"
    here = torch.cuda.device(device) if is_cuda else nullcontext()
    with here, torch.random.fork_rng([device] if is_cuda else []):
        yield


def _casts(device: str) -> torch.dtype | None:
    """The number format that autocast brings to a device now."""
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None


def _uncached(device: str) -> AbstractContextManager[Any]:
    """Autocast as it is, which casts weights at each replay anew: they change between them."""
    dtype = _casts(device)
    return torch.autocast(device, dtype, cache_enabled=False) if dtype else nullcontext()
