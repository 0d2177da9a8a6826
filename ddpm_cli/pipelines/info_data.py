"""What is in a data set before anything is trained, for `ddpm info`, and the command to train."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ddpm_cli import console
from ddpm_cli.data import recognizing
from ddpm_cli.data.image_set import ImageSet
from ddpm_cli.data.recognizing import Recognized
from ddpm_cli.data.surveying import Survey, survey
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files.outputs import encoding, targets
from ddpm_cli.models import build
from ddpm_cli.pipelines import info_sheet, info_train
from ddpm_cli.pipelines.materials import Sets
from ddpm_cli.settings import catalog
from ddpm_cli.settings.config import picked
from ddpm_cli.settings.requests import Info

BAD = 10  # files that are listed
CLASSES = 20  # that are named with their counts
COMMON = 3  # sizes that are named
# Files are looked at one by one, so that no size, no bad file and no bulk is in the way.
QUICK = {"size": 16, "fit": "crop", "skip_corrupt": True, "memory": 0}
USUAL_SHARE = 0.05


class Opened(NamedTuple):
    """The parts of a set, the settings that they are read with, and what had to be changed."""

    sets: Sets
    settings: dict[str, Any]
    faults: tuple[str, ...] = ()


def run(request: Info, found: Recognized) -> None:
    """Look at all rows of a set, and say what was seen."""
    _refuse_sheet(request)
    settings = found.settings | dict(request.data)
    picked("data", settings, "the command line")
    opened = _opened(settings)
    total = sum(map(len, opened.sets))
    with console.progress(min(total, request.limit or total), "rows") as bar:
        seen = survey(opened.sets, request.limit, bar.advance)
    if not seen.looked:
        raise Refusal(*seen.bad[0].splitlines())
    line = info_train.command(str(request.target), opened.settings, opened.sets.train, seen)
    facts = _facts(request, found._replace(settings=opened.settings), opened, seen)
    facts["command"] = line
    if request.sheet is not None:
        facts["sheet"] = str(request.sheet)
        _draw(request, opened.sets, seen)
    if request.as_json:
        console.json_line(facts)
    else:
        for key, text in _lines(facts):
            console.line(f"{key:13}  {text}")


def _refuse_sheet(request: Info) -> None:
    """Refuse a sheet that could not be written, before any work."""
    if request.sheet is None:
        return
    if not encoding.is_picture(request.sheet):
        raise ConfigError(f"--sheet {request.sheet}: unknown ending; use .png")
    targets.refuse_existing(request.sheet, request.force, "--sheet")


def _opened(settings: dict[str, Any]) -> Opened:
    """Both parts of a set; where it cannot be read as it would be, it is as near as can be.

    Classes that cannot be told are left out, and of few images more are held out.
    """
    knobs = catalog.find("data", settings["name"]).knobs
    quick = {key: value for key, value in QUICK.items() if key in knobs}
    faults: list[str] = []
    for _ in range(3):
        config = {"data": picked("data", settings | quick, "the command line")}
        try:
            return Opened(Sets.of(config), settings, tuple(faults))
        except Refusal as refusal:
            fault = refusal.message.splitlines()[0]
            changed = _changed(settings, config, knobs)
            if changed is None:
                raise
            faults.append(f"{fault}; --set {_assignment(settings, changed)}")
            settings = changed
    raise Refusal(*faults)


def _assignment(settings: Mapping[str, Any], changed: Mapping[str, Any]) -> str:
    key = next(key for key in changed if settings.get(key) != changed[key])
    return f"data.{key}={changed[key]}"


def _changed(
    settings: Mapping[str, Any], config: dict[str, Any], knobs: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Settings under which a set that was refused may be read; None if there are no others."""
    if "holdout" in knobs and "holdout" not in settings:
        try:
            whole = config["data"] | {"holdout": 0.0}
            count = len(build.images({"data": whole}, "train"))
        except Refusal:
            count = 0
        if 1 < count < 0.5 / USUAL_SHARE:
            return {**settings, "holdout": math.ceil(100 / count) / 100}
    if "labels" in knobs and settings.get("labels", "auto") != "none":
        return {**settings, "labels": "none"}
    return None


def _facts(request: Info, found: Recognized, opened: Opened, seen: Survey) -> dict[str, Any]:
    """What was seen, under stable keys."""
    train, test = opened.sets
    mean, deviation = seen.spread()
    is_image = bool(seen.sizes)
    facts: dict[str, Any] = {
        "source": str(request.target),
        "kind": "data",
        "format": found.what,
        "data": found.settings,
        "train": len(train),
        "test": len(test),
        "looked_at": seen.looked,
        "shape": None if is_image else list(train.shape),
        "sizes": _sizes(seen.sizes) if is_image else None,
        "modes": dict(seen.modes.most_common()) if is_image else None,
        "classes": _classes(opened.sets),
        "mean": mean,
        "std": deviation,
        "duplicates": {"images": seen.repeats, "across": seen.leaks, "pairs": seen.pairs},
        "near_constant": {"images": len(seen.flat), "first": seen.flat[:BAD]},
        "bad": {"files": len(seen.bad), "first": seen.bad[:BAD]},
        "captions": _captions(opened.sets),
        "notes": [*opened.faults, *train.notes],
    }
    if train.titles is not None and train.titles.columns:
        facts["columns"] = list(train.titles.columns)
    return facts


