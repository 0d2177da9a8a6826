"""Exact posteriors of normal data: what is drawn beside known values has their conditionals."""

import pytest
import torch
from torch import Tensor, nn

from ddpm_cli.diffusion import levels, parameterizations
from ddpm_cli.diffusion.conditioning import conditioned, held
from ddpm_cli.diffusion.denoiser import Denoise, Denoiser, Prediction, Wrapped
from ddpm_cli.diffusion.guidance import steered
from ddpm_cli.diffusion.known_pixels import begun
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.diffusion.samplers.ancestral import ddpm
from ddpm_cli.diffusion.samplers.edm import heun
from ddpm_cli.diffusion.schedules import processes
from ddpm_cli.diffusion.steps import Step
from ddpm_cli.diffusion.walk import walk

MEAN = torch.tensor([0.3, -0.5, 0.1, 0.0], dtype=torch.float64)
COVARIANCE = torch.tensor(
    [[1.0, 0.8, 0.3, 0.0], [0.8, 1.0, 0.5, 0.2], [0.3, 0.5, 1.0, -0.6], [0.0, 0.2, -0.6, 1.0]],
    dtype=torch.float64,
)
KNOWN = torch.tensor([True, False, True, False])
Y = torch.tensor([1.5, 0.0, -1.0, 0.0], dtype=torch.float64)
EYE = torch.eye(4, dtype=torch.float64)


class _Normal(nn.Module):
    """E[x0 given x] of N(MEAN, COVARIANCE)."""

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        variance = label[0] ** 2
        gain = torch.linalg.solve(COVARIANCE + variance * EYE, COVARIANCE)
        return MEAN + (x - MEAN) @ gain


DENOISE = Denoiser(
    _Normal(), processes.edm(), parameterizations.x0, lambda sigma, schedule: sigma
).bind()
# The schedule of edm has alpha 1, so that the network sees x itself.


def conditional() -> tuple[Tensor, Tensor]:
    """Mean and covariance of the unknown values given the known ones."""
    unknown = ~KNOWN
    cross = COVARIANCE[unknown][:, KNOWN]
    gain = cross @ torch.linalg.inv(COVARIANCE[KNOWN][:, KNOWN])
    mean = MEAN[unknown] + gain @ (Y[KNOWN] - MEAN[KNOWN])
    return mean, COVARIANCE[unknown][:, unknown] - gain @ cross.T


def test_the_posterior_mean_of_normal_data_is_exact() -> None:
    x = torch.tensor([[0.4, 1.0, -2.0, 0.7]], dtype=torch.float64)
    for sigma in (0.05, 1.0, 20.0):
        given = conditioned(DENOISE, Y[None], KNOWN[None])
        found = given(x, torch.tensor(sigma, dtype=torch.float64)).x0[0]
        mean, covariance = conditional()
        gain = covariance @ torch.linalg.inv(covariance + sigma**2 * torch.eye(2).double())
        exact = mean + gain @ (x[0, ~KNOWN] - mean)
        assert torch.equal(found[KNOWN], Y[KNOWN])
        torch.testing.assert_close(found[~KNOWN], exact, rtol=0, atol=1e-9)


@pytest.mark.parametrize(("step", "moves"), [(heun, 30), (ddpm, 200)])
def test_walks_draw_from_the_exact_conditional(step: Step, moves: int) -> None:
    count, along = 2000, levels.karras(processes.edm(), count=moves)
    known, mask = Y.expand(count, 4), KNOWN.expand(count, 4)
    rng = Rng(range(count))
    noise = rng.normal(known)
    x = begun(processes.edm(), noise, along[0], known, mask)
    *_, last = walk(conditioned(DENOISE, known, mask), x, along, rng, predictor=step)
    assert torch.equal(last.x[:, KNOWN], known[:, KNOWN])
    mean, covariance = conditional()
    drawn = last.x[:, ~KNOWN]
    torch.testing.assert_close(drawn.mean(0), mean, rtol=0, atol=0.06)
    torch.testing.assert_close(drawn.T.cov(), covariance, rtol=0, atol=0.07)


def test_rows_know_each_their_own_values() -> None:
    x, sigma = torch.randn(3, 4, dtype=torch.float64), torch.tensor(0.7, dtype=torch.float64)
    y = torch.randn(3, 4, dtype=torch.float64)
    mask = torch.tensor([[1, 0, 1, 0], [0, 0, 0, 0], [1, 1, 1, 1]]).bool()
    together = conditioned(DENOISE, y, mask)(x, sigma).x0
    for row in range(3):
        alone = slice(row, row + 1)
        own = conditioned(DENOISE, y[alone], mask[alone])(x[alone], sigma).x0
        torch.testing.assert_close(together[alone], own)
    assert torch.equal(together[1], DENOISE(x, sigma).x0[1])
    assert torch.equal(together[2], y[2])


def test_a_jacobian_that_is_no_covariance_stays_within_bounds() -> None:
    def call(x: Tensor, sigma: Tensor) -> Prediction:
        return Prediction(x @ torch.tensor([[-1.0, 0.5], [0.2, 0.0]]).double())

    x, y = torch.ones(1, 2).double(), torch.zeros(1, 2).double()
    mask = torch.tensor([[True, False]])
    found = conditioned(Wrapped(DENOISE, call), y, mask)(x, torch.tensor(1.0)).x0
    assert bool(found.isfinite().all())


def test_an_error_of_the_jacobian_is_not_magnified_by_values_that_say_the_same() -> None:
    """Of 24 values that three numbers decide, 18 are known; the network errs by 0.5 % of x."""
    generator = torch.Generator().manual_seed(0)
    loads, draws, error = (
        torch.randn(shape, generator=generator, dtype=torch.float64)
        for shape in ((24, 3), (24, 16), (24, 24))
    )
    law = loads @ loads.T / 3 + 0.003 * torch.eye(24)
    x0 = (torch.linalg.cholesky(law) @ draws).T
    x = x0 + torch.randn(x0.shape, generator=generator, dtype=torch.float64)
    gain = torch.linalg.solve(law + torch.eye(24), law) + 0.005 * error
    mask = (torch.arange(24) < 18).expand_as(x0)
    denoise = Wrapped(DENOISE, lambda x, sigma: Prediction(x @ gain))
    given = conditioned(denoise, x0, mask)(x, torch.tensor(1.0)).x0
    before, after = ((found - x0)[:, 18:].square().mean() for found in (x @ gain, given))
    assert after < before / 4


def test_guides_leave_known_values_alone() -> None:
    def judge(x0: Tensor, sigma: Tensor) -> Tensor:
        return x0.sum(1)

    x, sigma = torch.zeros(1, 4).double(), torch.tensor(1.0).double()
    guided: Denoise = steered(conditioned(DENOISE, Y[None], KNOWN[None]), clean=[judge])
    score = held(guided, KNOWN[None])(x, sigma).score
    assert score is not None
    assert (score[0] == 0).tolist() == KNOWN.tolist()
