"""What verbs print of each result on stdout: its path, or with --json one object of what it is."""

import hashlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ddpm_cli import console
from ddpm_cli.files.checkpoints.header import Header
from ddpm_cli.files.outputs.edits import Results
from ddpm_cli.files.records import compact
from ddpm_cli.settings.config import Config

_BLOCK = 2**20  # bytes read at once


class Spent(NamedTuple):
    """What so many images took: network calls, and seconds with those of writing before.

    gradients: through so many network calls.
    """

    images: int = 0
    calls: float = 0.0
    seconds: float = 0.0
    gradients: float = 0.0

    def plus(self, other: "Spent") -> "Spent":
        """Both together."""
        images, calls = self.images + other.images, self.calls + other.calls
        seconds, gradients = self.seconds + other.seconds, self.gradients + other.gradients
        return Spent(images, calls, seconds, gradients)


class Watch:
    """Shares what is spent between two looks at a bar of network calls among the images there."""

    def __init__(self, bar: console.Progress) -> None:
        """Take the bar that the calls of the network advance."""
        self._bar, self._calls, self._began = bar, bar.done, time.monotonic()
        self._gradients = 0

    def differentiated(self, rows: int) -> None:
        """Count gradients through network calls of so many rows."""
        self._gradients += rows

    def lap(self, weights: Sequence[int]) -> list[Spent]:
        """What each image took since the look before; weights: how much of the calls it had."""
        now, every = time.monotonic(), sum(weights) or 1
        took = (self._bar.done - self._calls, now - self._began, self._gradients)
        self._calls, self._began, self._gradients = self._bar.done, now, 0
        return [Spent(1, *(all_ * each / every for all_ in took)) for each in weights]


class Lines:
    """Prints a line of each result: what it is, what made it, and what it took."""

    def __init__(self, as_json: bool, about: dict[str, Any], model: dict[str, Any]) -> None:
        """Take what all results share: how they were walked, and the model; see `of_walk`."""
        self._as_json, self._about, self._model = as_json, about, model

    @classmethod
    def of_walk(
        cls, as_json: bool, name: str, header: Header, config: Config, moves: int | None
    ) -> "Lines":
        """Lines of results of a model's walks; moves: None if it walks nowhere."""
        about = {
            "sampler": None if moves is None else config["sampler"]["name"],
            "levels": None if moves is None else config["levels"]["name"],
            "steps": moves,
        }
        return cls(as_json, about, {"model": name, "model_hash": header.hash})

    def tell(self, path: Path, spent: Spent, **own: Any) -> None:
        """Print a file that was written; own: what it alone is, seed and class first."""
        if self._as_json:
            self.row({"path": str(path), **own}, spent, digest(path))
        else:
            console.line(str(path))

    def skip(self, path: Path, **own: Any) -> None:
        """Print with --json a file that was left out as it exists, whatever made it."""
        if self._as_json:
            about = {**dict.fromkeys(self._about), "calls": 0, "seconds": 0.0}
            rest = {"hash": digest(path), **self._model, "skipped": True}
            console.json_line({"path": str(path), **own, **about, **rest})

    def row(self, own: dict[str, Any], spent: Spent, digest: str | None = None) -> None:
        """Print one object; calls are those of an image, seconds those of the whole row.

        So are gradients through the network, where there are any.
        """
        took = {"calls": _each(spent.calls, spent.images)}
        took |= {"gradients": _each(spent.gradients, spent.images)} if spent.gradients else {}
        took["seconds"] = round(spent.seconds, 3)
        console.json_line({**own, **self._about, **took, "hash": digest, **self._model})


def _each(total: float, images: int) -> float:
    """A number of one image, without places behind the point where it is whole."""
    each = round(total / max(images, 1), 3)
    return int(each) if each == int(each) else each


def seeded(seeds: Sequence[int]) -> dict[str, Any]:
    """How a row says its seed, or those of all that are in one file."""
    return {"seed": seeds[0]} if len(seeds) == 1 else {"seed": None, "seeds": compact(seeds)}


def say_skipped(made: int, skipped: int) -> None:
    """Say at the end how many results were left out, as they exist."""
    console.say(f"{made} made, {skipped} skipped: they exist already")


def digest(path: Path) -> str | None:
    """The SHA-256 of a file; None of one that is gone."""
    found = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                found.update(block)
    except OSError:
        return None
    return found.hexdigest()


class EditLines:
    """Prints the lines of edits of images, of which several seeds may share a file."""

    def __init__(self, lines: Lines, results: Results) -> None:
        """Take how lines are printed, and where results go."""
        self._lines, self._results, self._made = lines, results, 0
        self._held = dict[str, Spent]()

    def tell(self, paths: Sequence[Path], name: str, seed: int, spent: Spent, **own: Any) -> None:
        """Print the files written with a result of an input, if it was the last of its file."""
        self._made += 1
        self._held[name] = self._held.get(name, Spent()).plus(spent)
        for path in paths:
            seeds = seeded(self._results.together(name, seed))
            self._lines.tell(path, self._held[name], **own, **seeds)
        if self._held[name].images == len(self._results.together(name, seed)):
            del self._held[name]

    def skip(self, about: Callable[[str], dict[str, Any]]) -> None:
        """Print the files that were left out; about: what the inputs of these names are."""
        for path, name, seeds in self._results.skipped:
            self._lines.skip(path, **about(name), **seeded(seeds))

    def finish(self) -> None:
        """Say how many were left out."""
        say_skipped(self._made, sum(len(seeds) for _, _, seeds in self._results.skipped))
