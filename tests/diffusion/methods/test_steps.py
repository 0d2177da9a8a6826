"""Methods with a step of their own: reductions, closed forms, and what is known in the end."""

from functools import partial

import pytest
import torch
from posteriors import DATA, MATRIX, NOISE, SIZE, SUMS, drawn, known, numbers
from torch import Tensor

from ddpm_cli.data import operators
from ddpm_cli.diffusion.linear_maps import Given, Masked
from ddpm_cli.diffusion.measuring import Measured, Method
from ddpm_cli.diffusion.methods import ddnm, ddnm_plus, ddrm, diffpir, dps
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.diffusion.samplers import ddim, ddpm, heun
from ddpm_cli.diffusion.steps import Move, Visited

NOTHING = Measured(Masked(torch.zeros(1, SIZE).bool(), (SIZE,)), torch.zeros(3, SIZE), NOISE)
ALL = Masked(torch.ones(1, SIZE).bool(), (SIZE,))


def moved(method: Method, x: Tensor, t: float, s: float, own: object = ddpm) -> Tensor:
    assert method.predictor is not None
    step = method.predictor(own)  # type: ignore[arg-type]
    return step(DATA, x, Move.of(t, s), Rng(range(len(x))), list[Visited]())


class TestNothingKnown:
    """Of nothing known each is the sampler that it is made of."""

    x = numbers(3, SIZE)

    def test_ddrm_is_ddim(self) -> None:
        t, s, eta = 1.0, 0.6, 0.85
        got = moved(ddrm(NOTHING, eta=eta), self.x, t, s)
        x0 = DATA(self.x, torch.tensor(t)).x0
        z = Rng(range(3)).normal(self.x)
        assert torch.allclose(got, x0 + (1 - eta**2) ** 0.5 * s * (self.x - x0) / t + eta * s * z)

    def test_ddnm_plus_is_ddpm(self) -> None:
        got = moved(ddnm_plus(NOTHING), self.x, 1.0, 0.6)
        own = ddpm(DATA, self.x, Move.of(1.0, 0.6), Rng(range(3)), [])
        assert torch.allclose(got, own)

    def test_diffpir_without_fresh_noise_is_ddim(self) -> None:
        got = moved(diffpir(NOTHING, fresh=0.0), self.x, 1.0, 0.6)
        assert torch.allclose(got, ddim(DATA, self.x, Move.of(1.0, 0.6), Rng(range(3)), []))

    @pytest.mark.parametrize("own", [ddpm, heun])
    def test_dps_is_the_sampler(self, own: object) -> None:
        got = moved(dps(NOTHING), self.x, 1.0, 0.6, own)
        want = own(DATA, self.x, Move.of(1.0, 0.6), Rng(range(3)), [])  # type: ignore[operator]
        assert torch.allclose(got, want)


class TestDdnmPlus:
    @pytest.mark.parametrize(("t", "s"), [(1.0, 0.6), (0.3, 0.1), (0.3, 0.0)])
    def test_without_noise_is_ddpm_on_ddnm(self, t: float, s: float) -> None:
        x, seen = numbers(3, SIZE), known(3, 0.0)
        inner = ddnm(seen).wrap
        assert inner is not None
        want = ddpm(inner(DATA), x, Move.of(t, s), Rng(range(3)), [])
        assert torch.allclose(moved(ddnm_plus(seen), x, t, s), want, atol=1e-10)

    def test_noise_of_what_is_known_is_a_part_of_the_steps_own(self) -> None:
        """Over measurements and draws, x_s has the deviation that the step has without them."""
        count, t, s, noise = 40_000, 1.0, 0.5, 0.3
        x = torch.zeros(count, SIZE).double()
        y = noise * numbers(count, SIZE)
        got = moved(ddnm_plus(Measured(ALL, y, noise)), x, t, s)
        deviation = s * (1 - (s / t) ** 2) ** 0.5
        assert torch.allclose(got.std(0), torch.full((SIZE,), deviation).double(), rtol=0.02)


