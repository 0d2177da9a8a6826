"""The best weights of a run by a measure of its samples, beside its newest model.

Its header says the measure, its value and the step, and that is all that is known of it: what a
kill interrupts is found out again by whoever goes on.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ddpm_cli.errors import Refusal
from ddpm_cli.files.checkpoints.header import Header, read_header

FILE = "best.safetensors"
VALUE = ("value", "rises")  # of a score; all else is what makes two comparable


def header(folder: Path) -> Header | None:
    """The header of the best model of a run; None if there is none that can be read."""
    try:
        found = read_header(folder / FILE)
    except (Refusal, OSError):
        return None
    value = (found.score or {}).get("value")
    return found if isinstance(value, (int, float)) else None


def told(kept: Header) -> dict[str, Any]:
    """The value of the best model under the name of its metric, how it was measured, the step."""
    score = dict(kept.score or {})
    about = {key: score.get(key) for key in ("protocol", "n")}
    return {str(score.get("metric")): score.get("value"), "step": kept.step} | about


def basis(score: Mapping[str, Any]) -> dict[str, Any]:
    """What must be equal of two scores that are compared."""
    return {key: value for key, value in score.items() if key not in VALUE}


def is_better(score: Mapping[str, Any], kept: Mapping[str, Any]) -> bool:
    """Whether a score beats the one that is kept; of an unlike measure any does."""
    if basis(score) != basis(kept):
        return True
    new, old = float(score["value"]), float(kept["value"])
    return new > old if score["rises"] else new < old
