"""What a verb is asked to do: plain values, built by a command, by Python or by a test."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ddpm_cli.errors import ConfigError
from ddpm_cli.settings import methods
from ddpm_cli.settings.config import Config, Layer
from ddpm_cli.settings.layouts import USUAL, Layout
from ddpm_cli.settings.request_parts import Draw, Edit, Guiding, Look, Use


@dataclass(frozen=True, kw_only=True)
class Sample:
    """`ddpm sample`: from noise, from latents in the file `origin`, or from the image `init`.

    at: how much noise `init` is given.
    """

    use: Use
    draw: Draw
    origin: Path | None = None
    init: str | None = None
    at: str | None = None
    look: Look = field(default_factory=Look)
    guiding: Guiding = field(default_factory=Guiding)


@dataclass(frozen=True, kw_only=True)
class Translate(Edit):
    """`ddpm sample --image`: images made of the given ones `inputs` by a model of task pairs.

    task: which of its filters it is to undo; degrades: that filter is applied to them first.
    """

    task: str | None = None
    degrades: bool = False


@dataclass(frozen=True, kw_only=True)
class Guide(Sample):
    """`ddpm guide`: samples that guides steer, or guidance by two passes if there are none."""


@dataclass(frozen=True, kw_only=True)
class Encode:
    """`ddpm encode`: images to latents in the file `output`, walked up or noised at once.

    A picture shows them: of --method forward at each of the times `at`.
    """

    use: Use
    inputs: Sequence[str]
    output: Path
    method: Literal["ode", "forward"] = "ode"
    at: str | None = None
    is_checked: bool = True
    seed: int = 0
    look: Look = field(default_factory=Look)
    layout: Layout = USUAL


@dataclass(frozen=True, kw_only=True)
class Interpolate:
    """`ddpm interpolate`: frames between images or rows, or between the noise of seeds.

    count: frames from each end to the next, at places that `easing` chooses; speed, hold:
    milliseconds a frame of a film, and each of its ends, None for the last alone; is_film: a
    .webp is one.
    """

    use: Use
    inputs: Sequence[str]
    output: str | None
    seeds: Sequence[int] | None = None
    count: int = 9
    blend: Literal["slerp", "lerp"] | None = None
    at: str | None = None
    speed: int = 120
    hold: int | None = None
    easing: Literal["linear", "smooth", "in", "out"] = "linear"
    is_film: bool = False
    seed: int = 0
    look: Look = field(default_factory=Look)
    guiding: Guiding = field(default_factory=Guiding)
    layout: Layout = USUAL


@dataclass(frozen=True, kw_only=True)
class Inpaint(Edit):
    """`ddpm inpaint`: parts of images anew, or more around them, or gaps in rows of numbers.

    jump, resample: RePaint's; mask, keeps, threshold: see files.images.masks.Mask, and of rows
    data.row_masks; noise: the standard deviation of that in what is known, which is then made
    anew, too.
    """

    method: str = "auto"
    mask: Sequence[str] = ()
    keeps: Literal["auto", "black", "white", "clear", "opaque"] = "auto"
    threshold: float = 0.5
    extend: str | None = None
    panorama: str | None = None
    jump: int | None = None
    resample: int | None = None
    noise: float = 0.0
    checks: bool = False

    @property
    def chosen_method(self) -> str:
        """The method asked for; resampling is RePaint's, which replaces known pixels."""
        if self.noise and self.method == "auto":
            return methods.NOISY
        if self.jump is None and self.resample is None:
            return self.method
        if self.method == "model":
            raise ConfigError("--jump, --resample: not with --method model; leave them out")
        return "replace" if self.method == "auto" else self.method

    @property
    def asking(self) -> str:
        """The option by which the method was chosen."""
        return methods.option(self.method, self.noise)


@dataclass(frozen=True, kw_only=True)
class Upscale(Edit):
    """`ddpm upscale`: images enlarged, coloured, sharpened, or made of measurements.

    noises: of --aug-noise, one result for each; is_downscaled: images larger than what the model
    was trained to enlarge are shrunk first; noise: the standard deviation of that in what is
    given; degrades: whole images are given, which are measured first; code: the function
    "operator" of the user's own, for the task own, as of Guide; checks: only how exact the
    adjoint of the operator is.
    """

    method: str = "auto"
    task: str = "upscale"
    factor: float | None = None
    is_consistent: bool = False
    noises: Sequence[float] = (0.0,)
    is_downscaled: bool = False
    noise: float = 0.0
    degrades: bool = False
    code: Mapping[str, str | Callable[..., Any]] = field(default_factory=dict)
    checks: bool = False

    @property
    def named(self) -> str:
        """The task, or the function of the user's own that it is."""
        return str(self.code.get("operator", self.task))

    @property
    def chosen_method(self) -> str:
        """The method asked for; where there is noise the usual one asks how much."""
        is_noisy = self.noise and self.method == "auto"
        return methods.NOISY if is_noisy else self.method

    @property
    def asking(self) -> str:
        """The option by which the method was chosen."""
        return methods.option(self.method, self.noise)


@dataclass(frozen=True, kw_only=True)
class Train:
    """`ddpm train`: a run in a folder, begun or gone on with; force: begun anew."""

    config: Config
    folder: Path
    force: bool = False
    as_json: bool = False
    dry_run: bool = False


@dataclass(frozen=True, kw_only=True)
class Convert:
    """`ddpm convert`: a foreign checkpoint as one of ours, or one of ours for other programs.

    source: a file or folder, or for exports a model; output: where it goes; format: of the
    source, told by its content if not said; release: a known one; weights: which of several;
    target: what an export is for; part: of the model that it holds. layers: settings that the
    file does not say, lowest first. ema: of a run, the length of the average to make, or the best
    by a measure of `count` samples from `seed` on, as a protocol says, by default the run's own.
    """

    source: str
    output: str | None = None
    ema: float | Literal["best"] | None = None
    protocol: str | None = None
    count: int | None = None
    seed: int = 0
    format: str | None = None
    release: str | None = None
    weights: Literal["ema", "model"] = "ema"
    target: str | None = None
    part: Literal["denoiser", "network"] = "denoiser"
    layers: Sequence[Layer] = ()
    as_json: bool = False
    dry_run: bool = False
    force: bool = False


@dataclass(frozen=True, kw_only=True)
class Info:
    """`ddpm info`: what `target` is, in words, as JSON, as TOML or as a command.

    Of data, data: settings that read them; limit: how many rows are looked at, None for all;
    sheet: where to show some.
    """

    target: str | None = None
    as_command: bool = False
    as_toml: bool = False
    as_json: bool = False
    data: Mapping[str, Any] = field(default_factory=dict)
    limit: int | None = None
    sheet: Path | None = None
    force: bool = False


@dataclass(frozen=True, kw_only=True)
class Levels:
    """`ddpm schedule`: so many rows of a schedule, None for all, or the picture `plot`.

    spectrum: an image, of whose frequencies both are about.
    """

    rows: int | None = 20
    as_csv: bool = False
    as_json: bool = False
    plot: Path | None = None
    spectrum: str | None = None
    force: bool = False


@dataclass(frozen=True)
class Report:
    """`ddpm report`: a page of the runs and samples `inputs` in the file `output`, or on stdout.

    sheets: at most so many of a run; images: of a folder; side: pixels of a larger picture.
    """

    inputs: Sequence[str]
    output: str = "report.html"
    sheets: int = 24
    images: int = 64
    side: int = 1024
    as_json: bool = False
    dry_run: bool = False
    force: bool = False
