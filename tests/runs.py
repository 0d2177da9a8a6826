"""Tiny data sets, trainings of a second, and commands run within this process."""

import contextlib
import io
import json
import os
import re
import shlex
import signal
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from ddpm_cli import cli, signals
from ddpm_cli.files.checkpoints import checkpoint
from ddpm_cli.pipelines.journal import Journal
from ddpm_cli.training.state import State

PLAIN = ("--dtype", "float32", "--device", "cpu")
NETWORK = (
    'network={name="unet", width=8, multipliers=[1, 2], blocks=1, attention=[], patch=2, '
    'classes=10, norm="pixel", dropout=0.1}'
)
SMALL = 'network={name="mlp", width=8, depth=1, classes=10, dropout=0.1}'
STEPS = 12
OPERATIONS = ("open", "fsync", "replace", "link", "unlink", "mkdir")  # on files
CLOCK = {"images_per_second", "time", "seconds", "memory"}  # what depends on the machine
SETTINGS = (
    "--preset", "tiny", "--set", NETWORK, "--steps", STEPS, "--batch", 8,
    "--dtype", "float32", "--device", "cpu", "--set", "levels.count=4",
    "--set", "train.log_every=5", "--set", "train.save_every=4", "--set", "train.warmup=2",
    "--set", "train.flip=true", "--set", "train.drop_class=0.3",
)  # fmt: skip

TOY = (
    *PLAIN, "--steps", 20, "--batch", 16, "--set", "data.count=200", "--set", "levels.count=5",
    "--set", "train.save_every=5", "--set", "train.log_every=5", "--set", "train.measure_every=10",
)  # fmt: skip
CLASSIFIER = (
    "--set", """network={name="classifier", width=8, multipliers=[1, 2], attention=[], patch=2,
    classes=10, norm="pixel", dropout=0.1}""".replace("\n", " "),
    "--set", "loss.name=cross-entropy", "--set", "train.drop_class=0",
    "--set", "train.flip=false", "--set", "train.crop=1",
)  # fmt: skip

GAME = (
    "--preset", "mnist-ddgan", *PLAIN, "--set", NETWORK.replace("}", ', inject="adaptive"}'),
    "--set", "network.dropout=0", "--set", "latent.size=3", "--set", "critic.width=8",
    "--set", "critic.multipliers=[1, 1]", "--set", "loss.every=2", "--steps", 6, "--batch", 8,
    "--set", "train.save_every=2", "--set", "train.log_every=3", "--set", "train.sheet_count=4",
    "--set", "train.lr=5e-3", "--set", "train.warmup=0",
)  # fmt: skip


class Outcome(NamedTuple):
    """How a command ended and what it wrote."""

    code: int
    binary: bytes
    err: str

    @property
    def out(self) -> str:
        return self.binary.decode()


def ddpm(*words: object) -> Outcome:
    """Run `ddpm WORDS` in this process, as the shell would."""
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.TextIOWrapper(io.BytesIO(), "utf-8")
    before = {number: signal.getsignal(number) for number in signals.HANDLED}
    threads = torch.get_num_threads()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = cli.main([str(word) for word in words])
            out.flush()
            err.flush()
    finally:
        torch.set_num_threads(threads)
        signals._received.clear()
        for number, handler in before.items():
            signal.signal(number, handler)
    return Outcome(code, out.buffer.getvalue(), err.buffer.getvalue().decode())


def replayed(path: object) -> list[str]:
    """The words behind `ddpm` that make a file again in its place, as `ddpm info` tells them."""
    told = ddpm("info", path, "--command")
    assert told.code == 0, told.err
    hint = re.search(
        r"^add (.+?)(, before --,)? to write it in its place:$", told.err, re.MULTILINE
    )
    assert hint, told.err
    _, verb, *rest = shlex.split(told.out)
    return [verb, *shlex.split(hint[1]), *rest]


def done(*words: object) -> Outcome:
    """Run a command that shall succeed."""
    outcome = ddpm(*words)
    assert outcome.code == 0, outcome.err
    return outcome


def apart(first: Tensor, second: Tensor) -> int:
    """The largest difference of two pixels, in levels of 255."""
    return int((first.int() - second.int()).abs().max())


def train(data: Path, folder: Path, *words: object, network: str = NETWORK) -> Outcome:
    """Train the tiny network on a data set of `digits`."""
    settings = (network if word is NETWORK else word for word in SETTINGS)
    return ddpm("train", *settings, "--set", f"data.path={data}", "-o", folder, *words)


def train_small(data: Path, folder: Path, *words: object) -> Outcome:
    """Train what is smaller still, where a test asks nothing of the network."""
    return train(data, folder, *words, network=SMALL)


def train_toy(preset: str, folder: Path, *words: object) -> Outcome:
    """Train the preset of a toy for a moment."""
    return done("train", "--preset", preset, *TOY, "-o", folder, *words)