def _sizes(sizes: Counter[tuple[int, int]]) -> dict[str, Any]:
    """The least and largest width and height, and the sizes that are most common."""
    widths, heights = zip(*sizes, strict=True)
    common = [{"size": [*size], "images": count} for size, count in sizes.most_common(COMMON)]
    least, most = [min(widths), min(heights)], [max(widths), max(heights)]
    return {"distinct": len(sizes), "min": least, "max": most, "common": common}


def _classes(sets: Sets) -> dict[str, Any] | None:
    """How many rows each class has, and where the classes come from."""
    names = sets.train.classes
    if names is None:
        return None
    counts = Counter[int]()
    for part in sets:
        counts.update(part.labels.tolist() if part.labels is not None else ())
    rows = {name: counts[number] for number, name in enumerate(names)}
    return {"from": sets.train.origin, "count": len(names), "rows": rows}


def _captions(sets: Sets) -> dict[str, Any] | None:
    """How many images have a text, and the first of them."""
    images = [part for part in sets if isinstance(part, ImageSet)]
    texts = [part.text(row) for part in images for row in range(len(part))]
    known = [text for text in texts if text]
    return {"images": len(known), "first": known[:COMMON]} if known else None


def _draw(request: Info, sets: Sets, seen: Survey) -> None:
    """Write the sheet of a request."""
    if request.sheet is None:
        return
    page = info_sheet.page(sets.train, seen)
    record = {"source": str(request.target)}
    data = encoding.encode(page, request.sheet, record)
    targets.put(request.sheet, data, targets.Existing(request.force))


def _lines(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The facts in words, by their keys."""
    settings = recognizing.assignments(facts["data"])
    noun = "images" if facts["sizes"] else "rows"
    total = facts["train"] + facts["test"]
    lines = [
        ("source", f"{facts['source']}: {facts['format']}"),
        ("read by", settings),
        ("train", f"{facts['train']} {noun}"),
        ("test", f"{facts['test']} {noun} held out"),
    ]
    if facts["looked_at"] + facts["bad"]["files"] < total:
        lines.append(("looked at", f"{facts['looked_at']} of {total}, evenly spread"))
    lines += _of_images(facts) if facts["sizes"] else _of_rows(facts)
    lines += _of_classes(facts["classes"])
    unit = " of 0 to 1" if facts["sizes"] else ""
    lines += [
        ("mean", _numbers(facts["mean"]) + unit),
        ("deviation", _numbers(facts["std"]) + unit),
    ]
    lines.append(("duplicates", _duplicates(facts["duplicates"], noun)))
    if facts["sizes"]:
        flat = facts["near_constant"]
        lines.append(("near constant", _few(flat["images"], flat["first"])))
    bad = facts["bad"]
    lines.append(("bad files", str(bad["files"]) if bad["files"] else "none"))
    lines += [("", " ".join(reason.splitlines())) for reason in bad["first"]]
    if facts["captions"]:
        first = ", ".join(repr(text) for text in facts["captions"]["first"])
        lines.append(("captions", f"{facts['captions']['images']}: {first}, ..."))
    lines += [("note", note) for note in facts["notes"]]
    return [*lines, ("to train", facts["command"])]


def _of_images(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    sizes = facts["sizes"]
    common = ", ".join(f"{_by(each['size'])} ({each['images']})" for each in sizes["common"])
    if sizes["distinct"] == 1:
        said = f"{_by(sizes['min'])}, all"
    else:
        said = f"{sizes['distinct']} from {_by(sizes['min'])} to {_by(sizes['max'])}"
        said = f"{said}; most common: {common}"
    modes = ", ".join(f"{mode} {count}" for mode, count in facts["modes"].items())
    return [("sizes", said), ("modes", modes)]


def _of_rows(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    columns = facts.get("columns")
    shape = "x".join(map(str, facts["shape"]))
    return [
        ("values", f"{shape} in each row"),
        *([("columns", ", ".join(columns))] if columns else []),
    ]


def _of_classes(classes: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    if classes is None:
        return [("classes", "none")]
    rows = [f"{name} {count}" for name, count in classes["rows"].items()]
    more = f", ... ({len(rows) - CLASSES} more)" if len(rows) > CLASSES else ""
    listed = ", ".join(rows[:CLASSES])
    return [("classes", f"{classes['count']} from {classes['from']}: {listed}{more}")]


def _duplicates(found: Mapping[str, Any], noun: str) -> str:
    if not found["images"]:
        return "none"
    across = f", {found['across']} of them one to train on" if found["across"] else ""
    pairs = "; ".join(" = ".join(pair) for pair in found["pairs"])
    return f"{found['images']} {noun} repeat another{across}: {pairs}"


def _few(count: int, first: Sequence[str]) -> str:
    more = ", ..." if count > len(first) else ""
    return f"{count}: {', '.join(first)}{more}" if count else "none"


def _by(size: Sequence[int]) -> str:
    return f"{size[0]}x{size[1]}"


def _numbers(values: Sequence[float]) -> str:
    return " ".join(f"{value:.4g}" for value in values)
