"""Pictures of a sweep: quality and diversity against what each cell costs and how it is guided."""

import io
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ddpm_cli.files.outputs import curves, targets
from ddpm_cli.files.outputs.targets import Existing

Row = Mapping[str, Any]
CALLS, SECONDS = "network_calls", "seconds_per_image"
COUNTING = ("calls", "steps", "levels.count")  # keys that stand for network calls
DIVERSITY = ("recall", "coverage", "class_agreement")  # the first of them that was measured
LABELS = {CALLS: "network calls an image", SECONDS: "seconds an image"}
DASHES = ("-", "--", ":", "-.")
MARKERS = "osD^vP*X"
ROOM = 0.1  # of an axis, between two numbers at it
WIDE = 8.0  # from least to largest: above it an axis is logarithmic


class Panel(NamedTuple):
    """What goes to the right, and along which key a line runs; none: points alone."""

    x: str
    along: str | None


def plot(path: Path, rows: Sequence[Row], keys: Sequence[str], told: Sequence[str]) -> None:
    """Draw figures against network calls, every number that is swept, and seconds.

    told: the figures, quality first; below it diversity is drawn, if it is one of them. There is
    a line for each value of the other keys.
    """
    drawn = [row for row in rows if row.get(told[0]) is not None]
    figures = [told[0], *[name for name in DIVERSITY if name in told[1:]][:1]]
    across = panels(drawn, keys)
    size = (3.6 * len(across) + 1.6, 3.1 * len(figures))
    figure = curves.figure()(figsize=size, layout="constrained")
    grid = figure.subplots(len(figures), len(across), squeeze=False)
    looks = _looks(drawn, keys)
    for (line, name), (column, panel) in itertools.product(enumerate(figures), enumerate(across)):
        _draw(grid[line][column], drawn, keys, name, panel, looks)
    _legend(figure, looks)
    picture = io.BytesIO()
    figure.savefig(picture, format=path.suffix[1:], dpi=120)
    targets.put(path, picture.getvalue(), Existing(force=True))


def panels(rows: Sequence[Row], keys: Sequence[str]) -> list[Panel]:
    """What figures are drawn against: picked from the keys that are swept."""
    counting = next((key for key in keys if key in COUNTING), None)
    numeric = [
        key
        for key in keys
        if key not in (*COUNTING, "seed") and all(_is_number(row[key]) for row in rows)
    ]
    across = [Panel(CALLS, counting)] if counting else []
    across += [Panel(key, key) for key in numeric]
    return [*across, Panel(SECONDS, counting or next(iter(numeric), None))]


def _draw(
    axes: Any,
    rows: Sequence[Row],
    keys: Sequence[str],
    name: str,
    panel: Panel,
    looks: Mapping[str, Mapping[Any, dict[str, Any]]],
) -> None:
    """Draw one figure against one thing, with its errors."""
    others = [key for key in keys if key != panel.along]
    for values, line in _lines(rows, others):
        some = [row for row in line if row.get(panel.x) is not None and row.get(name) is not None]
        some.sort(key=lambda row: row[panel.along or panel.x])
        look: dict[str, Any] = {"color": "tab:blue", "linestyle": "-", "marker": "o"}
        for key, value in values.items():
            look |= looks[key][value]
        if panel.along is None:
            look["linestyle"] = "none"
        errors = [row.get(f"{name}_error") or 0.0 for row in some]
        axes.errorbar(
            [row[panel.x] for row in some],
            [row[name] for row in some],
            yerr=errors if any(errors) else None,
            markersize=4,
            linewidth=1.2,
            elinewidth=0.8,
            capsize=2,
            **look,
        )
    axes.set(xlabel=LABELS.get(panel.x, panel.x), ylabel=name.replace("_", " "))
    axes.grid(alpha=0.3)
    _scale(axes, rows, name, panel)


def _scale(axes: Any, rows: Sequence[Row], name: str, panel: Panel) -> None:
    """Logarithmic where values are far apart; a share of images is not."""
    for key, which in ((panel.x, "x"), (name, "y")):
        values = [row[key] for row in rows if row.get(key) is not None]
        is_wide = bool(values) and min(values) > 0 and max(values) > WIDE * min(values)
        if is_wide and not (which == "y" and max(values) <= 1):
            getattr(axes, f"set_{which}scale")("log")
            _plain_ticks(axes.xaxis if which == "x" else axes.yaxis)
    if panel.x != SECONDS:
        places = {row[panel.x] for row in rows if row.get(panel.x) is not None}
        ticks = _apart(sorted(places), axes.get_xscale() == "log")
        axes.set_xticks(ticks, [f"{value:g}" for value in ticks])
        axes.minorticks_off()


def _apart(values: Sequence[float], is_log: bool) -> list[float]:
    """Those of rising values that have room for their numbers at an axis; the last one has."""
    places = [math.log(value) if is_log else value for value in values]
    room = ROOM * (places[-1] - places[0])
    kept = [len(places) - 1]
    for number in reversed(range(len(places) - 1)):
        if places[kept[-1]] - places[number] >= room:
            kept.append(number)
    return [values[number] for number in reversed(kept)]


def _plain_ticks(axis: Any) -> None:
    """Write 0.02 and 500 at a logarithmic axis, and no powers of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, place: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _lines(rows: Sequence[Row], keys: Sequence[str]) -> Iterator[tuple[dict[str, Any], list[Row]]]:
    """Rows by their values of some keys, in the order in which these come."""
    parts: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        parts.setdefault(tuple(str(row[key]) for key in keys), []).append(row)
    for line in parts.values():
        yield {key: str(line[0][key]) for key in keys}, line


def _looks(rows: Sequence[Row], keys: Sequence[str]) -> dict[str, dict[Any, dict[str, Any]]]:
    """How a value looks: colours tell those of the first key apart, dashes and marks the others.

    The first is one that is no number, as its lines go through every panel. Of two more each has
    panels where the other runs along the lines, and a fourth changes the marks alone.
    """
    names = sorted(keys, key=lambda key: all(_is_number(row[key]) for row in rows))
    looks: dict[str, dict[Any, dict[str, Any]]] = {}
    for key in names:
        values = list(dict.fromkeys(str(row[key]) for row in rows))
        place = len(looks) - sum(len(known) < 2 for known in looks.values())
        looks[key] = {
            value: {} if len(values) < 2 else _look(place, number)
            for number, value in enumerate(values)
        }
    return looks


def _look(place: int, number: int) -> dict[str, Any]:
    if place == 0:
        return {"color": f"C{number % 10}"}
    marks = {"marker": MARKERS[number % len(MARKERS)]}
    return marks if place > 2 else {"linestyle": DASHES[number % len(DASHES)], **marks}


def _legend(figure: Any, looks: Mapping[str, Mapping[Any, dict[str, Any]]]) -> None:
    """Tell at the right what colours, dashes and marks stand for."""
    from matplotlib.lines import Line2D

    handles = []
    for key, values in looks.items():
        if len(values) < 2:
            continue
        handles.append(Line2D([], [], linestyle="none", label=key))
        for value, look in values.items():
            plain = {"color": "grey", "linestyle": "-", "marker": "o", "markersize": 4}
            handles.append(Line2D([], [], label=f"  {value}", **{**plain, **look}))
    if handles:
        figure.legend(handles=handles, loc="outside right upper", fontsize="small", frameon=False)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
