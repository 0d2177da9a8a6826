"""What a denoising diffusion GAN plays with, against closed forms."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ddpm_cli.diffusion import parameterizations
from ddpm_cli.diffusion.adversary import Critic, Pair, between, judged
from ddpm_cli.diffusion.denoiser import Denoiser, of_level
from ddpm_cli.diffusion.labels import index
from ddpm_cli.diffusion.levels import trailing
from ddpm_cli.diffusion.losses import adversarial
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.diffusion.samplers import ddpm
from ddpm_cli.diffusion.schedules import Schedule, cosine, flow, vp
from ddpm_cli.diffusion.steps import Move
from ddpm_cli.diffusion.walk import start, walk

SCHEDULE = vp(steps=4)
ROWS = 20_000
DEVIATION = 0.6  # of the data


class Exact(nn.Module):
    """A generator that draws from p(x0 given x_t) of normal data, by a latent of one number."""

    def forward(self, x: Tensor, label: Tensor, latent: Tensor, **told: Tensor) -> Tensor:
        sigma = SCHEDULE.levels[label.long()][:, None]
        share = DEVIATION**2 / (DEVIATION**2 + sigma**2)
        mean = share * SCHEDULE.from_native(x, sigma[:, 0])
        return mean + DEVIATION * (1 - share).sqrt() * latent


class Linear(nn.Module):
    """D = w . (x_s, x_t) + b."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([0.3, -0.7, 0.2, 0.5], dtype=torch.float64))
        self.bias = nn.Parameter(torch.tensor(0.1, dtype=torch.float64))

    def forward(self, x: Tensor, label: Tensor, classes: Tensor | None = None) -> Tensor:
        return x @ self.weight + self.bias


def generator(**knobs: Any) -> Denoiser:
    return Denoiser(Exact(), SCHEDULE, parameterizations.x0, index, latents=1)


def critic() -> Critic:
    return Critic(Linear(), SCHEDULE, index)


def images(count: int) -> Tensor:
    drawn = torch.randn(count, 2, generator=torch.Generator().manual_seed(0))
    return DEVIATION * drawn.double()


def test_an_exact_generator_walks_to_the_data() -> None:
    """Each state has the variance of data and noise, though its steps are as large as can be."""
    like = torch.empty(ROWS, 1, dtype=torch.float64)
    rng, latents = Rng(range(ROWS)), Rng(range(ROWS), "latent").normal(torch.empty(ROWS, 4, 1))
    denoise = generator().bind(latent=latents.double())
    levels = torch.cat([SCHEDULE.levels.flip(0), torch.zeros(1, dtype=torch.float64)])
    states = [*walk(denoise, start(denoise, levels, like, rng), levels, rng, predictor=ddpm)]
    assert len(states) == 4
    for state in states:
        variance = DEVIATION**2 + float(state.sigma) ** 2
        assert abs(float(state.x.var()) / variance - 1) < 0.04


def test_one_latent_for_all_levels_would_not_do() -> None:
    """With the same z at each step the answers agree with each other, and the spread is lost."""
    like = torch.empty(ROWS, 1, dtype=torch.float64)
    rng, latents = Rng(range(ROWS)), Rng(range(ROWS), "latent").normal(torch.empty(ROWS, 1, 1))
    denoise = generator().bind(latent=latents.double().expand(-1, 4, -1))
    levels = torch.cat([SCHEDULE.levels.flip(0), torch.zeros(1, dtype=torch.float64)])
    *_, last = walk(denoise, start(denoise, levels, like, rng), levels, rng, predictor=ddpm)
    assert abs(float(last.x.var()) / DEVIATION**2 - 1) > 0.1


def test_a_level_has_its_own_latent() -> None:
    latents = torch.arange(24.0).reshape(2, 4, 3)
    for number, sigma in enumerate(SCHEDULE.levels):
        assert torch.equal(of_level(latents, sigma, SCHEDULE), latents[:, number])
    mixed = of_level(latents, SCHEDULE.levels[[3, 1]], SCHEDULE)
    assert torch.equal(mixed, torch.stack([latents[0, 3], latents[1, 1]]))
    assert torch.equal(of_level(latents[:, 0], SCHEDULE.levels[2], SCHEDULE), latents[:, 0])


def test_true_and_made_pairs_are_alike_where_the_generator_is_exact() -> None:
    """Joint moments of (x_s, x_t): var x_s = c^2 + s^2, cov = the same, var x_t = c^2 + t^2."""
    rows = range(ROWS)
    for time in (0.25, 0.5, 1.0):
        t = torch.full((ROWS,), time, dtype=torch.float64)
        pair = Pair.drawn(SCHEDULE, images(ROWS), t, Rng(rows, "pairs"))
        s, top = float(pair.s[0]), float(pair.sigma[0])
        share = DEVIATION**2 / (DEVIATION**2 + top**2)
        noise = Rng(rows, "latents").normal(pair.x)
        answer = share * pair.x + DEVIATION * (1 - share) ** 0.5 * noise
        made = pair.made(answer, Rng(rows, "posterior"))
        for one in (pair, made):
            below = float(one.below.var())
            covariance = float((one.below * one.x).mean())
            assert abs(below / (DEVIATION**2 + s**2) - 1) < 0.04
            error = ((DEVIATION**2 + s**2) * (DEVIATION**2 + top**2) / (2 * ROWS)) ** 0.5
            assert abs(covariance - (DEVIATION**2 + s**2)) < 4 * error
            assert abs(float(one.x.var()) / (DEVIATION**2 + top**2) - 1) < 0.04


