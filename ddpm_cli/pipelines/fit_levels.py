"""`ddpm fit --levels`: lists of noise levels that bring samples closest to a model's own ODE."""

import shlex
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from ddpm_cli import console, hardware
from ddpm_cli.diffusion import level_fitting
from ddpm_cli.diffusion.latents import Silent
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files.checkpoints import level_fits
from ddpm_cli.files.checkpoints.level_fits import FITTED, NOISE, LevelFit
from ddpm_cli.files.outputs import targets
from ddpm_cli.models import cost, memory, model, saved, walk_parts
from ddpm_cli.models.asked import Asked
from ddpm_cli.pipelines import opening
from ddpm_cli.pipelines.level_search import Search, standing
from ddpm_cli.pipelines.lines import Lines, Spent, digest
from ddpm_cli.pipelines.opening import Opened
from ddpm_cli.settings import passes
from ddpm_cli.settings.config import Config
from ddpm_cli.settings.fit_requests import FitLevels
from ddpm_cli.settings.recipes import RECIPE
from ddpm_cli.settings.toml import toml_value

Line = tuple[LevelFit, float]  # a fit, and the seconds that it took


def run(request: FitLevels, opened: Opened) -> None:
    """Fit every list that is asked for and not there, and add them to those beside the model."""
    place, header = opened.place, opened.header
    config = _without_noise(opened.config)
    path = request.output or level_fits.beside(place.path)
    known = _known(request, opened, path)
    schedule = saved.schedule_of(header, place.path)
    search = _planned(request, opened, config, schedule)
    asked = LevelFit(config["sampler"], level_fits.guidance(config), config["wrappers"], [], {})
    _refuse_there(request, path, known, asked)
    console.say(search.words())
    if request.use.dry_run:
        opening.shown(config)
        return
    lines = _lines(search, opened, asked)
    if lines:
        path.parent.mkdir(parents=True, exist_ok=True)
        known = _known(request, opened, path)  # others may have added theirs
        every = {fit.key: fit for fit in (*known, *(fit for fit, _ in lines))}
        level_fits.save(path, every.values(), header)
        _told(request, opened, lines, path)
    _said(request, opened, config, [fit.moves for fit, _ in lines])


def _lines(search: Search, opened: Opened, asked: LevelFit) -> list[Line]:
    """The fits that were found, each with its seconds; fewer if the process was asked to stop."""
    config, lines = search.config, list[Line]()
    compute = hardware.compute(**config["compute"])
    drawer = model.opened(opened.place, standing(config, search.grid[:-1]), compute)
    memory.refuse_large(drawer, min(search.request.use.size, len(search.seeds)))
    with console.progress(search.budget(), "network calls") as bar:
        began = time.monotonic()
        for found in search.fits(drawer.counting(bar.advance)):
            fit, now = asked._replace(sigmas=found.sigmas, facts=found.facts), time.monotonic()
            lines.append((fit, now - began))
            bar.say(_words(fit))
            began = now
    return lines


def _without_noise(config: Config) -> Config:
    """The configuration, its sampler without noise of its own: with that it follows no ODE."""
    sampler = config["sampler"]
    if not sampler.get(NOISE):
        return config
    console.say(f"sampler {sampler['name']}: fitted without its noise, {NOISE}=0")
    return config | {"sampler": sampler | {NOISE: 0.0}}


def _known(request: FitLevels, opened: Opened, path: Path) -> list[LevelFit]:
    """The fits that are in the file already; those of other weights are forgotten if told so."""
    targets.refuse_existing(path, force=True)
    if not path.exists():
        return []
    try:
        fix = level_fits.typed(opened.config, opened.place.name, request.counts[-1])
        return level_fits.load(path, opened.header, fix)
    except Refusal:
        if request.use.force:
            return []
        raise


