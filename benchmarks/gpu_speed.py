"""Rows c, d and f of gpu.py: images a second in training and in sampling, on synthetic data."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from gpu_marks import Marks, peak, seconds
from speed import Countdown
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import ddpm_cli
from ddpm_cli import hardware
from ddpm_cli.data.python_sets import sets
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.files.checkpoints.header import Header
from ddpm_cli.models import build, walks
from ddpm_cli.models.model import Model
from ddpm_cli.models.walks import Batch
from ddpm_cli.networks import unets
from ddpm_cli.networks.parts import graphs
from ddpm_cli.pipelines.materials import Materials, Sets, fresh_state, loop_setting
from ddpm_cli.settings import presets
from ddpm_cli.settings.config import Config, Layer, resolve
from ddpm_cli.training.distributed import Group
from ddpm_cli.training.loop import train

try:
    import diffusers
except ImportError:
    diffusers = None

BATCHES = {"mnist": 2048, "cifar10": 512, "cifar10-edm": 256}
MARKS = {"mnist": (None, 40_000), "cifar10": (3000, 6800), "cifar10-edm": (900, 1950)}
COMPILED = 1.3  # times the speed without, at least
TWICE = 2.0  # as fast as diffusers, at least
# What each mode changes: settings of [compute], which peak it is measured by, and the layout.
PLAIN = {"graph": "off", "compile": False}
MODES: dict[str, tuple[dict[str, Any], int, bool]] = {
    "float32": (PLAIN | {"dtype": "float32", "tf32": False}, 2, True),
    "TF32": (PLAIN | {"dtype": "float32", "tf32": True}, 1, True),
    "bf16": (PLAIN | {"dtype": "bfloat16"}, 0, False),
    "bf16 channels-last": (PLAIN | {"dtype": "bfloat16"}, 0, True),
    "bf16 graph": (PLAIN | {"dtype": "bfloat16", "graph": "on"}, 0, True),
    "bf16 compile": (PLAIN | {"dtype": "bfloat16", "compile": True}, 0, True),
    "bf16 compile graph": ({"dtype": "bfloat16", "compile": True, "graph": "on"}, 0, True),
}
TINY = {"network": {"width": 16, "multipliers": [1, 2], "blocks": 1, "groups": 4}}


def training(row: Marks) -> None:
    """(c) Whole training steps of the loop of `ddpm train`, by preset and mode."""
    modes = ["float32", "bf16", "bf16 graph"] if row.smoke else list(MODES)
    for preset, (floor, goal) in MARKS.items():
        found = dict[str, float]()
        for mode in modes:
            name = f"{preset}, {mode}"
            with row.trying(name):
                figure = _trained(row, preset, mode)
                if figure is None:
                    row.skip(name, "graphs need CUDA")
                    continue
                found[mode] = figure["value"]
                row.note(name, unit="images/s", **figure)
        if found:
            best = max(found, key=lambda mode: found[mode])
            marks = {"least": floor, "goal": goal, "speed": True, "mode": best}
            row.note(f"{preset}, best", found[best], "images/s", **marks)
        if "bf16 compile" in found:
            ratio = found["bf16 compile"] / found["bf16 channels-last"]
            row.note(f"{preset}, compile", ratio, "times", least=COMPILED, speed=True)


def _config(row: Marks, preset: str, batch: int, compute: dict[str, Any]) -> Config:
    """A preset at a batch, with the settings of a mode."""
    table = {"device": row.device, **compute}
    layers = [*presets.layers(preset), Layer("gpu.py", {"compute": table})]
    layers.append(Layer("gpu.py", {"train": {"batch": batch, "steps": 10**6}}))
    return resolve([*layers, Layer("gpu.py", TINY)] if row.smoke else layers)


def _trained(row: Marks, preset: str, mode: str) -> dict[str, Any] | None:
    """Images a second of a preset in a mode, share of the peak, memory; None: cannot be."""
    compute, kind, is_last = MODES[mode]
    if compute["graph"] == "on" and not row.is_cuda:
        return None
    batch, steps = (4, 1) if row.smoke else (BATCHES[preset], 10)
    config = _config(row, preset, batch, compute)
    shape = (1, 28, 28) if preset == "mnist" else (3, 32, 32)
    place = hardware.compute(**config["compute"])
    materials = Materials.of(config, place, Group(0, 1, 0), _synthetic(config, shape, 8 * batch))
    state = fresh_state(materials)
    if not is_last:
        state.model.network.to(memory_format=torch.contiguous_format)
    dense, unets.dense = unets.dense, unets.dense if is_last else torch.Tensor.contiguous
    try:
        setting = loop_setting(materials, state)

        def work() -> None:
            train(setting, state, Countdown(steps), **config["train"])

        first = seconds(work, row.device)
        if row.is_cuda:
            torch.cuda.reset_peak_memory_stats()
        speed = batch * steps / seconds(work, row.device)
    finally:
        unets.dense = dense
    flops, best = 3 * forward_flops(config, materials.info), peak(kind)
    figure = {"value": speed, "batch": batch, "gflops": flops / 1e9, "start_s": first}
    figure["mfu"] = speed * flops / best if best else None
    figure["peak_gb"] = torch.cuda.max_memory_allocated() / 1e9 if row.is_cuda else None
    return figure


def _synthetic(config: Config, shape: tuple[int, ...], count: int) -> Sets:
    """Images of noise, with classes if the network takes some."""
    rows = torch.randint(0, 256, (count, *shape), dtype=torch.uint8)
    classes = config["network"].get("classes", 0)
    data = (rows, torch.arange(count) % classes) if classes else rows
    made = sets(data, data, classes=[str(i) for i in range(classes)] if classes else None)
    return Sets(made.train, made.test)


def forward_flops(config: Config, info: DataInfo) -> float:
    """FLOPs of the network for one image, a multiply-add counted as two."""
    with torch.device("meta"):
        network = build.network(config, info)
        x, label = torch.zeros(1, *info.shape), torch.zeros(1)
    plain = nn.attention.sdpa_kernel(nn.attention.SDPBackend.MATH)  # countable
    with FlopCounterMode(display=False) as counter, plain, torch.no_grad():
        network(x, label)
    return float(counter.get_total_flops())


def rivals(row: Marks) -> None:
    """(d) diffusers' UNet2DModel of equal widths, trained as its example does, beside ours."""
    if diffusers is None:
        row.skip("diffusers", "not installed: pip install diffusers")
        return
    batch, steps = (2, 1) if row.smoke else (128, 10)
    theirs = dict[str, float]()
    for name, is_16_bit in (("diffusers, its example", False), ("diffusers, bf16", True)):
        with row.trying(name):
            work = _theirs(row, batch, steps, is_16_bit)
            work()
            theirs[name] = batch * steps / seconds(work, row.device)
            row.note(name, theirs[name], "images/s", version=diffusers.__version__)
    with row.trying("ours"):
        old, BATCHES["cifar10"] = BATCHES["cifar10"], batch
        mode = "bf16" if row.smoke else "bf16 compile"
        ours = _trained(row, "cifar10", mode)
        BATCHES["cifar10"] = old
        assert ours is not None
        row.note(f"ours, {mode}", ours["value"], "images/s")
        for name, speed in theirs.items():
            least = TWICE if "example" in name else None
            row.note(f"ours / {name}", ours["value"] / speed, "times", least=least, speed=True)


