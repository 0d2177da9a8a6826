"""How likely a model finds images, in bits per dimension, for `ddpm nll`."""

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from ddpm_cli import console
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.evaluation.decompression import Decompression
from ddpm_cli.files import row_places
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.files.checkpoints.find import Place
from ddpm_cli.files.checkpoints.header import Header
from ddpm_cli.files.outputs import curves
from ddpm_cli.models import build, classes, cost, memory, model, saved
from ddpm_cli.models.asked import Asked
from ddpm_cli.pipelines import meter, nll_scores, opening, rows
from ddpm_cli.pipelines.lines import Lines, Spent, Watch
from ddpm_cli.pipelines.meter import Measure, Meter
from ddpm_cli.pipelines.nll_scores import Scores
from ddpm_cli.pipelines.opening import Opened
from ddpm_cli.pipelines.rows import Rows, Sequel
from ddpm_cli.settings import asking, checks, shards
from ddpm_cli.settings.config import Config, Layer
from ddpm_cli.settings.request_parts import Use
from ddpm_cli.settings.requests import Method, Nll
from ddpm_cli.settings.usual import LIKELIHOOD

_OPTIONS = {
    "classes": ("--class", "classes"),
    "values": ("--value", "values"),
    "text": ("--text", "texts"),
}


class Work(NamedTuple):
    """How to measure: asked is what all images are told, but for what is their own."""

    request: Nll
    opened: Opened
    measure: Measure
    schedule: Schedule
    asked: Asked
    calls: int | None


def run(request: Nll, opened: Opened | None = None) -> None:
    """Measure what a request names; opened: its model and settings, if they are known already."""
    request = _of_shard(request)
    work = _planned(request, opened)
    _, header, config = work.opened
    sequel = rows.of_request(request, config, header.data, request.use.size)
    console.say(f"{sequel.what}, {cost.words(work.calls, header.data.one)}")
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
    if build.is_adaptive(config) and request.steps is not None:
        name = config["sampler"]["name"]
        raise ConfigError(f"--steps: {name} takes as many as its tolerance needs; leave it out")
    config = cost.sized(config, schedule, request.use.calls)
    _check_files(request, header.data.is_image)
    measure = Measure.of(request, header.data)
    calls = meter.plan(config, measure, header.data, schedule)
    asked = _asked(request.use, config, header.data)
    return Work(request, opened._replace(config=config), measure, schedule, asked, calls)


def _asked(use: Use, config: Config, info: DataInfo) -> Asked:
    """What all rows are told, but for the kinds of which each has its own."""
    own = rows.own(use)
    for kind in own:
        if kind not in checks.told(config):
            option, what = _OPTIONS[kind]
            fix = "leave it out"
            raise ConfigError(f"{option} own: this model was trained without {what}; {fix}")
    label = None if "classes" in own else use.label
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
    place, header = (opened.place, opened.header) if opened else opening.chosen(request.use.model)
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
    whole = LIKELIHOOD if method == "ode" else meter.bound(header.config, schedule, respaced=False)
    config = opening.settled(place, header, layers, [whole], free=("data",))
    every = config["levels"].get("count") == whole.values["levels"]["count"]
    if method == "ode" or (every and not few):
        return config
    some = meter.bound(header.config, schedule, respaced=True)
    return opening.settled(place, header, layers, [some], free=("data",))


def _check_files(request: Nll, is_image: bool) -> None:
    """Refuse files that could not be written at the end."""
    terms, curve, force = request.terms, request.curve, request.use.force
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
    place, header, config = work.opened
    measured = model.opened(place, config, moments_file=work.request.moments)
    memory.refuse_large(measured, min(work.request.use.size, sequel.left))
    began, bits = time.monotonic(), list[float]()
    scores = Scores(math.prod(header.data.shape))
    total = None if work.calls is None else work.calls * sequel.left
    with console.progress(total, "network calls") as bar:
        measure, laps = Meter(measured, work.measure, bar.advance), Watch(bar)
        if work.request.curve is not None and work.request.curve.suffix in curves.PICTURES:
            measure.stages = Decompression(measure.walk.levels)
        how = (place.name, header, config, len(measure.walk.levels) - 1)
        told = Lines.of_walk(work.request.use.as_json, *how)
        for batch in sequel.rows:
            seen = work.asked.conditions(batch.numbers) | batch.told
            given = seen["classes"].tolist() if "classes" in seen else None
            per_row = measure(batch.values, batch.numbers, seen)
            if per_row is None:
                return
            spent = laps.lap([1] * len(per_row))
            for row, value in enumerate(per_row.tolist()):
                own = _about(work, batch, row, given)
                with sequel.failures.caught():
                    _refuse_infinite(own, value)
                    _report(
                        scores.add(own, value),
                        told if work.request.use.as_json else None,
                        spent[row],
                    )
                    bits.append(value)
    if bits:
        scores.say()
        _sum_up(work, sequel, bits, measure, time.monotonic() - began, scores)
    sequel.finish()


