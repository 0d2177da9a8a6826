"""Statistics of a reference: kept in the cache folder, written for others, refused if unlike."""

import contextlib
import hashlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch

from ddpm_cli import __version__, console
from ddpm_cli.errors import Refusal
from ddpm_cli.evaluation import statistics
from ddpm_cli.evaluation.evidence import Evidence, Moments
from ddpm_cli.evaluation.extractor import HASH, Extractor
from ddpm_cli.evaluation.statistics import Statistics
from ddpm_cli.files import cache
from ddpm_cli.pipelines.eval_evidence import Names, gathered, of_moments
from ddpm_cli.pipelines.eval_sides import Side
from ddpm_cli.settings.protocols import NONE, Protocol

MOMENTS = {"moments", "spatial_moments"}


def reference(
    side: Side, extractor: Extractor, parts: Collection[str], names: Names, batch: int
) -> Evidence | None:
    """What a protocol asks of a reference; moments alone come from the cache if they are there."""
    place = _cached(side, extractor)
    if place is not None and place.is_file() and set(parts) <= MOMENTS:
        with contextlib.suppress(Refusal, OSError):
            known = statistics.read(place)
            if known.spatial is not None or "spatial_moments" not in parts:
                console.detail(f"statistics of {side.name}: {place}")
                return of_moments(side, known.moments, known.spatial)
    seen = gathered(side, extractor, parts, names, batch)
    if seen is None:
        return None
    if place is not None and not place.is_file():
        with contextlib.suppress(OSError):  # a cache that cannot be written is none
            write(place, side, seen, extractor, {})
    if not set(parts) <= MOMENTS:
        return seen
    # Figures must not depend, in their last digits, on whether the cache was there.
    pooled = seen.moments or _moments(seen.features)
    return of_moments(side, pooled, seen.spatial_moments or _moments(seen.spatial))


def write(
    path: Path, side: Side, seen: Evidence, extractor: Extractor, more: Mapping[str, Any]
) -> None:
    """Write the moments of a side, and how they came about."""
    about = {
        "n": side.count,
        "images": side.record,
        "features": extractor.record,
        "version": __version__,
        **more,
    }
    moments = seen.moments or _moments(seen.features)
    spatial = seen.spatial_moments or _moments(seen.spatial)
    if moments is None:
        raise Refusal(f"{side.name}: no features")
    statistics.write(path, Statistics(moments, spatial, about, ""), replace=True)


def refuse_other_protocol(name: str, protocol: Protocol, force: bool) -> None:
    """Refuse statistics that were made by another protocol, or of another split than it takes."""
    about = statistics.read(Path(name)).about
    made, images = about.get("protocol", NONE), about.get("images")
    what = ""
    if NONE not in (made, protocol.name) and made != protocol.name:
        what = f"made by protocol {made}, not by {protocol.name}"
    elif protocol.split and isinstance(images, Mapping) and images.get("kind") == "data":
        split = str(images.get("name")).rpartition(":")[2]
        if split != protocol.split:
            what = f"of a {split} split; protocol {protocol.name} takes {protocol.split}"
    if what and not force:
        raise Refusal(f"{name}: {what}", "they do not compare; --force tries it")
    if what:
        console.warn(f"{name}: {what}")


def refuse_unlike(side: Side, extractor: Extractor, force: bool) -> None:
    """Refuse statistics of other features than those that they shall be compared with."""
    known = side.statistics or side.whole
    if known is None:
        return
    about = known.about.get("features")
    if not isinstance(about, Mapping):
        what = "whose features they are is not said in it"
        console.warn(f"{side.name}: {what}; taken for {extractor.name}")
        return
    ours = extractor.record
    differ = [key for key in ours if about.get(key) != ours[key]]
    if not differ:
        return
    key = differ[0]
    what = f"{side.name}: {key} {about.get(key)}, the other side's is {ours[key]}"
    if not force:
        raise Refusal(what, "distances of unlike features do not compare; --force tries it")
    console.warn(what)


def _moments(rows: Any) -> Moments | None:
    return None if rows is None else Moments.of(rows)


def _arithmetic(extractor: Extractor) -> list[str]:
    """What the last digits of features depend on, beside their network."""
    kind = torch.backends.cpu.get_cpu_capability()
    return [
        torch.__version__,
        extractor.device.type,
        kind if extractor.device.type == "cpu" else "",
    ]


def _cached(side: Side, extractor: Extractor) -> Path | None:
    """Where the statistics of a side lie: by its images, the network and how it is computed."""
    if side.data is None or side.whole is not None:
        return None
    with contextlib.suppress(Refusal):
        facts = [side.facts["hash"], extractor.record, _arithmetic(extractor)]
        key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:HASH]
        return cache.folder() / "statistics" / f"{key}.npz"
    return None
