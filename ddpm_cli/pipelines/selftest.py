"""Is this installation sound? The checks of `ddpm selftest`."""

import math
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

from ddpm_cli import console, hardware
from ddpm_cli.errors import Refusal
from ddpm_cli.evaluation import oracles
from ddpm_cli.evaluation.oracles import Verdict
from ddpm_cli.files.checkpoints.checkpoint import load, save
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.files.checkpoints.header import Header
from ddpm_cli.hardware import Compute
from ddpm_cli.models import build
from ddpm_cli.models.kinds import of_classes
from ddpm_cli.models.model import Model
from ddpm_cli.models.walks import Batch
from ddpm_cli.settings import config as configuration
from ddpm_cli.settings.config import Config

INFO = DataInfo((1, 28, 28), tuple(map(str, range(10))))  # of digits


def run(config: Config, *, as_json: bool) -> None:
    """Check everything on the device of a configuration, and report each check."""
    compute = hardware.compute(**config["compute"])
    dtype = str(compute.dtype).removeprefix("torch.")
    console.say(f"device {compute.device}, networks in {dtype}")
    failed = []
    for name, summary, verdict in _verdicts(compute):
        if not verdict.holds:
            failed.append(name)
        if as_json:
            measured = verdict.measured if math.isfinite(verdict.measured) else None
            values = {**verdict._asdict(), "measured": measured}
            console.json_line({"check": name, "holds": verdict.holds, **values})
            continue
        word = "ok    " if verdict.holds else "FAILED"
        figures = f"{verdict.measured:.6g}, exact {verdict.exact:.6g} +- {verdict.tolerance:g}"
        console.result(f"{word}  {name}: {figures}\n        {summary}")
    if failed:
        raise Refusal(
            f"selftest: {', '.join(failed)} failed", "reinstall torch, or try --device cpu"
        )


def _verdicts(compute: Compute) -> Iterator[tuple[str, str, Verdict]]:
    """Every check: its name, what it measures, and how it came out."""
    for oracle in oracles.ORACLES:
        summary = (oracle.__doc__ or "").split("\n")[0]
        yield oracle.__name__, summary, oracle(compute.device, compute.dtype)
    for check in (_batch_independence, _checkpoint):
        yield check.__name__[1:], (check.__doc__ or "").split("\n")[0], check(compute)


def _config() -> configuration.Config:
    """A network small enough to run anywhere."""
    network = {"name": "unet", "width": 16, "blocks": 1, "patch": 2, "classes": 10}
    levels = {"name": "trailing", "count": 5}
    layer = configuration.Layer("selftest", {"network": network, "levels": levels})
    return configuration.resolve([layer])


def _batch_independence(compute: Compute) -> Verdict:
    """Largest difference, in 8-bit levels, between an image alone and the same in a batch."""
    config, info = _config(), INFO
    single = compute._replace(dtype=torch.float32)  # 16-bit kernels round by batch shape
    torch.manual_seed(0)
    network = build.network(config, info)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    denoiser = build.denoiser(config, single.place(network.eval(), cast=True))
    model = Model("", Header("model", config, info, step=0), config, single, denoiser)
    alone, together = (
        [*model.draw(Batch(seeds, of_classes(seeds)), model.prepared()).states][-1]
        for seeds in ([3], list(range(8)))
    )
    pixels = [model.to_pixels(state.x.cpu()).int() for state in (alone, together)]
    return Verdict(float((pixels[0][0] - pixels[1][3]).abs().max()), 0, 1)


def _checkpoint(compute: Compute) -> Verdict:
    """Largest difference between weights and what a checkpoint gives back."""
    config, info = _config(), INFO
    weights = build.network(config, info).state_dict()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        save(path, weights, Header("model", config, info, step=0))
        _, loaded = load(path, str(compute.device))
    worst = max(float((loaded[name].cpu() - weights[name]).abs().max()) for name in weights)
    return Verdict(worst, 0, 0)
