"""Learned weights of the levels: they begin as 1, find 1 / E[loss], and go on with a run."""

import signal
from pathlib import Path

import pytest
import torch
from runs import assert_same, result, signal_after, train

from ddpm_cli.diffusion.draws import loss_second_moment, low_discrepancy
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.diffusion.schedules import cosine
from ddpm_cli.training.state import Remembering
from ddpm_cli.training.uncertainty import LR, Uncertain, Uncertainty

CPU = torch.device("cpu")
LEARNED = ("--set", "train.uncertainty=true", "--set", "loss.name=simple")


def test_it_begins_as_the_draw_itself() -> None:
    drawn = Uncertain(low_discrepancy, CPU, torch.float64)
    assert isinstance(drawn, Remembering)
    found, expected = (draw(cosine(), 9, Rng([3])) for draw in (drawn, low_discrepancy))
    for mine, theirs in zip(found, expected, strict=True):
        assert torch.equal(mine, theirs)


def test_u_becomes_the_logarithm_of_the_mean_loss() -> None:
    """Losses 2 sqrt(sigma / (1 + sigma)) z^2 with z normal, whose mean is the factor."""
    schedule, drawn = cosine(), Uncertain(low_discrepancy, CPU, torch.float64)
    generator = torch.Generator().manual_seed(0)
    for step in range(1500):
        t, _ = drawn(schedule, 64, Rng([step]))
        sigma = schedule.sigma(t)
        noise = torch.randn(64, generator=generator, dtype=torch.float64)
        drawn.update(t, 2 * (sigma / (1 + sigma)).sqrt() * noise.square())
    sigma = schedule.sigma(torch.tensor([0.2, 0.5, 0.8], dtype=torch.float64))
    expected = (2 * (sigma / (1 + sigma)).sqrt()).log()
    with torch.no_grad():
        assert torch.allclose(drawn.player.module(sigma), expected, atol=0.15)
    weights = drawn(schedule, 64, Rng([0]))[1]
    assert float(weights.min()) == pytest.approx(0.5, rel=0.2)  # at the top


def test_a_step_is_one_of_adam_along_the_gradient_of_both() -> None:
    schedule, drawn = cosine(), Uncertain(low_discrepancy, CPU, torch.float64)
    t, _ = drawn(schedule, 8, Rng([0]))
    losses = torch.arange(1, 9, dtype=torch.float64)
    drawn.update(t, losses)
    other = Uncertainty().double()
    u = other(schedule.sigma(t))
    (torch.exp(-u) * losses + u).mean().backward()
    assert other.offset.grad == pytest.approx(1 - 4.5)
    for name, parameter in drawn.player.module.named_parameters():
        slope = other.get_parameter(name).grad
        assert slope is not None
        assert torch.allclose(parameter.detach(), -LR * slope.sign(), atol=1e-5)


def test_a_level_without_signal_has_a_weight() -> None:
    u = Uncertainty()(torch.tensor([0.0, 1.0, torch.inf], dtype=torch.float64))
    assert torch.equal(u, torch.zeros(3))


def test_it_goes_round_a_draw_that_remembers() -> None:
    drawn = Uncertain(loss_second_moment(history=1), CPU, torch.float64)
    t, _ = drawn(cosine(steps=4), 16, Rng([0]))
    drawn.update(t, torch.ones(16))
    names = drawn.tensors().keys()
    assert {"losses", "counts", "uncertainty.weights.weight"} <= names
    again = Uncertain(loss_second_moment(history=1), CPU, torch.float64)
    again(cosine(steps=4), 16, Rng([0]))
    again.load(drawn.tensors())
    for step in range(3):
        for mine, theirs in zip(
            again(cosine(steps=4), 16, Rng([step])),
            drawn(cosine(steps=4), 16, Rng([step])),
            strict=True,
        ):
            assert torch.equal(mine, theirs)


def test_a_run_goes_on_bit_for_bit(data: Path, tmp_path: Path) -> None:
    assert train(data, tmp_path / "whole", *LEARNED).code == 0
    with signal_after(5, signal.SIGTERM):
        assert train(data, tmp_path / "parts", *LEARNED).code == 143
    assert train(data, tmp_path / "parts", *LEARNED).code == 0
    whole = result(tmp_path / "whole")
    assert_same(result(tmp_path / "parts"), whole)
    assert float(whole.state["draw.uncertainty.weights.weight"].abs().sum()) > 0
    assert not [name for name in whole.model if "uncertainty" in name]


@pytest.mark.parametrize("loss", ["vlb", "hybrid", "vdm", "sliced", "exact"])
def test_losses_that_are_no_errors_refuse(loss: str, data: Path, tmp_path: Path) -> None:
    outcome = train(data, tmp_path / "run", *LEARNED, "--set", f"loss.name={loss}")
    assert outcome.code == 2
    assert f"train.uncertainty: loss {loss} is no squared error" in outcome.err
    assert "choose loss.name=dsm or edm or min-snr or p2 or simple" in outcome.err
    assert not (tmp_path / "run" / "state.safetensors").exists()
