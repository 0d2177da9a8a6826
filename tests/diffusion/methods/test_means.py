"""Methods that move the predicted image: exact posteriors of normal data, and what they take."""

from functools import partial

import pytest
import torch
from declared import SAMPLERS
from posteriors import DATA, MATRIX, NOISE, SIZE, SUMS, UNIT, Normal, drawn, known, numbers

from ddpm_cli.data import operators
from ddpm_cli.diffusion.denoiser import Denoise
from ddpm_cli.diffusion.guidance import steered
from ddpm_cli.diffusion.linear_maps import Frequencies, Given, Masked
from ddpm_cli.diffusion.measuring import Measured
from ddpm_cli.diffusion.methods import ddnm, mmps, pigdm
from ddpm_cli.diffusion.methods.means import RIDGE
from ddpm_cli.diffusion.shapes import rows
from ddpm_cli.settings import catalog

EXACT = partial(mmps, rounds=20, tolerance=1e-12)


def wrapped(method: object, data: Denoise) -> Denoise:
    made = method.wrap(data)  # type: ignore[attr-defined]
    assert made is not None
    return made  # type: ignore[no-any-return]


@pytest.mark.parametrize("sigma", [0.02, 0.5, 3.0, 60.0])
class TestExactMean:
    """D + C A^T (noise^2 I + A C A^T)^-1 (y - A D) is E[x0 given x, y] with the right C."""

    def test_mmps_of_any_normal_data(self, sigma: float) -> None:
        x, level = numbers(5, SIZE, seed=7) * sigma, torch.tensor(sigma)
        seen = known(5)
        got = wrapped(EXACT(seen), DATA)(x, level).x0
        want = DATA.given(MATRIX, seen.y[0], NOISE)(x, level).x0
        assert torch.allclose(got, want, atol=1e-8)

    def test_pigdm_of_data_of_unit_variance(self, sigma: float) -> None:
        x, level = numbers(5, SIZE, seed=7) * sigma, torch.tensor(sigma)
        seen = known(5)
        got = wrapped(pigdm(seen), UNIT)(x, level).x0
        want = UNIT.given(MATRIX, seen.y[0], NOISE)(x, level).x0
        assert torch.allclose(got, want, atol=1e-10)
        other = wrapped(pigdm(seen), DATA)(x, level).x0
        exact = DATA.given(MATRIX, seen.y[0], NOISE)(x, level).x0
        assert sigma < 0.1 or not torch.allclose(other, exact, atol=1e-3)

    def test_mmps_without_noise_takes_a_little(self, sigma: float) -> None:
        x, level, seen = numbers(3, SIZE) * sigma, torch.tensor(sigma), known(3, 0.0)
        got = wrapped(EXACT(seen), DATA)(x, level).x0
        least = (RIDGE * sigma**2 / (1 + sigma**2)) ** 0.5
        want = DATA.given(MATRIX, seen.y[0], least)(x, level).x0
        assert torch.allclose(got, want, atol=1e-8)

    def test_ddnm_makes_what_is_known_exact(self, sigma: float) -> None:
        x, seen = numbers(3, SIZE) * sigma, known(3)
        got = wrapped(ddnm(seen), DATA)(x, torch.tensor(sigma)).x0
        assert torch.allclose(SUMS(got), seen.y, atol=1e-10)

    @pytest.mark.parametrize("make", [EXACT, pigdm, ddnm])
    def test_a_row_does_not_depend_on_the_others(self, sigma: float, make: object) -> None:
        x, level = numbers(3, SIZE) * sigma, torch.tensor(sigma)
        seen = Measured(SUMS, numbers(3, 2, seed=8), NOISE)
        every = wrapped(make(seen), DATA)(x, level).x0  # type: ignore[operator]
        alone = Measured(SUMS, seen.y[1:2], NOISE)
        one = wrapped(make(alone), DATA)(x[1:2], level).x0  # type: ignore[operator]
        assert torch.allclose(one[0], every[1], atol=1e-12)


# Those that leave noise, or take as many calls as they need, are no test of a mean.
EVERY = [name for name in SAMPLERS if not SAMPLERS[name].noisy and name != "ode"]
NEEDS = {"variance": ("learned", "optimal", "hat")}


