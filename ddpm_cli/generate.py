"""Walks from noise to images for a list of seeds, in batches: what sampling and previews share."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ddpm_cli import build, signals
from ddpm_cli.build import Compute
from ddpm_cli.config import Config, Layer, resolve
from ddpm_cli.diffusion.denoiser import Denoiser, Prediction
from ddpm_cli.diffusion.rng import Rng, keyed
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.diffusion.walk import State, start, walk
from ddpm_cli.errors import ConfigError
from ddpm_cli.files import checkpoint, models
from ddpm_cli.files.checkpoint import DataInfo


class Chunk(NamedTuple):
    """A batch of images on its way: run `states` to its end, the last one holds the images."""

    seeds: list[int]
    classes: list[int] | None
    states: Iterator[State]


def chunks(
    denoiser: Denoiser,
    config: Config,
    info: DataInfo,
    compute: Compute,
    seeds: Sequence[int],
    classes: Sequence[int] | None,
    batch: int,
) -> Iterator[Chunk]:
    """One walk for each `batch` seeds; `classes` are the labels of the seeds, if any.

    Image i depends on its own seed and class only.
    """
    levels = build.levels(config, denoiser.schedule)
    step = build.predictor(config)
    for first in range(0, len(seeds), batch):
        rows = slice(first, first + batch)
        own, labels = list(seeds[rows]), None if classes is None else list(classes[rows])
        condition = {}
        if labels is not None:
            condition["classes"] = torch.tensor(labels, device=compute.device)
        denoise = build.wrapped(config, denoiser.bind(**condition))
        rng = Rng(own)
        shape = (len(own), *info.shape)
        like = torch.empty(shape, dtype=compute.state_dtype, device=compute.device)
        x = start(denoise, levels, like, rng)
        yield Chunk(own, labels, walk(denoise, x, levels, rng, predictor=step))


class Model(NamedTuple):
    """A checkpoint ready to be used from Python."""

    config: Config
    info: DataInfo
    compute: Compute
    denoiser: Denoiser

    def sample(
        self, seeds: Sequence[int], classes: Sequence[int] | None = None, batch: int = 64
    ) -> Tensor:
        """Images float32 [N, C, H, W] in [-1, 1], drawn with the model's own sampler."""
        if classes is None:
            classes = classes_for(seeds, self.config, self.info)
        made = []
        for chunk in chunks(
            self.denoiser, self.config, self.info, self.compute, seeds, classes, batch
        ):
            *_, final = chunk.states
            made.append(final.x.float().cpu())
        return torch.cat(made)


def load(model: str | None, **compute: str) -> Model:
    """The model that -m names, on its device."""
    path = models.find(model).path
    header, weights = checkpoint.load(path)
    config = resolve([Layer("the checkpoint", header.config), Layer("load", {"compute": compute})])
    chosen = build.compute(**config["compute"])
    return Model(config, header.data, chosen, build.restored(header, weights, chosen, path))


def last(states: Iterator[State]) -> State | None:
    """Walk to the end, or return None as soon as the process is asked to stop."""
    final = None
    for state in states:
        if signals.requested():
            return None
        final = state
    return final


def class_of(seed: int, classes: int, info: DataInfo) -> int:
    """The class an image gets when none is asked for: drawn from its seed by data frequency."""
    shares = info.frequencies or (1 / classes,) * classes
    drawn = float(Rng([keyed(seed, "class")]).uniform(1)[0, 0])
    bounds = torch.tensor(shares, dtype=torch.float64).cumsum(0).tolist()
    return min(bisect_left(bounds, drawn), len(shares) - 1)


def classes_for(seeds: Sequence[int], config: Config, info: DataInfo) -> list[int] | None:
    """A class for each seed if the network takes classes, else None."""
    classes = config["network"].get("classes")
    if not classes:
        return None
    return [class_of(seed, classes, info) for seed in seeds]


class _Counting:
    """A denoiser of nothing that counts its calls."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.calls = 0

    def __call__(self, x: Tensor, sigma: Tensor) -> Prediction:
        self.calls += 1
        return Prediction(torch.zeros_like(x), torch.zeros_like(x))


def plan(config: Config, schedule: Schedule) -> tuple[int, int]:
    """Number of moves and of network calls of a walk, counted by walking it on one number."""
    counting, rng = _Counting(schedule), Rng([0])
    levels = build.levels(config, schedule)
    x = start(counting, levels, torch.zeros(1, 1, dtype=torch.float64), rng)
    moves = sum(1 for _ in walk(counting, x, levels, rng, predictor=build.predictor(config)))
    return moves, counting.calls


def fit_calls(config: Config, schedule: Schedule, calls: int) -> Config:
    """The configuration with the longest list of levels that costs at most `calls` calls."""
    if "count" not in config["levels"]:
        raise ConfigError(f"--calls: levels {config['levels']['name']} have no count to choose")
    most = min(calls, schedule.steps or calls)

    def sized(count: int) -> Config:
        return config | {"levels": config["levels"] | {"count": count}}

    fitting = bisect_left(
        range(1, most + 1), True, key=lambda count: plan(sized(count), schedule)[1] > calls
    )
    if not fitting:
        raise ConfigError(f"--calls {calls}: too few for one step of {config['sampler']['name']}")
    return sized(fitting)
