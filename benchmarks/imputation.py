"""Gaps of a Gaussian copula, filled by every method and held to the known conditionals.

With the exact denoiser what is left is the error of the method; with a run of `ddpm train` on such
a table, that of the network too. Values are normal scores: of a copula the margins make no
difference.
"""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
import torch
from cells import markdown
from command_line import Job, measuring
from torch import Tensor, nn

import ddpm_cli
from ddpm_cli.diffusion import constraints, edits, levels, parameterizations
from ddpm_cli.diffusion.conditioning import conditioned
from ddpm_cli.diffusion.denoiser import Denoiser
from ddpm_cli.diffusion.known_pixels import begun
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.diffusion.samplers.ancestral import ddpm
from ddpm_cli.diffusion.samplers.edm import heun
from ddpm_cli.diffusion.samplers.implicit import ddim
from ddpm_cli.diffusion.schedules import processes
from ddpm_cli.diffusion.steps import Step
from ddpm_cli.diffusion.walk import walk

COLUMNS = 5
SHARE = 0.4  # of the values are missing
INTERVAL = 0.9
STEPS: Mapping[str, Step] = {"ddim": ddim, "heun": heun, "ddpm": ddpm}
METHODS = ("replace", "posterior", "repaint", "covariance")
RESAMPLED = 10  # RePaint's jumps and visits

Fill = Callable[[Tensor], Tensor]  # rows with NaN -> rows, each with noise of its own


def correlation() -> Tensor:
    """A correlation matrix [D, D] with strong and weak pairs of both signs."""
    generator = torch.Generator().manual_seed(1)
    loads = torch.randn(COLUMNS, 2, generator=generator, dtype=torch.float64)
    covariance = loads @ loads.T + 0.4 * torch.eye(COLUMNS, dtype=torch.float64)
    scale = covariance.diagonal().sqrt()
    return covariance / scale / scale[:, None]


class _Exact(nn.Module):
    """E[x0 given x] of normal scores with a correlation; the label is sigma."""

    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        self._matrix = matrix

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        noise = label[0] ** 2 * torch.eye(len(self._matrix), dtype=x.dtype)
        return x @ torch.linalg.solve(self._matrix + noise, self._matrix)


