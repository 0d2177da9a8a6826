"""What a training run leaves behind while it goes on, and how it hears that it must stop."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ddpm_cli import console, signals
from ddpm_cli.data.tasks import pairs
from ddpm_cli.diffusion.denoiser import Denoiser
from ddpm_cli.errors import Refusal
from ddpm_cli.files import atomic
from ddpm_cli.files.captions import caption
from ddpm_cli.files.checkpoints import averages, run
from ddpm_cli.files.checkpoints.averages import Kept
from ddpm_cli.files.checkpoints.header import Header
from ddpm_cli.files.checkpoints.run import Run
from ddpm_cli.files.outputs import samples
from ddpm_cli.files.outputs.event_logs import EventLog
from ddpm_cli.files.records import Record
from ddpm_cli.models import build, walks
from ddpm_cli.models.model import Model
from ddpm_cli.models.out_of_memory import OutOfMemory
from ddpm_cli.models.walks import Batch
from ddpm_cli.pipelines import sheet_batches, train_eval
from ddpm_cli.pipelines.evaluator import Evaluator
from ddpm_cli.pipelines.forecast import Beside, Forecast
from ddpm_cli.pipelines.materials import POINTS, Materials
from ddpm_cli.pipelines.train_checks import sheet_record
from ddpm_cli.pipelines.train_eval import Evaluation
from ddpm_cli.settings import layouts
from ddpm_cli.settings.checks import suited
from ddpm_cli.settings.request_parts import BATCH
from ddpm_cli.training import distributed, sharding
from ddpm_cli.training.clock import Clock
from ddpm_cli.training.snapshots import Snapshots
from ddpm_cli.training.state import State


class Journal:
    """Writes what a run leaves behind, and passes on the wish to stop; see training.reporting."""

    def __init__(
        self,
        folder: Run,
        materials: Materials,
        beside: Beside,
        evaluation: Evaluation | None = None,
        *,
        as_json: bool,
        done: int,
    ) -> None:
        self._run, self._materials, self._as_json = folder, materials, as_json
        self._leads, self._beside = materials.place.leads, beside
        self._snapshots = Snapshots()
        self._evaluator = None
        if evaluation is not None:
            calls = beside.calls
            self._evaluator = Evaluator(evaluation, materials, folder, self._batch, calls)
        self._forecast = Forecast(materials, beside, done)
        settings = materials.config["train"]
        before = folder.trained_for(done, settings["batch"]) if self._leads else 0.0
        kind = settings["logs"] if self._leads else "none"
        self.events = EventLog(kind, folder.folder, done, materials.config)
        self._clock = Clock(materials.compute.device, before)
        self.bar = console.progress(settings["steps"], "steps", done=done)

    def log(self, values: Mapping[str, Any]) -> None:
        """Keep one line of metrics, and print it if stdout should have it."""
        if self._leads:
            values = {**values, **self._clock.read()}
            self._run.log(values)
            self.events.log(values)
            if self._as_json:
                console.json_line(values)

    def save(self, state: State) -> None:
        """Write the state to go on from and the model to sample from, while the run goes on.

        A save that failed is told by the next one, which follows at once: see `stopping`.
        """
        place, header = self._materials.place, self._keeping("state", state)
        header = header._replace(threads=torch.get_num_threads())
        if self._leads:
            self._run.behind.wait()
        elif not state.is_shared:
            return
        tensors = state.tensors()
        fits = self._leads and self._snapshots.fit(tensors)
        if state.is_shared:
            fits = distributed.agreed(place, fits)
        if not fits:
            self._write(tensors, header)
        elif self._leads:
            copies = self._snapshots.take(tensors)
            self._run.save_behind(copies, header, self._snapshots.ready)
        else:
            sharding.Turns(tensors.values()).drain()

    def _write(self, tensors: dict[str, Tensor], header: Header) -> None:
        """Write what there is no memory to copy: each tensor is gathered and written alone."""
        turns = sharding.Turns(run.turns(tensors))
        try:
            if self._leads:
                self._run.save(tensors, header, turns.fetch)
        finally:
            turns.drain()

    def snapshot(self, state: State) -> None:
        """Write the averages for later; each tensor is gathered and written alone."""
        if not (self._leads or state.is_shared):
            return
        tensors = averages.part(state.tensors())
        turns = sharding.Turns(tensors.values())
        try:
            if self._leads:
                header = self._keeping(averages.KIND, state)
                averages.write(self._run.folder, tensors, header, turns.fetch)
        finally:
            turns.drain()

    def sheet(self, state: State) -> None:
        """Draw a sheet of samples with the run's own sampler, or more points for a plot."""
        if not isinstance(state.average, Denoiser):
            return  # a classifier has nothing to draw
        if not (self._leads or state.is_shared):
            return
        config, info = self._materials.config, self._materials.info
        try:
            count = config["train"]["sheet_count"] if len(info.shape) > 1 else POINTS
            self._draw(state.step, state.average, range(count))
        except OutOfMemory:
            fix = f"--set train.sheet_count={count // 4} draws fewer"
            console.warn(f"{self._run.folder}: out of memory for its sheet; {fix}")
        except Refusal as refused:
            if state.step == config["train"]["steps"]:
                raise
            console.warn("; ".join(refused.message.splitlines()))

    def evaluate(self, state: State) -> None:
        """Measure samples of the averaged weights, and note what comes of it."""
        said = None if self._evaluator is None else self._evaluator(state)
        if said is not None:
            self.log({"step": state.step, "eval": said})
            self.bar.say(f"step {state.step}: {train_eval.words(said)}")

    def _draw(self, step: int, average: Denoiser, seeds: range) -> None:
        """Draw with these seeds; what is not finite is refused, and the model stays as it is."""
        config, compute, _, _, info, *_ = self._materials
        drawer = Model("", self._header("model", step), config, compute, average)
        calls, drawn = self._beside.calls, []
        with compute.autocast(), console.progress(calls * len(seeds), "calls of a sheet") as bar:
            drawer = drawer.counting(bar.advance)
            size = BATCH if len(info.shape) > 1 else POINTS
            for chunk in drawer.chunks(seeds, size, self._batch):
                final = walks.last(chunk.states)
                if final is None:
                    return
                drawn.append(info.finished(final.x))
        values = torch.cat(drawn)
        what = f"{self._run.folder}: samples of step {step} are not finite"
        walks.refuse_not_finite(values, what, f"{suited(config)}; the model is saved")
        if not self._leads:
            return  # it had only to take part
        layout = layouts.of_run(config["train"])
        lines = [caption(entry, layout.labels) for entry in self._entries(step, seeds)]
        values = self._below_given(values, seeds)
        suffix, data = samples.preview(values, info.is_image, layout, lines)
        self._run.samples.mkdir(exist_ok=True)
        path = self._run.samples / f"step-{step:07d}{suffix}"
        atomic.write(path, data)
        self.events.sheet(step, path)

    def advance(self, note: str) -> None:
        """Count a step."""
        self.bar.advance(note=note)
        self._forecast.step(self.bar)

    def stopping(self, overdue: bool) -> bool:
        """Whether any process of the run was asked to stop, is overdue or could not save."""
        stop = overdue or signals.requested() is not None or self._run.behind.failed
        return distributed.agreed(self._materials.place, stop)

    def _header(self, kind: str, step: int) -> Header:
        return Header(kind, self._materials.config, self._materials.info, step)

    def _keeping(self, kind: str, state: State) -> Header:
        """A header of what holds averages for later, if there are any."""
        header = self._header(kind, state.step)
        if state.spacing is None:
            return header
        return header._replace(averages=Kept(state.lengths, *state.spacing).entry())

    def _batch(self, seeds: Sequence[int]) -> Batch:
        """What the network is told of these seeds of a sheet."""
        return sheet_batches.batch(self._materials, seeds)

    def _entries(self, step: int, seeds: Sequence[int]) -> Iterator[Record]:
        """What is known of each image of a sheet."""
        record = sheet_record(self._materials.config, step)
        shown = sheet_batches.shown(self._materials)
        for seed, told in zip(seeds, shown.entries(seeds), strict=True):
            yield {**record, "seed": seed, **told}

    def _below_given(self, values: Tensor, seeds: Sequence[int]) -> Tensor:
        """Images of a sheet, each below the one that it was made of."""
        task = build.task(self._materials.config, self._materials.info)
        if not isinstance(task, pairs):
            return values
        given = task.shown(sheet_batches.image(self._materials, seeds)["image"], values.shape[1])
        return torch.cat([given.to(values), values], dim=2)
