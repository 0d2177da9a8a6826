"""Schedules that are trained with the network."""

import signal
from pathlib import Path

import pytest
import torch
from runs import assert_same, ddpm, result, signal_after, train

from ddpm_cli.diffusion.rates import rate
from ddpm_cli.diffusion.schedules.monotone import learned
from ddpm_cli.files.checkpoints import checkpoint

T = torch.linspace(0.01, 1, 100, dtype=torch.float64)


def test_starts_as_a_straight_line() -> None:
    made = learned(start=-10.0, end=4.0)
    with torch.no_grad():
        assert torch.allclose(made.gamma(T), -10 + 14 * T, atol=0.2)


def test_stays_monotone_whatever_its_weights() -> None:
    torch.manual_seed(0)
    made = learned(width=16)
    for parameter in (made.slope, made.inner, made.offset, made.outer):
        torch.nn.init.normal_(parameter, std=3.0)
    assert (made.gamma(T).diff() > 0).all()
    ends = made.gamma(torch.tensor([0.0, 1.0]))
    assert ends.tolist() == pytest.approx([-13.3, 5.0])


def test_slope_reaches_all_parameters() -> None:
    made = learned(width=8)
    rate(made, T).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in made.parameters())


def test_ends_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(ValueError, match="below"):
        learned(start=2.0, end=1.0)


def test_is_trained_saved_resumed_and_shown(data: Path, tmp_path: Path) -> None:
    chosen = (
        "--set", "schedule={name='learned', width=8}", "--set", "parameterization.name='eps'",
        "--set", "label.name='log-snr'", "--set", "loss.name='vdm'",
    )  # fmt: skip
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert train(data, whole, *chosen).code == 0
    with signal_after(5, signal.SIGTERM):
        assert train(data, parts, *chosen).code == 143
    assert train(data, parts, *chosen).code == 0
    assert_same(result(parts), result(whole))
    _, weights = checkpoint.load(whole / "model.safetensors")
    assert float(weights["schedule.end"]) != 5.0, "the average moved with the weights"
    shown = ddpm("schedule", "-m", whole, "--rows", "2", "--csv")
    logsnr = -float(weights["schedule.end"])
    assert float(shown.out.splitlines()[-1].split(",")[4]) == pytest.approx(logsnr, rel=1e-5)
    made = ddpm("sample", "-m", whole, "-o", tmp_path / "a.png", "--device", "cpu")
    assert made.code == 0, made.err
