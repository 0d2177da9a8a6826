"""What is pasted into the states of a walk: of a mask the same as the constraints do."""

import pytest
import torch
from posteriors import DATA, SIZE, SUMS, drawn, known, numbers

from ddpm_cli.diffusion import constraints
from ddpm_cli.diffusion.linear_maps import Given, Masked
from ddpm_cli.diffusion.measuring import Measured, Method
from ddpm_cli.diffusion.methods import posterior, replace
from ddpm_cli.diffusion.samplers import ddpm

MASK = torch.tensor([[True, False, True, False]])
PAIRS = {
    "replace": (replace, constraints.replace),
    "posterior": (posterior, constraints.posterior),
}


@pytest.mark.parametrize("name", PAIRS)
class TestPasting:
    def test_of_a_mask_is_the_constraint(self, name: str) -> None:
        method, constraint = PAIRS[name]
        values = numbers(3, SIZE)
        seen = Measured(Masked(MASK, (SIZE,)), values * MASK)
        ours = drawn(method(seen), DATA, ddpm, 3)
        want = drawn(Method(constrain=constraint(values, MASK)), DATA, ddpm, 3)
        assert torch.allclose(ours, want, atol=1e-12)

    def test_ends_in_agreement(self, name: str) -> None:
        seen = known(3)
        made = drawn(PAIRS[name][0](seen), DATA, ddpm, 3)
        assert torch.allclose(SUMS(made), seen.y, atol=1e-8)

    def test_needs_singular_values(self, name: str) -> None:
        given = Given(SUMS, SUMS.adjoint, SUMS.shape)
        with pytest.raises(ValueError, match="needs singular values"):
            PAIRS[name][0](Measured(given, known(1).y))
