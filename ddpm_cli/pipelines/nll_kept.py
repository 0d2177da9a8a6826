"""Rows that `ddpm nll -o` has measured so far, kept beside its file until that is whole."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.pipelines.lines import Spent

ENDING = ".part"


class Kept:
    """The bits of rows by their number, and what they took: a line of JSON each, as it comes.

    The first line says what was measured how, of which nothing may differ where it goes on; each
    row has a digest of its values, which may not differ either.
    """

    def __init__(self, path: Path, about: Mapping[str, Any], option: str, force: bool) -> None:
        """Take the file of scores, and what its rows are of; force: begin anew."""
        self.path = path.with_name(path.name + ENDING)
        self._rows = dict[int, tuple[float, Spent]]()
        self._digests, self._option = dict[int, str](), f"{option} {path}"
        about = json.loads(json.dumps(about, default=str))
        lines = [] if force else self._lines()
        if lines:
            self._refuse_other(lines[0], about, f"{option} {path}")
            for line in lines[1:]:
                spent = Spent(1, line["calls"], line["seconds"], line.get("gradients", 0.0))
                self._rows[line["row"]] = (line["bits"], spent)
                self._digests[line["row"]] = line.get("digest", "")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("a" if lines else "w", encoding="utf-8")
        except OSError as error:
            what = f"{path}: {self.path.name}, which keeps its rows: {error.strerror}"
            raise Refusal(what, "give another -o") from None
        if not lines:
            self._write(about)

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, number: int) -> bool:
        return number in self._rows

    def of(self, number: int, name: str, values: Tensor) -> tuple[float, Spent]:
        """What a row took; one of other values than it had then is refused."""
        if self._digests[number] != digest(values):
            what = f"{self._option}: {name} is another row than when it was measured"
            raise ConfigError(f"{what}; begin anew with --force")
        return self._rows[number]

    def add(self, number: int, bits: float, spent: Spent, values: Tensor) -> None:
        """Keep what a row of these values takes."""
        self._rows[number], self._digests[number] = (bits, spent), digest(values)
        cost = {"calls": spent.calls, "seconds": spent.seconds, "gradients": spent.gradients}
        self._write({"row": number, "bits": bits, "digest": self._digests[number], **cost})

    def finish(self) -> None:
        """Delete the file: all of it stands in that of the scores."""
        self._file.close()
        self.path.unlink(missing_ok=True)

    def _write(self, line: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()

    def _lines(self) -> list[dict[str, Any]]:
        """All whole lines; a last one that was cut short is left out, and from the file too."""
        if not self.path.exists():
            return []
        text = self.path.read_text(encoding="utf-8")
        whole = text[: text.rfind("\n") + 1]
        if whole != text:
            self.path.write_text(whole, encoding="utf-8")
        try:
            return [dict(json.loads(line)) for line in whole.splitlines()]
        except (ValueError, TypeError):
            what = f"{self.path}: no rows that ddpm nll kept"
            raise Refusal(what, "delete it, or begin anew with --force") from None

    def _refuse_other(
        self, kept: Mapping[str, Any], asked: Mapping[str, Any], option: str
    ) -> None:
        differing = sorted(key for key in {*kept, *asked} if kept.get(key) != asked.get(key))
        if differing:
            what = f"{option}: {self.path.name} keeps rows that differ in {', '.join(differing)}"
            raise ConfigError(f"{what}; give another -o, or begin anew with --force")


def digest(values: Tensor) -> str:
    """What tells a row from others by its values."""
    data = values.double().contiguous().numpy().tobytes()
    return hashlib.blake2b(data, digest_size=8).hexdigest()
