"""What is in a data set before anything is trained, for `ddpm info`, and the command to train."""

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

from ddpm_cli import console
from ddpm_cli.data import value_files
from ddpm_cli.data.image_set import Data, ImageSet
from ddpm_cli.data.loading import Decoder
from ddpm_cli.data.recognizing import Recognized
from ddpm_cli.data.surveying import Survey, survey
from ddpm_cli.errors import ConfigError, Refusal, one_line
from ddpm_cli.files.outputs import encoding, targets
from ddpm_cli.models import datasets
from ddpm_cli.pipelines import info_columns, info_sheet, info_train, info_words
from ddpm_cli.pipelines.materials import Sets
from ddpm_cli.settings import catalog
from ddpm_cli.settings.components import canonical
from ddpm_cli.settings.config import picked
from ddpm_cli.settings.requests import Info

BAD = 10  # files that are listed
COMMON = 3  # sizes, texts and flat images that are named
# Files are looked at one by one, so that no size, no bad file and no bulk is in the way.
QUICK = {"size": 16, "fit": "crop", "skip_corrupt": True, "memory": 0, "missing": "mask"}
# Arrays are of one size as it is, and what is compressed of them is read at once.
UNCUT = {"size": 0, "fit": "error", "skip_corrupt": True}
ARRAYS = ("idx", "npz")
USUAL_SHARE = 0.05


class Opened(NamedTuple):
    """The parts of a set by their names, and the settings that they are read with.

    faults: why these are not the usual ones; is_whole: the set has both parts that training takes.
    """

    parts: Mapping[str, Data]
    settings: dict[str, Any]
    faults: tuple[str, ...] = ()
    is_whole: bool = True

    @property
    def train(self) -> Data:
        """The part to train on."""
        return self.parts["train"]


def run(request: Info, found: Recognized) -> None:
    """Look at all rows of a set, and say what was seen."""
    opened = _opened(found.settings)
    train, total = opened.train, sum(map(len, opened.parts.values()))
    noun = "images" if isinstance(train, ImageSet) else "rows"
    if request.sheet is not None and noun == "rows":
        raise ConfigError("--sheet: no images in this set; leave it out")
    with console.progress(min(total, request.limit or total), noun) as bar:
        seen = survey(opened.parts, request.limit, bar.advance)
    if not seen.looked:
        raise Refusal(*seen.bad[0].splitlines())
    facts = _facts(request, found._replace(settings=opened.settings), opened, seen)
    if request.sheet is not None:
        facts["sheet"] = str(request.sheet)
        _draw(request, train, seen)
    if request.as_json:
        console.json_line(facts)
    else:
        for key, text in info_words.lines(facts):
            console.line(f"{key:13}  {one_line(text)}")


def _opened(settings: dict[str, Any]) -> Opened:
    """Both parts of a set; where it cannot be read as it would be, it is as near as can be.

    Classes that cannot be told are left out, and of few images more are held out.
    """
    knobs = catalog.find("data", settings["name"]).knobs
    usual = UNCUT if canonical(settings["name"]) in ARRAYS else QUICK
    quick = {key: value for key, value in usual.items() if key in knobs}
    faults: list[str] = []
    while True:
        config = {"data": picked("data", settings | quick, "the command line")}
        try:
            sets = Sets.of(config)
        except Refusal as refusal:
            fault = refusal.message.splitlines()[0]
            if alone := _alone(config, knobs):
                return Opened({"train": alone}, settings, (*faults, fault), is_whole=False)
            changed = _changed(settings, config, knobs)
            if changed is None:
                raise
            faults.append(f"{fault}; --set {_assignment(settings, changed)}")
            settings = changed
        else:
            return Opened({"train": sets.train, "test": sets.test}, settings, tuple(faults))


def _whole(config: dict[str, Any], knobs: Mapping[str, Any]) -> Data | None:
    """All rows of a set from which a share would be held out; None if it cannot be read."""
    if "holdout" not in knobs:
        return None
    try:
        return datasets.images({"data": config["data"] | {"holdout": 0.0}}, "train")
    except Refusal:
        return None


def _alone(config: dict[str, Any], knobs: Mapping[str, Any]) -> Data | None:
    """A set of one row, of which none can be held out; None of any other."""
    data = _whole(config, knobs)
    return data if data is not None and len(data) == 1 else None


def _assignment(settings: Mapping[str, Any], changed: Mapping[str, Any]) -> str:
    key = next(key for key in changed if settings.get(key) != changed[key])
    return f"data.{key}={changed[key]}"


