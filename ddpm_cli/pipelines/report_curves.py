"""The curves of a report: what each number that runs note is called, and where it is drawn."""

from collections.abc import Collection, Sequence

from ddpm_cli.files.outputs.page.charts import Curve, chart, swatch
from ddpm_cli.files.outputs.page.markup import Markup, Part, choice, element
from ddpm_cli.pipelines import standing
from ddpm_cli.pipelines.report_subjects import RunFolder, numbers

QUARTILES = {
    "loss_q1": "loss, cleanest quarter of levels",
    "loss_q2": "loss, second quarter of levels",
    "loss_q3": "loss, third quarter of levels",
    "loss_q4": "loss, noisiest quarter of levels",
}
TITLES = {
    "loss": "training loss",
    **QUARTILES,
    "held_out": "held-out loss",
    "accuracy": "held-out accuracy",
    "images_per_second": "images a second",
    "memory": "peak memory, GB",
    "lr": "learning rate",
    "grad_norm": "gradient norm",
}
LAST = ("images_per_second", "memory", "lr", "grad_norm")  # what is drawn below all else
AXES = ("step", "time", "seconds", "images_seen")  # what curves are drawn over, or could be
UNITS = {"memory": 1e9}


def section(runs: Sequence[RunFolder]) -> Markup | None:
    """All curves and their legend; None if no run noted anything."""
    noted = [run for run in runs if run.rows]
    if not noted:
        return None
    drawn = [one for name in ordered(numbers(noted)) for one in _charts(name, runs)]
    axis = {"by-steps": "steps", "by-minutes": "minutes of training"}
    bar = element("div", choice("axis", "over", axis, "by-steps"), _legend(runs), class_="bar")
    charts = element("div", *drawn, class_="charts")
    return element("section", element("h2", "Curves"), bar, charts)


def ordered(names: Collection[str]) -> list[str]:
    """Names of numbers as they are drawn: losses, measures, all else, speed.

    Axes are left out, and what stands beside measures: errors, numbers of images, seconds.
    """
    beside = {name for name in names if name.startswith(standing.EVAL)}
    beside -= {name for name in beside if standing.is_measure(name)}
    names = [name for name in names if name not in AXES and name not in beside]

    def place(name: str) -> tuple[int, int]:
        if name in LAST:
            return 3, LAST.index(name)
        if name in TITLES:
            return 0, [*TITLES].index(name)
        return (1 if name.startswith(standing.EVAL) else 2), 0

    return sorted(names, key=place)


def title(name: str) -> str:
    """What a number is called."""
    if name.startswith(standing.EVAL):
        return f"{name.removeprefix(standing.EVAL).replace('_', ' ')} of samples"
    return TITLES.get(name, name.replace("_", " "))


def _charts(name: str, runs: Sequence[RunFolder]) -> list[Markup]:
    """The chart of a number; of one run alone the quartiles share theirs."""
    if len(runs) > 1 or name not in QUARTILES:
        curves = [_curve(run, name, run.name, style) for style, run in enumerate(runs)]
        return [chart(title(name), [curve for curve in curves if curve.values])]
    there = [key for key in QUARTILES if key in numbers(runs)]
    if name != there[0]:
        return []
    labels = dict(zip(QUARTILES, ("cleanest", "second", "third", "noisiest"), strict=True))
    curves = [_curve(runs[0], key, labels[key], [*QUARTILES].index(key)) for key in there]
    return [chart("loss by quarter of the noise levels", curves, legend=True)]


def _curve(run: RunFolder, key: str, label: str, style: int) -> Curve:
    rows = [(row, at) for row, at in zip(run.rows, run.minutes, strict=True) if key in row]
    unit = UNITS.get(key, 1.0)
    steps, values = [row["step"] for row, _ in rows], [row[key] / unit for row, _ in rows]
    return Curve(label, style, steps, [at for _, at in rows], values)


def _legend(runs: Sequence[RunFolder]) -> Markup | None:
    """Which curve is whose; each can be hidden."""
    if len(runs) < 2:
        return None
    keys: list[Part] = [element("legend", "runs")]
    for style, run in enumerate(runs):
        box = element("input", type="checkbox", id=f"show-{style}", checked=True)
        keys.append(element("label", box, swatch(style), run.name, for_=f"show-{style}"))
    return element("fieldset", *keys)
