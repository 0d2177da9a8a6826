"""How likely a model finds images, in bits per dimension, for `ddpm nll`."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ddpm_cli import console
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.errors import ConfigError, many
from ddpm_cli.evaluation.baselines import Baseline
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.files.checkpoints.find import Place
from ddpm_cli.files.checkpoints.header import Header
from ddpm_cli.files.outputs import curves
from ddpm_cli.models import classes, cost, memory, model, saved, walk_parts
from ddpm_cli.models.asked import Asked
from ddpm_cli.pipelines import (
    meter,
    nll_baselines,
    nll_marginal,
    nll_plan,
    nll_words,
    opening,
    rows,
)
from ddpm_cli.pipelines.lines import Watch
from ddpm_cli.pipelines.meter import Meter
from ddpm_cli.pipelines.nll_measuring import Tally, Work, kept_rows, say_stopped, told
from ddpm_cli.pipelines.nll_plan import Measure
from ddpm_cli.pipelines.opening import Opened
from ddpm_cli.pipelines.rows import Sequel
from ddpm_cli.settings import checks, shards
from ddpm_cli.settings.config import Config, Layer
from ddpm_cli.settings.nll_requests import Method, Nll
from ddpm_cli.settings.request_parts import Use
from ddpm_cli.settings.usual import likelihood

_OPTIONS = {
    "classes": ("--class", "classes"),
    "values": ("--value", "values"),
    "text": ("--text", "texts"),
}


def run(request: Nll, opened: Opened | None = None) -> None:
    """Measure what a request names; opened: its model and settings, if they are known already."""
    request = _of_shard(request)
    work = _planned(request, opened)
    _, header, config = work.opened
    sequel = rows.of_request(request, config, header.data, request.use.size)
    console.say(f"{sequel.what}, {work.cost.words(header.data.one)}")
    if request.use.dry_run:
        opening.shown(config)
        return
    if sequel.left:
        _measure(work, sequel)
    else:
        sequel.finish()


def _of_shard(request: Nll) -> Nll:
    """A request with files of the shard's own for its part of the curves."""
    files = {
        "--terms": request.terms,
        "--rate-distortion": request.curve,
        "-o": request.scores,
    }
    shard, own = request.use.shard, dict[str, Path | None](files)
    for option, path in files.items():
        if path is not None:
            own[option] = Path(shards.place(str(path), shard, option))
            shards.refuse_shared(str(path), shard, option)
    return replace(request, terms=own["--terms"], curve=own["--rate-distortion"], scores=own["-o"])


def _planned(request: Nll, opened: Opened | None) -> Work:
    """What is asked for; what would have no effect is refused."""
    opened, schedule = _settled(request, opened)
    _, header, config = opened
    if request.bits is not None and not header.data.is_image:
        raise ConfigError("--bits: of images alone; leave it out")
    if request.baselines and not header.data.is_image:
        raise ConfigError("--baselines: of images alone; leave it out")
    if walk_parts.is_adaptive(config) and request.steps is not None:
        name = config["sampler"]["name"]
        raise ConfigError(f"--steps: {name} takes as many as its tolerance needs; leave it out")
    config = cost.sized(config, schedule, request.use.calls)
    _check_files(request, header.data.is_image)
    measure = Measure.of(request, header.data)
    planned = nll_plan.plan(config, measure, header.data, schedule)
    shares = nll_marginal.shares(request, config, header.data)
    planned = planned.times(nll_marginal.times(shares, measure))
    asked = _asked(request.use, config, header.data)
    opened = opened._replace(config=config)
    return Work(request, opened, measure, schedule, asked, planned, shares)


def _asked(use: Use, config: Config, info: DataInfo) -> Asked:
    """What all rows are told, but for the kinds of which each has its own."""
    own = rows.own(use)
    for kind in own:
        if kind not in checks.told(config):
            option, what = _OPTIONS[kind]
            fix = "leave it out"
            raise ConfigError(f"{option} own: this model was trained without {what}; {fix}")
    label = None if "classes" in own or use.label == classes.ALL else use.label
    rest = replace(
        use,
        values=() if "values" in own else use.values,
        texts=() if "text" in own else use.texts,
    )
    left = {key: table for key, table in config.items() if key not in own}
    asked = Asked.of(rest, left, info, classes.fixed(label, config))
    asked.refuse_several()
    classes.say(label, config, info)
    return asked


def _settled(request: Nll, opened: Opened | None) -> tuple[Opened, Schedule]:
    """The model and its settings, and the process that it was trained on."""
    if opened:
        place, header = opened.place, opened.header
    else:
        place, header = opening.for_likelihood(request.use.model)
    schedule = saved.schedule_of(header, place.path)
    if opened is None:
        few = request.use.calls is not None
        config = settled(place, header, schedule, request.use.layers, request.method, few=few)
        opened = Opened(place, header, config)
    return opened, schedule


def settled(
    place: Place,
    header: Header,
    schedule: Schedule,
    layers: Sequence[Layer],
    method: Method,
    *,
    few: bool = False,
) -> Config:
    """The settings of the ODE, or of a bound over all levels or over as many as asked for.

    few: fewer levels are asked for by other means than their count.
    """
    whole = likelihood(header.config)
    if method == "vlb":
        whole = nll_plan.bound(header.config, schedule, respaced=False)
    config = opening.settled(place, header, layers, [whole], free=("data",))
    every = config["levels"].get("count") == whole.values["levels"]["count"]
    if method == "ode" or (every and not few):
        return config
    some = nll_plan.bound(header.config, schedule, respaced=True)
    return opening.settled(place, header, layers, [some], free=("data",))


