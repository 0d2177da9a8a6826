"""`ddpm fit`: moments of a model's noise, and a head that tells pixels apart."""

import shlex
import time
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from ddpm_cli import console, hardware, signals
from ddpm_cli.data.array_set import refuse_gaps
from ddpm_cli.data.image_set import Conditions, numbered_as
from ddpm_cli.diffusion import analytic
from ddpm_cli.diffusion.analytic import Moments
from ddpm_cli.diffusion.denoiser import Denoiser
from ddpm_cli.diffusion.rng import Randomness
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files.checkpoints import checkpoint
from ddpm_cli.files.checkpoints import moments as sidecar
from ddpm_cli.files.outputs import targets
from ddpm_cli.hardware import Compute
from ddpm_cli.models import build, datasets, kinds, saved
from ddpm_cli.networks.parts.heads import Head, Tap
from ddpm_cli.pipelines import opening
from ddpm_cli.pipelines.lines import Lines, Spent, digest
from ddpm_cli.pipelines.opening import Opened
from ddpm_cli.settings.fit_requests import Fit
from ddpm_cli.settings.toml import toml_value
from ddpm_cli.training import conditions
from ddpm_cli.training.batches import order, prepare
from ddpm_cli.training.curves import rate
from ddpm_cli.training.readers import Images

LR = 2e-3  # of the head
WARMUP = 50


def run(request: Fit, opened: Opened) -> None:
    """Measure moments, or take those that are there, and say what they are good for."""
    name, header = opened.place.name, opened.header
    began = time.monotonic()
    path = request.output or sidecar.beside(opened.place.path)
    if request.use.dry_run:
        schedule = saved.schedule_of(header, opened.place.path)
        console.say(_plan(request, len(analytic.grid(schedule, request.grid))))
        opening.shown(opened.config)
        return
    if not path.is_file() or request.use.force:
        targets.refuse_existing(path, request.use.force)
        if not _written(request, opened, path):
            return
    elif request.trajectory is None:
        raise Refusal(f"{path}: exists already", "give -o FILE, or --force to replace it")
    values: dict[str, Any] = {"path": str(path), "seed": request.seed, "class": None}
    if request.trajectory is not None:
        values["timesteps"] = _trajectory(sidecar.load(path, header, name), request.trajectory)
    if request.use.as_json:
        told = Lines.of_walk(True, name, header, opened.config, None)
        told.row(values, Spent(seconds=time.monotonic() - began), digest(path))
    elif request.trajectory is None:
        console.line(str(path))
    else:
        levels = {"name": "explicit", "timesteps": values["timesteps"]}
        console.result(f"levels={toml_value(levels)}")
    if request.trajectory is None:
        words = ["ddpm", "sample", "-m", name, "--set", "sampler.variance=optimal"]
        words += [] if "variance" in header.config["sampler"] else ["--sampler", "ddpm"]
        words += ["--moments", str(path)] if request.output else []
        console.say(f"try: {shlex.join(words)}")


def _plan(request: Fit, levels: int) -> str:
    """What measuring takes, in words."""
    return f"{request.count} images at {levels} noise levels, {levels} network calls an image"


def _written(request: Fit, opened: Opened, path: Path) -> bool:
    """Measure moments, train a head if asked for, and write both; False if stopped."""
    source = _source(request, opened)
    levels = analytic.grid(source.denoiser.schedule, request.grid)
    console.say(_plan(request, len(levels)))
    measured = moments(source, levels, request.count, request.estimate)
    if measured is None:
        return False
    weights: dict[str, Tensor] = {}
    if request.diagonal:
        trained = head(source, measured, request.diagonal, request.steps, request.minutes)
        if trained is None:
            return False
        weights = trained.state_dict()
    path.parent.mkdir(parents=True, exist_ok=True)
    sidecar.save(
        path,
        measured,
        weights,
        opened.header,
        method=request.diagonal or request.estimate,
        levels=len(levels),
        count=request.count,
        seed=request.seed,
    )
    return True


