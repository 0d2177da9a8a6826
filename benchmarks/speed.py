"""Training and sampling speed of the U-Net, beside diffusers' UNet2DModel where it is installed.

All contenders run in one process and take turns, round by round, so that a noisy machine slows
all of them; the figures are medians over the rounds.
"""

import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import click
import torch
import torch.nn.functional as F
from command_line import show
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ddpm_cli import hardware
from ddpm_cli.models import build
from ddpm_cli.pipelines.materials import Materials, Sets, fresh_state, loop_setting
from ddpm_cli.settings import presets
from ddpm_cli.settings.config import Config, Layer, resolve
from ddpm_cli.training.distributed import Group
from ddpm_cli.training.loop import train
from ddpm_cli.training.state import State

try:
    import diffusers
except ImportError:
    diffusers = None

SHAPE = (1, 28, 28)
WIDTHS = (64, 128, 128)  # 6.5 M parameters in both libraries
ATTENTION = 1  # the level with attention, besides the middle: 14x14 pixels
HEAD_WIDTH = 8
STEPS, CALLS = 3, 5  # training steps and network calls of a turn
GOALS = {"ours": (3.0, 3.5), "mnist preset": (10.0, 15.0)}


class Contender(NamedTuple):
    """A network with a way to train it for some steps and to call it as a sampler does."""

    name: str
    remark: str
    network: nn.Module
    train: Callable[[int], None]
    call: Callable[[], None]


def theirs(device: torch.device, batch: int) -> Contender:
    """diffusers' U-Net, built and trained as its unconditional example does: float32, AdamW.

    The images are ready in memory and there is no moving average, which the example leaves off.
    """
    plain, attended = ("DownBlock2D", "UpBlock2D"), ("AttnDownBlock2D", "AttnUpBlock2D")
    down, up = zip(*(attended if i == ATTENTION else plain for i in range(3)), strict=True)
    network = diffusers.UNet2DModel(
        sample_size=SHAPE[1:],
        in_channels=SHAPE[0],
        out_channels=SHAPE[0],
        layers_per_block=2,
        block_out_channels=WIDTHS,
        attention_head_dim=HEAD_WIDTH,
        down_block_types=down,
        up_block_types=up[::-1],
    ).to(device)
    process = diffusers.DDPMScheduler(num_train_timesteps=1000, beta_schedule="linear")
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=1e-4, betas=(0.95, 0.999), weight_decay=1e-6, eps=1e-8
    )
    images = torch.rand(batch, *SHAPE, device=device) * 2 - 1

    def steps(count: int) -> None:
        network.train()
        for _ in range(count):
            noise = torch.randn_like(images)
            times = torch.randint(0, 1000, (batch,), device=device)
            noisy = process.add_noise(images, noise, times)
            F.mse_loss(network(noisy, times).sample, noise).backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()

    @torch.no_grad()
    def call() -> None:
        network.eval()
        network(images, 500)

    return Contender("diffusers", f"{diffusers.__version__}, float32", network, steps, call)


class Countdown:
    """The journal of a run that writes nothing and stops after some steps."""

    def __init__(self, count: int) -> None:
        self._left = count

    def log(self, values: dict[str, float]) -> None:
        """Keep nothing."""

    def save(self, state: State) -> None:
        """Write nothing."""

    def sheet(self, state: State) -> None:
        """Draw nothing."""

    def advance(self, note: str) -> None:
        """Show nothing."""

    def stopping(self, overdue: bool) -> bool:
        """Whether all steps are done."""
        self._left -= 1
        return self._left <= 0


def ours(name: str, remark: str, config: Config, compute: hardware.Compute) -> Contender:
    """A network of this project, trained by the loop of `ddpm train` with all that it does."""
    materials = Materials.of(config, compute, Group(0, 1, 0), Sets.of(config))
    state = fresh_state(materials)
    setting = loop_setting(materials, state)
    network = build.network(config, materials.info).eval().requires_grad_(False)
    sampling = compute.run(compute.place(network, cast=True))
    batch, classes = config["train"]["batch"], config["network"]["classes"]
    x = torch.rand(batch, *SHAPE, dtype=compute.state_dtype, device=compute.device) * 2 - 1
    label = torch.full((batch,), 500.0, device=compute.device)
    wanted = torch.randint(0, classes, (batch,), device=compute.device) if classes else None

    def steps(count: int) -> None:
        train(setting, state, Countdown(count), **config["train"])

    @torch.no_grad()
    def call() -> None:
        sampling(x, label, wanted)

    return Contender(name, remark, state.model.network, steps, call)


