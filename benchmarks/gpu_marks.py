"""What the rows of gpu.py share: where a figure is kept as soon as it is there, and its mark."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch

PASS, FAIL, SKIPPED, MEASURED = "pass", "FAIL", "skipped", "measured"
# Dense peaks in FLOP/s by the name of the card: 16-bit, TF32, float32 (NVIDIA's data sheets).
PEAKS = {
    "B200": (2250e12, 1125e12, 75e12),
    "H100 PCIe": (756e12, 378e12, 51e12),
    "H100 NVL": (835e12, 418e12, 60e12),
    "H200": (989e12, 495e12, 67e12),
    "H100": (989e12, 495e12, 67e12),
    "A100": (312e12, 156e12, 19.5e12),
    "L40S": (362e12, 183e12, 91.6e12),
    "L4": (121e12, 60e12, 30.3e12),
    "RTX 4090": (165e12, 82.6e12, 82.6e12),
}


class Marks(NamedTuple):
    """A row at work: where it computes, how small, and the file of its figures.

    smoke: the smallest form, in which figures of speed pass or fail nothing; neither do they off
    CUDA. options: what else the command line says.
    """

    row: str
    device: str
    smoke: bool
    folder: Path
    options: dict[str, Any]

    @property
    def file(self) -> Path:
        """One JSON object a line, each written when it is known."""
        return self.folder / f"{self.row}.jsonl"

    @property
    def is_cuda(self) -> bool:
        """Whether it computes on a GPU."""
        return self.device.startswith("cuda")

    def note(
        self,
        check: str,
        value: float | None,
        unit: str = "",
        *,
        least: float | None = None,
        most: float | None = None,
        goal: float | None = None,
        speed: bool = False,
        **more: Any,
    ) -> None:
        """Keep a figure; it passes if it is at least or at most its floor."""
        floor = most if least is None else least
        verdict = MEASURED
        if value is not None and floor is not None and not (speed and self._rehearses):
            held = value >= floor if least is not None else value <= floor
            verdict = PASS if held else FAIL
        figure = {"value": value, "unit": unit, "floor": floor, "goal": goal, **more}
        self._keep({"check": check, "verdict": verdict, **figure})

    @property
    def _rehearses(self) -> bool:
        return self.smoke or not self.is_cuda

    def skip(self, check: str, why: str) -> None:
        """Say why there is no figure."""
        self._keep({"check": check, "verdict": SKIPPED, "why": why})

    @contextmanager
    def trying(self, check: str) -> Iterator[None]:
        """What goes wrong with one figure fails it, and the next one is tried."""
        try:
            yield
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            self.skip(check, "out of memory")
        except Exception as error:  # noqa: BLE001 - whatever it is, the others are measured
            text = f"{type(error).__name__}: {error}".splitlines()[0]
            self._keep({"check": check, "verdict": FAIL, "why": text})

    def _keep(self, entry: dict[str, Any]) -> None:
        with self.file.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"row": self.row, **entry}) + "\n")
        print(line({"row": self.row, **entry}), file=sys.stderr, flush=True)


def line(entry: dict[str, Any]) -> str:
    """A figure as a reader wants it."""
    head = f"{entry['row']}  {entry['verdict']:9}{entry['check']}"
    if "why" in entry:
        return f"{head}: {entry['why']}"
    value = entry.get("value")
    text = f"{head}: {'-' if value is None else f'{value:.6g}'} {entry['unit']}".rstrip()
    marks = [f"{name} {entry[name]:g}" for name in ("floor", "goal") if entry.get(name)]
    marks += [f"MFU {entry['mfu']:.1%}"] if entry.get("mfu") else []
    marks += [f"{entry['peak_gb']:.1f} GB"] if entry.get("peak_gb") else []
    return text + (f"  ({', '.join(marks)})" if marks else "")


def peak(kind: int) -> float | None:
    """FLOP/s of this card in 16 bit (0), TF32 (1) or float32 (2), if it is known."""
    if not torch.cuda.is_available():
        return None
    name = torch.cuda.get_device_name()
    return next((peaks[kind] for card, peaks in PEAKS.items() if card in name), None)


def seconds(work: Callable[[], Any], device: str) -> float:
    """Wall-clock time of some work, to its end on the device."""
    finish: Callable[[], None] = (
        torch.cuda.synchronize if device.startswith("cuda") else lambda: None
    )
    finish()
    began = time.perf_counter()
    work()
    finish()
    return time.perf_counter() - began
