"""What `ddpm fit` measures: moments of a model's noise, and a head that tells pixels apart."""

import time
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from ddpm_cli import console, signals
from ddpm_cli.data.image_set import Conditions
from ddpm_cli.diffusion import analytic
from ddpm_cli.diffusion.analytic import Moments
from ddpm_cli.diffusion.denoiser import Denoiser
from ddpm_cli.diffusion.rng import Rng, keyed
from ddpm_cli.errors import Refusal
from ddpm_cli.hardware import Compute
from ddpm_cli.networks.parts.heads import Head, Tap
from ddpm_cli.training.batches import Images, order, prepare
from ddpm_cli.training.conditions import on
from ddpm_cli.training.loop import rate

LR = 2e-3  # of the head
WARMUP = 50


class Source(NamedTuple):
    """A finished model and the data that it is measured on.

    nulls: what stands for each condition that the model takes; see training.conditions.
    """

    denoiser: Denoiser
    images: Images
    shape: tuple[int, ...]
    nulls: Conditions
    compute: Compute
    seed: int
    batch: int

    def draw(self, step: int, count: int) -> tuple[Tensor, Tensor, Conditions]:
        """Clean images and unit noise [count, ...], their conditions: fixed by the seed."""
        numbers = order(len(self.images), self.seed, step, self.batch)[:count]
        rows, told = self.images[numbers]
        first = step * self.batch
        rng = Rng([keyed(self.seed, "fit", first + row) for row in range(count)])
        x0, told = prepare(rows, told, rng, self.nulls, drop={})
        x0 = x0.to(self.compute.device, self.compute.state_dtype)
        return x0, rng.normal(x0), on(self.compute.device, told)


@torch.no_grad()
def moments(
    source: Source, levels: Tensor, count: int, estimate: Literal["error", "norm"]
) -> Moments | None:
    """Gamma at each level from `count` images with the same noise at all; None if stopped.

    error: 1 - E||eps - eps_hat||^2 / d; norm: E||eps_hat||^2 / d.
    """
    sums = torch.zeros(len(levels), 2, dtype=torch.float64)
    with console.progress(count, "images") as bar:
        for step, first in enumerate(range(0, count, source.batch)):
            x0, noise, condition = source.draw(step, min(source.batch, count - first))
            for row, sigma in enumerate(levels):
                if signals.requested():
                    return None
                predicted = analytic.predicted_noise(
                    source.denoiser, x0, noise, sigma, **condition
                )
                for column, found in enumerate(analytic.squares(noise, predicted)):
                    sums[row, column] += found.double().sum().cpu()
            bar.advance(len(x0))
    norm, error = (sums / count).unbind(1)
    return _checked(Moments(levels, 1 - error if estimate == "error" else norm))


def _checked(found: Moments) -> Moments:
    if not bool(torch.isfinite(found.gamma).all()):
        raise Refusal("the network's output has values that are not finite", "use --dtype float32")
    return found


def head(
    source: Source, found: Moments, method: Literal["npr", "sn"], steps: int, minutes: float
) -> Head | None:
    """A head trained for `steps` batches, or as many as `minutes` allow; None if stopped.

    The loss is the squared error of its share of the level's mean variance; the network stays
    as it is.
    """
    began, device = time.monotonic(), source.compute.device
    torch.manual_seed(keyed(source.seed, "head"))
    try:
        tap = Tap(source.denoiser.network)
    except ValueError as error:
        raise Refusal(f"--diagonal {method}: {error}", "fit without --diagonal") from None
    trained = Head(source.denoiser.network, source.shape).to(device)
    optimizer = torch.optim.AdamW(trained.parameters(), weight_decay=0.0)
    with console.progress(steps, "steps") as bar:
        for step in range(steps):
            if signals.requested():
                return None
            optimizer.param_groups[0]["lr"] = LR * rate(step, steps, WARMUP, "cosine")
            target, weight = _lesson(source, found, method, step)
            loss = (weight * (trained(tap.features) - target).square()).mean()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(trained.parameters(), 1.0)
            optimizer.step()
            bar.advance(note=f"loss {float(loss.detach()):.3f}")
            if minutes and time.monotonic() - began >= 60 * minutes:
                console.warn(f"head: stopped after {step + 1} of {steps} steps")
                break
    return trained


@torch.no_grad()
def _lesson(
    source: Source, found: Moments, method: Literal["npr", "sn"], step: int
) -> tuple[Tensor, Tensor]:
    """Call the network at random levels; return what the head should say, and its weight."""
    x0, noise, condition = source.draw(step, source.batch)
    chance = Rng([keyed(source.seed, "level", step)]).uniform(len(x0))[0]
    sigma = found.sigma[(chance * len(found.sigma)).long()]
    predicted = analytic.predicted_noise(source.denoiser, x0, noise, sigma, **condition)
    target, weight = analytic.share(method, noise, predicted, 1 - found.at(sigma))
    return target.float(), weight.float()
