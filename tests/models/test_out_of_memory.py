"""Where memory runs out in the middle of the work, one line says what works."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from runs import ddpm, train

from ddpm_cli.errors import Refusal
from ddpm_cli.models import out_of_memory
from ddpm_cli.networks import unets

FULL = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
    MemoryError(),
]


def small(patch: pytest.MonkeyPatch, fault: Exception, is_much: Callable[[int], bool]) -> None:
    """Make memory too small for some numbers of rows."""
    forward = unets.unet.forward

    def called(self: unets.unet, x: torch.Tensor, *rest: object, **more: object) -> torch.Tensor:
        if is_much(len(x)):
            raise fault
        return forward(self, x, *rest, **more)  # type: ignore[arg-type]

    patch.setattr(unets.unet, "forward", called)


@pytest.fixture(params=FULL, ids=["cuda", "cpu", "python"])
def full(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose memory is too small for three images."""
    small(monkeypatch, request.param, lambda rows: rows > 2)


@pytest.mark.usefixtures("full")
class TestCommands:
    def test_samples_in_smaller_batches(self, here: Path) -> None:
        outcome = ddpm("sample", "-n", 4, "--batch", 4, "-o", "a.png")
        assert outcome.code == 1
        assert outcome.err.splitlines()[-2:] == [
            "Error: --batch 4: out of memory",
            "the same command with --batch 2 takes half of it",
        ]
        assert not list(here.glob("a.png*"))
        assert ddpm("sample", "-n", 4, "--batch", 2, "-o", "a.png").code == 0

    def test_a_run_goes_on_in_parts(self, data: Path, tmp_path: Path) -> None:
        folder = tmp_path / "run"
        outcome = train(data, folder)
        assert outcome.code == 1
        error, fix = outcome.err.splitlines()[-2:]
        assert error == f"Error: {folder}: out of memory"
        assert fix == "the same command with --set train.accumulate=2 goes on with half of it"


def test_a_run_goes_on_without_its_sheet(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small(monkeypatch, FULL[0], lambda rows: rows == 5)  # which a sheet alone has
    few = ("--set", "train.sheet_count=5", "--steps", 2)
    outcome = train(data, tmp_path / "run", *few)
    assert outcome.code == 0
    assert "out of memory for its sheet; --set train.sheet_count=1 draws fewer" in outcome.err


def test_parts_divide_the_images_of_a_process() -> None:
    assert "train.accumulate=4 goes on with less" in out_of_memory.accumulating(32, 2, 3)
    assert "accumulate=5 goes on with less" in out_of_memory.accumulating(5, 1, 1)
    assert "--device cpu" in out_of_memory.accumulating(4, 4, 1)


def test_other_faults_are_left_alone() -> None:
    with pytest.raises(RuntimeError, match="odd"), out_of_memory.told("a", "b"):
        raise RuntimeError("odd")
    with pytest.raises(Refusal, match="--batch 1: out of memory\ntry --device cpu"):
        list(out_of_memory.within(_raising(), 1))


def _raising() -> Iterator[int]:
    yield 1
    raise MemoryError