@pytest.mark.parametrize("sampler", EVERY)
def test_any_sampler_draws_the_exact_posterior(sampler: str) -> None:
    """By all samplers with the same walk the same as from the posterior's own denoiser."""
    count = 3
    component = catalog.load(catalog.find("sampler", sampler.split(" ")[0]))
    for settings in SAMPLERS[sampler].settings:
        if settings.get("variance") in NEEDS["variance"]:
            continue  # of a network's own
        step = partial(component, **settings)
        seen = known(count)
        got = drawn(EXACT(seen), DATA, step, count)
        exact = DATA.given(MATRIX, seen.y[0], NOISE)
        want = drawn(type(EXACT(seen))(), exact, step, count)
        assert torch.allclose(got, want, atol=1e-6), settings


@pytest.mark.parametrize(("sampler", "settings"), [("heun", {}), ("dpm-solver-pp-multi", {})])
def test_samples_have_the_moments_of_the_posterior(
    sampler: str, settings: dict[str, float]
) -> None:
    """To the error of 4000 samples, and of 40 steps of the second order."""
    count = 4000
    step = partial(catalog.load(catalog.find("sampler", sampler)), **settings)
    seen = known(count)
    got = drawn(EXACT(seen), DATA, step, count)
    exact = DATA.given(MATRIX, seen.y[0], NOISE)
    deviation = exact.covariance.diag().sqrt()
    assert float(((got.mean(0) - exact.mean) / deviation).abs().max()) < 4 / count**0.5
    apart = torch.cov(got.T) - exact.covariance
    assert float(apart.norm() / exact.covariance.norm()) < 0.06


@pytest.mark.parametrize("make", [EXACT, pigdm])
def test_guides_go_back_through_what_is_moved(make: object) -> None:
    """The gradient of a score of x0 with respect to x is that of the network's own image."""
    seen, x, sigma = known(2), numbers(2, SIZE), torch.tensor(0.7)
    denoise = wrapped(make(seen), DATA)  # type: ignore[operator]
    made = steered(denoise, clean=[lambda x0, sigma: x0.sum(1)])(x, sigma)
    gain = DATA.covariance @ torch.linalg.inv(DATA.covariance + 0.49 * torch.eye(SIZE).double())
    assert made.score is not None
    assert torch.allclose(made.score, gain.sum(0).expand(2, -1), atol=1e-10)


@pytest.mark.parametrize("kind", ["mask", "frequencies", "given"])
def test_mmps_through_every_kind_of_operator(kind: str) -> None:
    shape = (1, 2, 2)
    some = torch.tensor([True, False])
    seen = Frequencies(shape, some)
    made = {
        "mask": Masked(torch.tensor([[[[True, False], [False, True]]]]), shape),
        "frequencies": seen,
        "given": Given(seen, seen.adjoint, seen.shape),
    }[kind]
    dense = made(torch.eye(4).double().reshape(4, *shape)).flatten(1).T
    y = numbers(1, *made.shape, seed=5)
    if kind == "mask":
        y = made(y)

    class Square(Normal):
        def __call__(self, x: object, sigma: object) -> object:  # type: ignore[override]
            flat = super().__call__(x.flatten(1), sigma)  # type: ignore[attr-defined]
            return flat._replace(x0=flat.x0.reshape(-1, *shape))

    x, level = numbers(1, *shape), torch.tensor(0.6)
    method = EXACT(Measured(made, y, NOISE))
    got = wrapped(method, Square(*DATA))(x, level).x0
    want = DATA.given(dense, y.flatten(), NOISE)(x.flatten(1), level).x0
    assert torch.allclose(got.flatten(1), want, atol=1e-8)


def test_mmps_needs_a_linear_map() -> None:
    saved = operators.jpeg((1, 8, 8))
    with pytest.raises(ValueError, match="it needs a linear map, and JPEG is none"):
        mmps(Measured(saved, torch.zeros(1, 1, 8, 8)))
    y = torch.zeros(1, 1, 8, 8).double()
    images = Measured(saved, y)
    assert pigdm(images).wrap is not None


def test_levels_of_rows() -> None:
    """Levels may be one for each row, as solvers of steps of their own ask."""
    seen, x = known(2), numbers(2, SIZE)
    level = torch.tensor([0.7, 0.7])
    made = wrapped(EXACT(seen), DATA)(x, level).x0
    assert torch.allclose(made, wrapped(EXACT(seen), DATA)(x, level[0]).x0)
    assert torch.equal(rows(level, x), level)