def _told(work: Work) -> dict[str, Any]:
    """What all images are told, or that each is told its own."""
    own = {{"classes": "class"}.get(kind, kind): asking.OWN for kind in rows.own(work.request.use)}
    return {**work.asked.named, **own}


def _about(work: Work, batch: Rows, row: int, given: Sequence[int] | None) -> dict[str, Any]:
    """What a row is: the input, the seed of its noise, and the class that it was given."""
    _, header, config = work.opened
    names = [*classes.known(config, header.data), classes.NULL]
    label = None if given is None else names[given[row]]
    seed = work.measure.seed + batch.numbers[row]
    name = batch.names[row]
    place = {} if batch.places is None else {row_places.noun(name): batch.places[row]}
    return {"input": name, **place, "seed": seed, "class": label}


def _refuse_infinite(own: dict[str, Any], bits: float) -> None:
    """Refuse a row whose likelihood is no number."""
    name = nll_scores.place(own) or own["input"]
    if not math.isfinite(bits):
        what = f"{name}: its likelihood is no finite number"
        raise Refusal(what, "try --dtype float32, or more --steps")


def _report(said: dict[str, Any], told: Lines | None, spent: Spent) -> None:
    """Print what one row takes, as JSON or with -v."""
    if told is not None:
        told.row({**said, "path": None}, spent)
    else:
        name = nll_scores.place(said) or said["input"]
        console.detail(f"{name}  {said['bits']:.4f} bits/dim")


def _sum_up(
    work: Work,
    sequel: Sequel,
    bits: list[float],
    measure: Meter,
    seconds: float,
    scores: Scores,
) -> None:
    """Print the mean, then write the files that are asked for."""
    request, (place, header, config) = work.request, work.opened
    mean, error = meter.mean(bits)
    values = {
        "model": place.name,
        "hash": header.hash,
        "model_hash": header.hash,
        "data": sequel.measured,
        **({"shard": str(request.use.shard)} if request.use.shard else {}),
        **_told(work),
        "seed": work.measure.seed,
        "images": len(bits),
        "bits": mean,
        "bits_error": error,
        "nats": mean * math.log(2),
        "levels": 2**work.measure.bits if header.data.is_image else None,
        "offset": measure.offset,
        "method": meter.described(config, work.measure),
        "calls": measure.calls / measure.rows,
        "seconds": round(seconds, 1),
    }
    if request.use.as_json:
        console.json_line(values)
    else:
        _say(work, sequel, values)
    terms, curve, force = request.terms, request.curve, request.use.force
    if request.scores is not None:
        scores.write(request.scores, force)
    if terms is not None:
        curves.write(terms, measure.curve.terms(work.schedule), force)
    if curve is not None:
        rates = measure.curve.rates(work.schedule)
        if measure.stages is None:
            curves.write(curve, rates, force)
        else:
            stages, size = measure.stages, math.prod(header.data.shape)
            curves.plot(curve, rates, curves.Strip(stages.images, stages.places, size), force)


def _say(work: Work, sequel: Sequel, values: dict[str, Any]) -> None:
    """Print the mean, and on stderr how it was measured."""
    mean, error = values["bits"], values["bits_error"]
    info = work.opened.header.data
    unit = "bits/dim" if info.is_image else "bits/dim of density"
    within = f", standard error {error:.4f}" if error is not None else ""
    console.result(f"{mean:.4f} {unit}{within} ({mean * math.log(2):.4f} nats)")
    console.say(
        f"{values['data']}; {values['method']}; {values['calls']:.0f} network calls {info.one}"
    )
    console.say(f"{meter.unit(info, work.measure)}; {values['seconds']:.1f} s")
