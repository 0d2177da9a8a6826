"""Plan paths by inpainting their start and goal, freely and with a guide for the return.

    ddpm train --preset trajectories
    python benchmarks/planning.py -m runs/trajectories

As Janner 2022: a model of trajectories, a condition (where they start and end) and a return whose
gradient guides the walk, here how high a path goes through the wall. The door is free to choose.
"""

from collections.abc import Callable

import click
import torch
from torch import Tensor

from ddpm_cli.data import rooms
from ddpm_cli.diffusion.denoiser import Denoise
from ddpm_cli.diffusion.guidance import steered
from ddpm_cli.diffusion.steps import Constraint
from ddpm_cli.files.checkpoints import find
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.files.checkpoints.header import read_header
from ddpm_cli.models import walk_parts, walks
from ddpm_cli.models.model import Model, opened
from ddpm_cli.models.walks import Batch
from ddpm_cli.settings.config import Layer, resolve

SETTINGS = {
    "constraints": [{"name": "replace"}],
    "edits": [{"name": "jumps", "lengths": [1], "visits": [5]}],
}
SOFT = 0.02  # of the squared distance to the wall, within which heights count


def returned(info: DataInfo, scale: float) -> Callable[[Tensor, Tensor], Tensor]:
    """`scale` times the height of paths near the wall, as a judge of predicted paths."""
    mean, std = (torch.tensor(v)[:, None] for v in (info.mean, info.std))

    def judge(predicted: Tensor, sigma: Tensor) -> Tensor:
        x, y = (predicted * std.to(predicted) + mean.to(predicted)).unbind(1)
        near = torch.softmax(-(x**2) / SOFT, dim=1)
        return scale * (near * y).sum(1)

    return judge


def planned(model: Model, ends: Tensor, told: dict[str, Tensor], scale: float) -> Tensor:
    """Paths [N, 2, L] in the units of the data between starts and goals, ends [N, 2, 2]."""
    length = model.info.shape[-1]
    rows = torch.zeros(len(ends), 2, length)
    rows[..., [0, -1]] = ends
    known = model.placed(model.info.normalized(rows))
    mask = torch.zeros(1, 1, length, dtype=torch.bool, device=known.device)
    mask[..., [0, -1]] = True
    impose, judge = walk_parts.constraint(model.config), returned(model.info, scale)

    def constraint(part: slice) -> Constraint:
        return impose(known[part], mask)

    def wrap(denoise: Denoise, part: slice) -> Denoise:
        return steered(denoise, clean=[judge]) if scale else denoise

    batch = Batch(list(range(len(ends))), told, constraint=constraint, wrap=wrap)
    state = walks.last(model.draw(batch, model.prepared()).states)
    if state is None:
        raise SystemExit(130)
    return model.info.restore(state.x)


@click.command()
@click.option("-m", "--model", "name", default="runs/trajectories")
@click.option("-n", "count", default=200, help="Plans of each kind.")
@click.option("--scale", default=30.0, help="Of the return that guides.")
def main(name: str, count: int, scale: float) -> None:
    """Print the shares of plans that reach the goal without the wall, and take the upper door."""
    place = find.find(name)
    header = read_header(place.path)
    config = resolve([header.layer(str(place.path)), Layer("planning", SETTINGS)])
    model = opened(place, config)
    generator = torch.Generator().manual_seed(1)
    ends = torch.rand(count, 2, 2, generator=generator) * torch.tensor([[0.8, 0.8], [2.0, 2.0]])
    ends = ends + torch.tensor([[-1.0, 0.2], [-1.0, -1.0]])
    none, high = (torch.full((count,), number) for number in (2, 1))
    click.echo("| plan | free of the wall | upper door |\n|---|---|---|")
    ways = {"free": (none, 0.0), "guided": (none, scale), "told the class": (high, 0.0)}
    for way, (classes, weight) in ways.items():
        paths = planned(model, ends, {"classes": classes}, weight)
        if not torch.allclose(paths[..., [0, -1]], ends, atol=1e-4):
            raise SystemExit(f"{way}: a plan misses its start or goal")
        free, upper = ~rooms.hits(paths), rooms.chosen(paths) > 0
        click.echo(f"| {way} | {share(free)} | {share(upper)} |")


def share(flags: Tensor) -> str:
    """A share with its standard error, in per cent."""
    mean = float(flags.double().mean())
    return f"{100 * mean:.0f} ± {100 * (mean * (1 - mean) / len(flags)) ** 0.5:.0f} %"


if __name__ == "__main__":
    main()