def _theirs(row: Marks, batch: int, steps: int, is_16_bit: bool) -> Callable[[], None]:
    """Training steps of google/ddpm-cifar10-32's network, 35.7 M parameters."""
    widths, plain = (16, 32) if row.smoke else (128, 256, 256, 256), "DownBlock2D"
    down = tuple("AttnDownBlock2D" if level == 1 else plain for level in range(len(widths)))
    network = diffusers.UNet2DModel(
        sample_size=32,
        in_channels=3,
        out_channels=3,
        layers_per_block=2,
        block_out_channels=widths,
        attention_head_dim=None,
        norm_num_groups=4 if row.smoke else 32,
        down_block_types=down,
        up_block_types=tuple(name.replace("Down", "Up") for name in down[::-1]),
    ).to(row.device)
    process = diffusers.DDPMScheduler(num_train_timesteps=1000, beta_schedule="linear")
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, betas=(0.95, 0.999))
    images = torch.rand(batch, 3, 32, 32, device=row.device) * 2 - 1

    def work() -> None:
        for _ in range(steps):
            noise = torch.randn_like(images)
            times = torch.randint(0, 1000, (batch,), device=row.device)
            noisy = process.add_noise(images, noise, times)
            with torch.autocast(row.device.split(":")[0], torch.bfloat16, enabled=is_16_bit):
                loss = F.mse_loss(network(noisy, times).sample, noise)
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()

    return work


def sampling(row: Marks) -> None:
    """(f) 10,000 digits by the bundled model's 50 calls, and EDM's CIFAR-10 network at 35."""
    count, batch = (4, 2) if row.smoke else (10_000, 1000)
    settings = {"levels.count": 3} if row.smoke else {}
    formats = ("auto",) if row.smoke else ("auto", "float16")
    for dtype in formats:
        with row.trying(f"digits, {dtype}"):
            model = ddpm_cli.load("mnist", device=row.device, dtype=dtype, settings=settings)
            model.sample(range(batch), batch=batch)
            took = seconds(lambda m=model: m.sample(range(count), batch=batch), row.device)
            row.note(f"digits, {dtype}", count / took, "images/s", count=count)
    modes = ["bf16 channels-last", "bf16 graph", "bf16 compile", "bf16 compile graph"]
    found = []
    for mode in modes[:1] if not row.is_cuda or row.smoke else modes:
        with row.trying(f"cifar10-edm, {mode}"):
            found.append(_edm(row, mode))
            row.note(f"cifar10-edm, {mode}", found[-1], "images/s")
    if found:
        marks = {"least": 120.0, "goal": 270.0, "speed": True}
        row.note("cifar10-edm, best", max(found), "images/s", **marks)


def _edm(row: Marks, mode: str) -> float:
    """Images a second of the network of cifar10-edm with random weights, 35 calls of Heun."""
    config = _config(row, "cifar10-edm", 1, MODES[mode][0])
    compute, info = hardware.compute(**config["compute"]), DataInfo((3, 32, 32))
    network = build.network(config, info).eval().requires_grad_(False)
    called = graphs.called(compute.place(network, cast=True), compute)
    header = Header("model", config, info, step=0)
    model = Model("", header, config, compute, build.denoiser(config, called))
    batch = 2 if row.smoke else 256

    def work() -> None:
        walks.last(model.draw(Batch(range(batch), {}), model.prepared()).states)

    work()
    return batch / seconds(work, row.device)
