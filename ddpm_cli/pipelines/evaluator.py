"""Measures the samples of a run while it goes on, and keeps the best weights by that."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from ddpm_cli import console, signals
from ddpm_cli.diffusion.denoiser import Denoiser
from ddpm_cli.diffusion.steps import State as Walked
from ddpm_cli.errors import Refusal
from ddpm_cli.evaluation.evidence import Evidence
from ddpm_cli.files.checkpoints import best, checkpoint, run
from ddpm_cli.files.checkpoints.header import Header
from ddpm_cli.files.checkpoints.run import Run
from ddpm_cli.models import walks
from ddpm_cli.models.model import Model
from ddpm_cli.models.walks import Batch, Chunk
from ddpm_cli.pipelines import train_eval
from ddpm_cli.pipelines.dealing import Deal
from ddpm_cli.pipelines.eval_evidence import gathered
from ddpm_cli.pipelines.eval_sides import Batch as Pixels
from ddpm_cli.pipelines.eval_sides import Side
from ddpm_cli.pipelines.materials import Materials
from ddpm_cli.pipelines.standing import rises
from ddpm_cli.pipelines.train_eval import Evaluation
from ddpm_cli.settings.config import SAMPLING
from ddpm_cli.settings.request_parts import BATCH
from ddpm_cli.training import distributed, sharding
from ddpm_cli.training.state import State


class Evaluator(NamedTuple):
    """Draws the same seeds at each call, dealt over the processes, and tells of the first.

    batch: what the network is told of some seeds; calls: of the network for an image; first: seed.
    """

    plan: Evaluation
    materials: Materials
    folder: Run
    batch: Callable[[Sequence[int]], Batch]
    calls: int
    first: int = 0

    def __call__(self, state: State) -> dict[str, Any] | None:
        """What a line of metrics says; None where another leads, or if there is nothing to say.

        Nothing that a step depends on is touched: noise follows from the seeds alone, and the
        weights are those of the average. What cannot be measured is told, and the run goes on.
        """
        began, told = time.monotonic(), None
        samples = self._samples(state)
        if samples is not None and self.materials.place.leads:
            try:
                told = self.plan.figures(samples)
            except Refusal as refused:
                self._warn(state, refused)
        self._keep(state, told)
        if not told:
            return None
        about = {"protocol": self.plan.protocol.name, "n": self._count, **told}
        about |= {"features": self.plan.extractor.name, "reference": self.plan.side.name}
        return about | {"seconds": round(time.monotonic() - began, 3)}

    @property
    def _count(self) -> int:
        return int(self.materials.config["train"]["eval_count"])

    def _header(self, state: State) -> Header:
        return Header("model", self.materials.config, self.materials.info, state.step)

    def _warn(self, state: State, refused: Refusal) -> None:
        what = f"{self.folder.folder}: no eval of step {state.step}"
        console.warn("; ".join([what, *refused.message.splitlines()]))

    def _samples(self, state: State) -> Evidence | None:
        """What the feature network sees of all samples, in the process that leads.

        None everywhere if any process was asked to stop or could not draw, and in the others.
        """
        place = self.materials.place
        seeds = range(self.first, self.first + self._count)
        mine: Sequence[int] = seeds if state.is_shared else Deal.of(seeds, BATCH, place).mine
        seen = None
        try:
            seen = self._seen(state, mine)
        except Refusal as refused:
            self._warn(state, refused)
        if distributed.agreed(place, seen is None and bool(mine)):
            return None
        if place.ranks == 1 or state.is_shared:
            return seen
        parts: list[Any] | None = [None] * place.ranks if place.leads else None
        torch.distributed.gather_object((list(mine), seen), parts, dst=0)
        return _joined(parts) if parts else None

    def _seen(self, state: State, seeds: Sequence[int]) -> Evidence | None:
        """What the feature network sees of some samples; None if the process was asked to stop."""
        if not seeds:
            return None
        side = train_eval.samples_side(self.materials)

        def batches(size: int) -> Iterator[Pixels]:
            return self._drawn(state, seeds, size)

        if state.is_shared:  # all draw together, so that nobody may end on its own
            drawn = list(batches(BATCH))
            if not self.materials.place.leads and drawn:
                drawn, seeds = drawn[:1], seeds[: len(drawn[0][0])]

            def batches(size: int) -> Iterator[Pixels]:
                return iter(drawn)

        side = Side(side.name, side.kind, len(seeds), batches, side.shape, side.classes)
        return gathered(side, self.plan.extractor, self.plan.parts, self.plan.names, BATCH)

    def _drawn(self, state: State, seeds: Sequence[int], size: int) -> Iterator[Pixels]:
        """Pixels of the samples of some seeds, and their classes."""
        config, compute, _, _, info, *_ = self.materials
        average = cast(Denoiser, state.average)
        drawer = Model("", self._header(state), config, compute, average)
        with console.progress(self.calls * len(seeds), "calls of an eval") as bar:
            drawer = drawer.counting(bar.advance)
            for chunk in drawer.chunks(seeds, size, self.batch):
                with compute.autocast():  # of the drawing alone
                    final = self._last(chunk, is_shared=state.is_shared)
                if final is None:
                    return
                values = info.finished(final.x)
                walks.refuse_not_finite(values, "samples that are not finite")
                yield drawer.to_pixels(values), chunk.classes

    def _last(self, chunk: Chunk, *, is_shared: bool) -> Walked | None:
        """Walk to the end; None if this process was asked to stop, of shared weights any."""
        if not is_shared:
            return walks.last(chunk.states)
        final = deque(chunk.states, maxlen=1).pop()
        stop = distributed.agreed(self.materials.place, signals.requested() is not None)
        return None if stop else final

    def _keep(self, state: State, told: dict[str, float] | None) -> None:
        """Write the averaged weights if no measure was better before."""
        if not self.materials.config["train"]["keep_best"]:
            return
        place, score = self.materials.place, self._score(told or {})
        kept = best.header(self.folder.folder) if place.leads else None
        wins = bool(score) and (kept is None or best.is_better(score, kept.score or {}))
        if not distributed.told(place, int(wins)):
            return
        weights = run.averaged(state.tensors())
        turns = sharding.Turns([weights[name] for name in checkpoint.layout(weights)])
        try:
            if place.leads:
                whole = self._header(state)._replace(score=score)
                checkpoint.save(self.folder.best, weights, whole, turns.fetch)
        finally:
            turns.drain()

    def _score(self, told: dict[str, float]) -> dict[str, Any]:
        """What the best is chosen by, and what must be equal of two that are compared."""
        name, config = self.plan.metric, self.materials.config
        if name not in told:
            return {}
        settings = {table: config[table] for table in SAMPLING if config.get(table)}
        how = {**self.plan.basis(config), "settings": settings}
        return {"metric": name, "value": told[name], "rises": rises(name), **how}


def _joined(parts: Sequence[tuple[list[int], Evidence | None]]) -> Evidence:
    """The samples of all processes in the order of their seeds."""
    seen = [part for _, part in parts if part is not None]
    order = torch.tensor([seed for seeds, part in parts if part is not None for seed in seeds])

    def rows(name: str) -> Tensor | None:
        each = [getattr(part, name) for part in seen]
        return None if any(part is None for part in each) else torch.cat(each)

    names = ("features", "spatial", "probabilities", "labels", "images")
    features, spatial, probabilities, labels, images = map(rows, names)
    name, count = seen[0].name, len(order)
    whole = Evidence(name, count, features, spatial, probabilities, labels, images)
    return whole.only(order.argsort())
