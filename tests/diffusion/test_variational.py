"""The terms of the variational bound: divergences and the decoder."""

import math

import pytest
import torch

from ddpm_cli.diffusion.variational import (
    discretized_normal,
    drawn_moves,
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


class TestDrawnMoves:
    def test_the_last_is_always_one_of_them(self) -> None:
        moves, share = drawn_moves(10, 4, torch.tensor([0.0, 0.999]))
        assert [each.tolist() for each in moves] == [[0, 2], [3, 5], [6, 8], [9, 9]]
        assert share == 3.0

    @pytest.mark.parametrize("count", [2, 3, 7, 12])
    def test_their_weighted_sum_has_the_mean_of_the_whole_sum(self, count: int) -> None:
        """Over all offsets, which are as likely, each move comes as often as its weight says."""
        u = (torch.arange(120_000, dtype=torch.float64) + 0.5) / 120_000
        moves, share = drawn_moves(13, count, u)
        often = torch.stack(moves).flatten().bincount(minlength=13) / len(u)
        expected = torch.full((13,), 1 / share, dtype=torch.float64)
        expected[-1] = 1
        torch.testing.assert_close(often.double(), expected, atol=1e-4, rtol=0)

    def test_no_move_comes_twice(self) -> None:
        moves, _ = drawn_moves(9, 8, torch.rand(1000, generator=torch.Generator().manual_seed(0)))
        assert all(len(set(column)) == 8 for column in torch.stack(moves).T.tolist())
