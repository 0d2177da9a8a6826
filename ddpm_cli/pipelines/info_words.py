"""What was seen of a data set, in words, for `ddpm info`."""

from collections.abc import Mapping, Sequence
from typing import Any

from ddpm_cli.data import recognizing
from ddpm_cli.errors import spelled
from ddpm_cli.pipelines import info_columns

CLASSES = 20  # that are named with their counts


def lines(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What was seen of a set, a key and its words in each line; facts: see info_data."""
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
    lines += [("", reason) for reason in bad["first"]]
    if facts["captions"]:
        first = ", ".join(map(_caption, facts["captions"]["first"]))
        lines.append(("captions", f"{facts['captions']['images']}: {first}, ..."))
    if facts["numbers"]:
        told = recognizing.assignments({"values": facts["numbers"]})
        lines.append(("numbers", f"{', '.join(facts['numbers'])}; to tell them add {told}"))
    lines += [("note", note) for note in facts["notes"]]
    return [*lines, ("to train", facts["command"] or "more than one of them is needed")]


def _caption(text: str) -> str:
    """The captions of an image."""
    return " or ".join(map(repr, text.splitlines()))


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
    shape = "x".join(map(str, facts["shape"]))
    columns = [info_columns.words(each) for each in facts.get("types", ())]
    keys = ["columns", *[""] * len(columns)]
    return [("values", f"{shape} in each row"), *zip(keys, columns, strict=False)]


def _of_classes(classes: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    if classes is None:
        return [("classes", "none")]
    rows = [f"{spelled(name)} {count}" for name, count in classes["rows"].items()]
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


def _numbers(values: Sequence[float | None]) -> str:
    return " ".join("-" if value is None else f"{value:.4g}" for value in values)
