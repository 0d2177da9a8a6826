"""How a run stands, by its lines of metrics: last losses, speed, time left, best measures."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ddpm_cli.files import metrics
from ddpm_cli.files.metrics import Row
from ddpm_cli.settings.config import Config

FILE = "metrics.jsonl"
EVAL = "eval."  # what begins the names of measures of samples
LOSSES = ("loss", "held_out", "accuracy")  # what begins the names of what is told of a run
# Measures of which more is better; of a distance less is.
RISING = ("inception_score", "precision", "recall", "density", "coverage", "class_agreement",
          "classification_accuracy",
          "accuracy", "class_accuracy")  # fmt: skip
BESIDE = ("_error", "_stderr", "error", "stderr", "count", "n", "seconds", "step")  # no measures
RECENT = 20  # lines that tell the speed


def of_run(folder: Path, config: Config) -> dict[str, Any]:
    """What is to be said of the run in a folder; nothing of one without metrics."""
    rows = metrics.rows(folder / FILE)
    return told(rows, config) if rows else {}


def told(rows: Sequence[Row], config: Config) -> dict[str, Any]:
    """Last numbers, images a second, seconds of training and left, and the best of each measure.

    None for what is not known.
    """
    settings = config.get("train", {})
    steps, batch = settings.get("steps"), settings.get("batch", 0)
    step, passed = rows[-1]["step"], metrics.seconds(rows, batch)
    left = None
    if steps and (each := _pace(rows, passed)):
        left = _short(max(steps - step, 0) * each)
    last = latest(rows)
    return {
        "logged_step": int(step),
        "steps": steps,
        "last": {k: _short(v) for k, v in last.items() if k.startswith(LOSSES)},
        "images_per_second": _short(last.get("images_per_second", math.nan)),
        "seconds": _short(passed[-1]),
        "seconds_left": left,
        "best_eval": best(rows) or None,
    }


def latest(rows: Sequence[Row]) -> Row:
    """The last value of each number."""
    return {key: value for row in rows for key, value in row.items()}


def best(rows: Sequence[Row]) -> dict[str, dict[str, Any]]:
    """Of each measure of samples the best value, and the step that it was reached at."""
    names = dict.fromkeys(key for row in rows for key in row if is_measure(key))
    found = {}
    for name in names:
        known = [row for row in rows if math.isfinite(row.get(name, math.nan))]
        if known:
            chosen = (max if rises(name) else min)(known, key=lambda row: row[name])
            value = {"value": _short(chosen[name]), "step": int(chosen["step"])}
            found[name.removeprefix(EVAL)] = value
    return found


def rises(name: str) -> bool:
    """Whether more of a measure is better."""
    return any(part in RISING for part in name.split("."))


def is_measure(key: str) -> bool:
    """Whether a number is a measure of samples, and not what stands beside one."""
    last = key.rpartition(".")[2]
    return key.startswith(EVAL) and not last.endswith(BESIDE[:2]) and last not in BESIDE


def _pace(rows: Sequence[Row], passed: Sequence[float]) -> float | None:
    """Seconds that a step took lately, with all that is beside it."""
    first = max(len(rows) - 1 - RECENT, 0)
    made, took = rows[-1]["step"] - rows[first]["step"], passed[-1] - passed[first]
    if not made:  # the only line: all steps so far
        made, took = rows[-1]["step"], passed[-1]
    return took / made if made > 0 and took > 0 else None


def _short(value: float) -> float | None:
    """A number in six digits; None if it is none."""
    return float(f"{value:.6g}") if math.isfinite(value) else None
