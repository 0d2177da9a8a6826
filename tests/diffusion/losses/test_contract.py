"""What every loss of the catalog must do."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from exact import schedules
from probes import smooth_denoiser
from torch import Tensor

from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.diffusion.schedules.schedule import Schedule
from ddpm_cli.settings import catalog
from ddpm_cli.settings.checks import JUDGES
from ddpm_cli.training.objective import asked

# The others have no denoiser, or ask for somebody beside it: see their own tests.
ALONE = [
    name
    for name in sorted({*catalog.names("loss")} - {*JUDGES.values()})
    if not asked(catalog.load(catalog.find("loss", name)))
]


@pytest.mark.parametrize("name", ALONE)
def test_every_loss_trains_on_every_process(name: str, subtests: pytest.Subtests) -> None:
    """In float32, at both ends of time, each image by itself, with its class passed on."""
    component = catalog.find("loss", name)
    loss = catalog.load(component)
    if "nearest" in component.knobs:
        loss = partial(loss, nearest=3)
    for process in ("linear", "cosine", "geometric", "vp", "ve", "learned"):
        with subtests.test(process=process):
            check(loss, schedules()[process], bound=name in ("vlb", "hybrid"))


def check(loss: Callable[..., Tensor], schedule: Schedule, bound: bool) -> None:
    denoise = smooth_denoiser(schedule, torch.float32)
    steps = schedule.steps or 1000
    t = torch.tensor([1 / steps, 2 / steps, 0.5, 1.0], dtype=torch.float64)
    x0 = torch.tensor([[-1, 1], [0.5, 0.0], [1, 1], [-0.2, 0.7]]).mul(255).round().div(255)
    classes = torch.arange(4)
    if bound and schedule.steps is None:
        with pytest.raises(ValueError, match="set its steps"):
            loss(denoise, x0, t, Rng([0, 1, 2, 3]), classes=classes)
        return
    losses = loss(denoise, x0, t, Rng([0, 1, 2, 3]), classes=classes)
    assert losses.shape == (4,)
    assert losses.dtype == torch.float32
    assert torch.equal(denoise.network.classes, classes)
    assert bool(torch.isfinite(losses).all())
    losses.sum().backward()
    for parameter in denoise.parameters():
        assert parameter.grad is None or bool(torch.isfinite(parameter.grad).all())
    assert float(denoise.network.matrix.grad[:2].abs().sum()) > 0
    alone = loss(denoise, x0[2:3], t[2:3], Rng([2]), classes=classes[2:3])
    assert torch.allclose(alone, losses[2:3], rtol=1e-4)
    with torch.no_grad():
        quiet = loss(denoise, x0, t, Rng([0, 1, 2, 3]), classes=classes)
    assert torch.allclose(quiet, losses)
    assert not quiet.requires_grad
