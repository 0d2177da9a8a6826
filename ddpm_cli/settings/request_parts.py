"""What requests have in common: the model and its settings, the seeds, how files are read."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ddpm_cli.errors import ConfigError
from ddpm_cli.settings.config import Layer
from ddpm_cli.settings.layouts import USUAL, Layout
from ddpm_cli.settings.seeds import LIMIT
from ddpm_cli.settings.shards import Shard

BATCH = 64  # larger batches page-fault their way out of the caches

FitTo = Literal["error", "pad", "crop", "resize"]
Channels = Literal["auto", "grey", "each"]


@dataclass(frozen=True, kw_only=True)
class Use:
    """What every verb is told that works with a finished model.

    model: what -m says; is_standing: it is a choice of the environment; layers: the settings
    asked for, lowest first; calls: how many network calls an image may cost, which chooses the
    number of levels; label: what --class says; values: what --value says, NAME=NUMBER each;
    texts: what --text says; negative: the text that guidance is away from; batch: how many images
    at once.
    words: how the command line says what no setting stands for, for the record of a result;
    range: the pixels of the files that are read which are black and white.
    shard: which part of the work this is, if it is not all of it.
    """

    model: str | None = None
    is_standing: bool = False
    layers: Sequence[Layer] = ()
    calls: int | None = None
    label: str | None = None
    values: Sequence[str] = ()
    texts: Sequence[str] = ()
    negative: str | None = None
    batch: int | None = None
    words: Sequence[str] = ()
    as_json: bool = False
    dry_run: bool = False
    force: bool = False
    range: tuple[int, int] | None = None
    shard: Shard | None = None

    @property
    def size(self) -> int:
        """How many images are computed at once."""
        return self.batch or BATCH


@dataclass(frozen=True, kw_only=True)
class Look:
    """How image files become images of a model; see files.images.inputs.read.

    channels: what a grey model makes of colours: grey, which is said unless it is asked for, or
    each of red, green and blue by itself.
    """

    fit: FitTo = "error"
    background: str = "white"
    channels: Channels = "auto"

    def shape(self, takes: Sequence[int]) -> tuple[int, ...]:
        """The shape in which images are read for a model that takes images of `takes` [C,H,W]."""
        if self.channels != "each":
            return tuple(takes)
        if takes[0] != 1:
            what = "--channels each: of a grey model, and this one makes colours"
            raise ConfigError(f"{what}; leave it out")
        return 3, *takes[1:]


@dataclass(frozen=True, kw_only=True)
class Seeds:
    """Which seeds: a list of them, or `count` from `first` on; count None: as many as is usual.

    is_chosen: the caller chose any of it, and does not leave it to what is usual.
    """

    first: int = 0
    count: int | None = None
    listed: Sequence[int] | None = None
    is_chosen: bool = False

    def numbers(self, usual: int = 1) -> Sequence[int]:
        """The seed of each image; `usual`: how many there are unless told."""
        if self.listed is not None:
            return self.listed
        count = self.count or usual
        if self.first + count > LIMIT:
            fix = "ask for fewer images"
            raise ConfigError(f"--count {count}: seeds end at {LIMIT - 1}; {fix}")
        return range(self.first, self.first + count)


@dataclass(frozen=True, kw_only=True)
class Draw:
    """How many samples of which seeds, and where they go.

    moments: the file of an optimal variance; trajectory, frames, show: where the walks go, how
    many states of each, and which rows a picture has; aug_noise: what each further model of a
    cascade adds to what it enlarges; is_downscaled: it shrinks that first, if it is larger than
    what it was trained to enlarge.
    """

    seeds: Seeds = field(default_factory=Seeds)
    output: str | None = None
    skip_existing: bool = False
    trajectory: Path | None = None
    frames: int | None = None
    show: tuple[str, ...] | None = None
    moments: Path | None = None
    aug_noise: float = 0.0
    is_downscaled: bool = False
    layout: Layout = USUAL

    def __post_init__(self) -> None:
        """Refuse what would have no effect."""
        for name in ("frames", "show"):
            if getattr(self, name) is not None and self.trajectory is None:
                raise ConfigError(f"--{name}: only with --trajectory")


@dataclass(frozen=True, kw_only=True)
class Guiding:
    """What options say of guides, in every verb that has them.

    flags: by the parameters of these options; see settings.guides. code: the user's own functions
    "scorer" and "classifier" if there are any, each by FILE.py:NAME or program.pt2, which is run,
    so that who asks must trust it; or itself.
    """

    flags: Mapping[str, Any] = field(default_factory=dict)
    code: Mapping[str, str | Callable[..., Any]] = field(default_factory=dict)

    @property
    def is_unconditional(self) -> bool:
        """Whether a classifier alone is told the class."""
        return bool(self.flags.get("unconditional"))

    @property
    def may_download(self) -> bool:
        """Whether weights may be fetched."""
        return bool(self.flags.get("download"))


@dataclass(frozen=True, kw_only=True)
class Edit:
    """What verbs have in common that make images of those given, `inputs`, each of some seeds."""

    use: Use
    inputs: Sequence[str]
    output: str | None
    seeds: Seeds
    skip_existing: bool = False
    look: Look = field(default_factory=Look)
    layout: Layout = USUAL
    guiding: Guiding = field(default_factory=Guiding)
