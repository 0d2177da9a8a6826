"""The terms of the variational bound: divergences and the decoder."""

import math

import pytest
import torch

from ddpm_cli.diffusion.variational import (
    discretized_normal,
    reconstruction_bits,
)


class TestDecoder:
    @pytest.mark.parametrize("bits", [1, 3, 8])
    def test_probabilities_add_up_to_one(self, bits: int) -> None:
        x = torch.linspace(-1, 1, 2**bits, dtype=torch.float64)
        for mean, deviation in ((0.3, 0.01), (-1.4, 0.3), (0.999, 0.1), (0.0, 5.0)):
            log = discretized_normal(
                x, torch.tensor(mean).double(), torch.tensor(2 * math.log(deviation)), bits
            )
            assert float(log.exp().sum()) == pytest.approx(1, abs=1e-12)

    @pytest.mark.parametrize("x", [-1.0, 0.2, 1.0])
    def test_far_mean_is_still_pulled_back(self, x: float) -> None:
        """A bin fifty deviations away has a finite cost and a slope in float32."""
        x = round((x + 1) * 127.5) / 127.5 - 1
        mean = torch.tensor(x - 0.5 if x > 0 else x + 0.5, requires_grad=True)
        log = discretized_normal(torch.tensor(x), mean, torch.tensor(2 * math.log(0.01)), 8)
        assert float(log.detach()) == pytest.approx(-(0.496**2) / 2e-4, rel=0.02)
        log.backward()
        assert float(mean.grad) == pytest.approx(
            math.copysign(4961, x - float(mean.detach())), rel=0.02
        )

    def test_reconstruction_is_certain_without_noise(self) -> None:
        x0 = torch.linspace(-1, 1, 256).double()[None]
        sigma = torch.tensor(1e-4, dtype=torch.float64)
        assert float(reconstruction_bits(x0, x0 + 1e-4, sigma)) < 1e-12
        assert float(reconstruction_bits(x0, x0, 1e4 * sigma.sqrt())) == pytest.approx(8, abs=1e-3)
