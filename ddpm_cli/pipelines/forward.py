"""The forward process in a picture, for `ddpm encode --method forward`."""

import time
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ddpm_cli import console, hardware
from ddpm_cli.data import given_rows
from ddpm_cli.diffusion import latents
from ddpm_cli.diffusion.milestones import HIGH, OF_IMAGES, milestones
from ddpm_cli.diffusion.rng import Randomness
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.errors import ConfigError, many
from ddpm_cli.failures import Failures
from ddpm_cli.files import provenance
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.files.images import inputs
from ddpm_cli.files.outputs import encoding, panels, plots, stills, targets
from ddpm_cli.files.outputs.panels import Cloud, Lines, Row
from ddpm_cli.files.outputs.targets import Existing
from ddpm_cli.models import saved, walks
from ddpm_cli.pipelines import encode, given, inversion, lines, opening
from ddpm_cli.pipelines.lines import Spent
from ddpm_cli.pipelines.opening import Opened
from ddpm_cli.settings.requests import Encode

STOPS = 8  # unless told where
GRID = 1000  # steps of a way of a continuous process


class Data(NamedTuple):
    """What is noised: x0 [N, ...] as a network sees it, and what it is called."""

    x0: Tensor
    names: list[str]
    seeds: list[int]


def run(request: Encode, opened: Opened) -> None:
    """Draw what the forward process makes of images or rows."""
    info, (place, header, config) = opened.header.data, opened
    if info.is_image:
        inputs.mode_of(info.shape)
        every = inputs.sources(request.inputs)
    else:
        given.refuse_pictures(request.use, request.look, request.layout)
        _refuse_rows(request, info)
        every = given_rows.sources(request.inputs, info)
    request, sources = encode.of_shard(request, every)
    targets.refuse_existing(request.output, request.use.force)
    encoding.announce(request.output)
    schedule = saved.schedule_of(header, place.path)
    stops = stopping(request.at, schedule, HIGH if not info.is_image else OF_IMAGES)
    console.say(f"{many(len(sources), 'files')}, {many(len(stops), 'levels')}, no network calls")
    if request.use.dry_run:
        opening.shown(config)
        return
    began, failures = time.monotonic(), Failures(len(sources))
    data = (_images if info.is_image else _rows)(request, opened, sources, failures)
    if data is not None:
        picture = _picture(request, opened, data, stops, schedule)
        _write(request, opened, data, picture, time.monotonic() - began)
    failures.finish()


def _refuse_rows(request: Encode, info: DataInfo, count: int = 0) -> None:
    """Refuse what has no points."""
    if len(info.row) != 1:
        shape = "x".join(map(str, info.row))
        raise ConfigError(f"-o {request.output}: no points of {shape} values; use .safetensors")
    plots.refuse(request.output, count, info.row, "use .safetensors")


def stopping(at: str | None, schedule: Schedule, high: float) -> list[tuple[str, Tensor]]:
    """The times to look at in words, and their levels; unless told where something happens."""
    if at is not None:
        return [(word.strip(), _level(word.strip(), schedule)) for word in at.split(",")]
    times, levels = grid(schedule)
    chosen = milestones(levels, STOPS, high)
    return [(f"{float(times[number]):.4g}", levels[number]) for number in chosen]


def grid(schedule: Schedule) -> tuple[Tensor, Tensor]:
    """All times of a process from 0 on as they are counted, and their levels, 0 first."""
    steps = schedule.steps or GRID
    times = torch.arange(steps + 1, dtype=torch.float64) / steps
    with torch.no_grad():  # a learned schedule is a network
        levels = schedule.sigma(times)
    levels[0] = 0
    return times * (schedule.steps or 1), levels


def _level(word: str, schedule: Schedule) -> Tensor:
    """The level of a time, of which 0 is the data themselves."""
    if word.removesuffix("%") in ("0", "0.0"):
        return torch.zeros((), dtype=torch.float64)
    return walks.level(word, schedule)


def _images(
    request: Encode, opened: Opened, sources: Sequence[inputs.Source], failures: Failures
) -> Data | None:
    read = [*encode.read(request, opened.header.data, sources, failures)]
    if not read:
        return None
    x0 = torch.stack([image.values for _, image in read]).double()
    names = [image.stem for _, image in read]
    return Data(x0, names, [request.seed + number for number, _ in read])


def _rows(
    request: Encode, opened: Opened, sources: Sequence[inputs.Source], failures: Failures
) -> Data | None:
    info = opened.header.data
    rows = [*given.rows(sources, info, failures)]
    if not rows:
        return None
    _refuse_rows(request, info, len(rows))
    x0 = given.seen(rows, info)
    return Data(x0, [row.place for row in rows], [request.seed + at for at in range(len(rows))])


def _picture(
    request: Encode,
    opened: Opened,
    data: Data,
    stops: Sequence[tuple[str, Tensor]],
    schedule: Schedule,
) -> Tensor:
    """x_t of all data at each level: rows of images, or panels."""
    info = opened.header.data
    randomness = Randomness(opened.config["compute"]["rng"])
    states = []
    for _, sigma in stops:
        x = latents.noised(data.x0, sigma, inversion.noise(data.seeds, randomness))
        states.append(stills.seen(x, sigma, schedule, info))
    titles = [word for word, _ in stops]
    if info.is_image:
        images = stills.bytes_of(torch.stack(states))
        names = data.names if len(data.names) > 1 else ()
        zoom = request.layout.zoom
        return stills.strip([*images.unbind(1)], titles, names, zoom, corner="t", place="-o")
    limits = plots.box(torch.cat(states))
    clouds = [Row("forward", [Cloud(points) for points in states])]
    if info.row == (1,):
        clouds.append(Row("paths", [_ways(data, schedule, randomness, info, stops)]))
    return panels.picture(clouds, [f"t = {title}" for title in titles], limits)


def _ways(
    data: Data,
    schedule: Schedule,
    randomness: Randomness,
    info: DataInfo,
    stops: Sequence[tuple[str, Tensor]],
) -> Lines:
    """The ways of some numbers through the process, x + sqrt(s^2 - t^2) z from level to level."""
    times, levels = grid(schedule)
    x, seeds = data.x0[: stills.PATHS], data.seeds[: stills.PATHS]
    rng, ways = randomness.rng(seeds, "path"), [x]
    for t, s in pairwise(levels):
        x = x + (s**2 - t**2).sqrt() * rng.normal(x)
        ways.append(x)
    seen = [stills.seen(x, s, schedule, info) for x, s in zip(ways, levels, strict=True)]
    marks = [float(schedule.time(sigma) * (schedule.steps or 1)) for _, sigma in stops if sigma]
    return Lines(times, torch.stack(seen)[..., 0], seen[0][..., 0], "t", marks)


def _write(request: Encode, opened: Opened, data: Data, picture: Tensor, seconds: float) -> None:
    (place, header, config), use = opened, request.use
    compute = hardware.compute(**config["compute"])
    how: dict[str, Any] = {"label": None, "arguments": use.words}
    record = provenance.record("encode", place.name, header, config, compute, use.size, **how)
    record |= {"inputs": [*request.inputs]}
    encoded = encoding.encode(picture, request.output, record)
    told = lines.Lines.of_walk(use.as_json, place.name, header, config, None)
    for path in targets.put(request.output, encoded, Existing(use.force)):
        told.tell(path, Spent(len(data.seeds), 0, seconds), **lines.seeded(data.seeds))
