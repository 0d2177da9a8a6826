"""A batch computed in parts: the same loss and gradient, and the same run but for rounding."""

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import runs
import torch
from runs import Quiet, result
from torch import Tensor

from ddpm_cli.data.image_set import ImageSet
from ddpm_cli.data.tasks import inpaint
from ddpm_cli.diffusion.denoiser import Denoiser
from ddpm_cli.diffusion.draws import low_discrepancy
from ddpm_cli.diffusion.labels import index
from ddpm_cli.diffusion.losses import simple
from ddpm_cli.diffusion.parameterizations import v
from ddpm_cli.diffusion.schedules import cosine
from ddpm_cli.networks import unet
from ddpm_cli.training.batches import Share
from ddpm_cli.training.loop import Setting, train
from ddpm_cli.training.objective import Objective
from ddpm_cli.training.players import MODEL, Player, frozen
from ddpm_cli.training.state import State

PARTS = ("--set", "train.accumulate=4")
WHOLE = ("--set", "network.dropout=0.0")


class Seen(Player):
    """A player that keeps the gradient of its last step."""

    def step(self, **knobs: Any) -> Tensor:
        self.gradients = {
            name: parameter.grad.clone() for name, parameter in self.module.named_parameters()
            if parameter.grad is not None
        }  # fmt: skip
        return super().step(**knobs)


def step(parts: int, dtype: torch.dtype) -> tuple[dict[str, Tensor], float]:
    """Gradient and loss of one step of an inpainting network with classes."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (24, 1, 8, 8), generator=generator, dtype=torch.uint8)
    task, shape = inpaint((1, 8, 8)), (1, 8, 8)
    images = ImageSet(pixels, shape, torch.arange(24) % 3, ("a", "b", "c"))
    torch.manual_seed(1)
    network = unet(shape, task.channels, width=8, blocks=1, classes=3, norm="pixel").to(dtype)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)  # nothing is zero, so that all gradients flow
    model = Denoiser(network, cosine(steps=10), v, index)
    player = Seen(model, torch.optim.AdamW(model.parameters()), frozen(model))
    state, journal = State({MODEL: player}, low_discrepancy), Quiet()
    setting = Setting(
        {MODEL: Objective(model, simple, task)},
        model.schedule,
        images,
        {"classes": torch.tensor(3)},
        {},
        torch.device("cpu"),
        nullcontext,
        dict,
    )
    train(
        setting, state, journal, steps=1, batch=12, accumulate=parts, warmup=0,
        drop_class=0.4, flip=True, crop=2, log_every=1,
    )  # fmt: skip
    return player.gradients, journal.lines[0]["loss"]


@pytest.mark.parametrize(("dtype", "slack"), [(torch.float32, 1e-6), (torch.float64, 1e-14)])
def test_the_gradient_of_the_whole_batch(dtype: torch.dtype, slack: float) -> None:
    whole, loss = step(1, dtype)
    size = torch.cat([gradient.flatten() for gradient in whole.values()]).norm()
    assert len(whole) > 30
    for parts in (2, 3, 12):
        gradients, parted = step(parts, dtype)
        assert parted == pytest.approx(loss, rel=1e-6)
        for name, gradient in whole.items():
            assert gradient.norm() > 0, name
            assert (gradients[name] - gradient).norm() < slack * size, (name, parts)


def test_parts_of_a_share_make_it_up() -> None:
    for rank in range(3):
        share = Share(rank, 3)
        parts = [part.of(24) for part in share.parts(4)]
        rows = torch.arange(24)
        assert torch.equal(torch.cat([rows[part] for part in parts]), rows[share.of(24)])


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("runs") / "whole"
    assert runs.train_small(data, folder, *WHOLE).code == 0
    return folder


def test_a_run_in_parts_is_the_same_run(data: Path, whole: Path, tmp_path: Path) -> None:
    """Adam takes steps of full size where a gradient is rounding noise, so weights may part."""
    outcome = runs.train_small(data, tmp_path / "parts", *WHOLE, *PARTS)
    assert outcome.code == 0, outcome.err
    parts, one = result(tmp_path / "parts"), result(whole)
    for mine, theirs in zip(parts.losses, one.losses, strict=True):
        assert mine == pytest.approx(theirs, rel=1e-4)
    for name, tensor in one.model.items():
        assert (parts.model[name] - tensor).abs().mean() < 2e-5, name


def test_a_draw_with_a_memory_gets_the_whole_batch(data: Path, tmp_path: Path) -> None:
    chosen = (
        "--set", "draw={name='loss-second-moment', history=4}", "--set", "schedule.steps=2",
        "--set", "levels.count=2", *WHOLE,
    )  # fmt: skip
    for name, words in (("one", ()), ("parts", PARTS)):
        assert runs.train_small(data, tmp_path / name, *chosen, *words).code == 0
    one, parts = (result(tmp_path / name).state for name in ("one", "parts"))
    assert torch.equal(one["draw.counts"], parts["draw.counts"])
    assert int(parts["draw.counts"].sum()) == 8 * runs.STEPS
    assert torch.allclose(one["draw.losses"], parts["draw.losses"], rtol=1e-3)


def test_a_run_may_go_on_in_parts(data: Path, whole: Path, tmp_path: Path) -> None:
    """States from before there was the key count as in one part."""
    words = (*WHOLE, "--steps", 6)
    assert runs.train_small(data, tmp_path / "run", *words).code == 0
    outcome = runs.train_small(data, tmp_path / "run", *WHOLE, *PARTS)
    assert outcome.code == 0, outcome.err
    assert "going on from step 6" in outcome.err


@pytest.mark.parametrize("parts", [3, 16])
def test_parts_must_be_equal(parts: int, data: Path, tmp_path: Path) -> None:
    outcome = runs.train_small(data, tmp_path / "run", "--set", f"train.accumulate={parts}")
    assert outcome.code == 2
    assert outcome.err.splitlines()[-1] == (
        f"Error: train.accumulate: {parts} parts of 8 images are not equal; "
        "give a number that divides them"
    )
    assert runs.contents(tmp_path / "run") == {}
