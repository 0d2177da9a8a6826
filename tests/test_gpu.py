"""What must never break on a GPU: `pytest -m gpu`, on a machine that has one.

DDPM_TEST_DEVICE=cpu rehearses it where there is none.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from golden.test_networks import COVERED, GOLDEN, published
from runs import ddpm
from safetensors.torch import load_file

import ddpm_cli
from ddpm_cli import hardware
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.evaluation.oracles import ORACLES, Oracle
from ddpm_cli.files.images.pixels import to_uint8
from ddpm_cli.networks.perceptrons import mlp

pytestmark = pytest.mark.gpu
DEVICE = os.environ.get("DDPM_TEST_DEVICE", "cuda")
EXACT = {"compute.tf32": False, "levels.count": 8}


@pytest.fixture(autouse=True)
def _gpu() -> None:
    if DEVICE == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device is here")


@pytest.fixture
def device() -> torch.device:
    """The device, with TF32 off."""
    return hardware.compute(device=DEVICE, dtype="float32", tf32=False).device


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("oracle", ORACLES, ids=[oracle.__name__ for oracle in ORACLES])
def test_closed_forms(oracle: Oracle, dtype: torch.dtype, device: torch.device) -> None:
    assert oracle(device, dtype).holds


@pytest.mark.parametrize("key", [key for key in COVERED if key != "guided_superres"])
@pytest.mark.parametrize(("dtype", "most"), [(torch.float64, 1e-8), (torch.float32, 1e-5)])
def test_published_networks(
    key: str, dtype: torch.dtype, most: float, device: torch.device
) -> None:
    case, network = GOLDEN[key], published(key).to(device, dtype)
    given = {"classes": case.inputs["y"].to(device)} if "y" in case.inputs else {}
    x, label = case.inputs["x"].to(device, dtype), case.inputs["timesteps"].to(device, dtype)
    with torch.no_grad():
        got = network(x, label, **given).cpu().double()
    right = case.outputs[str(dtype).replace("torch.", "out_")].double()
    assert float((got - right).abs().max() / right.abs().max()) <= most


def test_seeds_draw_what_they_draw_on_a_cpu(device: torch.device) -> None:
    like = torch.empty(8, 1, 28, 28)
    seen, normal = range(8), Rng(range(8)).normal(like)
    assert torch.equal(Rng(seen).uniform(9, device).cpu(), Rng(seen).uniform(9))
    step = torch.nextafter(normal.abs(), torch.tensor(torch.inf)) - normal.abs()
    assert bool(((Rng(seen).normal(like.to(device)).cpu() - normal).abs() <= step).all())
    one, other = (
        ddpm_cli.load("mnist", device=name, dtype="float32", settings=EXACT)
        for name in ("cpu", DEVICE)
    )
    right = to_uint8(one.sample(range(8))).int()
    for batch in (1, 3, 8):
        drawn = to_uint8(other.sample(range(8), batch=batch)).int()
        assert int((drawn - right).abs().max()) <= 1


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_16_bit_weights_draw_the_same_digits(dtype: str) -> None:
    one, other = (
        ddpm_cli.load("mnist", device=DEVICE, dtype=name, settings=EXACT)
        for name in ("float32", dtype)
    )
    apart = one.sample(range(8)) - other.sample(range(8))
    assert float(apart.square().mean().sqrt()) < 0.1


def test_compiled_blocks_compute_the_same(device: torch.device) -> None:
    torch._dynamo.reset()
    network = mlp((2,), depth=3, width=32).to(device).requires_grad_(False)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    x, label = torch.randn(4, 2, device=device), torch.rand(4, device=device)
    eager = network(x, label)
    compute = hardware.compute(device=DEVICE, dtype="float32", compile=True, tf32=False)
    assert float((compute.run(network)(x, label) - eager).abs().max()) < 1e-5


def test_a_killed_run_goes_on_bit_for_bit(tmp_path: Path) -> None:
    network = 'network={name="unet", width=32, multipliers=[1, 2], blocks=1, attention=[7]}'
    words = [
        "train", "--preset", "tiny", "--device", DEVICE, "--steps", "12", "--batch", "16", "-q",
        "--set", network, "--set", "compute.deterministic=true", "--set", "train.save_every=4",
        "--set", "levels.count=2",
    ]  # fmt: skip
    program = [sys.executable, "-m", "ddpm_cli", *words]
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    subprocess.run([*program, "-o", str(straight)], check=True)
    with subprocess.Popen([*program, "-o", str(killed)]) as child:
        end = time.monotonic() + 120
        while not (killed / "state.safetensors").exists() and time.monotonic() < end:
            time.sleep(0.005)
        child.send_signal(signal.SIGKILL)
    subprocess.run([*program, "-o", str(killed)], check=True)
    one, other = (load_file(folder / "state.safetensors") for folder in (straight, killed))
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


def test_want_of_memory_is_one_line(tmp_path: Path) -> None:
    if DEVICE != "cuda":
        pytest.skip("this takes the memory of a GPU")
    torch.cuda.set_per_process_memory_fraction(1e-4)
    try:
        outcome = ddpm("sample", "-m", "mnist", "-n", 512, "--batch", 512, "--device", DEVICE,
                       "-o", tmp_path / "a.npz")  # fmt: skip
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert outcome.code == 1
    assert "out of memory" in outcome.err
    assert "Traceback" not in outcome.err
