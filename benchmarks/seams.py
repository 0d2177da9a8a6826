"""How much windows show in large images: jumps at their edges beside jumps elsewhere.

The data are a texture whose distribution is known: a Gaussian field in which two pixels are
correlated by rho^(distance along rows) rho^(distance along columns), the same everywhere. So the
denoiser of a window is exact, and so is that of a whole large image, which has no seams.
"""

import json
from collections.abc import Callable
from pathlib import Path

import cells
import click
import torch
from torch import Tensor

from ddpm_cli.data import operators
from ddpm_cli.diffusion.constraints import replace
from ddpm_cli.diffusion.denoiser import Denoise, Prediction, Wrapped
from ddpm_cli.diffusion.edits import jumps
from ddpm_cli.diffusion.guidance import agreement, steered
from ddpm_cli.diffusion.known_pixels import begun
from ddpm_cli.diffusion.levels import karras
from ddpm_cli.diffusion.measuring import Measured
from ddpm_cli.diffusion.methods import pigdm
from ddpm_cli.diffusion.renoise import renoise
from ddpm_cli.diffusion.restoration import consistent, projected
from ddpm_cli.diffusion.rng import Rng, keyed
from ddpm_cli.diffusion.samplers import ddim
from ddpm_cli.diffusion.schedules.tables import linear
from ddpm_cli.diffusion.steps import Constraint
from ddpm_cli.diffusion.walk import start, walk
from ddpm_cli.files.images.pixels import encode_png
from ddpm_cli.pipelines.windows import Window, cover, order, tiled

SIDE, RHO = 16, 0.9
NOISE = 0.05  # that guide --restore takes for granted
CONTRAST = 0.35  # standard deviation of a pixel: nearly all values are within [-1, 1]


class Texture:
    """The exact denoiser of a Gaussian field of any size, [B, 1, H, W]."""

    schedule = linear()

    def __init__(self, height: int, width: int) -> None:
        self.roots = [torch.linalg.eigh(self.covariance(side)) for side in (height, width)]

    @staticmethod
    def covariance(side: int) -> Tensor:
        """rho^|i - j| along one axis."""
        place = torch.arange(side, dtype=torch.float64)
        return CONTRAST * RHO ** (place[:, None] - place).abs()

    def __call__(self, x: Tensor, sigma: Tensor) -> Prediction:
        """C (C + sigma^2)^-1 x, C the product of both covariances."""
        (down, u), (across, v) = self.roots
        power = down[:, None] * across
        level = sigma.reshape(-1, *[1] * (x.ndim - 1)) ** 2
        return Prediction(u @ (u.T @ x @ v * (power / (power + level))) @ v.T)

    def drawn(self, count: int) -> Tensor:
        """Images of it, as they are."""
        generator = torch.Generator().manual_seed(0)
        (down, u), (across, v) = self.roots
        shape = (count, 1, len(down), len(across))
        z = torch.randn(shape, generator=generator, dtype=torch.float64)
        return u @ (z * (down[:, None] * across).sqrt()) @ v.T


def seams(images: Tensor, grid: list[list[Window]]) -> float:
    """Mean squared jump across edges of windows, over that between other neighbours.

    1 where nothing shows.
    """
    edges = {one.left for one in grid[0]} | {one.left + one.width for one in grid[0]}
    jump = images.diff(dim=-1).square().flatten(0, -2).mean(0)
    at = torch.zeros(len(jump), dtype=torch.bool)
    at[[edge - 1 for edge in edges if 0 < edge < images.shape[-1]]] = True
    return float(jump[at].mean() / jump[~at].mean())


