"""Data consistency: pseudo-inverses, closed forms, and agreement after every sampler."""

import pytest
import torch
from declared import SAMPLERS
from exact import by_sigma
from golden.analytic_model import Mixture
from pictures import OPERATORS, SHAPE, pictures
from torch import Tensor

from ddpm_cli.data.degradations import blur
from ddpm_cli.diffusion.denoiser import Denoise, Prediction, Wrapped
from ddpm_cli.diffusion.edits import jumps
from ddpm_cli.diffusion.levels import karras
from ddpm_cli.diffusion.measuring import Operator, error, nearest, solved
from ddpm_cli.diffusion.restoration import Separable, consistent, projected
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.diffusion.schedules.tables import cosine
from ddpm_cli.diffusion.walk import start, walk
from ddpm_cli.files.images.pixels import from_uint8, to_uint8
from ddpm_cli.settings import catalog


def inverse(operator: Operator, y: Tensor) -> Tensor:
    return solved(operator, y, 0.0)


def smooth(count: int, shape: tuple[int, int, int] = SHAPE) -> Tensor:
    """Pictures with black, white and soft edges, as bytes hold them."""
    x = blur(pictures(count, *shape), torch.full((count,), 1.5)) * 6
    return from_uint8(to_uint8(x)).double()


class TestNearest:
    @pytest.mark.parametrize("name", OPERATORS)
    def test_changes_what_is_known_and_nothing_else(self, name: str) -> None:
        operator, x = OPERATORS[name], pictures(2, *SHAPE)
        y = operator(pictures(2, *SHAPE, seed=1)) * 0.3  # far from the bounds at -1 and 1
        made = nearest(operator, x, y)
        assert torch.allclose(inverse(operator, operator(made)), inverse(operator, y), atol=1e-10)
        step = made - x
        assert torch.allclose(inverse(operator, operator(step)), step, atol=1e-10)

    def test_cut_off_values_are_bounds(self) -> None:
        operator = OPERATORS["half by area"]
        y = torch.full((1, 3, 8, 6), 1.0, dtype=torch.float64)
        high = torch.full((1, *SHAPE), 1.2, dtype=torch.float64)
        assert torch.equal(nearest(operator, high, y), high)
        low = nearest(operator, torch.zeros_like(high), y)
        assert torch.allclose(low, torch.ones_like(low))

    @pytest.mark.parametrize("name", OPERATORS)
    def test_within_agrees_to_a_level_in_bytes(self, name: str) -> None:
        """From real images: shrunk, grey or blurred ones as files hold them, in 256 levels."""
        operator = OPERATORS[name]
        y = from_uint8(to_uint8(operator(smooth(8)))).double()
        made = projected(operator, pictures(8, *SHAPE, seed=3) * 2, y)
        assert float(made.abs().max()) <= 1
        assert float(error(operator, made, y).max()) * 127.5 < 0.6
        in_bytes = from_uint8(to_uint8(made)).double()
        assert float(error(operator, in_bytes, y).max()) * 127.5 <= 1
        if name != "blurred":
            levels = (to_uint8(operator(in_bytes)).int() - to_uint8(y).int()).abs()
            assert int(levels.max()) <= 1

    def test_within_leaves_alone_what_agrees(self) -> None:
        operator, x = OPERATORS["half"], pictures(1, *SHAPE) * 0.5
        assert torch.allclose(projected(operator, x, operator(x)), x, atol=1e-12)


MIXTURE = Mixture(
    [0.5, 0.5],
    [[0.5, -0.3, 0.8, 0.1], [-0.6, 0.4, 0.0, -0.7]],
    [[0.02, 0.05, 0.01, 0.1], [0.04, 0.03, 0.09, 0.02]],
    shape=(1, 2, 2),
)

MEAN = Separable([torch.eye(1), torch.eye(2), torch.full((1, 2), 0.5)])


def restored(denoise: Denoise, levels: Tensor, sampler: str, y: Tensor, seeds: range) -> Tensor:
    name = sampler.split(" ")[0]
    component = catalog.find("sampler", name)
    knobs = SAMPLERS[sampler].settings[0]

    def step(*arguments: object) -> Tensor:
        made: Tensor = catalog.load(component)(*arguments, **knobs)
        return made

    def exact(x: Tensor, sigma: Tensor) -> Prediction:
        found = consistent(denoise, MEAN, y)(x, sigma)
        return found._replace(range=torch.zeros_like(x), covariance=torch.zeros_like(x))

    known, rng = Wrapped(denoise, exact), Rng(seeds)
    x = start(known, levels, torch.empty(len(y), 1, 2, 2, dtype=torch.float64), rng)
    *_, last = walk(known, x, levels, rng, predictor=step)
    return last.x


@pytest.mark.parametrize("sampler", [name for name in SAMPLERS if name not in ("hold", "ode")])
@pytest.mark.parametrize("jumping", [False, True])
def test_every_sampler_ends_in_agreement(sampler: str, jumping: bool) -> None:
    denoise = by_sigma(MIXTURE, cosine())
    levels = karras(cosine(), count=10, high=20.0)
    if jumping:
        levels = jumps(levels, lengths=[3], visits=[2])
    y = pictures(5, 1, 2, 1) * 0.9
    made = restored(denoise, levels, sampler, y, range(5))
    if SAMPLERS[sampler].noisy:
        made = nearest(MEAN, made, y)
    assert float((MEAN(made) - y).abs().max()) < 1e-6
    alone = restored(denoise, levels, sampler, y[3:4], range(3, 4))
    if not SAMPLERS[sampler].noisy:
        assert torch.allclose(alone[0], made[3], atol=1e-9)
