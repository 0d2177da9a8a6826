"""What the columns of a table hold, for `ddpm info`, and the settings that suit them."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ddpm_cli.data.array_set import ArraySet
from ddpm_cli.data.image_set import Data
from ddpm_cli.errors import spelled
from ddpm_cli.files.titles import Titles

SKEWED = 2.0  # skewness of a column from which normal scores pay: that of an exponential
ROUNDING = 1e-6  # of the extent of a column, which float32 has normalized
WORDS = 5  # that are named with their counts


def types(parts: Mapping[str, Data]) -> list[dict[str, Any]] | None:
    """The name, type, gaps and extent of each column of a table; None of other data."""
    sets = [part for part in parts.values() if isinstance(part, ArraySet)]
    titles = parts["train"].titles
    if titles is None or not sets:
        return None
    values = torch.cat([part.in_units(torch.arange(len(part))) for part in sets])
    return [_type(titles, at, cells) for at, cells in enumerate(values.unbind(1))]


def _type(titles: Titles, at: int, cells: Tensor) -> dict[str, Any]:
    known = cells[~cells.isnan()]
    about = {"name": titles.names[at], "missing": len(cells) - len(known)}
    if words := titles.words(at):
        counts = torch.bincount(known.long(), minlength=len(words)).tolist()
        rows = dict(zip(words, counts, strict=True))
        return {**about, "type": "category", "words": rows}
    low, high = _ends(known) if len(known) else (None, None)
    kind = "integer" if titles.whole[at] else "number"
    return {**about, "type": kind, "low": low, "high": high, "skewness": _skewness(known)}


def _ends(values: Tensor) -> list[float]:
    """The least and the largest value; what is 0 but for rounding, below it too, is 0."""
    low, high = float(values.min()), float(values.max())
    return [0.0 if abs(end) <= ROUNDING * (high - low) else end for end in (low, high)]


def _skewness(values: Tensor) -> float:
    """The third moment of standardized values; 0 of a constant."""
    away = values - values.mean()
    deviation = float(away.square().mean().sqrt())
    return float((away / deviation).pow(3).mean()) if deviation > 0 else 0.0


def suiting(found: Sequence[Mapping[str, Any]], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that these columns call for and that are not said."""
    wanted: dict[str, Any] = {}
    skewed = [each["name"] for each in found if abs(each.get("skewness") or 0) >= SKEWED]
    if skewed and not {"quantile", "normalize"} & settings.keys():
        named = len({each["name"] for each in found}) == len(found)
        wanted |= {"quantile": skewed} if named else {"normalize": "quantile"}
    if any(each["missing"] for each in found) and "missing" not in settings:
        wanted["missing"] = "fill"
    return wanted


def words(each: Mapping[str, Any]) -> str:
    """A column in words."""
    gaps = f", {each['missing']} missing" if each["missing"] else ""
    if each["type"] == "category":
        most = sorted(each["words"].items(), key=lambda item: -item[1])
        more = f", ... ({len(most) - WORDS} more)" if len(most) > WORDS else ""
        listed = ", ".join(f"{spelled(word)} {count}" for word, count in most[:WORDS])
        return f"{each['name']}: category, {listed}{more}{gaps}"
    skewed = ", skewed" if abs(each["skewness"]) >= SKEWED else ""
    extent = "" if each["low"] is None else f" {each['low']:.6g} to {each['high']:.6g}"
    return f"{each['name']}: {each['type']},{extent}{skewed}{gaps}"