def _source(request: Fit, opened: Opened) -> "Source":
    """The model and its data, or other data of the same kind that are asked for."""
    config, path = opened.config, opened.place.path
    header, weights = checkpoint.load(path)
    images = numbered_as(datasets.images(config, "train"), header.data.classes)
    info, nulls = datasets.data_info(images), kinds.nulls(config, header.data)
    if info.shape != header.data.shape or (nulls and info.classes != header.data.classes):
        raise ConfigError("data: not like the data of the model, in shape or in classes")
    refuse_gaps(images, "a fit")
    compute = hardware.compute(**config["compute"])
    denoiser = saved.restored(header, weights, compute, path)
    batch = request.use.size
    return Source(denoiser, images, info.shape, nulls, compute, request.seed, batch)


def _trajectory(fit: sidecar.Fit, count: int) -> list[int]:
    """The best `count` levels as indices; refused where the process has none."""
    schedule = build.schedule(fit.header.config)
    try:
        return analytic.trajectory(schedule, fit.moments, count)
    except ValueError as error:
        raise ConfigError(f"--trajectory {count}: {error}") from None


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

    @property
    def randomness(self) -> Randomness:
        """How seeds become numbers."""
        return Randomness(self.compute.rng)

    def draw(self, step: int, count: int) -> tuple[Tensor, Tensor, Conditions]:
        """Clean images and unit noise [count, ...], their conditions: fixed by the seed."""
        numbers = order(len(self.images), self.seed, step, self.batch)[:count]
        rows, told = self.images[numbers]
        first = step * self.batch
        rng = self.randomness.rng(self.seed, "fit", range(first, first + count))
        x0, told = prepare(rows, told, rng, self.nulls, drop={})
        x0 = x0.to(self.compute.device, self.compute.state_dtype)
        return x0, rng.normal(x0), conditions.on(self.compute.device, told)


@torch.no_grad()
def moments(
    source: Source, levels: Tensor, count: int, estimate: Literal["error", "norm"]
) -> Moments | None:
    """Gamma at each level from `count` images with the same noise at all; None if stopped.

    error: 1 - E||eps - eps_hat||^2 / d; norm: E||eps_hat||^2 / d.
    """
    sums = torch.zeros(len(levels), 2, dtype=torch.float64)
    with console.progress(count * len(levels), "network calls") as bar:
        for step, first in enumerate(range(0, count, source.batch)):
            x0, noise, condition = source.draw(step, min(source.batch, count - first))
            for row, sigma in enumerate(levels):
                if signals.requested():
                    return None
                predicted = analytic.predicted_noise(
                    source.denoiser, x0, noise, sigma, **condition
                )
                for column, squares in enumerate(analytic.squares(noise, predicted)):
                    sums[row, column] += squares.double().sum().cpu()
                bar.advance(len(x0))
    norm, error = (sums / count).unbind(1)
    return _checked(Moments(levels, 1 - error if estimate == "error" else norm))


def _checked(measured: Moments) -> Moments:
    if not bool(torch.isfinite(measured.gamma).all()):
        raise Refusal("the network's output has values that are not finite", "use --dtype float32")
    return measured


def head(
    source: Source, known: Moments, method: Literal["npr", "sn"], steps: int, minutes: float
) -> Head | None:
    """A head trained for `steps` batches, or as many as `minutes` allow; None if stopped.

    The loss is the squared error of its share of the level's mean variance; the network stays
    as it is.
    """
    began, device = time.monotonic(), source.compute.device
    torch.manual_seed(source.randomness.key(source.seed, "head"))
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
            target, weight = _lesson(source, known, method, step)
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
    source: Source, known: Moments, method: Literal["npr", "sn"], step: int
) -> tuple[Tensor, Tensor]:
    """Call the network at random levels; return what the head should say, and its weight."""
    x0, noise, condition = source.draw(step, source.batch)
    chance = source.randomness.rng([source.seed], "level", step).uniform(len(x0))[0]
    sigma = known.sigma[(chance * len(known.sigma)).long()]
    predicted = analytic.predicted_noise(source.denoiser, x0, noise, sigma, **condition)
    target, weight = analytic.share(method, noise, predicted, 1 - known.at(sigma))
    return target.float(), weight.float()
