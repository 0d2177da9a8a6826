"""The averages that a run kept for later, and the sum of them that is one of any length."""

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError, safe_open
from torch import Tensor

from ddpm_cli import __version__, console
from ddpm_cli.errors import Refusal
from ddpm_cli.files.checkpoints import averages, find, run
from ddpm_cli.files.checkpoints.header import Header, corrupt, read_header, shapes
from ddpm_cli.models import saved
from ddpm_cli.training import posthoc
from ddpm_cli.training.posthoc import Profile, Solution

LOW, HIGH = 0.02, 0.25  # lengths that are of use
OFF = 0.05  # of a profile's norm: what is further from the one asked for is told


class Snapshots(NamedTuple):
    """The averages that a run kept, by their files in the order of steps, and their headers."""

    folder: Path
    files: dict[Path, Header]
    lengths: tuple[float, ...]

    @property
    def newest(self) -> Header:
        """The header of the last one, of whose step all averages are made."""
        return list(self.files.values())[-1]

    def solved(self, length: float) -> Solution:
        """What each average counts in the one of a length."""
        steps = [header.step for header in self.files.values()]
        profiles = [Profile(each, step) for step in steps for each in self.lengths]
        return posthoc.solved(profiles, Profile(length, self.newest.step))

    def mixed(self, solution: Solution) -> dict[str, Tensor]:
        """The sum of all averages, each as often as it counts, in float64 and then as they are.

        One tensor after another is read, and one file after another.
        """
        sums: dict[str, Tensor] = {}
        kinds: dict[str, Any] = {}
        shares, first = iter(solution.shares), None
        for path in self.files:
            counts = [next(shares) for _ in self.lengths]
            outline = _outline(path, len(counts))
            first = first or outline.keys()
            if outline.keys() != first:
                raise corrupt(path, "its tensors are not those of the others")
            for name, number, value in _read(path, outline):
                kinds[name] = value.dtype
                if number is None or name not in sums:
                    sums[name] = value if number is None else counts[number] * value.double()
                else:
                    sums[name].add_(value, alpha=counts[number])
        return {name: total.to(kinds[name]).contiguous() for name, total in sums.items()}

    @property
    def reach(self) -> tuple[float, float]:
        """The lengths that all are of use and come out well."""
        each = [LOW * (HIGH / LOW) ** (i / 60) for i in range(61)]
        near = [float(f"{one:.3g}") for one in each if self.solved(one).error <= OFF]
        near += [one for one in self.lengths if LOW <= one <= HIGH]
        return (min(near), max(near)) if near else (min(self.lengths), max(self.lengths))

    def model(self, length: float) -> tuple[Header, dict[str, Tensor]]:
        """The model of a length; its header says of what it is made."""
        solution = self.solved(length)
        about = {
            "length": length,
            "run": self.folder.resolve().name,
            "newest": self.newest.hash,
            "snapshots": len(self.files),
            "of": list(self.lengths),
            "off": float(f"{solution.error:.3g}"),
        }
        header = self.newest._replace(
            kind="model", threads=0, hash="", version=__version__, averages=about
        )
        tensors = self.mixed(solution)
        last = list(self.files)[-1]
        if read_header(last).hash != self.newest.hash:
            raise Refusal(
                f"{last}: the run goes on, and wrote it anew", "try again once it stands"
            )
        saved.outline(header, tensors, self.folder)
        return header, tensors


def opened(source: str) -> Snapshots:
    """The averages in the folder of a run, every file checked; refused where there are none."""
    folder = _folder(source)
    files = dict[Path, Header]()
    for step, path in averages.listed(folder).items():
        try:
            header = read_header(path, verify=True)
        except Refusal as problem:
            fix = f"without it: rm {shlex.quote(str(path))}"
            raise Refusal(problem.message.splitlines()[0], fix) from None
        if (header.kind, header.step) != (averages.KIND, step):
            raise corrupt(path, f"it is no snapshot of step {step}")
        files[path] = header
    files |= _of_state(folder, max((h.step for h in files.values()), default=0))
    if not files:
        raise _none(folder)
    return Snapshots(folder, files, _lengths(files))


def _folder(source: str) -> Path:
    """The folder of a run, by its path or its name under runs."""
    for folder in (Path(source), find.RUNS / source):
        if folder.is_dir():
            return folder
    path = find.find(source).path
    what = f"{source}: a model alone; --ema takes the folder of a run, with its averages"
    if averages.listed(path.parent):
        raise Refusal(what, f"type: ddpm convert {shlex.quote(str(path.parent))} --ema")
    raise Refusal(what)


def _of_state(folder: Path, step: int) -> dict[Path, Header]:
    """The state of a run that was stopped behind its last snapshot: its averages are newer."""
    path = folder / run.STATE
    try:
        header = read_header(path)
        if header.step <= step or averages.told(path, header) is None:
            return {}
        return {path: read_header(path, verify=True)}
    except FileNotFoundError:
        return {}
    except Refusal as problem:
        if step:
            console.warn(f"{problem.message.splitlines()[0]}; the snapshots alone are taken")
            return {}
        raise


def _none(folder: Path) -> Refusal:
    """The refusal of a run that kept no averages, with the command of one that does."""
    name, other = (shlex.quote(str(path)) for path in (folder, f"{folder}-averages"))
    begin = "--config " + name + "/config.toml" if (folder / "config.toml").exists() else ""
    fix = f"ddpm train {begin} -o {other} --set 'train.averages=[0.05, 0.10]'".replace("  ", " ")
    return Refusal(f"{folder}: it kept no averages to make another one of", f"type: {fix}")


def _lengths(files: Mapping[Path, Header]) -> tuple[float, ...]:
    """The lengths of all averages; snapshots of several runs are refused."""
    first, *_ = files.items()
    lengths: list[tuple[float, ...]] = []
    for path, header in files.items():
        kept = averages.told(path, header)
        lengths.append(tuple(kept.lengths) if kept else ())
        # A run may have been made longer in between.
        if lengths[-1] != lengths[0] or run.changes(first[1].config, header.config):
            fix = f"take one of them out of {path.parent}"
            raise Refusal(f"{path}: of another run than {first[0].name}", fix)
    return lengths[0]


def _outline(path: Path, count: int) -> dict[str, tuple[str, int | None]]:
    """What the tensors of a file are: names of a model's, and the numbers of their lengths.

    No number of what is no weight, which is as it was then.
    """
    found: dict[str, tuple[str, int | None]] = {}
    each: list[dict[str, tuple[int, ...]]] = [{} for _ in range(count)]
    for key, shape in shapes(path).items():
        if key.startswith(averages.BUFFERS):
            found[key] = key.removeprefix(averages.BUFFERS), None
        elif key.startswith(averages.PREFIX):
            number, _, name = key.removeprefix(averages.PREFIX).partition(".")
            if not number.isdecimal() or int(number) >= count:
                raise corrupt(path, f"{key} is of no length")
            each[int(number)][name] = shape
            found[key] = name, int(number)
    if any(names != each[0] for names in each):
        raise corrupt(path, "its averages are of different networks")
    return found


def _read(
    path: Path, outline: Mapping[str, tuple[str, int | None]]
) -> Iterator[tuple[str, int | None, Tensor]]:
    """Each tensor of a file, one after the other."""
    try:
        with safe_open(str(path), framework="pt") as file:
            for key, (name, number) in outline.items():
                yield name, number, file.get_tensor(key)
    except SafetensorError as error:
        raise corrupt(path, error) from None