def contenders(compute: hardware.Compute, batch: int) -> list[Contender]:
    """Everyone who takes part; diffusers first if it is there."""
    network = {
        "width": WIDTHS[0],
        "multipliers": [width // WIDTHS[0] for width in WIDTHS],
        "blocks": 2,
        "attention": [SHAPE[1] // 2**ATTENTION],
        "head_width": HEAD_WIDTH,
    }

    def config(*layers: Layer) -> Config:
        return resolve([*layers, Layer("benchmark", {"train": {"batch": batch, "steps": 10**6}})])

    def like(**knobs: Any) -> Config:
        return config(Layer("benchmark", {"network": network | knobs}))

    number = str(compute.dtype).removeprefix("torch.")
    preset = config(*presets.layers("mnist"))
    patch = preset["network"]["patch"]
    stem = f"{number}, fewer FLOPs: its stem folds {patch}x{patch} pixels into one"
    peers = [theirs(compute.device, batch)] if diffusers else []
    pixel = like(head_width=0, norm="pixel")
    return [
        *peers,
        ours("ours", f"{number}, same network, group norm", like(), compute),
        ours("ours, 1 head", f"{number}, with our default of 1 head", like(head_width=0), compute),
        ours("ours, pixel", f"{number}, with 1 head and norm = pixel", pixel, compute),
        ours("mnist preset", stem, preset, compute),
    ]


def gigaflops(network: nn.Module) -> float:
    """Floating-point operations of one image's forward pass, a multiply-add counted as two."""
    device = next(network.parameters()).device
    x, label = torch.zeros(1, *SHAPE, device=device), torch.zeros(1, device=device)
    plain = torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH)  # countable
    with FlopCounterMode(display=False) as counter, plain:
        network(x, label)
    return counter.get_total_flops() / 1e9


def seconds(work: Callable[[], Any], device: torch.device) -> float:
    """Wall-clock time of some work, to its end on the device."""
    finish: Callable[[], None] = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    finish()
    began = time.perf_counter()
    work()
    finish()
    return time.perf_counter() - began


def measure(rivals: list[Contender], rounds: int, batch: int, device: torch.device) -> list[Any]:
    """Images a second of each contender, medians over the rounds; one round warms up."""
    times: dict[str, tuple[list[float], list[float]]] = {r.name: ([], []) for r in rivals}
    for number in range(rounds + 1):
        for rival in rivals:
            training = seconds(lambda r=rival: r.train(STEPS), device) / STEPS
            rival.call()
            calling = seconds(lambda r=rival: [r.call() for _ in range(CALLS)], device) / CALLS
            if number:
                times[rival.name][0].append(batch / training)
                times[rival.name][1].append(batch / calling)
    rows = []
    for rival in rivals:
        training, calling = map(statistics.median, times[rival.name])
        row = {"name": rival.name, "remark": rival.remark, "train": training, "call": calling}
        row["parameters"] = sum(p.numel() for p in rival.network.parameters())
        row["gflops"] = gigaflops(rival.network)
        if diffusers:
            base = rows[0] if rows else row
            row["train_ratio"] = training / base["train"]
            row["call_ratio"] = calling / base["call"]
        rows.append(row)
    return rows


def report(rows: list[Any]) -> str:
    """The table: images a second, and ratios to diffusers with their goals."""
    ratios = f"{'ratios':>14}" if diffusers else ""
    lines = [f"{'':14}{'M params':>9}{'GFLOPs':>8}{'train/s':>10}{'call/s':>10}{ratios}"]
    for row in rows:
        line = f"{row['name']:14}{row['parameters'] / 1e6:9.2f}{row['gflops']:8.3f}"
        line += f"{row['train']:10.1f}{row['call']:10.1f}"
        if "train_ratio" in row:
            line += f"{row['train_ratio']:7.2f}{row['call_ratio']:7.2f}"
        if "train_ratio" in row and row["name"] in GOALS:
            line += "  goals {:g} and {:g};".format(*GOALS[row["name"]])
        lines.append(f"{line}  {row['remark']}")
    return "\n".join(lines)


@click.command()
@click.option("--rounds", type=click.IntRange(min=1), default=9, show_default=True)
@click.option("--batch", type=click.IntRange(min=1), default=64, show_default=True)
@click.option("--threads", type=click.IntRange(min=0), default=0, help="0: torch's choice.")
@click.option("--dtype", type=click.Choice(["auto", "float32", "bfloat16"]), default="auto")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a contender.")
def main(rounds: int, batch: int, threads: int, dtype: Any, as_json: bool) -> None:
    """Measure images a second in training (train) and in network calls of a sampler (call).

    Ratios to diffusers' UNet2DModel are printed where diffusers is installed. A CPU with AVX2
    alone: --dtype float32 with ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2.
    """
    compute = hardware.compute(threads=threads, dtype=dtype)
    torch.manual_seed(0)
    rows = measure(contenders(compute, batch), rounds, batch, compute.device)
    place = f"{compute.device.type}, {torch.get_num_threads()} threads, batch {batch}"
    heading = f"28x28x1 images, {place}, medians of {rounds} rounds"
    show(rows, lambda: f"{heading}\n{report(rows)}", as_json)


if __name__ == "__main__":
    main()
