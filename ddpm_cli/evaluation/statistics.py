"""Files of statistics as the field exchanges them: .npz with mu and sigma, and mu_s and sigma_s.

pytorch-fid and EDM write the first two, OpenAI's evaluator all; ours say as well how they came
about, in an entry that others overlook.
"""

import hashlib
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import torch

from ddpm_cli.errors import Refusal
from ddpm_cli.evaluation.evidence import Moments
from ddpm_cli.files import array_file, atomic
from ddpm_cli.files.outputs.numbers import add_arrays
from ddpm_cli.files.records import METADATA_KEY, parsed

POOLED = ("mu", "sigma")
SPATIAL = ("mu_s", "sigma_s")
HASH = 16  # digits


class Statistics(NamedTuple):
    """Moments of features, perhaps those of spatial ones, and what is known of their making.

    about: {} of files from elsewhere, whose moments have a count of 0.
    """

    moments: Moments
    spatial: Moments | None
    about: Mapping[str, Any]
    hash: str


def is_statistics(names: frozenset[str]) -> bool:
    """Whether a file with arrays of these names holds statistics."""
    return set(POOLED) <= names


def beside(path: Path) -> Statistics | None:
    """The statistics in a file of images, if it is a .npz that holds them, too."""
    if path.suffix != ".npz":
        return None
    with np.load(path, allow_pickle=False) as archive:
        return read(path) if is_statistics(frozenset(archive.files)) else None


def read(path: Path) -> Statistics:
    """Read a file of statistics; nothing in it is unpickled."""
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:HASH]
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except array_file.DAMAGED as error:
        if damaged := array_file.damage(path):
            raise damaged from None
        raise Refusal(f"{path}: no readable .npz file of statistics: {error}") from None
    about = parsed(str(arrays[METADATA_KEY])) if METADATA_KEY in arrays else {}
    count = about.get("n", 0)
    moments = _moments(path, arrays, POOLED, count if isinstance(count, int) else 0)
    spatial = _moments(path, arrays, SPATIAL, moments.count) if SPATIAL[0] in arrays else None
    return Statistics(moments, spatial, about, digest)


def write(path: Path, statistics: Statistics, *, replace: bool) -> None:
    """Write a file of statistics; equal ones give equal bytes."""

    def fill(file: BinaryIO) -> None:
        with zipfile.ZipFile(file, "w") as archive:
            add_arrays(archive, arrays)

    arrays = _arrays(statistics.moments, POOLED)
    if statistics.spatial is not None:
        arrays |= _arrays(statistics.spatial, SPATIAL)
    arrays[METADATA_KEY] = np.array(json.dumps(dict(statistics.about), sort_keys=True))
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write(path, fill, replace=replace)


def _arrays(moments: Moments, names: tuple[str, str]) -> dict[str, Any]:
    values = (moments.mean, moments.covariance)
    return {name: value.numpy() for name, value in zip(names, values, strict=True)}


def _moments(path: Path, arrays: Mapping[str, Any], names: tuple[str, str], count: int) -> Moments:
    """The mean [d] and covariance [d, d] of these names."""
    if names[1] not in arrays:
        raise Refusal(f"{path}: {names[0]} without {names[1]}")
    mean, covariance = (torch.from_numpy(np.array(arrays[name], np.float64)) for name in names)
    if mean.ndim != 1 or covariance.shape != (len(mean), len(mean)):
        shapes = f"{tuple(mean.shape)} and {tuple(covariance.shape)}"
        raise Refusal(f"{path}: {names[0]} and {names[1]} of {shapes}", "expected [d] and [d, d]")
    if not bool(mean.isfinite().all() & covariance.isfinite().all()):
        raise Refusal(f"{path}: {' or '.join(names)} has values that are not finite")
    return Moments(mean, covariance, count)