def walked(
    denoise: Denoise, like: Tensor, seeds: list[int], steps: int, known: Tensor | None = None
) -> Tensor:
    """Images drawn by ancestral steps, or filled where they are not `known` [1, 1, H, W]."""
    levels, rng = karras(linear(), count=steps, low=0.01, high=80.0), Rng(seeds)
    x, constrain = start(denoise, levels, like, rng), None
    if known is not None:
        levels = jumps(levels, lengths=[max(steps // 10, 1)], visits=[3])
        x = begun(linear(), rng.normal(like), levels[0], like, known)
        constrain: Constraint | None = replace(like, known)
    step = lambda *given: ddim(*given, eta=1.0)  # noqa: E731
    *_, last = walk(denoise, x, levels, rng, predictor=step, ascend=renoise, constrain=constrain)
    return last.x if known is None else torch.where(known, like, last.x)


def together(grid: list[list[Window]]) -> Denoise:
    """Windows that walk together."""
    every = [window for row in grid for window in row]
    return tiled([(every, Texture(SIDE, SIDE))])


def apart(grid: list[list[Window]]) -> Denoise:
    """Pieces that lie side by side: each knows nothing of the next."""
    piece = Texture(SIDE, SIDE)

    def call(x: Tensor, sigma: Tensor) -> Prediction:
        x0 = torch.cat([piece(part, sigma).x0 for part in x.split(SIDE, -1)], dim=-1)
        return Prediction(x0)

    return Wrapped(piece, call)


def enlarged(denoise: Denoise, truth: Tensor, steps: int) -> Tensor:
    """Images made twice as large, so that they agree with what is given."""
    small = operators.upscale(truth.shape[1:])
    y = small(truth)
    found = walked(consistent(denoise, small, y), torch.empty_like(truth), [*range(len(y))], steps)
    return projected(small, found, y, rounds=20)


def by_pigdm(denoise: Denoise, truth: Tensor, steps: int) -> Tensor:
    """Images made twice as large by a method of the literature."""
    small = operators.upscale(truth.shape[1:])
    wrap = pigdm(Measured(small, small(truth))).wrap
    assert wrap
    return walked(wrap(denoise), torch.empty_like(truth), [*range(len(truth))], steps)


def pulled(denoise: Denoise, truth: Tensor, steps: int) -> Tensor:
    """Images made twice as large by the gradient of how well they agree with what is given."""
    small = operators.upscale(truth.shape[1:])
    y = small(truth)

    def judge(x0: Tensor, sigma: Tensor) -> Tensor:
        return agreement(small.missing(x0, y), sigma, noise=NOISE)

    guided = steered(denoise, clean=[judge])
    return walked(guided, torch.empty_like(truth), [*range(len(y))], steps)


def painted(grid: list[list[Window]], truth: Tensor, steps: int) -> Tensor:
    """Images of which the first window is known, and the rest is filled window after window."""
    known, piece = torch.zeros(truth.shape[-2:], dtype=torch.bool), Texture(SIDE, SIDE)
    known[:, :SIDE] = True
    canvas = truth.clone()
    for window in order(known, (SIDE, SIDE)):
        seeds = [keyed(row, "window", window.number) for row in range(len(truth))]
        mine, seen = window.of(canvas), window.of(known).clone()[None, None]
        mine.copy_(walked(piece, mine.clone(), seeds, steps, seen))
        window.of(known).fill_(True)
    return canvas


def measured(count: int, width: int, steps: int) -> dict[str, tuple[float, Tensor]]:
    """Every way of making large images: how much its seams show, and what it made."""
    grid = cover((SIDE, width), (SIDE, SIDE))
    whole, like = Texture(SIDE, width), torch.empty(count, 1, SIDE, width, dtype=torch.float64)
    truth, seeds = whole.drawn(count), [*range(count)]
    ways: dict[str, Callable[[], Tensor]] = {
        "the texture itself": lambda: truth,
        "enlarged at once": lambda: enlarged(whole, truth, steps),
        "enlarged by windows that walk together": lambda: enlarged(together(grid), truth, steps),
        "enlarged by pieces side by side": lambda: enlarged(apart(grid), truth, steps),
        "by pigdm at once": lambda: by_pigdm(whole, truth, steps),
        "by pigdm, by windows that walk together": lambda: by_pigdm(together(grid), truth, steps),
        "by a gradient at once": lambda: pulled(whole, truth, steps),
        "by a gradient, by windows that walk together": lambda: pulled(
            together(grid), truth, steps
        ),
        "painted on, window after window": lambda: painted(grid, truth, steps),
        "drawn by windows that walk together": lambda: walked(together(grid), like, seeds, steps),
        "drawn by pieces side by side": lambda: walked(apart(grid), like, seeds, steps),
    }
    made = {name: make() for name, make in ways.items()}
    return {name: (seams(images, grid), images) for name, images in made.items()}


@click.command()
@click.option("--count", default=256, show_default=True, help="Images of each way.")
@click.option("--width", default=80, show_default=True, help="Of an image, in pixels.")
@click.option("--steps", default=50, show_default=True, help="Of each walk.")
@click.option("-o", "--output", type=Path, help="PNG of the first image of each way.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def main(count: int, width: int, steps: int, output: Path | None, as_json: bool) -> None:
    """Print how much windows of 16x16 show in textures that are larger."""
    if width % SIDE or width <= SIDE:
        raise click.UsageError(f"--width {width}: pieces have {SIDE} pixels; give a multiple")
    found = measured(count, width, steps)
    if output:
        rows = [images[0].clamp(-1, 1) for _, images in found.values()]
        gap = torch.ones(1, 2, width)
        page = torch.cat([part for row in rows for part in (row, gap)][:-1], dim=1)
        zoomed = page.repeat_interleave(6, 1).repeat_interleave(6, 2)
        output.write_bytes(encode_png((127.5 * zoomed + 127.5).round().byte()))
    if as_json:
        for name, (ratio, _) in found.items():
            click.echo(json.dumps({"way": name, "seams": round(ratio, 4)}))
        return
    click.echo(cells.markdown(["", "seams"], [[k, f"{v:.3f}"] for k, (v, _) in found.items()]))


if __name__ == "__main__":
    main()
