"""Curves over steps and over minutes as SVG, which needs no script to be seen."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ddpm_cli.files.outputs.page.markup import Markup, Part, element
from ddpm_cli.files.outputs.page.thinning import thinned

WIDTH, HEIGHT = 400, 240  # of a drawing
LEFT, RIGHT, TOP, BOTTOM = 52, 22, 8, 34  # its margins
POINTS = 500  # of a curve that are drawn
TICKS = 5  # about so many
LARGEST, LEAST = 1e100, 1e-100  # of numbers that are drawn; others are infinite, or 0
LOGARITHMIC = 30.0  # the least quotient of values that are drawn by their logarithm
STYLES = 8  # of curves that are told apart
RING = "m-2.5 0a2.5 2.5 0 1 0 5 0a2.5 2.5 0 1 0-5 0"  # about a point that no line reaches
STEPS, MINUTES = "steps", "minutes"  # the axes, and the classes of their drawings


class Curve(NamedTuple):
    """A curve of its own style: values over steps, and over minutes where they are known."""

    name: str
    style: int
    steps: Sequence[float]
    minutes: Sequence[float]
    values: Sequence[float]


class Axis(NamedTuple):
    """Where numbers lie on a drawing: from `low`, at `start`, to `high`, at `end`."""

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False

    def at(self, value: float) -> float:
        """The place of a value."""
        low, high, here = self.low, self.high, value
        if self.is_log:
            low, high, here = math.log(low), math.log(high), math.log(here)
        return self.start + (here - low) / (high - low) * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Round numbers from end to end."""
        return _decades(self.low, self.high) if self.is_log else _even(self.low, self.high)


def chart(title: str, curves: Sequence[Curve], legend: bool = False) -> Markup:
    """One quantity of all that have it, over steps and over minutes."""
    curves = [curve._replace(values=[*map(_bounded, curve.values)]) for curve in curves]
    known = [curve for curve in curves if any(map(math.isfinite, curve.values))]
    up = _vertical([v for curve in known for v in curve.values if math.isfinite(v)])
    lost = sum(not math.isfinite(v) for curve in curves for v in curve.values)
    notes: list[Part] = [element("span", "logarithmic", class_="note") if up.is_log else None]
    if lost:
        notes.append(element("span", f"{lost} not finite", class_="note lost"))
    names = [_key(curve) for curve in curves] if legend else []
    return element(
        "figure",
        element("figcaption", element("strong", title), *notes, *names),
        element("div", _drawn(title, known, up, STEPS), class_=STEPS),
        element("div", _drawn(title, known, up, MINUTES), class_=MINUTES),
        element("p", class_="readout", aria_hidden="true"),
        class_="chart",
    )


def swatch(style: int) -> Markup:
    """A piece of a curve, for legends."""
    line = element("path", d="M1 5h26", class_=f"line s{style % STYLES}")
    return element("svg", line, class_="swatch", viewBox="0 0 28 10", aria_hidden="true")


def _key(curve: Curve) -> Markup:
    return element("span", swatch(curve.style), " ", curve.name, class_=f"key r{curve.style}")


def _vertical(values: Sequence[float]) -> Axis:
    low, high = min(values, default=0.0), max(values, default=1.0)
    bottom, top = HEIGHT - BOTTOM, TOP
    if low > 0 and high > LOGARITHMIC * low:
        return Axis(low / 1.1, high * 1.1, bottom, top, is_log=True)
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    return Axis(low - margin, high + margin, bottom, top)


def _drawn(title: str, curves: Sequence[Curve], up: Axis, over: str) -> Markup:
    """The drawing over steps or minutes; a sentence where nothing is known."""
    placed = [(curve, list(_points(curve, over))) for curve in curves]
    placed = [(curve, points) for curve, points in placed if points]
    if not placed:
        return element("p", f"no {over} are known" if curves else "no numbers", class_="none")
    ends = [x for _, points in placed for x, _ in points]
    low, high = min(0.0, *ends), max(ends)
    along = Axis(low, high if high > low else low + 1, LEFT, WIDTH - RIGHT)
    label = f"{title} over {over}. {' '.join(_sentence(*each, over) for each in placed)}"
    lines = [
        element("path", d=_path(points, along, up), class_=f"line s{c.style % STYLES} r{c.style}",
                data_name=c.name)
        for c, points in placed
    ]  # fmt: skip
    cursor = element("path", d=f"M0 {TOP}V{HEIGHT - BOTTOM}", class_="cursor")
    return element(
        "svg", *_frame(along, up, over), *lines, cursor,
        viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", aria_label=label, tabindex=0,
        data_over=over, data_x=f"{along.low} {along.high} {LEFT} {WIDTH - RIGHT}",
        data_y=f"{up.low} {up.high} {up.start} {up.end}", data_log=up.is_log,
    )  # fmt: skip


