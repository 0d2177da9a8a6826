"""A recording gives what the network gives, bit for bit, from memory that stays where it is.

There need be no GPU: `Tape` records what reaches the kernels of the CPU, and runs them again with
the very tensors that they had, as a CUDA graph does.  Numbers that the host computed stay as
they were.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ddpm_cli.networks.parts import graphs
from ddpm_cli.networks.unets import unet

_Made = TypeVar("_Made")
READS = {torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default}


class _Kernels(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in READS:
            raise RuntimeError("operation not permitted when stream is capturing")
        made = func(*args, **(kwargs or {}))
        self.calls.append((func, args, kwargs or {}, made))
        return made

    def replay(self) -> None:
        with torch.no_grad():
            for func, args, kwargs, made in self.calls:
                given = {id(t) for t in _tensors((args, kwargs))}
                places = {t.untyped_storage().data_ptr() for t in _tensors((args, kwargs))}
                for kept, fresh in zip(
                    _tensors(made), _tensors(func(*args, **kwargs)), strict=True
                ):
                    is_view = kept.untyped_storage().data_ptr() in places
                    if id(kept) not in given and not is_view:
                        kept.copy_(fresh)


def _tensors(values: Any) -> list[Tensor]:
    return [value for value in tree_leaves(values) if isinstance(value, Tensor)]


class Tape:
    """Records kernels of the CPU; counts what it did."""

    def __init__(self) -> None:
        self.recordings = self.replays = 0

    def warm(self, work: Callable[[], object]) -> None:
        work()

    def record(self, work: Callable[[], _Made]) -> tuple[_Made, Callable[[], None]]:
        self.recordings += 1
        kernels = _Kernels()
        with kernels:
            made = work()

        def replay() -> None:
            self.replays += 1
            kernels.replay()

        return made, replay


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last, self.idle = nn.Linear(3, 4), nn.Linear(4, 3), nn.Linear(2, 2)

    def forward(self, x: Tensor, label: Tensor, classes: Tensor | None = None) -> Tensor:
        more = label[:, None] if classes is None else (label + classes)[:, None]
        out: Tensor = self.last(torch.tanh(self.first(x) + more))
        return out


def pair(make: Callable[[], nn.Module] = Small) -> tuple[nn.Module, nn.Module, Tape]:
    """A network, the same one recorded, and what recorded it."""
    torch.manual_seed(0)
    usual = make()
    torch.manual_seed(0)
    tape = Tape()
    return usual, graphs.graphed(make(), tape), tape


def calls(count: int, *shape: int) -> Iterator[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(7)
    for _ in range(count):
        yield (torch.randn(shape, generator=generator), torch.rand(shape[0], generator=generator))


class TestSampling:
    @torch.no_grad()
    def test_replays_give_the_same_bits(self) -> None:
        usual, recorded, tape = pair()
        for x, label in calls(4, 2, 3):
            assert torch.equal(recorded(x, label), usual(x, label))
        assert (tape.recordings, tape.replays) == (1, 3)  # the first call only makes it known

    @torch.no_grad()
    def test_a_result_is_not_overwritten_by_the_next(self) -> None:
        _, recorded, _ = pair()
        results = [recorded(x, label) for x, label in calls(3, 2, 3)]
        kept = [result.clone() for result in results]
        recorded(*next(calls(1, 2, 3)))
        assert all(map(torch.equal, results, kept))

    @torch.no_grad()
    def test_shapes_and_conditions_are_recorded_apart_and_not_without_end(self) -> None:
        usual, recorded, tape = pair()
        for rows in range(1, graphs.MOST + 3):
            for x, label in calls(2, rows, 3):
                assert torch.equal(recorded(x, label), usual(x, label))
        assert tape.recordings == graphs.MOST
        _, recorded, tape = pair()
        classes = torch.ones(2)
        for x, label in calls(3, 2, 3):
            assert torch.equal(recorded(x, label, classes=classes), usual(x, label, classes))
            assert torch.equal(recorded(x, label), usual(x, label))
        assert tape.recordings == 2

    def test_a_gradient_with_respect_to_the_image_goes_as_usual(self) -> None:
        usual, recorded, tape = pair()
        for x, label in calls(3, 2, 3):
            places = [x.clone().requires_grad_() for _ in range(2)]
            for network, place in zip((usual, recorded), places, strict=True):
                network(place, label).square().sum().backward()
            assert torch.equal(*(place.grad for place in places))  # type: ignore[arg-type]
        assert tape.recordings == 0

    @torch.no_grad()
    def test_who_listens_to_a_part_is_told_of_every_call(self) -> None:
        _, recorded, tape = pair()
        heard: list[int] = []
        recorded.get_submodule("last").register_forward_pre_hook(lambda *_: heard.append(1))
        recorded.register_forward_pre_hook(lambda *_: heard.append(2))
        for x, label in calls(3, 2, 3):
            recorded(x, label)
        assert heard == [2, 1] * 3
        assert not tape.recordings

    @torch.no_grad()
    def test_who_listens_to_the_whole_is_told_of_replays_too(self) -> None:
        _, recorded, tape = pair()
        heard: list[int] = []
        recorded.register_forward_pre_hook(lambda _, rows: heard.append(len(rows[0])))
        for x, label in calls(3, 2, 3):
            recorded(x, label)
        assert heard == [2] * 3
        assert tape.replays

    @torch.no_grad()
    def test_moved_weights_are_recorded_anew(self) -> None:
        usual, recorded, tape = pair()
        for x, label in calls(3, 2, 3):
            recorded(x, label)
        usual.double()
        recorded.double()
        for x, label in calls(3, 2, 3):
            wide = x.double(), label.double()
            assert torch.equal(recorded(*wide), usual(*wide))
        assert tape.recordings == 2

    @torch.no_grad()
    def test_what_cannot_be_recorded_is_warned_of_once(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        class Reading(Small):
            def forward(self, x: Tensor, label: Tensor, classes: Tensor | None = None) -> Tensor:
                return super().forward(x, label * float(x.sum() > 0), classes)

        usual, recorded, _ = pair(Reading)
        for x, label in calls(4, 2, 3):
            assert torch.equal(recorded(x, label), usual(x, label))
        assert capsys.readouterr().err.count("no CUDA graph") == 1


class TestTraining:
    @staticmethod
    def trained(network: nn.Module, steps: int, accumulate: int = 1, **cast: Any) -> nn.Module:
        optimizer = torch.optim.AdamW(network.parameters(), lr=0.1)
        source = calls(steps * accumulate, 4, 3)
        for _ in range(steps):
            for _ in range(accumulate):
                x, label = next(source)
                with torch.autocast("cpu", enabled=bool(cast), **cast):
                    loss = network(x, label).float().square().mean()
                loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            network.zero_grad(set_to_none=True)
        return network

    @pytest.mark.parametrize("accumulate", [1, 3])
    def test_weights_are_the_same_bits(self, accumulate: int) -> None:
        usual, recorded, tape = pair()
        for network in (usual, recorded):
            self.trained(network, 5, accumulate)
        assert all(map(torch.equal, usual.parameters(), recorded.parameters()))
        assert tape.recordings == 2
        assert tape.replays == 2 * (5 * accumulate - 1)

    def test_weights_that_are_not_used_have_no_gradient(self) -> None:
        _, recorded, _ = pair()
        for x, label in calls(3, 2, 3):
            recorded(x, label).sum().backward()
        idle, first = recorded.get_submodule("idle"), recorded.get_submodule("first")
        assert idle.weight.grad is None
        assert first.weight.grad is not None

    def test_weights_are_cast_anew_at_each_step(self) -> None:
        usual, recorded, tape = pair()
        for network in (usual, recorded):
            self.trained(network, 5, dtype=torch.bfloat16)
        assert all(map(torch.equal, usual.parameters(), recorded.parameters()))
        assert tape.replays

    def test_two_calls_before_a_backward_pass_do_not_meet(self) -> None:
        usual, recorded, tape = pair()
        for network in (usual, recorded):
            source = calls(6, 2, 3)
            for _ in range(3):
                loss = network(*next(source)).square().sum() + network(*next(source)).sum()
                loss.backward()
        for one, other in zip(usual.parameters(), recorded.parameters(), strict=True):
            assert (one.grad is None) == (other.grad is None)
            assert one.grad is None or torch.allclose(one.grad, other.grad, rtol=1e-6)  # type: ignore[arg-type]
        assert tape.replays

    def test_a_loss_that_is_dropped_does_not_stop_replays(self) -> None:
        _, recorded, tape = pair()
        for x, label in calls(4, 2, 3):
            recorded(x, label)
        assert tape.replays == 3

    def test_dropout_differs_from_replay_to_replay(self) -> None:
        network = nn.Sequential(nn.Linear(3, 50), nn.Dropout(0.5))
        recorded = graphs.graphed(network, Tape())
        x = torch.ones(1, 3)
        _, second, third = (recorded(x) for _ in range(3))
        assert not torch.equal(second == 0, third == 0)


def tiny() -> nn.Module:
    return unet((1, 8, 8), width=8, groups=4, attention=[4], classes=2, dropout=0.1)


def test_a_whole_network_learns_the_same() -> None:
    usual, recorded, tape = pair(tiny)
    for network in (usual, recorded):
        generator = torch.Generator().manual_seed(3)
        optimizer = torch.optim.AdamW(network.parameters(), lr=0.01)
        for step in range(4):
            torch.manual_seed(step)  # of the masks of dropout
            x = torch.randn(2, 1, 8, 8, generator=generator)
            label, classes = torch.tensor([1.0, 900.0]), torch.tensor([0, 1])
            network(x, label, classes=classes).sub(x).square().mean().backward()
            optimizer.step()
            network.zero_grad(set_to_none=True)
    assert all(map(torch.equal, usual.parameters(), recorded.parameters()))
    assert tape.recordings == 2
    assert tape.replays == 6
