"""The numbers and sheets of a run for TensorBoard or Weights & Biases, beside metrics.jsonl."""

import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from ddpm_cli.errors import missing_extra
from ddpm_cli.files import atomic, metrics

EXTRA = "logs"
PROJECT = "ddpm"
EVENTS = "events.out.tfevents.*"  # what TensorBoard reads
AXES = ("step", "time")  # what numbers are written against


class Writer(Protocol):
    """Where numbers of a step and pictures go."""

    def numbers(self, step: int, moment: float | None, values: Mapping[str, float]) -> None:
        """Write what was measured at a step, at this moment in seconds since 1970."""

    def picture(self, step: int, path: Path) -> None:
        """Write a sheet of samples."""

    def close(self) -> None:
        """Write what is still held back."""


class EventLog:
    """A writer that is opened when there is something to write, as a context manager.

    Data workers are forked before, from a process without its threads.
    """

    def __init__(self, kind: str, folder: Path, step: int, config: Mapping[str, Any]) -> None:
        """kind: "none", "tensorboard" or "wandb"; step: from which on a run goes on."""
        self._open: Callable[[], Writer] | None = None
        self._writer: Writer | None = None
        if kind == "tensorboard":
            self._open = lambda: TensorBoard(folder, step)
        elif kind == "wandb":
            self._open = lambda: WeightsAndBiases(folder, config)

    def __enter__(self) -> "EventLog":
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()

    def log(self, line: Mapping[str, Any]) -> None:
        """Write a line of metrics; numbers of a table are called `table/key`."""
        if (writer := self._opened()) is None:
            return
        row = metrics.row(line)
        values = {k.replace(".", "/", 1): v for k, v in row.items() if k not in AXES}
        writer.numbers(int(row["step"]), row.get("time"), values)

    def sheet(self, step: int, path: Path) -> None:
        """Write a sheet of samples if it is a picture."""
        if path.suffix == ".png" and (writer := self._opened()) is not None:
            writer.picture(step, path)

    def _opened(self) -> Writer | None:
        if self._writer is None and self._open is not None:
            self._writer = self._open()
        return self._writer


class TensorBoard:
    """Event files in the folder tensorboard/ of a run; steps made again replace what was there."""

    def __init__(self, folder: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        make: Any = SummaryWriter
        self._writer = make(str(folder / "tensorboard"), purge_step=step + 1 if step else None)

    def numbers(self, step: int, moment: float | None, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step, walltime=moment)
        self._writer.flush()

    def picture(self, step: int, path: Path) -> None:
        import numpy as np
        from PIL import Image

        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB"))
        self._writer.add_image("samples", pixels, step, dataformats="HWC")
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


class WeightsAndBiases:
    """A run in the folder wandb/ of a run, on the disk alone unless WANDB_MODE says otherwise.

    Its name there is kept, so that a run that goes on stays one.
    """

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        import wandb

        name = folder / "wandb" / "ddpm-id"
        if not name.is_file():
            name.parent.mkdir(parents=True, exist_ok=True)
            atomic.write(name, secrets.token_hex(4).encode())
        self._image = wandb.Image
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=folder.resolve().name,
            id=name.read_text("ascii").strip(),
            dir=str(folder),
            mode=os.environ.get("WANDB_MODE", "offline"),
            resume="allow",
            config=dict(config),
            settings=wandb.Settings(silent=True, console="off", x_disable_stats=True),
        )
        self._run.define_metric("*", step_metric="step")

    def numbers(self, step: int, moment: float | None, values: Mapping[str, float]) -> None:
        self._run.log({"step": step, **values})

    def picture(self, step: int, path: Path) -> None:
        self._run.log({"step": step, "samples": self._image(str(path))})

    def close(self) -> None:
        self._run.finish()


def refuse_missing(kind: str) -> None:
    """Refuse to log with a package that is not installed, before any work is done."""
    try:
        if kind == "tensorboard":
            import tensorboard  # noqa: F401
        elif kind == "wandb":
            import wandb  # noqa: F401
    except ImportError:
        raise missing_extra(kind, EXTRA) from None


def start_over(folder: Path) -> None:
    """Remove what an earlier run in the folder logged for TensorBoard, and its name elsewhere."""
    for path in (*(folder / "tensorboard").glob(EVENTS), folder / "wandb" / "ddpm-id"):
        path.unlink(missing_ok=True)
