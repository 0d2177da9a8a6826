"""The parts of a report beside its curves: what the runs are, samples, how to repeat them."""

import platform
import shlex
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ddpm_cli import __version__, console
from ddpm_cli.errors import Refusal, one_line
from ddpm_cli.failures import Failures
from ddpm_cli.files import provenance
from ddpm_cli.files.checkpoints import find
from ddpm_cli.files.checkpoints.header import parameters, read_header, shapes
from ddpm_cli.files.images import metadata
from ddpm_cli.files.outputs.page import markup
from ddpm_cli.files.outputs.page.charts import shown
from ddpm_cli.files.outputs.page.embedding import embedded
from ddpm_cli.files.outputs.page.markup import Markup, Part, choice, element
from ddpm_cli.files.outputs.page.sheets import Embedded, Strip, gallery, slider
from ddpm_cli.files.outputs.page.thinning import spread
from ddpm_cli.files.provenance import Kept
from ddpm_cli.pipelines import hints
from ddpm_cli.pipelines.report_curves import title
from ddpm_cli.pipelines.report_subjects import Pictures, RunFolder
from ddpm_cli.settings.checks import differences
from ddpm_cli.settings.requests import Report
from ddpm_cli.settings.toml import dump_toml, toml_value

NOTHING = "–"  # in a cell of a table
ZOOM = {"zoom-1": "1x", "zoom-2": "2x", "zoom-4": "4x", "zoom-8": "8x"}


def summary(runs: Sequence[RunFolder]) -> Markup | None:
    """How the runs stand, a column each."""
    if not runs:
        return None
    facts = [_facts(run) for run in runs]
    names = dict.fromkeys(name for each in facts for name in each)
    rows = [[name, *(each.get(name, NOTHING) for each in facts)] for name in names]
    heads = ["", *(run.name for run in runs)]
    return element("section", markup.table(heads, rows, "How the runs stand"), class_="summary")


def _facts(run: RunFolder) -> dict[str, str]:
    stands = run.standing
    facts = {} if run.header is None else {"step of the model": f"{run.header.step:,}"}
    if stands:
        of = f" of {stands['steps']:,}" if stands["steps"] else ""
        facts["step"] = f"{stands['logged_step']:,}{of}"
        facts |= {title(key): _number(value) for key, value in stands["last"].items()}
        for name, best in (stands["best_eval"] or {}).items():
            facts[f"best {name}"] = f"{_number(best['value'])} at step {best['step']:,}"
        facts["images a second"] = _number(stands["images_per_second"])
        facts["trained for"] = _duration(stands["seconds"])
        facts["time left"] = _duration(stands["seconds_left"])
        facts["last line"] = _moment(run.rows[-1].get("time"))
    return {key: value for key, value in facts.items() if value}


def _number(value: float | None) -> str:
    return "not finite" if value is None else shown(value)


def _duration(seconds: float | None) -> str:
    return "" if seconds is None else console.duration(seconds)


def _moment(seconds: float | None) -> str:
    """A time as a date, in UTC; nothing if it is none."""
    try:
        when = datetime.fromtimestamp(seconds or 0, timezone.utc)
    except (OverflowError, ValueError, OSError):
        return ""
    return when.strftime("%Y-%m-%d %H:%M:%S UTC") if seconds else ""


def pictures(
    runs: Sequence[RunFolder], samples: Sequence[Pictures], request: Report, failures: Failures
) -> Markup | None:
    """The sheets of the runs and all samples, and a switch of their size."""
    parts = [_sheets(runs, request), *_galleries(samples, request, failures)]
    if not any(parts):
        return None
    size = element("div", choice("zoom", "size", ZOOM, "zoom-2"), class_="bar")
    return element("section", element("h2", "Samples"), size, *parts)


def _sheets(runs: Sequence[RunFolder], request: Report) -> Markup | None:
    """The sheets of all runs that have any, and a slider over their steps."""
    strips = []
    for style, run in enumerate(runs):
        steps = list(run.sheets)
        kept = [steps[place] for place in spread(len(steps), request.sheets)]
        named = {step: f"samples of {run.name} at step {step}" for step in kept}
        read = [_read(run.sheets[step], named[step], request.side, step) for step in kept]
        if there := [sheet for sheet in read if sheet]:
            strips.append(Strip(run.name, style, there))
    return slider(strips) if strips else None


def _galleries(
    samples: Sequence[Pictures], request: Report, failures: Failures
) -> Iterator[Markup]:
    """The pictures that were named, folder by folder."""
    for item in samples:
        files = item.files[: request.images]
        read = list(failures.passing(lambda file: _named(file, request.side), files))
        yield gallery(item.name, read, len(item.files) - len(files))


