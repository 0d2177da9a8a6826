"""Rows e, g and h of gpu.py: whole runs of the command, their ends, and what a save costs."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch
from gpu_marks import Marks, seconds
from safetensors.torch import load_file
from scoring import Scorer, load
from speed import Countdown

from ddpm_cli.files.checkpoints.run import STATE, Run
from ddpm_cli.pipelines.forecast import Beside
from ddpm_cli.pipelines.journal import Journal
from ddpm_cli.pipelines.materials import (
    Materials,
    Sets,
    fresh_state,
    local_compute,
    loop_setting,
)
from ddpm_cli.settings import presets
from ddpm_cli.settings.config import Layer, resolve
from ddpm_cli.training.distributed import Group
from ddpm_cli.training.loop import train

PROGRAM = [sys.executable, "-m", "ddpm_cli"]
WAIT = 100.0  # seconds for the first state of a run


def whole(row: Marks) -> None:
    """(e) `ddpm train --preset mnist` from nothing, and how far its digits lie from real ones."""
    folder = _fresh(row, "mnist")
    count, few = (4, _few()) if row.smoke else (2048, [])
    words = ["train", "--preset", "mnist", "-o", str(folder), "--device", row.device]
    began = time.perf_counter()
    _run([*words, *few, *_set(row.options.get("mnist"))])
    took = time.perf_counter() - began
    row.note("train --preset mnist", took, "s", most=90.0, goal=30.0, speed=True)
    drawn = folder / "drawn.npz"
    levels = ["--steps", "2"] if row.smoke else []
    words = ["sample", "-m", str(folder), "-n", str(count), "--batch", "512", "-o", str(drawn)]
    _run([*words, "--device", row.device, *levels])
    if row.smoke:
        row.skip("distance", "too few digits for one")
        return
    distance = Scorer()(*load(drawn))["frechet"]
    row.note("distance", distance, f"from {count} digits", most=7.0, speed=True)


def resumed(row: Marks) -> None:
    """(g) A run that was killed and goes on equals one that was not; what a save costs."""
    words = ["train", "--preset", "mnist", "--device", row.device, "--batch", "32"]
    steps, every = (4, 2) if row.smoke else (60, 20)
    table = f"train={{save_every={every}, sheet_count=0, warmup=0}}"
    words += _sets("compute.deterministic=true", table)
    words += [*_set(row.options.get("mnist")), *(_few()[2:] if row.smoke else [])]
    words += ["--steps", str(steps)]
    with row.trying("kill -9 and resume"):
        straight, killed = _fresh(row, "straight"), _fresh(row, "killed")
        _run([*words, "-o", str(straight)])
        _kill([*words, "-o", str(killed)], killed / STATE)
        _run([*words, "-o", str(killed)])
        one, other = (load_file(folder / STATE) for folder in (straight, killed))
        differ = [k for k in one if not torch.equal(one[k], other[k])]
        row.note("kill -9 and resume", len(differ), "tensors that differ", most=0, of=len(one))
    with row.trying("time blocked by a save"):
        times = _saves(row)
        marks = {"most": 0.05, "speed": True, "each": times}
        row.note("time blocked by a save", max(times[1:]), "s", **marks)


def _saves(row: Marks) -> list[float]:
    """Seconds for which saves of a run of cifar10's network (TINY in small) block the loop."""
    layers = presets.layers("tiny" if row.smoke else "cifar10")
    settings = {"compute": {"device": row.device}, "data": {"name": "mnist"}}
    config = resolve([*layers, Layer("gpu.py", settings)])
    place = Group(0, 1, 0)
    materials = Materials.of(config, local_compute(config, place), place, Sets.of(config))
    state, times = fresh_state(materials), []
    setting = loop_setting(materials, state)
    with Run(_fresh(row, "saves")) as folder:
        beside = Beside.of(materials, state)
        journal = Journal(folder, materials, beside, as_json=False, done=0)
        for _ in range(3 if row.smoke else 5):
            train(setting, state, Countdown(1 if row.smoke else 20), **config["train"])
            times.append(seconds(lambda: journal.save(state), row.device))
    return times


def emoji(row: Marks) -> None:
    """(h) Ten minutes on pictures of 64x64; the last sheet is kept to be looked at."""
    archive = row.options.get("emoji")
    if not archive:
        row.skip("emoji", "give --emoji FILE.zip of pictures of 64x64 pixels")
        return
    folder, minutes = _fresh(row, "emoji"), "0.05" if row.smoke else "10"
    words = ["train", "--config", str(Path(__file__).with_name("emoji64.toml")), "-o", str(folder)]
    words += ["--set", f"data.path={archive}", "--device", row.device, "--minutes", minutes]
    _run([*words, *(_few() if row.smoke else [])])
    sheet = row.folder / "emoji.png"
    few = ["-n", "4", "--steps", "2"] if row.smoke else ["-n", "64"]
    _run(["sample", "-m", str(folder), *few, "-o", str(sheet), "--force", "--device", row.device])
    row.note("emoji", sheet.stat().st_size, f"bytes of {sheet.name}: look at it")


def _sets(*items: str) -> list[str]:
    return [word for item in items for word in ("--set", item)]


def _few() -> list[str]:
    """The options of a run in small."""
    network = 'network={name="unet", width=8, multipliers=[1, 2], blocks=1, attention=[], patch=2}'
    table = "train={warmup=0, measure_every=100000, sheet_count=0}"
    return ["--steps", "2", "--batch", "4", *_sets(network, table, "levels.count=2")]


def _set(path: str | None) -> list[str]:
    return ["--set", f"data.path={path}"] if path else []


def _fresh(row: Marks, name: str) -> Path:
    folder = row.folder / name
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def _run(words: list[str]) -> None:
    """A ddpm command, which may talk on stderr only; what it said last is why it failed."""
    done = subprocess.run(
        [*PROGRAM, *words, "-q"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    if done.returncode:
        said = " ".join(done.stderr.strip().splitlines()[-2:])
        raise RuntimeError(f"ddpm {words[0]} ended with {done.returncode}: {said}")


def _kill(words: list[str], state: Path) -> None:
    """Run a command until it has written a state, and kill it without a word."""
    child = subprocess.Popen([*PROGRAM, *words, "-q"], stdout=subprocess.DEVNULL)
    end = time.monotonic() + WAIT
    while not state.exists() and child.poll() is None and time.monotonic() < end:
        time.sleep(0.005)
    if child.poll() is None:
        os.kill(child.pid, signal.SIGKILL)
    child.wait()
