"""Snapshots of the averages of a run, from which an average of any length is made later.

runs/NAME/averages/step-0001000.safetensors, each whole or not there; see training.posthoc. Tensors
are called averages.0.NAME, by the number of their length, and averages.buffers.NAME.
"""

import contextlib
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ddpm_cli.files import atomic
from ddpm_cli.files.checkpoints.header import Header, corrupt

if TYPE_CHECKING:
    from torch import Tensor

KIND = "averages"
FOLDER = "averages"
PREFIX = "averages."  # names of their tensors, in a state as well
BUFFERS = "averages.buffers."  # and of what is no weight
_NAME = re.compile(r"step-(\d{7,12})\.safetensors")


class Kept(NamedTuple):
    """What headers of states and snapshots say: lengths, and how often they are kept.

    snapshots: how many in the `steps` of the run as it began.
    """

    lengths: Sequence[float]
    steps: int
    snapshots: int

    def entry(self) -> dict[str, Any]:
        """The entry of a header."""
        return self._asdict() | {"lengths": list(self.lengths)}


def told(path: Path, header: Header) -> Kept | None:
    """What the header of the file `path` says of averages; None if it holds none."""
    entry = header.averages
    if header.kind not in ("state", KIND) or (entry is None and header.kind != KIND):
        return None
    entry = entry or {}
    try:
        lengths = [float(length) for length in entry["lengths"]]
        kept = Kept(lengths, int(entry["steps"]), int(entry["snapshots"]))
    except (KeyError, TypeError, ValueError, OverflowError):
        raise corrupt(path, "its header has missing or wrong entries") from None
    if not lengths or min(lengths) <= 0 or min(kept.steps, kept.snapshots) < 1:
        raise corrupt(path, "its header has missing or wrong entries")
    return kept


def path(run: Path, step: int) -> Path:
    """Where the snapshot of a step is."""
    return run / FOLDER / f"step-{step:07d}.safetensors"


def listed(run: Path) -> dict[int, Path]:
    """The snapshots in the folder of a run, by their steps."""
    found = {}
    for file in (run / FOLDER).glob("step-*.safetensors"):
        if match := _NAME.fullmatch(file.name):
            found[int(match[1])] = file
    return dict(sorted(found.items()))


def cut(run: Path, step: int = -1) -> None:
    """Remove what is later than a step, which will come again, and what killed writers left."""
    for later, file in listed(run).items():
        if later > step:
            file.unlink(missing_ok=True)
    for stale in (run / FOLDER).glob(".*.tmp*"):
        stale.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # unless there is something in it
        (run / FOLDER).rmdir()


def part(tensors: "Mapping[str, Tensor]") -> "dict[str, Tensor]":
    """The averages among the tensors of a state, in the order in which `write` fetches them."""
    from ddpm_cli.files.checkpoints import checkpoint

    mine = {name: tensor for name, tensor in tensors.items() if name.startswith(PREFIX)}
    return {name: mine[name] for name in checkpoint.layout(mine)}


def write(
    run: Path,
    tensors: "Mapping[str, Tensor]",
    header: Header,
    fetch: "Callable[[Tensor], Tensor]",
) -> None:
    """Write the snapshot of the header's step; fetch: see checkpoint.save."""
    from ddpm_cli.files.checkpoints import checkpoint

    place = path(run, header.step)
    if not place.parent.exists():
        place.parent.mkdir()
        atomic.sync_folder(run)
    checkpoint.save(place, part(tensors), header._replace(kind=KIND, threads=0), fetch)
