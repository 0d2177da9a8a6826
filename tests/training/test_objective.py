"""What the module of the loss does around a network."""

from typing import Literal

import pytest
import torch
from torch import Tensor, nn

from ddpm_cli.data.tasks import upscale
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.training.objective import Objective


@pytest.mark.parametrize("degrade", ["none", "blur", "bsr"])
def test_images_are_spoilt_in_full_precision(degrade: Literal["none", "blur", "bsr"]) -> None:
    """Also where the network computes in bfloat16, for which some of it has no kernel."""
    seen: list[Tensor] = []

    def loss(model: nn.Module, x0: Tensor, t: Tensor, rng: Rng, image: Tensor) -> Tensor:
        seen.append(image)
        return image.flatten(1).mean(1)

    task = upscale((1, 16, 16), degrade=degrade)
    x0 = torch.rand(3, 1, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    objective = Objective(nn.Identity(), loss, task)  # type: ignore[arg-type]
    objective(x0, torch.ones(3), Rng(range(3)), {})
    with torch.autocast("cpu", dtype=torch.bfloat16):
        objective(x0, torch.ones(3), Rng(range(3)), {})
    assert seen[1].dtype == torch.float32
    assert torch.equal(*seen)
