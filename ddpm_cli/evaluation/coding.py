"""The variational bound taken apart: its terms, and what progressive coding makes of them."""

from typing import Any

import torch
from torch import Tensor

from ddpm_cli.diffusion.schedules import Schedule


class Curve:
    """Sums over images of each term of the bound, the prior's first, and of the squared error."""

    def __init__(self, levels: Tensor) -> None:
        """Take the levels [L + 1] of a walk down to 0."""
        self.levels, self.count = levels, 0
        self._bits = torch.zeros(2, len(levels), dtype=torch.float64)
        self._error = torch.zeros(len(levels) - 1, dtype=torch.float64)

    def add(self, bits: Tensor, error: Tensor) -> None:
        """Count the terms [L + 1, B] and errors [L, B] of a batch of images."""
        self.count += bits.shape[1]
        self._bits += torch.stack([bits.sum(1), bits.square().sum(1)])
        self._error += error.sum(1)

    def terms(self, schedule: Schedule) -> list[dict[str, Any]]:
        """A row for each term: L_T, then from the noisiest step on, L_0 at last.

        mse_x0 and mse_eps: the squared error of the predicted image, and of its noise.
        """
        mean, square = self._bits / self.count
        spread = (square - mean**2).clamp(min=0) / max(self.count - 1, 1)
        error = (self._error / self.count).tolist()
        times = _times(schedule, self.levels[:-1])
        names = ["L_T", *["L_t-1"] * (len(times) - 1), "L_0"]
        rows = []
        for number, name in enumerate(names):
            at = max(number - 1, 0)  # the prior's term has the first level, and no prediction
            sigma, squared = float(self.levels[at]), error[at] if number else None
            rows.append(
                {
                    "term": name,
                    "t": times[at],
                    "sigma": sigma,
                    "bits": float(mean[number]),
                    "bits_error": float(spread[number].sqrt()) if self.count > 1 else None,
                    "mse_x0": squared,
                    "mse_eps": None if squared is None else squared / sigma**2,
                }
            )
        return rows

    def rates(self, schedule: Schedule) -> list[dict[str, Any]]:
        """Progressive coding (Ho 2020, section 4.3): bits received by t, and how wrong x0 is.

        distortion: root mean squared error of the predicted x0, of 0..255; 0 once all is there.
        """
        rate = (self._bits[0] / self.count).cumsum(0).tolist()
        distortion = (127.5 * (self._error / self.count).sqrt()).tolist()
        rows = zip([*_times(schedule, self.levels[:-1]), 0], [*self.levels.tolist()], strict=True)
        return [
            {"t": t, "sigma": sigma, "rate": bits, "distortion": wrong}
            for (t, sigma), bits, wrong in zip(rows, rate, [*distortion, 0.0], strict=True)
        ]


def _times(schedule: Schedule, levels: Tensor) -> list[float]:
    """The papers' 1..T of a discrete process, times in [0, 1] of a continuous one."""
    with torch.no_grad():
        times = (schedule.time(levels) * (schedule.steps or 1)).tolist()
    return [round(time, 9) for time in times]