def test_a_made_state_is_the_step_of_the_sampler() -> None:
    x0, t = images(3), torch.full((3,), 0.75, dtype=torch.float64)
    pair = Pair.drawn(SCHEDULE, images(3), t, Rng(range(3)))

    class Told(Denoiser):
        def forward(self, x: Tensor, sigma: Tensor, **condition: Any) -> Any:
            return super().forward(x, sigma)._replace(x0=x0)

    told = Told(nn.Identity(), SCHEDULE, parameterizations.x0, index)
    told.network.forward = lambda x, label: x  # type: ignore[method-assign]
    move = Move(pair.sigma[0], pair.s[0])
    stepped = ddpm(told.bind(), pair.x, move, Rng(range(3), "step"), [])
    assert torch.allclose(pair.made(x0, Rng(range(3), "step")).below, stepped, atol=1e-12)


def test_the_lowest_step_ends_in_the_answer_itself() -> None:
    t = torch.full((3,), 0.25, dtype=torch.float64)
    pair = Pair.drawn(SCHEDULE, images(3), t, Rng(range(3)))
    assert torch.equal(pair.below, images(3))
    assert torch.allclose(pair.made(2 * images(3), Rng(range(3))).below, 2 * images(3))


@pytest.mark.parametrize("schedule", [cosine(steps=1000), vp(), vp(steps=12), flow()])
def test_large_steps_are_those_between_trailing_levels(schedule: Schedule) -> None:
    """Of any schedule, and all times within one step lead to its two ends."""
    levels = trailing(schedule, count=4)
    t = torch.tensor([0.01, 0.25, 0.26, 0.5, 0.74, 0.75, 1.0], dtype=torch.float64)
    sigma, s = between(schedule, t, 4)
    places = torch.tensor([3, 3, 2, 2, 1, 1, 0])
    assert torch.allclose(sigma, levels[places], rtol=1e-9)
    assert torch.allclose(s, levels[places + 1], rtol=1e-9)


def test_a_schedule_of_large_steps_needs_no_word_of_them() -> None:
    t = torch.arange(1, 5).double() / 4
    told, said = between(SCHEDULE, t, 4), between(SCHEDULE, t, 0)
    assert torch.equal(told[0], said[0])
    assert torch.allclose(told[1], said[1], rtol=1e-12)


def losses(step: int, *, r1: float, every: int = 3) -> tuple[Tensor, Critic]:
    """The critic's loss of three images at the time 1/2, and the critic."""
    judge, t = critic(), torch.full((3,), 0.5, dtype=torch.float64)
    loss = judged(judge, images(3), t, Rng(range(3)), generator(), step, r1=r1, every=every)
    return loss, judge


def test_both_losses_are_logistic() -> None:
    judge, t = critic(), torch.full((3,), 0.5, dtype=torch.float64)
    rng = Rng(range(3))
    pair = Pair.drawn(SCHEDULE, images(3), t, rng)
    x0 = generator()(pair.x, pair.sigma, latent=rng.normal(torch.empty(3, 1)).double()).x0
    made = pair.made(x0, rng)
    true = judge(*pair.native(SCHEDULE), pair.sigma)
    false = judge(*made.native(SCHEDULE), pair.sigma)
    assert torch.allclose(losses(1, r1=2)[0], F.softplus(-true) + F.softplus(false))
    fooled = adversarial(generator(), images(3), t, Rng(range(3)), judge)
    assert torch.allclose(fooled, F.softplus(-false))


def test_reconstruction_comes_beside_the_game() -> None:
    """3 ||G - x0||^2 / D more, of the answer that the critic judges."""
    judge, t = critic(), torch.full((3,), 0.5, dtype=torch.float64)
    plain = adversarial(generator(), images(3), t, Rng(range(3)), judge)
    both = adversarial(generator(), images(3), t, Rng(range(3)), judge, reconstruct=3)
    rng = Rng(range(3))
    pair = Pair.drawn(SCHEDULE, images(3), t, rng)
    x0 = generator()(pair.x, pair.sigma, latent=rng.normal(torch.empty(3, 1)).double()).x0
    assert torch.allclose(both - plain, 3 * (x0 - images(3)).square().mean(1))


def test_the_penalty_is_the_gradient_at_true_states_alone() -> None:
    """Of a linear critic: R1 = gamma / 2 |w_s|^2, at one step of `every`, `every` times."""
    plain, _ = losses(0, r1=0)
    held, judge = losses(0, r1=2)
    weight = judge.network.get_parameter("weight")
    below = weight.detach()[:2]
    assert torch.allclose(held - plain, 3 * below.square().sum().expand(3))
    assert torch.equal(losses(1, r1=2)[0], plain)
    assert torch.equal(losses(3, r1=2)[0], held)
    (slope,) = torch.autograd.grad((held - losses(1, r1=2)[0].detach()).mean(), weight)
    other, judge = losses(0, r1=0)
    (usual,) = torch.autograd.grad(other.mean(), judge.network.get_parameter("weight"))
    expected = torch.cat([2 * 3 * below, torch.zeros(2).double()])
    assert torch.allclose(slope - usual, expected)


def test_the_generator_learns_through_the_critic_and_the_critic_alone_from_its_loss() -> None:
    loss, judge = losses(0, r1=2)
    assert loss.requires_grad
    with torch.no_grad():
        assert not losses(0, r1=2)[0].requires_grad
    assert {name for name, _ in judge.named_parameters()} == {"network.weight", "network.bias"}