def rows_of(count: int, matrix: Tensor, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Rows [N, D] and which of their values are known; none knows all."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(count, COLUMNS, generator=generator, dtype=torch.float64)
    known = torch.rand(count, COLUMNS, generator=generator) >= SHARE
    known[known.all(1), 0] = False
    return noise @ torch.linalg.cholesky(matrix).T, known


def exact(method: str, sampler: str, moves: int) -> Fill:
    """A method of filling gaps with the exact denoiser."""
    schedule = processes.edm()
    network = _Exact(correlation())
    denoise = Denoiser(network, schedule, parameterizations.x0, lambda sigma, _: sigma).bind()
    along = levels.karras(schedule, count=moves)
    if method == "repaint":
        along = edits.jumps(along, lengths=[RESAMPLED], visits=[RESAMPLED])

    def fill(rows: Tensor) -> Tensor:
        y, mask = rows.nan_to_num(), ~rows.isnan()
        rng = Rng(range(len(rows)))
        x = begun(schedule, rng.normal(y), along[0], y, mask)
        asked = conditioned(denoise, y, mask) if method == "covariance" else denoise
        impose = {"posterior": constraints.posterior, "covariance": None}
        make = impose.get(method, constraints.replace)
        states = walk(
            asked, x, along, rng, predictor=STEPS[sampler], constrain=make and make(y, mask)
        )
        *_, last = states
        return last.x.where(~mask, y)

    return fill


def trained(run: Path, method: str) -> Fill:
    """The same by a model of `ddpm train`, as its own settings walk."""
    model: Any = ddpm_cli.load(run)
    knobs = {"jump": RESAMPLED, "resample": RESAMPLED} if method == "repaint" else {}
    name = "replace" if method == "repaint" else method

    def fill(rows: Tensor) -> Tensor:
        filled: Tensor = model.inpaint(rows, method=name, batch=4096, **knobs)
        return filled

    return fill


def measured(fill: Fill, rows: int, draws: int) -> dict[str, float]:
    """How fillings of rows compare with the known conditionals.

    coverage: the share of true values in the interval of the fillings; mass: what the conditional
    gives that interval, and how far it is from that on the average; bias: root mean square of the
    mean's error, in deviations of the conditional, less what so few fillings make; deviation:
    theirs over the conditional's.
    """
    matrix = correlation()
    true, known = rows_of(rows, matrix)
    gappy = true.masked_fill(~known, math.nan)
    drawn = fill(gappy.repeat(draws, 1)).reshape(draws, rows, COLUMNS)
    mean, deviation = conditionals(true, known, matrix)
    gaps = ~known
    z = ((drawn - mean) / deviation)[:, gaps]
    low, high = z.sort(0).values[[*_ends(draws)]]
    normal = torch.distributions.Normal(0.0, 1.0)
    mass = normal.cdf(high) - normal.cdf(low)
    z_true = ((true - mean) / deviation)[gaps]
    share = (_ends(draws)[1] - _ends(draws)[0]) / (draws + 1)
    bias = float(z.mean(0).square().mean()) - float(z.var(0).mean()) / draws
    inside = ((z_true >= low) & (z_true <= high)).double()
    return {
        "coverage": float(inside.mean()) * INTERVAL / share,
        "error": float(inside.std()) / math.sqrt(len(inside)),
        "mass": float(mass.mean()) * INTERVAL / share,
        "off": float((mass * INTERVAL / share - INTERVAL).abs().mean()),
        "bias": math.sqrt(max(0.0, bias)),
        "deviation": float(z.std(0).mean()),
    }


def _ends(draws: int) -> tuple[int, int]:
    """Which of the sorted fillings are the ends of the interval."""
    cut = max(1, round((1 - INTERVAL) / 2 * (draws + 1)))
    return cut - 1, draws - cut


def conditionals(true: Tensor, known: Tensor, matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation [N, D] of each value given the known ones of its row."""
    both = known[:, :, None] & known[:, None]
    eye = torch.eye(len(matrix), dtype=torch.float64)
    inner = torch.where(both, matrix, eye)
    cross = torch.where(known[:, :, None], matrix, 0.0)  # known, any
    gain = torch.linalg.solve(inner, cross)
    mean = (gain.transpose(1, 2) @ torch.where(known, true, 0.0)[:, :, None])[:, :, 0]
    variance = matrix.diagonal() - (gain * cross).sum(1)
    return mean, variance.clamp(min=1e-12).sqrt()


@click.command()
@click.option("--rows", type=click.IntRange(1), default=400, show_default=True)
@click.option("--draws", type=click.IntRange(19), default=99, show_default=True)
@click.option("--moves", type=click.IntRange(2), default=50, show_default=True)
@click.option("--run", type=click.Path(path_type=Path), help="A model to measure, too.")
@click.option("--table", type=click.Path(path_type=Path), help="Write a table to train it on.")
@measuring()
def main(
    rows: int, draws: int, moves: int, run: Path | None, table: Path | None, job: Job
) -> None:
    """Measure every method with the exact denoiser, and with a run if there is one."""
    if table is not None:
        values, _ = rows_of(20_000, correlation(), 1)
        names = ",".join(f"c{n + 1}" for n in range(COLUMNS))
        lines = [",".join(f"{v:.5f}" for v in row) for row in values.tolist()]
        table.write_text("\n".join([names, *lines]) + "\n")
        return
    ways = [(f"exact, {sampler}", method, exact(method, sampler, moves))
            for method in METHODS for sampler in STEPS]  # fmt: skip
    if run is not None:
        ways += [("trained", method, trained(run, method)) for method in METHODS]
    found = [
        {"denoiser": who, "method": method, **measured(fill, rows, draws)}
        for who, method, fill in ways
    ]

    def report() -> str:
        names = ["denoiser", "method", "coverage", "mass off by", "bias", "deviation"]
        return markdown(names, [_line(row) for row in found])

    job.show(found, report)


def _line(row: Mapping[str, Any]) -> list[str]:
    """A row of the table."""
    coverage = f"{row['coverage']:.1%} ± {row['error']:.1%}"
    figures = f"{row['off']:.1%}", f"{row['bias']:.3f}", f"{row['deviation']:.3f}"
    return [row["denoiser"], row["method"], coverage, *figures]


if __name__ == "__main__":
    main()
