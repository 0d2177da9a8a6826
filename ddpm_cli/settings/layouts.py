"""How images are laid out on a sheet, as users ask for it: columns, zoom and labels."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ddpm_cli.errors import ConfigError

COLUMN_LIMIT = 4096
ZOOM_LIMIT = 64
LABEL_LIMIT = 8
NAMES = ("columns", "zoom", "labels")  # of the options, in every command
# A key of a record: seed, sampler, guidance.scale.
KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*")


class Layout(NamedTuple):
    """So many columns (None: a square), pixels of so many pixels a side, and labels below.

    labels: keys of the record of an image, one a line.
    """

    columns: int | None = None
    zoom: int = 1
    labels: tuple[str, ...] = ()

    @property
    def given(self) -> list[str]:
        """The names of what is asked for."""
        return [name for name in NAMES if getattr(self, name) != getattr(USUAL, name)]

    @property
    def words(self) -> list[str]:
        """What a command line says for it."""
        said = {"columns": self.columns, "zoom": self.zoom, "labels": ",".join(self.labels)}
        return [word for name in self.given for word in (f"--{name}", str(said[name]))]

    def refuse_idle(self, place: str, used: Sequence[str] = ()) -> None:
        """Refuse what would have no effect, as no sheet is made; used: what has another one."""
        idle = [name for name in self.given if name not in used]
        if idle:
            what = f"of a sheet, as -o x.png, and -o {place} is none"
            raise ConfigError(f"--{idle[0]}: {what}; leave it out")


USUAL = Layout()


def of_run(train: Mapping[str, Any]) -> Layout:
    """The layout of the sheets of a run, from its table `train`."""
    labels = keys(train["sheet_labels"], "train.sheet_labels")
    return Layout(train["sheet_columns"] or None, train["sheet_zoom"], labels)


def keys(text: str | None, option: str = "--labels") -> tuple[str, ...]:
    """The keys in a list of labels, as seed,class; none of "none"."""
    if text is None or text.strip() in ("", "none"):
        return ()
    listed = tuple(word.strip() for word in text.split(","))
    for word in listed:
        if not KEY.fullmatch(word):
            fix = "write keys of a record, as seed,class,guidance.scale"
            raise ConfigError(f"{option} {word!r}: this is no key; {fix}")
    if len(listed) > LABEL_LIMIT:
        raise ConfigError(f"{option}: {len(listed)} labels; at most {LABEL_LIMIT}")
    return listed
