"""The cells of a sweep: each an evaluation of its own, settled and costed before the first."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from ddpm_cli import hardware
from ddpm_cli.diffusion.denoiser import Denoiser
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files.checkpoints.find import Place
from ddpm_cli.files.checkpoints.header import Header
from ddpm_cli.hardware import Compute
from ddpm_cli.models import model, saved, second
from ddpm_cli.models.model import Model
from ddpm_cli.pipelines import eval_drawing, eval_words
from ddpm_cli.pipelines.eval_drawing import Drawing
from ddpm_cli.pipelines.eval_words import Settled
from ddpm_cli.settings import sweeps
from ddpm_cli.settings.config import Config
from ddpm_cli.settings.eval_requests import Eval
from ddpm_cli.settings.sweeps import CALLS, SEED, Cell


class Planned(NamedTuple):
    """A cell and the request that measures it, or why there is none; fault: as it was raised."""

    cell: Cell
    request: Eval
    settled: Settled | None = None
    fault: ConfigError | None = None


class Ready(NamedTuple):
    """A cell and what it draws, a run for each block; or the reason why it cannot."""

    cell: Cell
    request: Eval
    settled: Settled | None
    runs: Sequence[Drawing] = ()
    reason: str = ""

    @property
    def calls(self) -> int | None:
        """Network calls an image."""
        return self.runs[0].calls if self.runs else None

    @property
    def work(self) -> int:
        """Network calls of all its images; 0 if they are not known."""
        return sum((run.calls or 0) * len(run.seeds) for run in self.runs)


class Loader:
    """Brings the model of a sweep: read once for each way to compute, its calls counted."""

    def __init__(self) -> None:
        self.calls = 0
        self._known: dict[str, tuple[Compute, Header, Denoiser]] = {}

    def __call__(self, place: Place, config: Config) -> Model:
        """The model with the settings of a cell."""
        key = json.dumps([str(place.path), config["compute"]], sort_keys=True)
        if key not in self._known:
            compute = hardware.compute(**config["compute"])
            self._known[key] = (compute, *model.restored(place, compute))
        compute, header, denoiser = self._known[key]
        known = saved.known(denoiser, model.fitted(config, header, place))
        beside = second.made(config, denoiser, compute)
        return Model(place.name, header, config, compute, known, beside).counting(self._count)

    def _count(self, rows: int) -> None:
        self.calls += rows


def settled(request: Eval) -> list[Planned]:
    """The cells of a request; a key or a value with which no cell can be settled is refused."""
    if request.samples is None:
        raise ConfigError("--sweep: of which model? Name it: ddpm eval MODEL --sweep ...")
    kind = eval_words.kind(request.samples)
    if kind != "model":
        raise ConfigError(f"--sweep: of a model, which draws; {request.samples} is of kind {kind}")
    sweeps.refuse_fixed(request.sweep, request.use.layers)
    stack = sweeps.Stack(request.use.layers)
    planned = [_planned(request, stack, cell) for cell in sweeps.cells(request.sweep)]
    for axis in request.sweep:
        for value in axis.values:
            faults = [one.fault for one in planned if one.cell.key[axis.key] is value]
            if all(faults) and faults[0] is not None:
                raise faults[0]
    return planned


def _planned(request: Eval, stack: sweeps.Stack, cell: Cell) -> Planned:
    """The request that a cell stands for."""
    values = cell.values
    try:
        use = replace(request.use, layers=stack(cell), calls=values.get(CALLS, request.use.calls))
        asked = replace(request, use=use, seed=values.get(SEED, request.seed))
        return Planned(cell, asked, eval_words.settled(asked))
    except ConfigError as fault:
        return Planned(cell, request, fault=fault)


def ready(planned: Planned, loader: Loader) -> Ready:
    """What a cell draws, and at what cost; one that cannot be has its reason."""
    from ddpm_cli.pipelines import eval as evaluation

    cell, request, settled, fault = planned
    if settled is None or settled.samples is None or settled.samples.opened is None:
        return Ready(cell, request, None, reason=_words(fault))
    word, opened = settled.samples.text, settled.samples.opened
    try:
        runs = [
            eval_drawing.drawing(word, opened, request.use, seeds, loader)
            for seeds in evaluation.starts(settled.protocol, request)
        ]
    except (ConfigError, Refusal) as fault:
        return Ready(cell, request, settled, reason=_words(fault))
    return Ready(cell, request, settled, runs)


def _words(fault: Exception | None) -> str:
    """A fault in one line, without the flags that a sweep has not."""
    return "; ".join(str(fault).splitlines())
