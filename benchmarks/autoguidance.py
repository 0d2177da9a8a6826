"""Autoguidance on a spiral: samples off the data, and how the data are covered, by scale.

A network guided away from a snapshot of its own run (Karras 2024, "Guiding a diffusion model with
a bad version of itself", has such a toy in section 3). The law of the data is known: an outlier is
less likely than all but one in a thousand of them. Coverage is the energy distance to fresh data.
"""

from typing import Any

import click
import torch
from cells import markdown
from command_line import show
from torch import Tensor

import ddpm_cli
from ddpm_cli.data import toy_laws
from ddpm_cli.diffusion.mixtures import Mixture

RARE = 1e-3  # of data that are less likely than what is called an outlier
MANY = 50_000  # data that say how likely these are

Row = dict[str, Any]


def drawn(law: Mixture, count: int, seed: int) -> Tensor:
    """Data [N, D] of a law."""
    rng = torch.Generator().manual_seed(seed)
    which = torch.multinomial(law.weights, count, replacement=True, generator=rng)
    noise = torch.randn(count, law.centres.shape[1], generator=rng, dtype=torch.float64)
    return law.centres[which] + law.deviations * noise


def likely(law: Mixture, x: Tensor) -> Tensor:
    """log p(x) [N] of data without noise."""
    return law.log_density(x, torch.zeros((), dtype=torch.float64))


def energy(x: Tensor, y: Tensor) -> float:
    """The energy distance of samples [N, D] and data [M, D], in units of the network."""
    between = 2 * torch.cdist(x, y).mean()
    within = [torch.cdist(z, z).sum() / (len(z) * (len(z) - 1)) for z in (x, y)]
    return float(between - sum(within))


def rare(law: Mixture) -> float:
    """The log p below which samples are outliers."""
    return float(likely(law, drawn(law, MANY, 2)).quantile(RARE))


def measured(law: Mixture, x: Tensor, data: Tensor, least: float) -> Row:
    """How far samples are off the data, and how well they cover them; least: see `rare`."""
    found = likely(law, x)
    return {
        "outliers": float((found < least).double().mean()),
        "log p": float(found.mean()),
        "energy": energy(x, data),
    }


@click.command(context_settings={"max_content_width": 99})
@click.argument("run")
@click.argument("bad")
@click.option("-n", "--count", type=click.IntRange(100), default=4096, show_default=True)
@click.option("-w", "--scale", "scales", type=float, multiple=True, help="Of guidance; repeat.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def main(run: str, bad: str, count: int, scales: tuple[float, ...], as_json: bool) -> None:
    """Guide RUN, of a toy, away from BAD, a run or RUN:STEP."""
    model = ddpm_cli.load(run)
    law = toy_laws.known(model.config["data"], model.info)
    if law is None:
        raise click.BadParameter(f"{run}: the law of its data is not known", param_hint="RUN")
    mean, std = (
        torch.tensor(each, dtype=torch.float64) for each in (model.info.mean, model.info.std)
    )
    data, least = drawn(law, count, 0), rare(law)
    rows = [{"samples": "data", "w": ""} | measured(law, drawn(law, count, 1), data, least)]
    for scale in scales or (1.0, 1.5, 2.0, 3.0):
        settings = {"guidance.scale": scale, "guidance.model": bad if scale != 1 else ""}
        x = ddpm_cli.load(run, settings=settings).sample(range(count), batch=count)
        x = (x.double() - mean) / std
        rows.append({"samples": run, "w": scale} | measured(law, x, data, least))
    show(rows, lambda: report(rows), as_json)


def report(rows: list[Row]) -> str:
    """A table of all of it."""
    shown = [[v if isinstance(v, str) else f"{v:.4g}" for v in row.values()] for row in rows]
    return markdown(list(rows[0]), shown)


if __name__ == "__main__":
    main()
