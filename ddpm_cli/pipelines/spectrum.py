"""What noise leaves of each frequency of an image, for `ddpm schedule --spectrum`."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ddpm_cli import console
from ddpm_cli.diffusion import spectra
from ddpm_cli.diffusion.milestones import OF_IMAGES, milestones
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files.checkpoints.find import Place
from ddpm_cli.files.checkpoints.header import Header
from ddpm_cli.files.images import inputs
from ddpm_cli.files.outputs import curves, targets
from ddpm_cli.pipelines import schedule as schedules
from ddpm_cli.pipelines.schedule import Row
from ddpm_cli.settings.config import Config
from ddpm_cli.settings.requests import Levels

CURVES = 6  # levels whose spectra are drawn
TIMES = 200  # columns of the picture of what is left


def run(request: Levels, config: Config, known: tuple[Place, Header] | None = None) -> None:
    """Print or draw what the process does to the frequencies of an image."""
    process = schedules.process(config, known)
    figure = None
    if request.plot is not None:
        figure = curves.figure()(figsize=(9, 3.6), layout="constrained")
        targets.refuse_existing(request.plot, request.force, "--plot")
    frequencies, power = spectra.radial(_values(str(request.spectrum)))
    if not len(power):
        fix = "give one of at least 4x4"
        raise Refusal(f"--spectrum {request.spectrum}: too few pixels for a frequency", fix)
    if figure is not None and request.plot is not None:
        _draw(figure, process, frequencies, power)
        schedules.write_plot(figure, request.plot, request.force)
        console.line(str(request.plot))
        return
    table = tabulate(process, frequencies, power)
    count = min(request.rows or len(table), len(table))
    chosen = torch.linspace(0, len(table) - 1, count).round().long().tolist()
    schedules.shown([table[row] for row in chosen], request)


def _values(name: str) -> Tensor:
    """The image in [-1, 1], of its own size."""
    if Path(name).is_dir():
        raise ConfigError(f"--spectrum {name}: a folder; name one image in it")
    (source,) = inputs.sources([name])
    picture = inputs.decode(source)
    width, height = picture.image.size
    return inputs.arranged(source, picture, (3, height, width)).values


def tabulate(process: Schedule, frequencies: Tensor, power: Tensor) -> list[Row]:
    """Of each frequency its power, and the level and time at which noise is as strong.

    sigma = sqrt(power), as noise of the level sigma has the power sigma^2 at every frequency; t is
    None where the process never gets there.
    """
    sigma = power.sqrt()
    ends = torch.tensor([0.0, 1.0], dtype=torch.float64)
    with torch.no_grad():  # a learned schedule is a network
        low, high = process.sigma(ends).tolist()
        times = (process.time(sigma) * (process.steps or 1)).tolist()
    return [
        {
            "frequency": float(frequencies[row]),
            "power": float(power[row]),
            "sigma": float(sigma[row]),
            "logsnr": float(-2 * sigma[row].log()) if power[row] > 0 else None,
            "t": times[row] if low <= float(sigma[row]) <= high else None,
        }
        for row in range(len(power))
    ]


def _draw(figure: Any, process: Schedule, frequencies: Tensor, power: Tensor) -> None:
    """Draw the spectra of x_t at some levels, and what is left of each frequency at every time."""
    left, right = figure.subplots(1, 2)
    t = torch.linspace(0, 1, TIMES, dtype=torch.float64)
    with torch.no_grad():
        sigmas = process.sigma(t)
        alphas = process.alpha(sigmas)
    chosen = milestones(sigmas, CURVES, OF_IMAGES)
    unit, shown = process.steps or 1, ".0f" if process.steps else ".3g"
    for number, place in enumerate(chosen):
        sigma, alpha = sigmas[place], alphas[place]
        colour = f"C{number}"
        label = f"t = {float(t[place]) * unit:{shown}}"
        seen = alpha**2 * (power + sigma**2)
        left.semilogy(frequencies.numpy(), seen.numpy(), color=colour, label=label)
        floor = float((alpha * sigma) ** 2)
        left.axhline(floor, color=colour, linestyle=":", linewidth=0.8)
    left.set(xlabel="frequency (cycles a pixel)", ylabel="power of x_t (dotted: of its noise)")
    lowest = float((alphas[0] ** 2 * (power + sigmas[0] ** 2)).min())
    left.set_ylim(bottom=lowest / 3)
    left.legend(fontsize="small")
    _draw_left(figure, right, t * unit, frequencies, spectra.left(power, sigmas))


def _draw_left(figure: Any, axes: Any, times: Tensor, frequencies: Tensor, share: Tensor) -> None:
    """Draw the share of signal at each time and frequency, and the line where it is a half."""
    x, y = times.numpy(), frequencies.numpy()
    if len(y) > 1:
        mesh = axes.pcolormesh(x, y, share.T.numpy(), cmap="viridis", vmin=0, vmax=1)
        axes.contour(x, y, share.T.numpy(), levels=[0.5], colors="white")
        figure.colorbar(mesh, label="share of signal (white: half)")
    else:
        axes.plot(x, share[:, 0].numpy())
    axes.set(xlabel="t", ylabel="frequency (cycles a pixel)")
