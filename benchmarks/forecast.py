"""Forecast the end of seasonal series by inpainting: CRPS against seasonal naive and the best.

    ddpm train --preset series
    python benchmarks/forecast.py -m runs/series

The series are normal, so that the best forecast is known; no forecast has a lower mean CRPS. All
methods get the same series; the samples of a series differ in their seeds alone.
"""

from typing import Any

import click
import torch
from torch import Tensor

from ddpm_cli.data import seasons
from ddpm_cli.diffusion.conditioning import conditioned
from ddpm_cli.diffusion.denoiser import Denoise
from ddpm_cli.diffusion.guidance import agreement, steered
from ddpm_cli.diffusion.steps import Constraint
from ddpm_cli.evaluation.forecasts import crps, crps_of_normal, naive
from ddpm_cli.files.checkpoints import find
from ddpm_cli.files.checkpoints.header import read_header
from ddpm_cli.models import walk_parts, walks
from ddpm_cli.models.model import Model, opened
from ddpm_cli.models.walks import Batch
from ddpm_cli.settings.config import Layer, resolve

JUMPS = {"name": "jumps", "lengths": [1], "visits": [10]}
NOISE = 0.05  # of what guided walks agree with, of normalized values
EXACT = "by the Jacobian (ddpm inpaint)"
METHODS: dict[str, dict[str, Any]] = {
    "replace": {"constraints": [{"name": "replace"}]},
    "replace, each level 10 times": {"constraints": [{"name": "replace"}], "edits": [JUMPS]},
    "posterior": {"constraints": [{"name": "posterior"}], "sampler": {"name": "ddim", "eta": 1.0}},
    "guided (Song 2023)": {"constraints": []},
    "guided (Song 2023), stochastic": {"sampler": {"name": "ddim", "eta": 1.0}},
    EXACT: {"sampler": {"name": "ddim", "eta": 1.0}},
}


def completed(
    model: Model, rows: Tensor, mask: Tensor, seeds: list[int], *, exact: bool = False
) -> Tensor:
    """Normalized rows [N, ...] drawn anew where the mask [1, ...] does not hold them.

    exact: by what the network's Jacobian says of known values, if no constraint is set.
    """
    impose, known = walk_parts.constraint(model.config), model.placed(rows)
    mask = mask.to(known.device)

    def constraint(part: slice) -> Constraint:
        return impose(known[part], mask)

    def wrap(denoise: Denoise, part: slice) -> Denoise:
        if exact:
            return conditioned(denoise, known[part], mask.expand_as(known[part]))

        def judge(predicted: Tensor, sigma: Tensor) -> Tensor:
            return agreement((known[part] - predicted) * mask, sigma, noise=NOISE)

        return steered(denoise, clean=[judge])

    batch = Batch(seeds, {}, constraint=constraint)
    if not model.config["constraints"]:
        batch = Batch(seeds, {}, wrap=wrap)
    chunk = model.draw(batch, model.prepared())
    state = walks.last(chunk.states)
    if state is None:
        raise SystemExit(130)
    return state.x


def drawn(model: Model, past: Tensor, length: int, count: int, *, exact: bool) -> Tensor:
    """So many forecasts [M, N, length] of pasts [N, K] in the units of the data."""
    each, total = len(past), model.info.shape[-1]
    rows = torch.zeros(count * each, 1, total)
    rows[..., : past.shape[1]] = past.repeat(count, 1)[:, None]
    mask = torch.arange(total) < past.shape[1]
    normal = model.info.normalized(rows)
    made = completed(model, normal, mask[None, None], list(range(len(rows))), exact=exact)
    values = model.info.restore(made)[:, 0, past.shape[1] :]
    return values.reshape(count, each, length)


@click.command()
@click.option("-m", "--model", "name", default="runs/series")
@click.option("-n", "series", default=64, help="Series to forecast.")
@click.option("--samples", default=32, help="Forecasts of each.")
@click.option("--method", "methods", multiple=True, type=click.Choice(list(METHODS)))
@click.option("--length", default=24, help="Values at the end that are forecast.")
def main(name: str, series: int, samples: int, length: int, methods: tuple[str, ...]) -> None:
    """Print the mean CRPS of each forecast, in the units of the data, and its standard error."""
    place = find.find(name)
    header = read_header(place.path)
    data = header.config["data"]
    if data["name"] != "seasonal":
        raise click.UsageError(f"{name}: trained on {data['name']}, not on seasonal")
    law = seasons.covariance(data["length"], data["period"], data["noise"])
    generator = torch.Generator().manual_seed(data["seed"] + 1)
    rows = seasons.drawn(series, torch.linalg.cholesky(law), generator)[:, 0]
    past, truth = rows[:, :-length], rows[:, -length:]
    mean, spread = seasons.forecast(law, past)
    deviation = spread.diagonal().sqrt()
    naively = naive(past, length, data["period"])
    scores = {
        "seasonal naive": crps(naively[None], truth),
        "seasonal naive, errors of the past": crps(_dressed(past, naively, data["period"]), truth),
        "the best there is": crps_of_normal(mean, deviation, truth),
    }
    for method, settings in METHODS.items():
        if method not in (methods or METHODS):
            continue
        config = resolve([header.layer(str(place.path)), Layer(method, settings)])
        made = drawn(opened(place, config), past, length, samples, exact=method == EXACT)
        scores[method] = crps(made, truth)
    click.echo("| forecast | CRPS | standard error |\n|---|---|---|")
    for method, score in scores.items():
        each = score.mean(1)
        error = float(each.std() / len(each) ** 0.5)
        click.echo(f"| {method} | {float(each.mean()):.3f} | {error:.3f} |")


def _dressed(past: Tensor, forecast: Tensor, period: int) -> Tensor:
    """A naive forecast with errors of the same forecast in the past: samples [M, N, length]."""
    errors = past[:, period:] - past[:, :-period]
    return forecast[None] + errors.T[..., None]


if __name__ == "__main__":
    main()
