"""A step of training queues all its work without waiting for the device.

What must wait: lines of metrics, saves and sheets; a draw that learns from the losses, and a
learned schedule, whose levels are made on the host.
"""

from functools import partial
from typing import Any

import pytest
import torch
from declared import load
from probes import Smooth
from torch import Tensor, nn
from waiting import META, Drawn, never

from ddpm_cli.diffusion import labels, levels, parameterizations
from ddpm_cli.diffusion.adversary import Critic, judged
from ddpm_cli.diffusion.classifier import Classifier
from ddpm_cli.diffusion.denoiser import Denoiser
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.settings import catalog
from ddpm_cli.settings.checks import JUDGES
from ddpm_cli.training import optimizers
from ddpm_cli.training.batches import prepare
from ddpm_cli.training.conditions import on
from ddpm_cli.training.objective import Objective
from ddpm_cli.training.players import Player, frozen
from ddpm_cli.training.prefetch import placed
from ddpm_cli.training.uncertainty import Uncertain

BATCH = 4
TIMES = torch.linspace(0.1, 1, BATCH, dtype=torch.float64)
SCHEDULE = load("schedule", "linear")()
SETTINGS: dict[str, dict[str, Any]] = {"vlb": {"variance": "learned"}}


FEW = ("consistency", "progressive")  # losses of few steps, where a network of noise is refused


class Teacher:
    """A teacher that is told nothing."""

    levels = levels.trailing(SCHEDULE, count=8)

    def __init__(self, denoise: Denoiser) -> None:
        self.denoise = denoise

    def lesson(self, condition: dict[str, Any], rng: Rng) -> tuple[Denoiser, dict[str, Any]]:
        return self.denoise, condition


class Draws(Drawn):
    """Draws that are made on the device, uniform ones too."""

    def uniform(self, n: int = 1, device: object = None) -> Tensor:
        return torch.rand(BATCH, n, device=META)


def step(player: Player, objective: Objective, x0: Tensor, conditions: dict[str, Tensor]) -> None:
    """What the loop does with a part and a player."""
    losses = objective(x0, TIMES, Draws(), conditions)  # type: ignore[arg-type]
    losses.mean().backward()
    norm = player.step(lr=1e-3, betas=(0.9, 0.99), weight_decay=0.01, clip=1.0)
    player.module.zero_grad(set_to_none=True)
    player.update_average(0.9)
    player.window.add(TIMES, losses.detach(), norm)


def player_of(module: nn.Module) -> Player:
    return Player(module, torch.optim.AdamW(module.parameters()), frozen(module))


@pytest.mark.parametrize("name", [n for n in catalog.names("loss") if n not in JUDGES.values()])
def test_no_loss_waits(name: str) -> None:
    predicts = parameterizations.v if name in FEW else parameterizations.eps
    network = Smooth(torch.float32).to(META)
    model = Denoiser(network, SCHEDULE, predicts, labels.index, learned_range=True)
    player, loss = player_of(model), load("loss", name, **SETTINGS.get(name, {}))
    critic = Critic(load("critic", "mlp", width=8)((2,)).to(META), SCHEDULE, labels.index)
    with never():
        beside = {"critic": critic, "teacher": Teacher(frozen(model))}
        objective = Objective(model, loss, beside=beside)
        step(player, objective, torch.zeros(BATCH, 2, device=META), {})


def test_a_critic_does_not_wait() -> None:
    network = Smooth(torch.float32).to(META)
    model = Denoiser(network, SCHEDULE, parameterizations.x0, labels.index, learned_range=True)
    critic = Critic(load("critic", "mlp", width=8)((2,)).to(META), SCHEDULE, labels.index)
    player = Player(critic, torch.optim.AdamW(critic.parameters()))
    with never():
        objective = Objective(critic, partial(judged, r1=1, every=1), beside={"generator": model})
        step(player, objective, torch.zeros(BATCH, 2, device=META), {})


NETWORKS: dict[str, dict[str, Any]] = {
    "unet": {"width": 8, "groups": 4, "attention": [4], "classes": 3, "dropout": 0.1},
    "unet of NCSN++": {
        "width": 8, "groups": 4, "classes": 3, "embedding": "fourier", "fir": True,
        "resample_blocks": True, "progressive_input": "residual", "patch": 2,
    },
    "dit": {"patch": 2, "width": 16, "depth": 2, "heads": 2, "classes": 3},
    "dit with rope": {
        "patch": 2, "width": 16, "depth": 2, "heads": 2, "classes": 3, "positions": "rope",
        "norm": "rms", "qk_norm": True,
    },
}  # fmt: skip


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_does_not_wait(name: str, optimizer: str) -> None:
    network = load("network", name, **NETWORKS[name])((1, 8, 8)).to(META)
    model = Denoiser(network, SCHEDULE, parameterizations.v, labels.index)
    player = Player(model, optimizers.optimizer(optimizer, model, torch.float32), frozen(model))
    objective = Objective(model, load("loss", "simple"))
    without = on(META, {"classes": torch.tensor(3)})
    rows = torch.zeros(BATCH, 1, 8, 8, dtype=torch.uint8)
    told = {"classes": torch.zeros(BATCH, dtype=torch.int64)}
    draws: Any = Draws()
    with never():
        for read, conditions in placed([(rows, told)] * 2, META):
            x0, seen = prepare(
                read, conditions, draws, without, flip=True, crop=1, drop={"classes": 0.1}
            )
            step(player, objective, x0, seen)


def test_learning_the_weights_of_levels_does_not_wait() -> None:
    draw = Uncertain(load("draw", "uniform"), META, torch.float32)
    for number in range(2):
        rng = Rng([number])
        with never():
            _, weight = draw(SCHEDULE, BATCH, rng)
            draw.update(TIMES, torch.ones(BATCH, device=META))
    assert weight.device == META


def test_a_classifier_does_not_wait() -> None:
    model = Classifier(
        Smooth(torch.float32).to(META), SCHEDULE, parameterizations.eps, labels.index
    )
    classes = {"classes": torch.zeros(BATCH, dtype=torch.int64, device=META)}
    with never():
        objective = Objective(model, load("loss", "cross-entropy"))
        step(player_of(model), objective, torch.zeros(BATCH, 2, device=META), classes)