def _changed(
    settings: Mapping[str, Any], config: dict[str, Any], knobs: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Settings under which a set that was refused may be read; None if there are no others."""
    if "holdout" in knobs and "holdout" not in settings:
        count = len(_whole(config, knobs) or ())
        if 1 < count < 0.5 / USUAL_SHARE:
            return {**settings, "holdout": math.ceil(100 / count) / 100}
    choices = knobs["labels"].kind.choices if "labels" in knobs else ()
    if "none" in choices and settings.get("labels", "auto") != "none":
        return {**settings, "labels": "none"}
    return None


def _facts(request: Info, found: Recognized, opened: Opened, seen: Survey) -> dict[str, Any]:
    """What was seen, under stable keys."""
    train, test = opened.train, opened.parts.get("test")
    mean, deviation = seen.spread()
    is_image = bool(seen.sizes)
    columns = info_columns.types(opened.parts)
    suiting = opened.settings | info_columns.suiting(columns or (), opened.settings)
    line = info_train.command(str(request.target), suiting, train, seen)
    facts: dict[str, Any] = {
        "source": str(request.target),
        "kind": "data",
        "format": found.what,
        "data": found.settings,
        "train": len(train),
        "test": len(test) if test is not None else 0,
        "looked_at": seen.looked,
        "shape": None if is_image else list(train.shape),
        "sizes": _sizes(seen.sizes) if is_image else None,
        "modes": dict(seen.modes.most_common()) if is_image else None,
        "classes": _classes(opened.parts),
        "mean": mean,
        "std": deviation,
        "duplicates": {"images": seen.repeats, "across": seen.leaks, "pairs": seen.pairs},
        "near_constant": {"images": len(seen.flat), "first": seen.flat[:COMMON]},
        "bad": {"files": len(seen.bad), "first": [bad.splitlines()[0] for bad in seen.bad[:BAD]]},
        "captions": _captions(opened.parts),
        "numbers": _numbers(train),
        "notes": [*opened.faults, *_notes(opened, seen)],
        "command": line if opened.is_whole else None,
    }
    if train.titles is not None and train.titles.columns:
        facts["columns"] = list(train.titles.columns)
    if columns is not None:
        facts["types"] = columns
        for key in ("mean", "std"):  # the numbers of words have none
            pairs = zip(facts[key], columns, strict=True)
            facts[key] = [None if "words" in column else value for value, column in pairs]
    return facts


def _sizes(sizes: Counter[tuple[int, int]]) -> dict[str, Any]:
    """The least and largest width and height, and the sizes that are most common."""
    widths, heights = zip(*sizes, strict=True)
    common = [{"size": [*size], "images": count} for size, count in sizes.most_common(COMMON)]
    least, most = [min(widths), min(heights)], [max(widths), max(heights)]
    return {"distinct": len(sizes), "min": least, "max": most, "common": common}


def _notes(opened: Opened, seen: Survey) -> list[str]:
    """What the set itself has to say, and what becomes of transparency."""
    notes = list(opened.train.notes)
    clear = sum(count for mode, count in seen.modes.items() if mode in ("LA", "RGBA"))
    keeps = "mode" in catalog.find("data", opened.settings["name"]).knobs
    if clear and keeps and opened.settings.get("mode") != "RGBA":
        what = f"{clear} images have transparency, which becomes white"
        notes.append(f"{what}; --set data.mode=RGBA keeps it")
    return notes


def _classes(parts: Mapping[str, Data]) -> dict[str, Any] | None:
    """How many rows each class has, and where the classes come from."""
    train = parts["train"]
    names = train.classes
    if names is None:
        return None
    counts = Counter[int]()
    for part in parts.values():
        counts.update(part.labels.tolist() if part.labels is not None else ())
    rows = {name: counts[number] for number, name in enumerate(names)}
    return {"from": train.origin, "count": len(names), "rows": rows}


def _captions(parts: Mapping[str, Data]) -> dict[str, Any] | None:
    """How many images have a text, and the first of them."""
    images = [part for part in parts.values() if isinstance(part, ImageSet)]
    texts = [part.text(row) for part in images for row in range(len(part))]
    known = [text for text in texts if text]
    return {"images": len(known), "first": known[:COMMON]} if known else None


def _numbers(train: Data) -> list[str]:
    """The columns of tables beside images that can be told to a network as numbers."""
    decoder = train.reader if isinstance(train, ImageSet) else None
    if not isinstance(decoder, Decoder):
        return []
    return [*value_files.offered(decoder.files)]


def _draw(request: Info, data: Data, seen: Survey) -> None:
    """Write the sheet of a request."""
    if request.sheet is None or not isinstance(data, ImageSet):
        return
    page = info_sheet.page(data, seen)
    picture = encoding.encode(page, request.sheet, {"source": str(request.target)})
    targets.put(request.sheet, picture, targets.Existing(request.force))
