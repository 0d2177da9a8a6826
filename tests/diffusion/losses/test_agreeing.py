"""Consistency: pairs of one noise and one dropout, and the boundary that gives it a meaning."""

import pytest
import torch
from exact import Recorded, by_sigma, gaussian
from torch import Tensor, nn

from ddpm_cli.diffusion import labels, parameterizations
from ddpm_cli.diffusion.denoiser import Denoiser
from ddpm_cli.diffusion.few_steps import lower
from ddpm_cli.diffusion.losses.agreeing import consistency
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.diffusion.schedules.processes import edm, flow
from ddpm_cli.diffusion.schedules.tables import cosine


def test_the_lower_level_is_the_published_one() -> None:
    t = torch.tensor([0.05, 1.0, 30.0], dtype=torch.float64)
    sigmoid = [0.48750260, 0.26894142, 9.3576e-14]
    for stage, q in ((0, 2.0), (3, 2.0), (2, 4.0)):
        want = [
            max(0.0, one * (1 - q ** -(stage + 1) * (1 + 8 * share)))
            for one, share in zip(t.tolist(), sigmoid, strict=True)
        ]
        assert lower(t, stage, q=q).tolist() == pytest.approx(want, rel=1e-6)


def test_it_is_the_weighted_distance_of_two_answers_to_one_noise() -> None:
    schedule = edm()
    denoise = by_sigma(gaussian(0.2, 0.3), schedule, "edm")
    x0, noise = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0)).double()
    sigma = torch.tensor([0.02, 1.0, 40.0], dtype=torch.float64)
    t, seen = schedule.time(sigma), {"double": 10, "stages": 3, "sigma_data": 0.6}
    sigma = schedule.sigma(t)
    for step, stage in ((0, 0), (9, 0), (10, 1), (29, 2), (1000, 2)):
        loss = consistency(denoise, x0, t, Recorded([noise]), step, **seen)  # type: ignore[arg-type]
        r = lower(sigma, stage)
        low = denoise(x0 + r[:, None] * noise, r.clamp(min=1e-4)).x0
        goal = torch.where(r[:, None] > 0, low, x0)
        off = denoise(x0 + sigma[:, None] * noise, sigma).x0 - goal
        want = (sigma**-2 + 0.6**-2) * off.square().mean(1).sqrt()
        assert torch.allclose(loss, want, rtol=1e-4)


@pytest.mark.parametrize(("weighting", "power"), [("inverse", 1), ("even", 0)])
def test_low_levels_may_count_less(weighting: str, power: int) -> None:
    schedule = edm()
    denoise = by_sigma(gaussian(0.2, 0.3), schedule, "edm")
    x0, t = torch.full((3, 4), 0.7).double(), schedule.time(torch.tensor([0.05, 1.0, 40.0]))
    sigma = schedule.sigma(t)
    whole, less = (
        consistency(denoise, x0, t, Rng([0, 1, 2]), 0, weighting=one)  # type: ignore[arg-type]
        for one in ("edm", weighting)
    )
    ratio = (sigma**-power + 2**power) / (sigma**-2 + 4) if power else 1 / (sigma**-2 + 4)
    assert torch.allclose(less / whole, ratio)


class Thinned(nn.Module):
    """A network with dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4).double()

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        out: Tensor = self.layer(nn.functional.dropout(x, 0.5, self.training))
        return out


def test_both_answers_are_thinned_alike_and_the_lower_one_is_fixed() -> None:
    torch.manual_seed(0)
    network = Thinned()
    denoise = Denoiser(network, flow(), parameterizations.flow, labels.time)
    x0 = torch.randn(6, 4, generator=torch.Generator().manual_seed(0)).double()
    t = torch.full((6,), 0.5, dtype=torch.float64)
    rng = Rng(range(6))
    # As close as two levels come: what is left is what dropout would tell apart.
    loss = consistency(denoise, x0, t, rng, 10**9, double=1, stages=40)
    assert float(loss.detach().max()) < 1e-4
    before = torch.get_rng_state()
    loss = consistency(denoise, x0, t, Rng(range(6)), 0)
    assert not torch.equal(before, torch.get_rng_state())
    loss.sum().backward()
    assert float(network.layer.weight.grad.abs().max()) > 0  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("target", "words"),
    [("x0", "need not answer with what it is shown"), ("eps", "counts 2.03e[+]04 times")],
)
def test_networks_without_the_boundary_are_refused(target: str, words: str) -> None:
    denoise = by_sigma(gaussian(0.0, 1.0), cosine(), target)
    with pytest.raises(ValueError, match=words):
        consistency(denoise, torch.zeros(1, 1), torch.ones(1), Rng([0]), 0)