class TestDdrm:
    def test_known_without_noise_is_exact_in_the_end(self) -> None:
        seen = known(4, 0.0)
        made = drawn(ddrm(seen), DATA, ddpm, 4)
        assert torch.allclose(SUMS(made), seen.y, atol=1e-8)

    @pytest.mark.parametrize(("s", "noise"), [(0.6, 0.2), (0.1, 0.4)])
    def test_moments_of_a_step(self, s: float, noise: float) -> None:
        count, t, eta = 20_000, 1.0, 0.85
        x = numbers(1, SIZE).expand(count, -1)
        y = numbers(1, SIZE, seed=5).expand(count, -1)
        got = moved(ddrm(Measured(ALL, y, noise)), x, t, s)
        x0 = DATA(x[:1], torch.tensor(t)).x0[0]
        late = x0 + (1 - eta**2) ** 0.5 * s * (y[0] - x0) / noise
        mean, spread = (late, eta * s) if s < noise else (y[0], (s**2 - noise**2) ** 0.5)
        assert torch.allclose(got.mean(0), mean, atol=5 * spread / count**0.5)
        assert torch.allclose(got.std(0), torch.full((SIZE,), spread).double(), rtol=0.03)


class TestDiffpir:
    def test_proximal_step_is_the_minimum(self) -> None:
        x, seen, t, weight = numbers(1, SIZE), known(1), 0.7, 3.0
        got = moved(diffpir(seen, weight=weight), x, t, 0.0)[0]
        x0 = DATA(x, torch.tensor(t)).x0[0]
        inner = MATRIX.T @ MATRIX / NOISE**2 + weight / t**2 * torch.eye(SIZE).double()
        want = torch.linalg.solve(inner, MATRIX.T @ seen.y[0] / NOISE**2 + weight / t**2 * x0)
        assert torch.allclose(got, want, atol=1e-10)


class TestDps:
    def test_gradient_of_the_norm_in_the_scale_of_the_process(self) -> None:
        """x_s - strength / alpha_s d |y - A D| / d (alpha_t x), by differences."""
        x, seen, t, s, strength = numbers(1, SIZE), known(1), 1.0, 0.6, 0.7
        got = moved(dps(seen, strength=strength), x, t, s)
        plain = ddpm(DATA, x, Move.of(t, s), Rng([0]), [])
        at, before = (float(DATA.schedule.alpha(torch.tensor(v).double())) for v in (s, t))

        def norm(x: Tensor) -> float:
            return float((seen.y - SUMS(DATA(x, torch.tensor(t)).x0)).norm())

        units = torch.eye(SIZE).double() * 1e-6
        slope = torch.tensor([(norm(x + u) - norm(x - u)) / 2e-6 for u in units]).double()
        assert torch.allclose(got - plain, -strength / (at * before) * slope, atol=1e-6)


@pytest.mark.parametrize("make", [ddrm, ddnm_plus])
def test_singular_values_are_needed(make: object) -> None:
    given = Given(SUMS, SUMS.adjoint, SUMS.shape)
    with pytest.raises(ValueError, match="needs singular values, and these are not known"):
        make(Measured(given, known(1).y))  # type: ignore[operator]
    with pytest.raises(ValueError, match="JPEG has none"):
        make(Measured(operators.jpeg((1, 8, 8)), known(1).y))  # type: ignore[operator]


@pytest.mark.parametrize("make", [ddrm, ddnm_plus, diffpir, dps])
def test_a_row_does_not_depend_on_the_others(make: object) -> None:
    seen = Measured(SUMS, numbers(3, 2, seed=8), NOISE)
    every = drawn(make(seen), DATA, partial(ddpm), 3)  # type: ignore[operator]
    alone = drawn(make(seen._replace(y=seen.y[:1])), DATA, ddpm, 1)  # type: ignore[operator]
    assert torch.allclose(alone[0], every[0], atol=1e-9)
