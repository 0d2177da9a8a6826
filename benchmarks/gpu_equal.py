"""Rows a and b of gpu.py: does a GPU compute what it should, and what a CPU does?"""

import sys
from pathlib import Path
from typing import Any

import torch
from gpu_marks import Marks

import ddpm_cli
from ddpm_cli import hardware
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.evaluation.oracles import ORACLES
from ddpm_cli.files.images.pixels import to_uint8

TESTS = Path(__file__).parent.parent / "tests"
CLOSE = {torch.float64: 1e-8, torch.float32: 1e-5}  # as shares of the largest number


def exact(row: Marks) -> None:
    """(a) The oracles of `ddpm selftest`, and published networks, with TF32 off."""
    compute = hardware.compute(device=row.device, dtype="float32", tf32=False)
    oracles = ORACLES[:2] if row.smoke else ORACLES
    for dtype in (torch.float64, torch.float32):
        for oracle in oracles:
            name = f"{oracle.__name__}, {_named(dtype)}"
            with row.trying(name):
                verdict = oracle(compute.device, dtype)
                error = abs(verdict.measured - verdict.exact)
                row.note(name, error, most=verdict.tolerance)
    try:
        golden = _golden()
    except ImportError as error:
        row.skip("golden networks", f"{error}; they need tests/ of a checkout, and pytest")
        return
    for key in golden.COVERED[: 1 if row.smoke else None]:
        for dtype, most in CLOSE.items():
            name = f"golden {key}, {_named(dtype)}"
            with row.trying(name):
                row.note(name, _golden_error(golden, key, dtype, compute.device), most=most)


def _golden() -> Any:
    sys.path.insert(0, str(TESTS))
    from golden import test_networks

    return test_networks


@torch.no_grad()
def _golden_error(golden: Any, key: str, dtype: torch.dtype, device: torch.device) -> float:
    """The largest difference from a published network's output, by its largest number."""
    case, network = golden.GOLDEN[key], golden.published(key).to(device, dtype)
    given = {"classes": case.inputs["y"].to(device)} if "y" in case.inputs else {}
    if "low_res" in case.inputs:
        image = torch.nn.functional.interpolate(case.inputs["low_res"], (8, 8), mode="bilinear")
        given["image"] = image.to(device)
    x, label = case.inputs["x"].to(device, dtype), case.inputs["timesteps"].to(device, dtype)
    right = case.outputs[f"out_{_named(dtype)}"].double()
    return float(
        (network(x, label, **given).cpu().double() - right).abs().max() / right.abs().max()
    )


def _named(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def seeds(row: Marks) -> None:
    """(b) Digits of the bundled model on the device and on the CPU, float32, batch 1, 7 and 64."""
    count, batches, levels = (4, (1, 3), 3) if row.smoke else (64, (1, 7, 64), 50)
    here = hardware.compute(device=row.device, dtype="float32", tf32=False).device
    like = torch.empty(count, 1, 28, 28)
    seen = range(count)
    differ = (Rng(seen).uniform(784, here).cpu() != Rng(seen).uniform(784)).sum()
    row.note("uniform numbers that differ", int(differ), most=0)
    normal = Rng(seen).normal(like)
    step = torch.nextafter(normal.abs(), torch.tensor(torch.inf)) - normal.abs()
    apart = (Rng(seen).normal(like.to(here)).cpu() - normal).abs() / step
    row.note("noise, largest difference", float(apart.max()), "of the last place", most=1.0)
    settings = {"compute.tf32": False, "levels.count": levels}
    cpu = ddpm_cli.load("mnist", device="cpu", dtype="float32", settings=settings)
    right = to_uint8(cpu.sample(range(count))).int()
    model = ddpm_cli.load("mnist", device=row.device, dtype="float32", settings=settings)
    for batch in batches:
        name = f"digits, batch {batch}"
        with row.trying(name):
            drawn = to_uint8(model.sample(range(count), batch=batch)).int()
            worst, differ = (drawn - right).abs().max(), (drawn != right).double().mean()
            row.note(name, float(worst), "of 255 levels", most=1.0, differ=float(differ))