def train_table(folder: Path) -> Outcome:
    """Train on a table of 200 people for a moment: integers, numbers, words and a class."""
    generator = torch.Generator().manual_seed(0)
    ages = torch.randint(20, 80, (200,), generator=generator).tolist()
    lines = [
        f"{age},{150 + age / 4:.1f},{('red', 'green', 'blue')[age % 3]},{'ns'[age > 50]}\n"
        for age in ages
    ]
    folder.parent.mkdir(parents=True, exist_ok=True)
    path = folder.with_name("people.csv")
    path.write_text("age,height [cm],kind,site\n" + "".join(lines))
    return done(
        "train", *PLAIN, "--set", "data.name=array", "--set", f"data.path={path}",
        "--set", "data.label=site", "--set", "network.name=mlp", "--set", "network.width=16",
        "--set", "network.classes=2", "--set", "wrappers=[]", "--steps", 20, "--batch", 16,
        "--set", "levels.count=4", "--set", "train.warmup=2", "--set", "train.drop_class=0.2",
        "-o", folder,
    )  # fmt: skip


def sample(model: Path, *words: object) -> Outcome:
    """Sample from a model in float32."""
    return done("sample", "-m", model, "--dtype", "float32", *words)


def digits(folder: Path) -> Path:
    """Write IDX files of 48 + 16 images 8x8 in four classes: a bright quarter each."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(0)
    for part, count in (("train", 48), ("t10k", 16)):
        labels = torch.arange(count) % 4
        images = torch.zeros(count, 8, 8)
        for image, label in zip(images, labels, strict=True):
            top, left = int(label) // 2 * 4, int(label) % 2 * 4
            quarter = torch.randint(150, 256, (4, 4), generator=generator)
            image[top : top + 4, left : left + 4] = quarter
        write_idx(folder / f"{part}-images-idx3-ubyte", images)
        write_idx(folder / f"{part}-labels-idx1-ubyte", labels)
    return folder


def bars(folder: Path) -> Path:
    """Digits of 28x28 pixels, as the features of digits see them: a bright bar each."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(0)
    for part, count in (("train", 48), ("t10k", 100)):
        labels, images = torch.arange(count) % 10, torch.zeros(count, 28, 28)
        for image, label in zip(images, labels.tolist(), strict=True):
            bar = torch.randint(100, 256, (4, 20), generator=generator)
            image[2 + 2 * label : 6 + 2 * label, 4:24] = bar
        write_idx(folder / f"{part}-images-idx3-ubyte", images)
        write_idx(folder / f"{part}-labels-idx1-ubyte", labels)
    return folder


def write_idx(path: Path, values: Tensor) -> None:
    """Write an IDX file of bytes."""
    head = struct.pack(f">HBB{values.dim()}I", 0, 8, values.dim(), *values.shape)
    path.write_bytes(head + values.to(torch.uint8).numpy().tobytes())


class Result(NamedTuple):
    """All of a run that must not depend on how often it was interrupted."""

    step: int
    state: dict[str, Tensor]
    model: dict[str, Tensor]
    losses: list[dict[str, Any]]


def result(folder: Path) -> Result:
    """Read what a run left behind."""
    header, state = checkpoint.load(folder / "state.safetensors")
    model_header, model = checkpoint.load(folder / "model.safetensors")
    assert (header.kind, model_header.kind) == ("state", "model")
    assert header.step == model_header.step
    return Result(header.step, state, model, metrics(folder))


def metrics(folder: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl without the clock."""
    path = folder / "metrics.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [{k: v for k, v in line.items() if k not in CLOCK} for line in lines]


def assert_same(found: Result, expected: Result) -> None:
    """Two runs ended in the same bits and logged the same numbers, each step once."""
    assert found.step == expected.step
    assert found.losses == expected.losses
    for mine, theirs in ((found.state, expected.state), (found.model, expected.model)):
        assert mine.keys() == theirs.keys()
        assert [name for name in mine if not torch.equal(mine[name], theirs[name])] == []


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, but for the lock."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "run.lock"
    }


class Quiet:
    """The journal of a run that keeps nothing but its metrics."""

    def __init__(self) -> None:
        self.lines: list[dict[str, float]] = []

    def log(self, values: dict[str, float]) -> None:
        self.lines.append(values)

    def save(self, state: State) -> None: ...

    def snapshot(self, state: State) -> None: ...

    def sheet(self, state: State) -> None: ...

    def evaluate(self, state: State) -> None: ...

    def advance(self, note: str) -> None: ...

    def stopping(self, overdue: bool) -> bool:
        return overdue


@contextlib.contextmanager
def signal_after(steps: int, number: signal.Signals, times: int = 1) -> Iterator[None]:
    """Send this process a signal when a training has counted so many steps."""
    real, count = Journal.advance, 0

    def advance(self: Journal, note: str) -> None:
        nonlocal count
        count += 1
        real(self, note)
        if count == steps:
            for _ in range(times):
                os.kill(os.getpid(), number)
                time.sleep(2 * signals.ECHO if times > 1 else 0)

    Journal.advance = advance  # type: ignore[method-assign]
    try:
        yield
    finally:
        Journal.advance = real  # type: ignore[method-assign]


@contextlib.contextmanager
def watched(folder: Path) -> Iterator[list[dict[str, bytes]]]:
    """Collect what is on the disk before each file operation: what a kill there would leave."""
    found: list[dict[str, bytes]] = []

    def wrap(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            if folder.exists() and (files := contents(folder)) not in found:
                found.append(files)
            return real(*args, **options)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in OPERATIONS:
            patch.setattr(os, name, wrap(getattr(os, name)))
        yield found


def flip_bit(path: Path, position: int) -> None:
    """Damage one bit of a file; negative positions count from its end."""
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)
