"""The contrastive loss, beside the plain formula; and texts that are equal, or missing."""

import math

import pytest
import torch
from torch import Tensor, nn

from ddpm_cli.diffusion import labels, parameterizations
from ddpm_cli.diffusion.classifier import Classifier
from ddpm_cli.diffusion.contrast import symmetric
from ddpm_cli.diffusion.losses import contrastive
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.diffusion.schedules import cosine

ROWS = torch.tensor([[7, 1, -1], [7, 2, -1], [7, 2, 3]], dtype=torch.int16)


def test_it_is_the_mean_of_two_cross_entropies() -> None:
    scores = torch.randn(3, 3, generator=torch.manual_seed(0)).double()
    found = symmetric(scores, ROWS)
    for i in range(3):
        of_text = math.log(sum(math.exp(s) for s in scores[i].tolist()))
        of_image = math.log(sum(math.exp(s) for s in scores[:, i].tolist()))
        expected = (of_text + of_image) / 2 - float(scores[i, i])
        assert float(found[i]) == pytest.approx(expected)


@pytest.mark.parametrize("kind", ["bytes", "floats"])
def test_equal_texts_are_no_negatives_and_missing_ones_count_for_nothing(kind: str) -> None:
    rows = ROWS[[0, 1, 1, 2]].clone()
    rows[3] = -1
    if kind == "floats":
        rows = rows.float().masked_fill(rows == -1, torch.nan)
    scores = torch.randn(4, 4, generator=torch.manual_seed(1), requires_grad=True)
    found = symmetric(scores, rows)
    alone = symmetric(scores[:2, :2], rows[:2])
    assert found[3] == 0
    assert torch.allclose(found[1], alone[1])
    (slope,) = torch.autograd.grad(found.sum(), scores)
    assert bool(slope.isfinite().all())
    assert slope[1, 2] == slope[2, 1] == 0
    assert not slope[3].any()
    assert not slope[:, 3].any()


class Towers(nn.Module):
    """Embeds an image of two values as it is, and a text as its first two bytes."""

    scale = torch.tensor(3.0)

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        return x.flatten(1)[:, :2]

    def read(self, rows: Tensor) -> Tensor:
        return rows[:, :2].float()


def test_images_are_noised_and_seen_in_squares_if_asked() -> None:
    clip = Classifier(Towers(), cosine(steps=1000), parameterizations.v, labels.index)
    x0 = torch.rand(3, 1, 4, 4, generator=torch.manual_seed(2))
    t = torch.full((3,), 1e-3, dtype=torch.float64)
    plain = contrastive(clip, x0, t, Rng([0, 1, 2]), text=ROWS)
    scores = 3 * x0.flatten(1)[:, :2] @ ROWS[:, :2].float().T
    assert torch.allclose(plain, symmetric(scores, ROWS), atol=0.3)
    squares = contrastive(clip, x0, t, Rng([0, 1, 2]), crops=True, text=ROWS)
    assert not torch.allclose(squares, plain)
    assert torch.equal(contrastive(clip, x0, t, Rng([0, 1, 2]), crops=True, text=ROWS), squares)
