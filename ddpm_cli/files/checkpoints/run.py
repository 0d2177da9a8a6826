"""The folder of a training run: its lock, its configuration, metrics, states and model.

runs/NAME/{config.toml, model.safetensors, state.safetensors, state.previous.safetensors,
metrics.jsonl, samples/}, best.safetensors where the best is kept, averages/ where some are
"""

import contextlib
import json
import math
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from torch import Tensor

from ddpm_cli import console
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files import atomic, metrics
from ddpm_cli.files.background import Background
from ddpm_cli.files.checkpoints import averages, best, find, pieces
from ddpm_cli.files.checkpoints.checkpoint import Fetch, layout, load, save, save_pieces
from ddpm_cli.files.checkpoints.header import AVERAGE, Header, read_header
from ddpm_cli.files.checkpoints.lock import LOCK, locked
from ddpm_cli.files.outputs import event_logs
from ddpm_cli.settings.checks import differences
from ddpm_cli.settings.config import SAMPLING, Config, typed
from ddpm_cli.settings.toml import dump_toml

STATE = "state.safetensors"  # what a run resumes from
STATES = (STATE, "state.previous.safetensors")  # the newest, and the one before
# What may change when a run goes on: none of it alters what a step computes, but for rounding
# and the masks of dropout, which are another device's as well.
FREE = {
    "summary",
    "compute.compile",
    "compute.cudnn_benchmark",
    "compute.deterministic",
    "compute.device",
    "compute.dynamic_shapes",
    "compute.graph",
    "compute.threads",
    "data.path",  # the same data may lie elsewhere now
    "teacher.model",  # which is known by its digest
    "train.accumulate",
    "train.eval_count",
    "train.eval_every",
    "train.eval_features",
    "train.eval_metric",
    "train.eval_protocol",
    "train.keep_best",
    "train.log_every",
    "train.logs",
    "train.max_shard_size",
    "train.measure_every",
    "train.minutes",
    "train.recompute",
    "train.resident",
    "train.save_every",
    "train.shard",
    "train.sheet_columns",
    "train.sheet_count",
    "train.sheet_every",
    "train.sheet_labels",
    "train.sheet_zoom",
    "train.workers",
}
MEGABYTE = 10**6


