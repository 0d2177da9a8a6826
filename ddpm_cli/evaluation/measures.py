"""What every metric gives, and how it says what it must be given."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, Literal, NamedTuple, TypeVar, cast

from ddpm_cli.errors import Refusal
from ddpm_cli.evaluation.evidence import Evidence

# Parts of a side. `moments` are there, too, where features are, `spatial_moments` where spatial
# is; `classes` are the labels, or what the feature network takes the images for.
Part = Literal[
    "features",
    "spatial",
    "moments",
    "spatial_moments",
    "probabilities",
    "labels",
    "classes",
    "images",
]
_STANDS_FOR: Mapping[str, tuple[str, ...]] = {
    "moments": ("features",),
    "spatial_moments": ("spatial",),
    "classes": ("probabilities", "labels"),
}
_WORDS: Mapping[str, tuple[str, str]] = {
    "features": ("no features of single images", "statistics alone serve fid and sfid"),
    "spatial": ("no spatial features", "take a feature network that has some: inception"),
    "moments": ("no features", "give images, or statistics with mu and sigma"),
    "spatial_moments": (
        "no spatial features",
        "give images and a feature network that has some (inception), or mu_s and sigma_s",
    ),
    "probabilities": ("no class probabilities", "take a feature network that tells classes"),
    "labels": ("no labels", "give a set whose images have classes, or a class-conditional model"),
    "classes": ("no classes", "give labelled images, or a feature network that tells classes"),
    "images": ("no images", "give images; features and statistics are not enough"),
}


@dataclass(frozen=True)
class Measure:
    """What a metric says: numbers by name, the one that it is quoted by first.

    errors: standard errors of some of them. details: lists and tables that explain them. notes:
    what to know before they are believed, a sentence each.
    """

    values: Mapping[str, float]
    errors: Mapping[str, float] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Needs(NamedTuple):
    """The parts of each side that a metric takes; `train` are the images that a model saw."""

    samples: tuple[Part, ...]
    reference: tuple[Part, ...]
    train: tuple[Part, ...] = ()


Metric = TypeVar("Metric", bound=Callable[..., Measure])


def takes(
    *samples: Part, reference: tuple[Part, ...] | None = None, train: tuple[Part, ...] = ()
) -> Callable[[Metric], Metric]:
    """Say what a metric takes of the samples, and of the reference if not the same.

    Its caller prepares that and no more, and what is missing is refused before the work.
    """
    needed = Needs(samples, samples if reference is None else reference, train)

    def marked(metric: Metric) -> Metric:
        @wraps(metric)
        def checked(samples: Evidence, reference: Evidence, **knobs: Any) -> Measure:
            sides = {"samples": samples, "reference": reference, "train": knobs.get("train")}
            for side, parts in needed._asdict().items():
                for part in parts:
                    _check(metric.__name__, side, sides[side], part)
            return metric(samples, reference, **knobs)

        checked.__dict__["needs"] = needed
        return cast(Metric, checked)

    return marked


def needs(metric: Callable[..., Measure]) -> Needs:
    """What a metric takes."""
    told: Needs = metric.__dict__["needs"]
    return told


def has(side: Evidence, part: Part) -> bool:
    """Whether a side has a part, or what it follows from."""
    names = (*_STANDS_FOR.get(part, ()), *(() if part == "classes" else (part,)))
    return any(getattr(side, name) is not None for name in names)


def at_least(count: int, side: Evidence, why: str) -> None:
    """Refuse a side of too few images for what is to be done."""
    if side.count < count:
        raise Refusal(f"{side.name}: {side.count} images, and {why} takes {count} or more")


def _check(metric: str, side: str, evidence: Evidence | None, part: Part) -> None:
    if evidence is None:
        hint = "name the data set that the model was trained on"
        raise Refusal(f"{metric.replace('_', '-')}: no {side} images to compare with", hint)
    if not has(evidence, part):
        what, hint = _WORDS[part]
        raise Refusal(f"{evidence.name}: {what}, which {metric.replace('_', '-')} takes", hint)
    for name in {*_STANDS_FOR.get(part, ()), part} - {"classes", "moments", "spatial_moments"}:
        rows = getattr(evidence, name)
        if rows is not None and not bool(rows.isfinite().all()):
            raise Refusal(f"{evidence.name}: {name} that are not finite")
