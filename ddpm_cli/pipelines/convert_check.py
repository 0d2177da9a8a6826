"""The forward check of a converted model: does it run, and does it take out noise?"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ddpm_cli import console, hardware
from ddpm_cli.diffusion.classifier import Classifier
from ddpm_cli.errors import Refusal
from ddpm_cli.files.checkpoints.header import Header
from ddpm_cli.models import build, saved

TIMES = (0.05, 0.5, 1.0)  # of the process, from its clean end
LIKELY = 10.0  # rms of images in [-1, 1] that nothing trained predicts
ROWS = 1


def forward(header: Header, tensors: Mapping[str, Tensor], path: Path) -> dict[str, Any]:
    """Run the network at three noise levels on noise alone; return what came out.

    Numbers that are not finite are refused. Predictions far beyond any image are reported: the
    prediction, the schedule or the time scale is then most likely another.
    """
    compute = hardware.compute(device="cpu", dtype="float32")
    weights = {name: value.clone() for name, value in tensors.items()}
    model = build.trained(header.config, saved.outline(header, weights, path))
    model.load_weights(weights, assign=True)
    model.eval().requires_grad_(False)
    model.network = compute.place(model.network)
    z = torch.randn(
        (ROWS, *header.data.shape), generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    seen: list[dict[str, float]] = []
    for time in TIMES:
        sigma = model.schedule.sigma(torch.tensor(time, dtype=torch.float64))
        with torch.no_grad():
            out = _output(model, header, sigma * z, sigma)
        if not bool(out.isfinite().all()):
            what = f"{path}: the network gives numbers that are not finite"
            raise Refusal(what, "check the prediction, the schedule and the time scale")
        seen.append({"sigma": float(sigma), "rms": float(out.double().square().mean().sqrt())})
    told = ", ".join(f"{row['rms']:.3g} at sigma {row['sigma']:.3g}" for row in seen)
    what = "logits" if isinstance(model, Classifier) else "denoised noise"
    if not isinstance(model, Classifier) and max(row["rms"] for row in seen) > LIKELY:
        console.warn(
            f"{path}: what it makes of noise is far beyond any image; "
            "are prediction, schedule and time scale those of its training?"
        )
    return {"levels": seen, "words": f"{what} has rms {told}"}


def _output(model: Any, header: Header, x: Tensor, sigma: Tensor) -> Tensor:
    """Logits of a classifier, or the clean images that a denoiser predicts."""
    if isinstance(model, Classifier):
        logits: Tensor = model(x, sigma.expand(len(x)))
        return logits
    told = build.unsaid(header.config, header.data, len(x))
    x0: Tensor = model(x, sigma, **told).x0
    return x0
