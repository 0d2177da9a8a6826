"""Two players in one run: each has its own loss, optimizer, average and numbers."""

from contextlib import nullcontext

import torch
from runs import Quiet
from torch import Tensor, nn

from ddpm_cli.data.array_set import ArraySet
from ddpm_cli.data.image_set import Conditions
from ddpm_cli.diffusion.denoiser import Denoiser
from ddpm_cli.diffusion.draws import uniform
from ddpm_cli.diffusion.labels import index
from ddpm_cli.diffusion.losses.noised import Noised
from ddpm_cli.diffusion.parameterizations import v
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.diffusion.schedules import cosine
from ddpm_cli.networks import mlp
from ddpm_cli.training.loop import Setting, train
from ddpm_cli.training.players import MODEL, Player, frozen
from ddpm_cli.training.state import State

POINTS = torch.randn(64, 2, generator=torch.Generator().manual_seed(0))
TURNS = (MODEL, "critic")  # alternately


class Fooling(nn.Module):
    """The model's loss: a squared error, and what the critic says of its images."""

    def __init__(self, model: Denoiser, critic: nn.Module) -> None:
        super().__init__()
        self.model, self._critic = model, (critic,)  # a tuple: no module of this one

    def forward(
        self, x0: Tensor, t: Tensor, rng: Rng, conditions: Conditions, step: int = 0
    ) -> Tensor:
        seen = Noised.at(self.model, x0, self.model.schedule.sigma(t), rng, {})
        judged: Tensor = self._critic[0](seen.prediction.x0)[:, 0]
        return seen.error(torch.ones(len(x0))) + (1 - judged).square()


class Telling(nn.Module):
    """The critic's loss: 1 for points of the data, 0 for those of the model."""

    def __init__(self, model: Denoiser, critic: nn.Module) -> None:
        super().__init__()
        self.critic, self._model = critic, (model,)

    def forward(
        self, x0: Tensor, t: Tensor, rng: Rng, conditions: Conditions, step: int = 0
    ) -> Tensor:
        with torch.no_grad():
            seen = Noised.at(self._model[0], x0, self._model[0].schedule.sigma(t), rng, {})
        real, made = self.critic(x0)[:, 0], self.critic(seen.prediction.x0)[:, 0]
        found: Tensor = (1 - real).square() + made.square()
        return found


class Recorder(Quiet):
    """Keeps the weights of both players behind every step, and the last state."""

    def __init__(self) -> None:
        super().__init__()
        self.weights: list[dict[str, Tensor]] = []
        self.saved: dict[str, Tensor] = {}

    def save(self, state: State) -> None:
        self.saved = {name: tensor.clone() for name, tensor in state.tensors().items()}
        self.weights.append({n: t for n, t in self.saved.items() if "weights." in n})


def game() -> tuple[Setting, State]:
    torch.manual_seed(0)
    model = Denoiser(mlp((2,), width=16, depth=1), cosine(steps=10), v, index)
    critic = nn.Sequential(nn.Linear(2, 8), nn.SiLU(), nn.Linear(8, 1))
    players = {
        MODEL: Player(model, torch.optim.AdamW(model.parameters()), frozen(model)),
        "critic": Player(critic, torch.optim.AdamW(critic.parameters())),
    }
    setting = Setting(
        {MODEL: Fooling(model, critic), "critic": Telling(model, critic)},
        model.schedule,
        ArraySet(POINTS, torch.zeros(2), torch.ones(2)),
        {},
        {},
        torch.device("cpu"),
        nullcontext,
        dict,
        turns=lambda step: [TURNS[step % 2]],
    )
    return setting, State(players, uniform)


def played(setting: Setting, state: State, steps: int = 8) -> Recorder:
    """Play to the step `steps` of 8."""
    recorder = Recorder()
    recorder.stopping = lambda overdue: state.step >= steps  # type: ignore[method-assign]
    knobs = {"lr": 0.01, "warmup": 0, "weight_decay": 0.0, "log_every": 4, "save_every": 1}
    train(setting, state, recorder, steps=8, batch=16, **knobs)  # type: ignore[arg-type]
    return recorder


def test_each_is_trained_at_its_own_steps_alone() -> None:
    weights = played(*game()).weights
    for step in range(1, 8):
        before, after = weights[step - 1], weights[step]
        changed = {name for name in after if not torch.equal(before[name], after[name])}
        assert changed
        for name in changed:  # some of the model's are zero at first, and have no gradient
            assert name.startswith("critic.") == (TURNS[step % 2] == "critic"), (step, name)


def test_a_loss_through_another_leaves_no_gradient_there() -> None:
    setting, state = game()
    played(setting, state)
    for player in state.players.values():
        assert all(parameter.grad is None for parameter in player.module.parameters())


def test_numbers_of_others_bear_their_names() -> None:
    first, last = played(*game()).lines
    for line in (first, last):
        assert {"loss", "grad_norm", "critic_loss", "critic_grad_norm"} <= line.keys()
    assert last["critic_loss"] < first["critic_loss"]


def test_tensors_of_others_stand_behind_their_names() -> None:
    names = played(*game()).saved.keys()
    assert {"weights.out.bias", "average.out.bias", "optimizer.out.bias.exp_avg"} <= names
    assert {"critic.weights.0.bias", "critic.optimizer.0.bias.exp_avg", "critic.window"} <= names
    assert not [name for name in names if name.startswith(("critic.average.", "model."))]


def test_a_game_that_was_stopped_goes_on_bit_for_bit() -> None:
    whole = played(*game()).saved
    half = played(*game(), steps=3).saved
    setting, state = game()
    for player in state.players.values():
        for parameter in player.module.parameters():
            nn.init.zeros_(parameter)
    state.load(half, 3)
    rest = played(setting, state).saved
    assert rest.keys() == whole.keys()
    assert [name for name in whole if not torch.equal(rest[name], whole[name])] == []


def test_weights_moments_and_average_stay_float32_where_passes_are_in_bfloat16() -> None:
    network = nn.Sequential(nn.Linear(2, 8), nn.SiLU(), nn.Linear(8, 2))
    player = Player(network, torch.optim.AdamW(network.parameters()), frozen(network))
    for _ in range(2):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            answer = network(POINTS)
        assert answer.dtype == torch.bfloat16
        answer.float().square().mean().backward()
        slopes = [weight.grad for weight in network.parameters() if weight.grad is not None]
        assert {slope.dtype for slope in slopes} == {torch.float32}
        player.step(lr=1e-4, betas=(0.9, 0.99), weight_decay=0.01, clip=1.0)
        player.update_average(0.5)
    kept = [value for name, value in player.tensors().items() if name != "window"]
    assert {value.dtype for value in kept} == {torch.float32}
