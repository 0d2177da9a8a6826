"""When a line of metrics was written, after how much training, and with how much memory."""

import sys
import time

import torch


class Clock:
    """Runs from when it is made; before: the seconds that a run was trained earlier."""

    def __init__(self, device: torch.device, before: float = 0.0) -> None:
        self._device, self._began = device, time.monotonic() - before

    def read(self) -> dict[str, float]:
        """Seconds since 1970 (UTC), seconds of training so far, bytes of memory at the peak."""
        passed = time.monotonic() - self._began
        values = {"time": round(time.time(), 3), "seconds": round(passed, 3)}
        peak = peak_memory(self._device)
        return values if peak is None else values | {"memory": peak}


def peak_memory(device: torch.device) -> int | None:
    """The most bytes that this process had at a time, on CUDA those of tensors there.

    None where the system does not tell.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
