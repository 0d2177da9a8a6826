"""What a denoiser does to the points of a plane: drift and score against closed forms."""

import pytest
import torch
from exact import TWO_POINTS, by_sigma
from golden.analytic_model import Mixture as Golden

from ddpm_cli.diffusion.mixtures import Mixture
from ddpm_cli.diffusion.schedules.tables import linear
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.files.outputs.fields import View, drift, score
from ddpm_cli.files.outputs.panels import Field, Slopes


class TestDrift:
    def test_it_is_the_mean_of_a_trained_step(self) -> None:
        """For two points: mu = c0 E[x0 given x_t] + c1 x_t with Ho 2020's coefficients (eq. 7)."""
        schedule, number = linear(), 399
        betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
        abar = (1 - betas).cumprod(0)
        now, before, beta = abar[number], abar[number - 1], betas[number]
        x = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
        mean = 0.5 * torch.tanh(0.5 * now.sqrt() * x / (1 - now))
        c0 = before.sqrt() * beta / (1 - now)
        c1 = (1 - beta).sqrt() * (1 - before) / (1 - now)
        denoise = by_sigma(TWO_POINTS, schedule).bind()
        sigma = schedule.sigma(torch.tensor((number + 1) / 1000))
        for batch in (1, 4, 9, 50):
            found = drift(denoise, x, sigma, batch)
            assert torch.allclose(found, c0 * mean + (c1 - 1) * x, atol=1e-9)

    def test_the_first_step_ends_at_the_data(self) -> None:
        schedule = linear()
        denoise = by_sigma(TWO_POINTS, schedule).bind()
        sigma = schedule.sigma(torch.tensor(0.001))
        x = torch.tensor([[0.45], [-0.52]], dtype=torch.float64)
        found = x + drift(denoise, x, sigma, 2)
        assert found.flatten().tolist() == pytest.approx([0.5, -0.5], abs=1e-6)


PAIR = ([0.2, 0.8], [[-1.0, 0.5], [0.5, -0.4]], [0.3, 0.2])


def view(sigma: float, *, law: bool = True) -> View:
    """Of a denoiser that is exact for two normals."""
    weights, centres, deviations = PAIR
    golden = Golden(weights, centres, [[d**2 for d in deviations]] * 2)
    schedule, names = linear(), ("low", "high")
    mixture = Mixture(*(torch.tensor(each, dtype=torch.float64) for each in PAIR), names)
    info = DataInfo((2,), mean=(1.0, 2.0), std=(4.0, 0.5))
    level = torch.tensor(sigma, dtype=torch.float64)
    like = torch.zeros(7, 2, dtype=torch.float64)
    denoise = by_sigma(golden, schedule).bind()
    return View(denoise, level, like, info, mixture if law else None)


class TestScore:
    @pytest.mark.parametrize("sigma", [0.1, 1.0, 20.0])
    def test_the_learned_one_of_an_exact_network_is_the_true_one(self, sigma: float) -> None:
        field = view(sigma).field([(-10.0, 10.0), (0.0, 4.0)])
        assert isinstance(field, Field)
        assert field.true is not None
        assert torch.allclose(field.learned, field.true, rtol=1e-6, atol=1e-6 / sigma)
        assert float(field.true.norm()) > 0

    @pytest.mark.parametrize("sigma", [0.1, 1.0, 20.0])
    def test_of_numbers_it_is_a_curve(self, sigma: float) -> None:
        law = Mixture(*(torch.tensor(each).double() for each in ([0.5] * 2, [[-0.5], [0.5]], [0])))
        level = torch.tensor(sigma, dtype=torch.float64)
        like, info = torch.zeros(3, 1, dtype=torch.float64), DataInfo((1,), mean=(0,), std=(1,))
        curve = View(by_sigma(TWO_POINTS, linear()).bind(), level, like, info, law).field(
            [(-1, 1)]
        )
        assert isinstance(curve, Slopes)
        assert curve.true is not None
        assert torch.allclose(curve.learned, curve.true, rtol=1e-6, atol=1e-6 / sigma)
        alpha = float(linear().alpha(level))
        x = curve.places.double() / alpha
        right = (0.5 * torch.tanh(0.5 * x / level**2) - x) / level**2
        assert torch.allclose(curve.true, right, rtol=1e-4, atol=1e-4)

    def test_without_a_law_there_is_nothing_beside_it(self) -> None:
        field = view(1.0, law=False).field([(-10.0, 10.0), (0.0, 4.0)])
        assert isinstance(field, Field)
        assert field.true is None
        assert field.ground is None

    def test_it_follows_tweedie(self) -> None:
        here = view(0.5)
        x = torch.randn(5, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        x0 = here.denoise(x, here.sigma).x0
        for batch in (1, 3, 8):
            assert torch.allclose(score(here.denoise, x, here.sigma, batch), (x0 - x) / 0.25)


def test_the_density_is_that_of_the_units_of_the_data() -> None:
    ground = view(0.1).ground([(-20.0, 20.0), (0.0, 5.0)])
    assert ground is not None
    highest = ground.places.flatten(0, 1)[ground.density.argmax()]
    assert highest.tolist() == pytest.approx([0.5 * 4 + 1, -0.4 * 0.5 + 2], abs=0.4)


def test_shares_of_points_are_counted() -> None:
    low, high = torch.tensor([[-3.0, 2.25]]), torch.tensor([[3.0, 1.8]])
    points = torch.cat([low.expand(30, 2), high.expand(10, 2)])
    assert view(0.01).share(points, is_end=True) == 0.75
