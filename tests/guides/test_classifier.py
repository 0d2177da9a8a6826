"""The guide of a user's classifier: what it is shown of a state, and its gradient."""

from typing import Any

import pytest
import torch
from exact import by_sigma, gaussian
from torch import Tensor

from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.guides.parts import steering, user_functions
from ddpm_cli.guides.parts.context import Context
from ddpm_cli.guides.parts.user_code import Code
from ddpm_cli.hardware import compute
from ddpm_cli.models import build
from ddpm_cli.settings.code_names import CODE
from ddpm_cli.settings.config import Layer, resolve

SHAPE = (1, 4, 4)


def logits(x: Tensor, label: Tensor) -> Tensor:
    """Logits [B, 3] that depend on the image and on the noise label."""
    return x.flatten(1)[:, :3].sin() * (1 + label[:, None] / 100)


@pytest.mark.parametrize("at", ["x", "mean"])
def test_gradient_is_that_of_the_function_at_x_t(at: str) -> None:
    guide = {"name": "classifier", "model": CODE, "scale": 2.0, "at": at}
    config = resolve([Layer("test", {"guides": [guide]})])
    schedule, info = build.schedule(config), DataInfo(SHAPE)
    where: Any = (config, info, compute(device="cpu"), schedule)
    code = Code("mine", "", logits)
    functions = {"classifier": user_functions.classifier(code, torch.device("cpu"), SHAPE)}
    context = Context(*where, lambda seeds: [seed % 3 for seed in seeds], code=functions)
    denoise = steering.steer(
        steering.loaded(context), by_sigma(gaussian(0.0, 1.0), schedule), range(1, 6)
    )
    x, sigma = torch.linspace(-2, 2, 80).double().reshape(5, *SHAPE), torch.tensor(0.7).double()
    prediction = denoise(x, sigma)
    score = prediction.score if prediction.pull is None else prediction.pull(x)
    assert (prediction.pull is None) == (at == "x")

    place = x.clone().requires_grad_()
    seen = (schedule.alpha(sigma) * place).float()
    label = build.label(config)(sigma, schedule).float().expand(5)
    assert label.dtype == torch.float32
    chosen = logits(seen, label).log_softmax(1)[range(5), [1, 2, 0, 1, 2]]
    (wanted,) = torch.autograd.grad(2.0 * chosen.sum(), place)
    assert score is not None
    assert torch.allclose(score, wanted, atol=1e-7)
