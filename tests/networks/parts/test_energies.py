"""Energies: the answer of a network is the gradient of a number."""

from functools import partial
from typing import Any

import pytest
import torch
from probes import lively
from torch import Tensor, nn

from ddpm_cli.networks import mlp, unet
from ddpm_cli.networks.parts.energies import Form, energy, number
from ddpm_cli.networks.parts.outlines import outline

UNET = {"width": 8, "multipliers": [1, 2], "blocks": 1, "attention": [8, 4]}
MAKERS: dict[str, Any] = {
    "mlp": partial(mlp, (2,), width=16, depth=2),
    "unet": partial(unet, (1, 8, 8), **UNET),
}
SHAPES = {"mlp": (2,), "unet": (1, 8, 8)}
every = pytest.mark.parametrize("name", MAKERS)
both = pytest.mark.parametrize("form", ["distance", "product"])


def made(name: str, form: Form, **knobs: Any) -> tuple[nn.Module, nn.Module]:
    """A network, and the same one behind an energy; both in float64."""
    torch.manual_seed(0)
    plain = lively(MAKERS[name](**knobs)).double()
    torch.manual_seed(0)
    sloped = lively(MAKERS[name](**knobs)).double()
    return plain, energy(form=form).around(sloped, SHAPES[name][0])


def inputs(name: str, count: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(count, *SHAPES[name], generator=generator, dtype=torch.float64)
    return x, torch.linspace(1, 900, count, dtype=torch.float64)


@every
@both
@torch.no_grad()
def test_answers_with_the_gradient_of_its_number(name: str, form: Form) -> None:
    """By differences, and by a gradient of its own; walks ask without gradients."""
    plain, sloped = made(name, form)
    x, label = inputs(name)
    got = sloped(x, label)
    with torch.enable_grad():
        z = x.clone().requires_grad_()
        (wanted,) = torch.autograd.grad(number(z, plain(z, label), form).sum(), z)
    assert torch.allclose(got, wanted, rtol=1e-10, atol=1e-12)
    step = 1e-5 * x.flip(0)
    ahead, behind = (number(y, plain(y, label), form) for y in (x + step, x - step))
    along = (got * step).flatten(1).sum(1)
    assert torch.allclose((ahead - behind) / 2, along, rtol=1e-5, atol=1e-12)


@both
def test_has_a_symmetric_jacobian_as_no_other_network(form: Form) -> None:
    plain, sloped = made("mlp", form)
    x, label = inputs("mlp", 1)
    for network, is_symmetric in ((sloped, True), (plain, False)):
        found = torch.func.jacrev(lambda z, one=network: one(z[None], label)[0])(x[0])
        assert torch.allclose(found, found.T, atol=1e-10) == is_symmetric


@every
@both
def test_starts_as_0_and_learns_with_every_weight(name: str, form: Form) -> None:
    x, label = inputs(name)
    fresh = energy(form=form).around(MAKERS[name](), SHAPES[name][0])
    assert not fresh(x.float(), label.float()).any()
    _, sloped = made(name, form)
    sloped.train()(x, label).square().mean().backward()
    idle = [n for n, p in sloped.named_parameters() if p.grad is None or not p.grad.any()]
    assert idle == []


@every
def test_gradients_of_weights_are_those_of_differences(name: str) -> None:
    _, sloped = made(name, "distance")
    x, label = inputs(name)
    weight = next(p for n, p in sloped.named_parameters() if n.startswith("stem"))
    sloped(x, label).square().sum().backward()
    found = float(weight.grad.flatten()[0])  # type: ignore[union-attr]
    with torch.no_grad():
        ends = []
        for step in (1e-6, -2e-6):
            weight.view(-1)[0] += step
            ends.append(float(sloped(x, label).square().sum()))
    assert found == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-4, abs=1e-8)


@every
def test_has_a_derivative_forwards(name: str) -> None:
    """Which likelihoods and consistency training ask for."""
    _, sloped = made(name, "distance")
    x, label = inputs(name)
    step = x.flip(0)
    _, slope = torch.func.jvp(lambda z: sloped(z, label), (x,), (step,))
    ahead, behind = (sloped(x + h * step, label) for h in (1e-5, -1e-5))
    assert torch.allclose(slope, (ahead - behind) / 2e-5, rtol=1e-4, atol=1e-6)


def test_a_learned_variance_is_passed_on() -> None:
    plain, sloped = made("unet", "distance", learned_variance=True)
    x, label = inputs("unet")
    assert torch.equal(sloped(x, label)[:, 1:], plain(x, label)[:, 1:])


@every
def test_weights_have_the_names_of_the_network(name: str) -> None:
    plain, sloped = made(name, "distance")
    assert [*sloped.state_dict()] == [*plain.state_dict()]
    empty = outline(lambda: energy().around(MAKERS[name](), SHAPES[name][0]), sloped.state_dict())
    empty.load_state_dict(sloped.state_dict(), assign=True)
    x, label = inputs(name)
    assert torch.allclose(empty.eval()(x, label), sloped(x, label))


@every
def test_an_image_does_not_depend_on_its_batch(name: str) -> None:
    _, sloped = made(name, "distance")
    x, label = inputs(name)
    batch = sloped(x, label)
    for row in range(3):
        alone = sloped(x[row : row + 1], label[row : row + 1])
        assert torch.allclose(alone[0], batch[row], atol=1e-12)


def test_weights_of_16_bits_answer_nearly_the_same() -> None:
    _, sloped = made("unet", "distance")
    x, label = inputs("unet")
    exact = sloped(x, label)
    near = sloped.bfloat16()(x, label.float())
    assert near.dtype == torch.bfloat16
    assert (near - exact).abs().max() < 0.1 * exact.abs().max()
