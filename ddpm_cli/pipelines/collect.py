"""Samples that are there put together, for `ddpm collect`."""

from collections.abc import Callable, Sequence
from pathlib import Path

from ddpm_cli import console
from ddpm_cli.errors import PartialFailure, Refusal, many
from ddpm_cli.failures import Failures
from ddpm_cli.files.outputs import encoding, targets
from ddpm_cli.files.records import compact
from ddpm_cli.pipelines import collect_latents, collected_files, gathering
from ddpm_cli.pipelines.gathering import Gathered
from ddpm_cli.pipelines.stores import Shelf
from ddpm_cli.settings.collecting import NUMBERS, STDOUT, ZIP, Collect

MAKERS = ("sample", "guide")  # whose records say all, without inputs
TOLD = {"model", "class", "settings", "batch", "dtype", "device", "threads"}  # to make it again
TABLE = "labels.csv"  # of the classes in an archive, which ddpm train reads

Write = Callable[[], None]


def run(request: Collect) -> None:
    """Read what a request names, and write it as asked."""
    _refuse_place(request)
    paths = gathering.places(request.inputs, request.output)
    if collect_latents.are_all(paths):
        collect_latents.run(request, paths)
        return
    with Shelf() as shelf:
        _collect(request, paths, shelf)


def _collect(request: Collect, paths: Sequence[Path], shelf: Shelf) -> None:
    """Read all samples, put them in order, and write them."""
    failures = Failures(len(paths))
    found = list(gathering.read(paths, failures, shelf))
    if not found:
        failures.finish()
        raise Refusal("INPUT: no samples in what was named")
    together = gathering.gathered(
        found,
        len(paths),
        request.seeds,
        is_merged=not request.is_sheet,
        by_group=bool(request.rows or request.columns),
        force=request.force,
    )
    _tell(together, request)
    write = _planned(together, request)
    if not request.dry_run:
        write()
    if request.output != STDOUT:
        gathering.report(
            request,
            images=len(together.samples),
            files=together.files,
            seeds=compact(together.seeds) or None,
            missing=together.missing,
            doubled=together.doubled,
            model_hash=gathering.common(together.samples).get("hash"),
        )
    if request.seeds is not None and together.missing:
        rest = "nothing is written yet" if request.dry_run else "the rest is written"
        raise PartialFailure(f"seeds {together.missing} are missing; {rest}")
    failures.finish()


def _refuse_place(request: Collect) -> None:
    """Refuse a place that cannot be written, before any work."""
    path = Path(request.output)
    if request.output == STDOUT:
        console.refuse_binary_terminal()
    elif request.is_folder:
        targets.refuse_unwritable(path, 0)
    else:
        targets.refuse_existing(path, request.force)
        encoding.announce(path)


def _tell(together: Gathered, request: Collect) -> None:
    """Say what was found, what is missing, and what was not made alike."""
    samples, first = together.samples, together.samples[0]
    sides = "x".join(map(str, first.shape[:0:-1] if first.is_picture else first.shape))
    noun = "images" if len(first.shape) == 3 else "samples"
    seeds = f", seeds {compact(together.seeds)}" if together.seeds else ""
    what = f"{many(len(samples), noun)} of {sides} {first.kind}"
    what += f" from {many(together.files, 'files')}"
    console.say(f"{what}{seeds[:200]}")
    if together.missing and request.seeds is None:
        tell = console.say if request.is_sheet else console.warn
        tell(f"seeds {together.missing} are not there")
    if not request.is_sheet:
        gathering.warn_of_making(samples)


def _planned(together: Gathered, request: Collect) -> Write:
    """What writes the output, once all is checked."""
    path, first = Path(request.output), together.samples[0]
    if not request.is_sheet and not request.is_folder and path.suffix in NUMBERS:
        return collected_files.arrays(together, request)
    if len(first.shape) != 3 or first.shape[0] not in (1, 2, 3, 4):
        shape = "x".join(map(str, first.shape))
        raise Refusal(f"{first.place}: {shape} {first.kind} is no image", "use .npz")
    if not first.is_picture:
        collected_files.refuse_outside(together.samples)
    if request.is_sheet:
        return collected_files.sheet(together, request)
    if path.suffix == ZIP and not request.is_folder:
        return collected_files.archive(together, request)
    return collected_files.folder(together, request)