def _refuse_there(
    request: FitLevels, path: Path, known: Sequence[LevelFit], asked: LevelFit
) -> None:
    """Refuse to replace a fit unasked."""
    keys = {fit.key for fit in known}
    there = [n for n in request.counts if asked._replace(sigmas=[1.0] * n).key in keys]
    if there and not request.use.force:
        what = f"has {asked.sampler['name']} with {', '.join(map(str, there))} levels already"
        raise Refusal(f"{path}: {what}", "leave them out of --levels, or --force to replace them")


def _planned(request: FitLevels, opened: Opened, config: Config, schedule: Schedule) -> Search:
    """What a search takes; samplers that follow no ODE are refused."""
    if walk_parts.is_adaptive(config):
        name = config["sampler"]["name"]
        raise ConfigError(f"sampler.{name}: chooses its own levels by a tolerance; take another")
    passes.refuse_stepwise(config, "so there is no ODE to follow")
    grid = level_fitting.grid(schedule, request.grid)
    for count in request.counts:
        if count > len(grid) - 1:
            fix = "give fewer, or a larger --grid"
            raise ConfigError(f"--levels {count}: the grid has {len(grid) - 1} levels; {fix}")
    _refuse_noise(config, schedule, grid)
    calls = {}
    for count in request.counts:
        even = grid[torch.linspace(0, len(grid) - 2, count).long()]
        calls[count] = cost.counted(standing(config, even), schedule).calls or count
    asked = Asked.of(request.use, config, opened.header.data)
    asked.say(None)
    return Search(request, config, schedule, grid, asked, calls)


def _refuse_noise(config: Config, schedule: Schedule, grid: Tensor) -> None:
    """Refuse walks that draw noise anywhere on the grid but at their start."""
    try:
        cost.counted(standing(config, grid[:-1]), schedule, rng=Silent())
    except (ConfigError, ValueError) as error:
        if "adds noise" not in str(error):
            raise
        is_named = isinstance(error, ConfigError)
        key = str(error).partition(":")[0] if is_named else "edits"  # levels up
        fix = "choose another way to walk, as --sampler dpm++2m"
        raise ConfigError(f"{key}: adds noise, which follows no ODE; {fix}") from None


def _words(fit: LevelFit) -> str:
    """A fit in words."""
    facts, name = fit.facts, fit.sampler["name"]
    words = f"{name} {fit.moves}: ends {facts['rms']:.4g} from the ODE"
    if facts["spacing"]:
        words += f"; the best spacing, {facts['spacing']}, {facts['spacing_rms']:.4g}"
    return words


def _told(request: FitLevels, opened: Opened, lines: Sequence[Line], path: Path) -> None:
    """Print the file, or an object for each fit."""
    if not request.use.as_json:
        console.line(str(path))
        return
    model = {"model": opened.place.name, "model_hash": opened.header.hash}
    for fit, seconds in lines:
        about = {"sampler": fit.sampler["name"], "levels": FITTED, "steps": fit.moves}
        own = {"path": str(path), "class": None, **fit.facts, "sigmas": fit.sigmas}
        Lines(True, about, model).row(own, Spent(seconds=seconds), digest(path))


def _said(request: FitLevels, opened: Opened, config: Config, found: Sequence[int]) -> None:
    """Say what was left, and how to sample along what was found."""
    left = [count for count in request.counts if count not in found]
    if left:
        console.say(f"stopped; not fitted: {','.join(map(str, left))} levels")
        return
    words = ["ddpm", "sample", "-m", opened.place.name, *level_fits.options(config)]
    for layer in request.use.layers:
        if layer.source.startswith(RECIPE):  # which says more than the sampler's name
            words[5] = layer.source.removeprefix(RECIPE)
    words += ["--levels", FITTED, "--steps", str(request.counts[-1])]
    words += ["--set", f"levels.file={toml_value(str(request.output))}"] * bool(request.output)
    words += ["--set", f"sampler.{NOISE}=0"] * bool(opened.config["sampler"].get(NOISE))
    console.say(f"try: {shlex.join(words)}")