def _label(path: Path) -> str:
    """The name of a picture, with the text that it was made of."""
    text = metadata.read(path).get("text")
    return f"{path.name}: {one_line(text)}" if isinstance(text, str) and text else path.name


def _named(path: Path, side: int) -> Embedded:
    """A picture that was named."""
    try:
        return embedded(path, _label(path), side)
    except OSError as fault:
        raise Refusal(f"{path}: {fault.strerror or fault}") from fault


def _read(path: Path, label: str, side: int, step: int) -> Embedded | None:
    """A sheet, or a warning that there is none: a run that goes on may be writing it."""
    try:
        return embedded(path, label, side, step)
    except (Refusal, OSError) as fault:
        console.warn("; ".join(f"{fault}".splitlines()) + "; left out")
        return None


def settings(runs: Sequence[RunFolder]) -> Markup | None:
    """What differs between the runs, and the whole configuration of each."""
    told = [run for run in runs if run.config]
    if not told:
        return None
    parts: list[Part] = []
    if len(told) > 1:
        rows = [[key, *map(_value, values)] for key, values in differing(told).items()]
        heads = ["setting", *(run.name for run in told)]
        parts.append(
            markup.table(heads, rows, "Settings that differ", "differences")
            if rows
            else element("p", "All settings are equal.")
        )
    for run in told:
        whole = markup.code(dump_toml(run.config).rstrip("\n"))
        parts.append(markup.folded(f"All settings of {run.name}", whole))
    return element("section", element("h2", "Settings"), *parts)


def differing(runs: Sequence[RunFolder]) -> dict[str, list[Any]]:
    """The settings that are not equal in all runs: by key path the value of each run."""
    first, *others = runs
    keys = [key for other in others for key, _, _ in differences(first.config, other.config)]
    return {key: [_at(run.config, key) for run in runs] for key in dict.fromkeys(keys)}


def _at(config: Mapping[str, Any], path: str) -> Any:
    value: Any = config
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _value(value: Any) -> str:
    return NOTHING if value is None else value if isinstance(value, str) else toml_value(value)


def repeating(runs: Sequence[RunFolder], samples: Sequence[Pictures], kept: Kept) -> Markup:
    """The commands that make runs and samples again, and what they were made with."""
    parts: list[Part] = []
    for run in runs:
        parts += [element("h3", run.name), markup.code("\n".join(commands(run)))]
    for item in samples:
        if made := _made(item, kept):
            parts += [element("h3", item.name), markup.code("\n".join(made))]
    rows = [[run.name, *_environment(run)] for run in runs]
    heads = ["run", "ddpm", "device", "format", "threads", "parameters", "hash of the model"]
    if rows:
        parts.append(markup.table(heads, rows, "What the runs were made with"))
    here = f"ddpm {__version__}, Python {platform.python_version()}, {platform.platform()}"
    parts.append(element("p", f"This page was written by {here}.", class_="note"))
    return element("section", element("h2", "To repeat it"), *parts)


def commands(run: RunFolder) -> list[str]:
    """What to type to train a run again, and to draw from it."""
    settings, target = f"{run.path.stem}.toml", run.target
    threads = run.header.threads if run.header else 0
    again = ["ddpm", "train", "--config", settings, "-o", f"runs/{run.path.stem}-again"]
    if threads and not run.config["compute"]["threads"]:
        again += ["--set", f"compute.threads={threads}"]
    info = shlex.join(["ddpm", "info", target, "--toml"])
    lines = [f"{info} > {shlex.quote(settings)}", shlex.join(again)] if run.config else []
    if run.header is not None and run.path.is_dir():
        return [*lines, hints.after_training(run.path, run.config, run.header.data)]
    return lines


def _made(item: Pictures, kept: Kept) -> list[str]:
    """The commands that make pictures again, of those that know them."""
    every = []
    for file in item.files:
        try:
            record = metadata.read(file)
            words = provenance.replay(record, str(file), kept) if record else []
        except (Refusal, OSError):
            continue
        if words:
            every.append(provenance.typed(words))
    return list(dict.fromkeys(every))


def _environment(run: RunFolder) -> list[str]:
    header, compute = run.header, run.config.get("compute", {})
    words = [str(compute.get(key, NOTHING)) for key in ("device", "dtype")]
    if header is None:
        return [NOTHING, *words, NOTHING, NOTHING, NOTHING]
    model = find.model_in(run.path) if run.path.is_dir() else run.path
    count = digest = NOTHING
    try:
        own = read_header(model)
        count, digest = f"{parameters(shapes(model), own.kind):,}", own.hash
    except (Refusal, OSError):
        pass
    return [header.version, *words, str(header.threads or NOTHING), count, digest]
