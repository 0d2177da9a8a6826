"""What every critic does: one logit a pair, that follows both states, the level and the class."""

import pytest
import torch
from probes import lively
from torch import nn

from ddpm_cli.networks.critics import mlp, residual


def critics(count: int = 0) -> dict[str, tuple[nn.Module, tuple[int, ...]]]:
    torch.manual_seed(0)
    made = {
        "images": (residual((1, 9, 7), count, width=8, multipliers=[1, 2]), (1, 9, 7)),
        "patches": (residual((3, 8, 8), count, width=8, multipliers=[1, 1], patch=2), (3, 8, 8)),
        "points": (mlp((2,), count, width=16, depth=2), (2,)),
        "signals": (mlp((2, 5), count, width=16, depth=1), (2, 5)),
    }
    return {name: (lively(network), shape) for name, (network, shape) in made.items()}


@pytest.mark.parametrize("name", critics())
def test_a_logit_follows_all_that_is_judged(name: str) -> None:
    critic, shape = critics(count=3)[name]
    x, label = torch.randn(4, 2 * shape[0], *shape[1:]), torch.arange(4.0)
    classes = torch.tensor([0, 1, 2, 3])
    logits = critic(x, label, classes)
    assert logits.shape == (4,)
    below = torch.cat([x[:, : shape[0]] + 1, x[:, shape[0] :]], dim=1)
    above = torch.cat([x[:, : shape[0]], x[:, shape[0] :] + 1], dim=1)
    for other in (
        critic(below, label, classes),
        critic(above, label, classes),
        critic(x, label + 1, classes),
        critic(x, label, classes.flip(0)),
    ):
        assert not torch.allclose(logits, other, atol=1e-4)
    assert torch.equal(critic(x, label), critic(x, label, torch.full((4,), 3)))
    assert torch.allclose(critic(x[:1], label[:1], classes[:1]), logits[:1], atol=1e-5)


@pytest.mark.parametrize("name", critics())
def test_its_gradient_has_a_gradient(name: str) -> None:
    critic, shape = critics()[name]
    x = torch.randn(2, 2 * shape[0], *shape[1:], requires_grad=True)
    (slope,) = torch.autograd.grad(critic(x, torch.ones(2)).sum(), x, create_graph=True)
    slope.square().sum().backward()
    assert any(p.grad is not None and bool(p.grad.any()) for p in critic.parameters())


def test_images_alone_have_neighbours() -> None:
    with pytest.raises(ValueError, match="no images but data of shape"):
        residual((2,))