def _points(curve: Curve, over: str) -> Iterator[tuple[float, float]]:
    """The points to be drawn; the height of those that break the curve is NaN."""
    places = curve.steps if over == STEPS else curve.minutes
    known = [(x, y) for x, y in zip(places, curve.values, strict=True) if abs(x) <= LARGEST]
    for place in thinned([y for _, y in known], POINTS):
        yield known[place]


def _sentence(curve: Curve, points: Sequence[tuple[float, float]], over: str) -> str:
    """The ends and the least of a curve, for those who cannot see it."""
    finite = [(x, y) for x, y in points if math.isfinite(y)]
    if not finite:
        return f"{curve.name}: nothing finite."
    (x0, y0), (x1, y1), least = finite[0], finite[-1], min(y for _, y in finite)
    ends = f"{shown(y0)} at {shown(x0)}, {shown(y1)} at {shown(x1)} {over}"
    return f"{curve.name}: {ends}, least {shown(least)}."


def _path(points: Sequence[tuple[float, float]], along: Axis, up: Axis) -> str:
    """A line through points, with a break where a value is not finite; a point alone is a ring."""
    words, is_down = list[str](), False
    for (x, y), (_, after) in zip(points, [*points[1:], (0.0, math.nan)], strict=True):
        if math.isfinite(y):
            words.append(f"{'L' if is_down else 'M'}{along.at(x):.2f} {up.at(y):.2f}")
            words += [] if is_down or math.isfinite(after) else [RING]
        is_down = math.isfinite(y)
    return "".join(words)


def _frame(along: Axis, up: Axis, over: str) -> Iterator[Markup]:
    """Ticks, their numbers, and what the axis counts."""
    bottom = HEIGHT - BOTTOM
    for value in up.ticks():
        y = f"{up.at(value):.1f}"
        yield element("path", d=f"M{LEFT} {y}H{WIDTH - RIGHT}", class_="grid")
        yield element("text", shown(value), x=LEFT - 6, y=y, class_="up")
    for value in along.ticks():
        x = f"{along.at(value):.1f}"
        yield element("path", d=f"M{x} {bottom}v4", class_="tick")
        yield element("text", shown(value), x=x, y=bottom + 16, class_="along")
    yield element("path", d=f"M{LEFT} {bottom}H{WIDTH - RIGHT}", class_="tick")
    yield element("text", over, x=WIDTH - RIGHT, y=HEIGHT - 4, class_="unit")


def _bounded(value: float) -> float:
    """A number that can be drawn; NaN, or 0, for one that is too large or too small."""
    if not abs(value) <= LARGEST:
        return math.nan
    return value if abs(value) >= LEAST else 0.0


def _even(low: float, high: float) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / TICKS
    if not rough > 0 or not math.isfinite(rough):
        return [low]
    power = 10.0 ** math.floor(math.log10(rough))
    unit = next(power * times for times in (1, 2, 5, 10) if power * times >= rough * 0.999)
    first = math.ceil(low / unit)
    return [n * unit for n in range(first, first + 2 * TICKS + 1) if n * unit <= high]


def _decades(low: float, high: float) -> list[float]:
    """Powers of ten, of few decades with what lies between, of many not all of them."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    every = max(1, round((last - first) / TICKS))
    times = (1, 2, 5) if last - first <= 3 else (1,)
    ticks = [t * 10.0**n for n in range(first, last + 1, every) for t in times]
    return [tick for tick in ticks if low <= tick <= high]


def shown(value: float) -> str:
    """A number in four digits, large ones with their thousands set apart."""
    if math.isfinite(value) and 1e4 <= abs(value) < 1e9:
        return f"{value:,.0f}"
    return f"{value:.4g}"
