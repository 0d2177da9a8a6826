"""`ddpm fit --levels`: lists of noise levels that bring samples closest to a model's own ODE."""

import shlex
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from ddpm_cli import console, hardware
from ddpm_cli.diffusion import level_fitting
from ddpm_cli.diffusion.latents import Silent
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files.checkpoints import level_fits
from ddpm_cli.files.checkpoints.level_fits import FITTED, NOISE, LevelFit
from ddpm_cli.files.outputs import targets
from ddpm_cli.models import build, cost, memory, model, saved
from ddpm_cli.models.asked import Asked
from ddpm_cli.pipelines import opening
from ddpm_cli.pipelines.level_search import Found, Search, standing
from ddpm_cli.pipelines.lines import Lines, Spent, digest
from ddpm_cli.pipelines.opening import Opened
from ddpm_cli.settings.config import Config
from ddpm_cli.settings.fit_requests import FitLevels
from ddpm_cli.settings.toml import toml_value


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
    compute = hardware.compute(**config["compute"])
    drawer = model.opened(place, standing(config, search.grid[:-1]), compute)
    memory.refuse_large(drawer, min(request.use.size, request.count))
    found = list[LevelFit]()
    lines = list[tuple[LevelFit, float]]()
    with console.progress(search.budget(), "network calls") as bar:
        for fit, seconds in _timed(search.fits(drawer.counting(bar.advance))):
            lines.append((asked._replace(sigmas=fit.sigmas, facts=fit.facts), seconds))
            bar.say(_words(lines[-1][0]))
    if lines:
        found = [fit for fit, _ in lines]
        path.parent.mkdir(parents=True, exist_ok=True)
        known = _known(request, opened, path)  # others may have added theirs
        level_fits.save(path, {fit.key: fit for fit in (*known, *found)}.values(), header)
        _told(request, opened, lines, path)
    _said(request, opened, config, found)


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
    if build.is_adaptive(config):
        name = config["sampler"]["name"]
        raise ConfigError(f"sampler.{name}: chooses its own levels by a tolerance; take another")
    grid = level_fitting.grid(schedule, request.grid)
    for count in request.counts:
        if count > len(grid) - 1:
            fix = "give fewer, or a larger --grid"
            raise ConfigError(f"--levels {count}: the grid has {len(grid) - 1} levels; {fix}")
    calls = {}
    for count in request.counts:
        try:
            plan = cost.counted(standing(config, grid[:count]), schedule, rng=Silent())
        except ConfigError as error:
            if "adds noise" not in str(error):
                raise
            name, fix = config["sampler"]["name"], "take another, as --sampler dpm++2m"
            raise ConfigError(f"sampler.{name}: adds noise, so it follows no ODE; {fix}") from None
        calls[count] = plan[1] or count
    asked = Asked.of(request.use, config, opened.header.data)
    asked.say(None)
    return Search(request, config, schedule, grid, asked, calls)


def _timed(fits: Iterator[Found]) -> Iterator[tuple[Found, float]]:
    """Finds, with the seconds that each took."""
    began = time.monotonic()
    for fit in fits:
        yield fit, time.monotonic() - began
        began = time.monotonic()


def _words(fit: LevelFit) -> str:
    """A fit in words."""
    facts, name = fit.facts, fit.sampler["name"]
    spacing = f"; the best spacing, {facts['spacing']}, ends {facts['spacing_rms']:.4g} from it"
    ends = f"{name} {fit.moves}: ends {facts['rms']:.4g} from the ODE"
    return ends + (spacing if facts["spacing"] else "")


def _told(
    request: FitLevels, opened: Opened, lines: Sequence[tuple[LevelFit, float]], path: Path
) -> None:
    """Print the file, or an object for each fit."""
    if not request.use.as_json:
        console.line(str(path))
        return
    model = {"model": opened.place.name, "model_hash": opened.header.hash}
    for fit, seconds in lines:
        about = {"sampler": fit.sampler["name"], "levels": FITTED, "steps": fit.moves}
        own = {"path": str(path), "class": None, **fit.facts, "sigmas": fit.sigmas}
        Lines(True, about, model).row(own, Spent(seconds=seconds), digest(path))


def _said(request: FitLevels, opened: Opened, config: Config, found: Sequence[LevelFit]) -> None:
    """Say what was left, and how to sample along what was found."""
    left = [count for count in request.counts if count not in {fit.moves for fit in found}]
    if left:
        console.say(f"stopped; not fitted: {','.join(map(str, left))} levels")
        return
    words = ["ddpm", "sample", "-m", opened.place.name, *level_fits.options(config)]
    words += ["--levels", FITTED, "--steps", str(request.counts[-1])]
    words += ["--set", f"levels.file={toml_value(str(request.output))}"] * bool(request.output)
    words += ["--set", f"sampler.{NOISE}=0"] * bool(opened.config["sampler"].get(NOISE))
    console.say(f"try: {shlex.join(words)}")
