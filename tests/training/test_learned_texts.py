"""Two words are learned in seconds, in any language: a red and a blue square on an 8x8 toy."""

import pytest
import torch
from torch import Tensor

from ddpm_cli.diffusion import labels, levels, parameterizations
from ddpm_cli.diffusion.denoiser import Denoiser
from ddpm_cli.diffusion.guidance import Pair, guidance
from ddpm_cli.diffusion.guiders import cfg
from ddpm_cli.diffusion.losses.denoising import simple
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.diffusion.samplers.implicit import ddim
from ddpm_cli.diffusion.schedules import tables
from ddpm_cli.diffusion.walk import start, walk
from ddpm_cli.networks import unet
from ddpm_cli.networks.conditions.text import text
from ddpm_cli.training.conditions import dropped

ROWS, STEPS, DRAWN = 32, 60, 16


def squares(chance: Tensor) -> tuple[Tensor, Tensor]:
    """Images [B, 3, 8, 8] of squares at random heights, and whether each is blue."""
    blue, top = (chance[:, 0] < 0.5).long(), (chance[:, 1] * 5).long()
    images = -torch.ones(len(chance), 3, 8, 8)
    for image, channel, row in zip(images, 2 * blue, top, strict=True):
        image[channel, row : row + 4, 2:6] = 1
    return images, blue


def learned(words: list[str], recipe: text, cross: str) -> Denoiser:
    torch.manual_seed(0)
    network = unet(
        (3, 8, 8), 0, {"text": recipe}, width=16, blocks=1, attention=[2], patch=2, heads=2,
        cross=cross,  # type: ignore[arg-type]
    )  # fmt: skip
    denoise = Denoiser(network, tables.cosine(), parameterizations.v, labels.index)
    optimizer = torch.optim.AdamW(network.parameters(), lr=4e-3)
    rows = recipe.rows(words)
    for step in range(STEPS):
        rng = Rng(range(step * ROWS, (step + 1) * ROWS))
        chance = rng.uniform(4, torch.device("cpu"))
        x0, blue = squares(chance)
        told = dropped(
            {"text": rows[blue]}, {"text": recipe.null}, {"text": recipe.drop}, chance[:, 2], rng
        )
        loss = simple(denoise, x0, chance[:, 3].double(), rng, **told).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return denoise.eval().requires_grad_(False)


def redness(denoise: Denoiser, recipe: text, word: str, scale: float) -> Tensor:
    """How much redder than blue each of some images of a word is, [N]."""
    told, null = ({"text": recipe.rows([one] * DRAWN)} for one in (word, None))
    guided = guidance(Pair.of_nulls(denoise, told, null), cfg, name="cfg", scale=scale)
    rng, along = Rng(range(DRAWN)), levels.trailing(denoise.schedule, count=10)
    x = start(guided, along, torch.empty(DRAWN, 3, 8, 8), rng)
    *_, last = walk(guided, x, along, rng, predictor=ddim)
    return (last.x[:, 0] - last.x[:, 2]).mean((1, 2))


@pytest.mark.parametrize(
    ("words", "form", "cross"),
    [(["red", "blue"], "both", "beside"), (["红心", "蓝心"], "sequence", "behind")],
)
def test_two_words_come_out_as_they_are_meant(words: list[str], form: str, cross: str) -> None:
    recipe = text(form=form, length=8, width=16, depth=1, heads=2)  # type: ignore[arg-type]
    denoise = learned(words, recipe, cross)
    for scale, share in ((1.0, 0.8), (2.0, 1.0)):
        red, blue = (redness(denoise, recipe, word, scale) for word in words)
        assert (red > 0).double().mean() >= share
        assert (blue < 0).double().mean() >= share