class Run:
    """An open run folder, as a context manager; only the process that `leads` writes in it."""

    def __init__(self, folder: Path, leads: bool = True) -> None:
        self.folder = folder
        self._single = folder / "model.safetensors"
        self.newest, self.previous = (folder / name for name in STATES)
        self.metrics = folder / "metrics.jsonl"
        self.config = folder / "config.toml"
        self.samples = folder / "samples"
        self.best = folder / best.FILE
        self._coming = folder / ".state.tmp"
        self.behind = Background()
        self._newest_is_whole = True
        self._lock: BinaryIO | None = None
        if leads:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = locked(folder)
            for stale in (*folder.glob(".*.tmp*"), *self.samples.glob(".*.tmp*")):
                stale.unlink(missing_ok=True)

    @property
    def model(self) -> Path:
        """The model to sample from, or the index of one in pieces."""
        return find.model_in(self.folder)

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None or issubclass(kind, Exception):
                self.behind.wait()
            else:
                self.behind.give_up()
        finally:
            self._close()

    def _close(self) -> None:
        if self._lock is not None:
            with contextlib.suppress(OSError):  # a run that never began leaves nothing behind
                if [path.name for path in self.folder.iterdir()] == [LOCK]:
                    (self.folder / LOCK).unlink()
                    self.folder.rmdir()
            self._lock.close()

    def restore(self) -> tuple[Header, dict[str, Tensor]] | None:
        """The newest readable state, or None if none was ever saved.

        A damaged newest state falls back to the one before; if all are damaged, refuse.
        """
        present = [path for path in (self.newest, self.previous) if path.exists()]
        for path in present:
            try:
                header, tensors = load(path)
                if header.kind != "state":
                    raise Refusal(f"{path}: a {header.kind}, and no state to go on from")
            except Refusal as problem:
                console.warn(f"{problem.message}; skipping it")
                self._newest_is_whole = False
            else:
                return header, tensors
        if present or self.model.exists():
            why = "it holds a run, but no readable state.safetensors to go on from"
            raise Refusal(f"{self.folder}: {why}", "give another -o, or --force to start over")
        return None

    def start_over(self) -> None:
        """Remove what an earlier run left."""
        averages.cut(self.folder)
        files = (self.newest, self.previous, self.metrics, self._single, self.config, self.best)
        for path in files:
            path.unlink(missing_ok=True)
        pieces.remove(self._single)
        event_logs.start_over(self.folder)

    def begin(self, config: Config, step: int) -> None:
        """Write the configuration, and cut what was kept of steps that will be run again."""
        averages.cut(self.folder, step)
        atomic.write(self.config, dump_toml(config).encode())
        if self.metrics.exists():
            kept = [line for line in metrics.lines(self.metrics) if line["step"] <= step]
            text = "".join(json.dumps(line) + "\n" for line in kept)
            atomic.write(self.metrics, text.encode())

    def trained_for(self, step: int, batch: int) -> float:
        """Seconds of training up to a step, as far as metrics.jsonl tells."""
        rows = [row for row in metrics.rows(self.metrics) if row["step"] <= step]
        known = [passed for passed in metrics.seconds(rows, batch) if math.isfinite(passed)]
        return max(known, default=0.0)

    def log(self, values: Mapping[str, Any]) -> None:
        """Append one line to metrics.jsonl."""
        with self.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(dict(values)) + "\n")

    def save(self, tensors: dict[str, Tensor], header: Header, fetch: Fetch | None = None) -> None:
        """Write a state, and then the model in it; the state before stays as a fallback.

        The files change their names only when the new state is whole on the disk, so at any
        moment there is one to go on from. fetch: see checkpoint.save and `turns`.
        """
        try:
            save(self._coming, tensors, header, fetch or self._checked)
            if self._newest_is_whole and self.newest.exists():
                self.newest.replace(self.previous)
            self._coming.replace(self.newest)
        finally:
            with contextlib.suppress(OSError):
                self._coming.unlink(missing_ok=True)
        self._newest_is_whole = True
        atomic.sync_folder(self.folder)
        self._publish(tensors, header, fetch)

    def save_behind(
        self, tensors: dict[str, Tensor], header: Header, ready: Callable[[], None]
    ) -> None:
        """Save in a thread what changes no more, once it is ready.

        What goes wrong is raised by the next save, or when the folder is closed.
        """

        def work() -> None:
            ready()
            self.save(tensors, header)

        self.behind.start(work)

    def complete(self, tensors: dict[str, Tensor], header: Header) -> None:
        """Write the model of a state unless it is there: a kill may have come in between."""
        try:
            there = read_header(self.model, verify=True)
        except (Refusal, OSError):
            there = None
        if there is None or (there.kind, there.step) != ("model", header.step):
            self._publish(tensors, header)

    def _publish(
        self, tensors: dict[str, Tensor], header: Header, fetch: Fetch | None = None
    ) -> None:
        """Write the averaged weights as the model to sample from."""
        header = header._replace(kind="model", threads=0, averages=None)
        weights, fetch = averaged(tensors), fetch or self._checked
        limit = header.config["train"].get("max_shard_size", 0)
        if limit:
            save_pieces(self._single, weights, header, limit * MEGABYTE, fetch)
            self._single.unlink(missing_ok=True)
        else:
            save(self._single, weights, header, fetch)
            pieces.remove(self._single)

    def _checked(self, tensor: Tensor) -> Tensor:
        """A tensor whose turn it is to be written, unless the thread that does it shall end."""
        self.behind.check()
        return tensor


def turns(tensors: dict[str, Tensor]) -> list[Tensor]:
    """The tensors that a save fetches, in its order."""
    parts = (tensors, averaged(tensors))
    return [part[name] for part in parts for name in layout(part)]


def averaged(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The averaged weights of a state by the names of a model."""
    cut = len(AVERAGE)
    return {k[cut:]: value for k, value in tensors.items() if k.startswith(AVERAGE)}


def changes(old: Config, new: Config) -> list[tuple[str, Any, Any]]:
    """What makes a run another one: (key path, old value, new value).

    A run may grow, and so out of its budget.
    """
    grows = new["train"]["steps"] >= old["train"]["steps"]
    free = ["train.steps", *["train.budget"] * (new["train"]["budget"] is None)] * grows
    return [
        (key, was, now)
        for key, was, now in differences(old, new)
        if key not in FREE and key not in free and key.split(".")[0] not in SAMPLING
    ]


def refuse_changes(folder: Path, old: Config, new: Config) -> None:
    """Refuse to go on with settings that would make it another run."""
    if changed := changes(old, new):
        own = f"ddpm train -o {shlex.quote(str(folder))} goes on with its own settings"
        raise ConfigError(
            *(
                f"{key}: {folder} was trained with {typed(was)}, not {typed(now)}"
                for key, was, now in changed
            ),
            hints=[f"{own}; else give another -o, or --force to start over"],
        )


def left_out(folder: Path, old: Config, new: Config) -> None:
    """Warn of settings that a finished run does not take any more."""
    keys = [key for key, _, _ in differences(old, new) if key.split(".")[0] in SAMPLING]
    if keys:
        fix = f"give them to ddpm sample -m {shlex.quote(str(folder))}"
        console.warn(f"{folder}: finished, so {', '.join(keys)} stay as they were; {fix}")