def _check_files(request: Nll, is_image: bool) -> None:
    """Refuse files that could not be written at the end."""
    terms, curve, force = request.terms, request.curve, request.use.force
    for option, path in (("--terms", terms), ("--rate-distortion", curve)):
        if path is not None and request.drawn is not None:
            what = "of all terms, and --drawn measures some of them"
            raise ConfigError(f"{option} {path}: {what}; leave out one of the two")
    if terms is not None:
        curves.refuse(terms, "--terms", [".csv"], force)
    if curve is not None:
        if not is_image:
            raise ConfigError("--rate-distortion: of images alone; leave it out")
        curves.refuse(curve, "--rate-distortion", [".csv", ".png"], force)
    if request.scores is not None:
        curves.refuse(request.scores, "-o", [".csv"], force)
    named = {"--terms": terms, "--rate-distortion": curve, "-o": request.scores}
    taken = dict[Path, str]()
    for option, path in named.items():
        if path is not None and (other := taken.setdefault(path.absolute(), option)) != option:
            raise ConfigError(f"{option} {path}: {other} names the same file; give another")


def _measure(work: Work, sequel: Sequel) -> None:
    """Measure batch by batch, report each row, and sum up."""
    place, _, config = work.opened
    kept = kept_rows(work)
    if kept:
        console.say(f"{many(len(kept), 'rows')} are measured already, and kept in {kept.path}")
    measured = model.opened(place, config, moments_file=work.request.moments)
    at_once, is_traced = min(work.request.use.size, sequel.left), work.cost.gradients > 0
    memory.refuse_large(measured, at_once, is_traced=is_traced)
    calls = work.cost.calls
    total = None if calls is None else calls * sequel.left
    with console.progress(total, "network calls") as bar:
        laps = Watch(bar)
        counted = Meter(measured, work.measure, bar.advance, laps.differentiated)
        tally = Tally(work, sequel, counted, laps, kept)
        is_whole = all(tally.take(batch) for batch in sequel.rows)
    if not is_whole:
        say_stopped(tally, sequel, kept)
        return
    if tally.bits:
        tally.scores.say()
        _sum_up(work, sequel, tally)
    if kept is not None:
        kept.finish()
    sequel.finish()


def _sum_up(work: Work, sequel: Sequel, tally: Tally) -> None:
    """Print the mean, then write the files that are asked for."""
    request, (place, header, config) = work.request, work.opened
    measure, (mean, error) = tally.measure, meter.mean(tally.bits)
    times = nll_marginal.times(work.shares, work.measure)
    gradients = measure.gradients / max(measure.rows, 1) * times
    values = {
        "model": place.name,
        "hash": header.hash,
        "model_hash": header.hash,
        "data": sequel.measured,
        **({"shard": str(request.use.shard)} if request.use.shard else {}),
        **told(work),
        "seed": work.measure.seed,
        "images": len(tally.bits),
        "bits": mean,
        "bits_error": error,
        "nats": mean * math.log(2),
        "levels": 2**work.measure.bits if header.data.is_image else None,
        "offset": measure.offset,
        **nll_words.states(header.data, work.measure),
        "method": nll_words.described(config, work.measure),
        "calls": measure.calls / max(measure.rows, 1) * times,
        **({"gradients": gradients} if gradients else {}),
        "seconds": round(tally.seconds, 1),
    }
    found = list[Baseline]()
    if request.baselines:
        found = nll_baselines.of(request, torch.cat(tally.pixels), config, header.data)
        values["baselines"] = nll_baselines.said(found)
    if request.use.as_json:
        console.json_line(values)
    else:
        _say(work, sequel, values)
        for one in found:
            console.result(_compared(one))
    terms, curve, force = request.terms, request.curve, request.use.force
    if request.scores is not None:
        tally.scores.write(request.scores, force)
    if terms is not None:
        curves.write(terms, measure.curve.terms(work.schedule), force)
    if curve is not None:
        rates = measure.curve.rates(work.schedule)
        if measure.stages is None:
            curves.write(curve, rates, force)
        else:
            stages, size = measure.stages, math.prod(header.data.shape)
            curves.plot(curve, rates, curves.Strip(stages.images, stages.places, size), force)


def _compared(baseline: Baseline) -> str:
    """A line of what images take without the model."""
    within = f", standard error {baseline.error:.4f}" if baseline.error is not None else ""
    return f"{baseline.bits:.4f} bits/dim{within} by {baseline.name}, {baseline.of}"


def _say(work: Work, sequel: Sequel, values: dict[str, Any]) -> None:
    """Print the mean, and on stderr how it was measured."""
    mean, error = values["bits"], values["bits_error"]
    info = work.opened.header.data
    unit = "bits/dim" if info.is_image else "bits/dim of density"
    within = f", standard error {error:.4f}" if error is not None else ""
    console.result(f"{mean:.4f} {unit}{within} ({mean * math.log(2):.4f} nats)")
    took = f"{values['calls']:.0f} network calls"
    if gradients := values.get("gradients"):
        took += f" and {gradients:.0f} gradients"
    console.say(f"{values['data']}; {values['method']}; {took} {info.one}")
    console.say(f"{nll_words.unit(info, work.measure)}; {values['seconds']:.1f} s")
