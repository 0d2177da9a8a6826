"""Real processes, really killed: the exit code, what is on the disk, and the exact resume."""

import os
import signal
import subprocess
import sys
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import processes
import pytest
import runs
from processes import PATIENCE, started, wait_for
from runs import SETTINGS, assert_same, result, signal_after, train

from ddpm_cli.files.checkpoints import checkpoint
from ddpm_cli.files.checkpoints.header import read_header
from ddpm_cli.files.images.pixels import open_image


def training(
    data: Path, folder: Path, *words: object, group: bool = False
) -> AbstractContextManager[Any]:
    place = ("--set", f"data.path={data}", "-o", folder)
    return processes.ddpm("train", *SETTINGS, *place, *words, group=group)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_one_signal_saves(number: signal.Signals, code: int, data: Path, tmp_path: Path) -> None:
    with signal_after(3, number):
        outcome = train(data, tmp_path / "run")
    assert outcome.code == code
    assert outcome.out == f"{tmp_path / 'run' / 'model.safetensors'}\n"
    assert result(tmp_path / "run").step == 4


def test_a_second_signal_ends_at_once(data: Path, tmp_path: Path) -> None:
    with signal_after(6, signal.SIGTERM, times=2):
        outcome = train(data, tmp_path / "run")
    assert outcome.code == 143
    assert outcome.out == ""
    assert result(tmp_path / "run").step == 4  # the last periodic checkpoint
    assert not list((tmp_path / "run").glob(".*"))


def strike(process: subprocess.Popen[str], number: int) -> tuple[str, str]:
    """Signal a process and all its children at once, as schedulers do; none may be left."""
    os.killpg(process.pid, number)
    spoken = process.communicate(timeout=PATIENCE)
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
    return spoken


WORKERS = ("--set", "train.workers=2", "--set", "train.sheet_every=5")
MOMENTS = [  # the file that must be there, and seconds after that
    ("run/metrics.jsonl", 0.0),
    *(
        pytest.param(*moment, marks=pytest.mark.slow)
        for moment in (
            ("", 0.8), ("", 2.0), ("run/run.lock", 0.0), ("run/config.toml", 0.0),
            ("run/config.toml", 0.1), ("run/config.toml", 0.3), ("run/state.safetensors", 0.0),
            ("run/state.previous.safetensors", 0.01), ("run/samples", 0.0),
        )
    ),
]  # fmt: skip


@pytest.mark.parametrize(("file", "delay"), MOMENTS)
def test_a_signal_to_the_whole_group_saves(
    file: str, delay: float, data: Path, tmp_path: Path
) -> None:
    with training(data, tmp_path / "run", *WORKERS, "--steps", 10**6, group=True) as process:
        wait_for(tmp_path / file, process)
        time.sleep(delay)
        out, err = strike(process, signal.SIGTERM)
    assert process.returncode == 143, err
    assert "Traceback" not in err
    assert "Error" not in err
    if (newest := tmp_path / "run" / "state.safetensors").exists():
        assert f"saved at step {read_header(newest).step} of 1000000" in err
        assert out == f"{tmp_path / 'run' / 'model.safetensors'}\n"
    else:
        assert "stopped before the first step" in err


@pytest.mark.slow
@pytest.mark.parametrize("delay", [0.3, 0.8, 1.5, 2.5])
def test_a_signal_during_start_up(delay: float, data: Path, tmp_path: Path) -> None:
    with training(data, tmp_path / "run", "--steps", 10**6) as process:
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode in (130, -signal.SIGINT), err
    assert "Traceback" not in err or process.returncode < 0
    for path in (tmp_path / "run").glob("*.safetensors"):
        checkpoint.load(path)


@pytest.mark.slow
def test_kill_at_random_moments(data: Path, finished: Path, tmp_path: Path) -> None:
    newest = tmp_path / "run" / "state.safetensors"
    for delay in (0, 0.003, 0.01, 0.02, 0.03, 0.005):  # seconds after the first save
        before = newest.stat().st_mtime_ns if newest.exists() else 0
        with training(data, tmp_path / "run", "--set", "train.save_every=1") as process:
            wait_for(newest, process, before)
            time.sleep(delay)
            process.kill()
        for path in (tmp_path / "run").glob("*.safetensors"):
            checkpoint.load(path)
        if read_header(newest).step == runs.STEPS:
            break
    outcome = train(data, tmp_path / "run", "--set", "train.save_every=1")
    assert outcome.code == 0, outcome.err
    assert_same(result(tmp_path / "run"), result(finished))
    assert not list((tmp_path / "run").rglob(".*"))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_signal_while_a_process_samples(
    number: signal.Signals, finished: Path, tmp_path: Path
) -> None:
    words = ["-m", finished, "-n", 10**5, "--batch", 4, "-o", tmp_path / "out/"]
    with processes.ddpm("sample", *words) as process:
        wait_for(tmp_path / "out" / "000009.png", process)
        process.send_signal(number)
        out, err = process.communicate(timeout=PATIENCE)
    killed = number == signal.SIGKILL
    assert process.returncode == (-number if killed else 128 + number), err
    made = sorted((tmp_path / "out").glob("*.png"))
    for path in made:
        open_image(path)
    if not killed:
        assert [str(path) for path in made] == out.splitlines()
        assert not list((tmp_path / "out").glob(".*"))
    more = ["sample", "-m", finished, "-n", len(made) + 2, "-o", tmp_path / "out/"]
    assert runs.ddpm(*more, "--skip-existing").code == 0
    assert len(list((tmp_path / "out").glob("*.png"))) == len(made) + 2


@pytest.mark.parametrize("wait", [0.15, 0.3])
def test_a_signal_during_the_imports_is_heard(wait: float, tmp_path: Path) -> None:
    words = [
        sys.executable,
        "-m",
        "ddpm_cli",
        "sample",
        "-n",
        "1",
        "--steps",
        "500",
        "-o",
        "x.png",
    ]
    with started(words, cwd=tmp_path, stderr=subprocess.PIPE) as process:
        time.sleep(wait)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE)
    # The interpreter itself may not have come to our first line yet.
    assert process.returncode in (130, -signal.SIGINT)
    assert "ddpm_cli/" not in err
    assert list(tmp_path.iterdir()) == []
