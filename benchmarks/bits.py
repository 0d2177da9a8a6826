"""Bits per dimension of the MNIST test digits: a Monte-Carlo estimate of the variational bound.

Digit i is seen once, at a time of its own; the times of all digits are stratified together.
"""

import torch
from cells import Row, Subject, say
from torch import Tensor

from ddpm_cli.data.sets import images as sets
from ddpm_cli.diffusion.denoiser import Wrapped
from ddpm_cli.diffusion.draws import likelihood, low_discrepancy
from ddpm_cli.diffusion.rng import Rng, keyed
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.diffusion.schedules.monotone import learned
from ddpm_cli.diffusion.variational import prior_bits
from ddpm_cli.models import build, walk_parts
from ddpm_cli.settings.config import Config, Layer, resolve

SEED = 0
# A model may begin at any level that it was trained on. From this one, a quarter of the distance
# of neighbouring bytes, the decoder is almost certain; Score SDE's processes go on far below.
LEAST = 0.002


def bound_of(config: Config) -> Row:
    """The loss that bounds a model: vlb for the steps of a discrete process, else vdm's."""
    if build.schedule(config).steps is None:
        return {"name": "vdm"}
    learned = bool(config["network"].get("learned_variance"))
    return {"name": "vlb", "variance": "learned" if learned else "small"}


def measure(subject: Subject, count: int) -> Row:
    """The bound of the first `count` test digits given their classes, and its standard error."""
    config = subject.model.config
    layers = [Layer("the checkpoint", config), Layer("benchmark", {"loss": bound_of(config)})]
    loss = build.loss(resolve(layers))
    schedule, data = begun(subject), sets.mnist("test")
    (times, weights), losses = stratified(schedule, count), []
    for rows in torch.arange(count).split(subject.batch):
        pixels, seen = data[rows]
        x0 = subject.model.placed(subject.model.to_values(pixels))
        condition = {}
        if config["network"].get("classes"):
            condition["classes"] = seen["classes"].to(x0.device)
        # The predicted image is clamped, as in sampling and as Improved DDPM's code does it here.
        denoise = walk_parts.wrapper(config)(subject.model.denoiser.bind(**condition))
        denoise = Wrapped(denoise, denoise)
        denoise.schedule = schedule
        rng = Rng(SEED, "image", [int(row) for row in rows])
        with torch.no_grad():
            terms = loss(denoise, x0, times[rows], rng)
            if schedule.steps is not None:  # vlb leaves its constant term out
                terms = terms + prior_bits(schedule, x0)
        losses.append(terms.double().cpu())
    mean, error = estimate(times, weights * torch.cat(losses))
    say(f"{mean:.3f} bits per dimension, standard error {error:.3f}")
    return {"bits": mean, "error": error}


def begun(subject: Subject) -> Schedule:
    """The process of a model, of those given by a first time from the level LEAST on."""
    config, process = subject.model.config, subject.model.denoiser.schedule
    if config["schedule"]["name"] not in ("vp", "subvp"):
        return process
    first = float(process.time(torch.tensor(LEAST, dtype=torch.float64)))
    return build.schedule(config | {"schedule": config["schedule"] | {"low": first}})


class Even(Rng):
    """Uniform numbers that are evenly spread from one random offset on."""

    def uniform(self, n: int = 1, device: torch.device | str = "cpu") -> Tensor:
        """Numbers in [0, 1), shape [1, n]."""
        return (super().uniform(1, device) + torch.arange(n, device=device) / n) % 1


def stratified(schedule: Schedule, count: int) -> tuple[Tensor, Tensor]:
    """A time and its weight for each digit, evenly spread over the process, in random order.

    Fixed continuous processes are sampled evenly in log SNR, in which their bound varies least;
    a learned one has made its time so itself.
    """
    fixed = schedule.steps is None and not isinstance(schedule, learned)
    draw = likelihood if fixed else low_discrepancy
    times, weights = draw(schedule, count, Even([keyed(SEED, "times")]))
    order = torch.randperm(count, generator=torch.Generator().manual_seed(keyed(SEED, "order")))
    return times[order], weights[order]


def estimate(times: Tensor, losses: Tensor) -> tuple[float, float]:
    """Mean and standard error of losses [N] at stratified times [N].

    The variance within a stratum is that of pairs of neighbours in time, half their squared
    difference: what the loss owes to the time alone is no error here.
    """
    ordered = losses[times.argsort(stable=True)][: len(losses) // 2 * 2]
    variance = ordered.reshape(-1, 2).diff().square().mean() / 2
    return float(losses.mean()), float((variance / len(losses)).sqrt())
