"""Two processes under torchrun train the same model as one."""

import fcntl
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import groups
import processes
import pytest
import runs
import torch
from processes import started, wait_for
from runs import CLASSIFIER, GAME, SETTINGS, result

import ddpm_cli
from ddpm_cli.training import distributed
from ddpm_cli.training.distributed import Group

pytestmark = pytest.mark.slow
ENVIRONMENT = {**processes.ENVIRONMENT, "OMP_NUM_THREADS": "1"}


def command(data: Path, folder: Path, *words: object) -> list[str]:
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    train = ["-m", "ddpm_cli", "train", *SETTINGS, "--set", "network.dropout=0.0"]
    place = ["--set", f"data.path={data}", "-o", folder]
    return [str(word) for word in (sys.executable, *launch, *train, *place, *words)]


def torchrun(words: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words, capture_output=True, text=True, env=ENVIRONMENT, timeout=300, check=False
    )


def test_two_processes_train_what_one_trains(data: Path, tmp_path: Path) -> None:
    """Sums over the batch are split in two, which moves weights by float32 rounding only.

    Adam divides by the root of the second moment, so where a gradient is rounding noise the
    step is not small: such weights may part by a share of lr * steps = 0.048.
    """
    done = torchrun(command(data, tmp_path / "two"))
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{tmp_path / 'two' / 'model.safetensors'}\n"
    assert done.stderr.count("computing on cpu") == 1
    assert runs.train(data, tmp_path / "one", "--set", "network.dropout=0.0").code == 0
    two, one = result(tmp_path / "two"), result(tmp_path / "one")
    assert [line["step"] for line in two.losses] == [5, 10, 12]
    for mine, theirs in zip(two.losses, one.losses, strict=True):
        assert mine == pytest.approx(theirs, rel=1e-4)
    for name, tensor in one.model.items():
        difference = (two.model[name] - tensor).abs()
        assert difference.max() < 2e-3, name
        assert difference.mean() < 2e-5, name

    again = torchrun(command(data, tmp_path / "two"))
    assert again.returncode == 0, again.stderr
    assert "nothing left to do" in again.stderr
    afresh = torchrun(command(data, tmp_path / "two", "--force"))
    assert afresh.returncode == 0, afresh.stderr
    runs.assert_same(result(tmp_path / "two"), two)


def test_two_processes_in_parts_train_what_one_trains(data: Path, tmp_path: Path) -> None:
    """Gradients are averaged over the processes behind the last part alone."""
    done = torchrun(command(data, tmp_path / "two", "--set", "train.accumulate=2"))
    assert done.returncode == 0, done.stderr
    assert runs.train(data, tmp_path / "one", "--set", "network.dropout=0.0").code == 0
    two, one = result(tmp_path / "two"), result(tmp_path / "one")
    for mine, theirs in zip(two.losses, one.losses, strict=True):
        assert mine == pytest.approx(theirs, rel=1e-4)
    for name, tensor in one.model.items():
        assert (two.model[name] - tensor).abs().mean() < 2e-5, name


def test_two_processes_train_a_classifier(data: Path, tmp_path: Path) -> None:
    whole = ("--set", "network.dropout=0.0")
    done = torchrun(command(data, tmp_path / "two", *CLASSIFIER, *whole))
    assert done.returncode == 0, done.stderr
    assert runs.train(data, tmp_path / "one", *CLASSIFIER, *whole).code == 0
    two, one = result(tmp_path / "two"), result(tmp_path / "one")
    for mine, theirs in zip(two.losses, one.losses, strict=True):
        assert mine == pytest.approx(theirs, rel=1e-3)
    # A softmax feels nothing of what all keys share: the gradient of that is rounding alone.
    for name in one.model.keys() - {"pool.key_value.bias"}:
        assert (two.model[name] - one.model[name]).abs().mean() < 2e-5, name


def test_two_processes_play_what_one_plays(data: Path, tmp_path: Path) -> None:
    """Generator and critic, whose penalty is a gradient of a gradient."""
    words = ("train", *GAME, "--set", f"data.path={data}")
    done = groups.torchrun(2, *words, "-o", tmp_path / "two")
    assert done.returncode == 0, done.stderr
    assert runs.ddpm(*words, "-o", tmp_path / "one").code == 0
    two, one = result(tmp_path / "two"), result(tmp_path / "one")
    for mine, theirs in zip(two.losses, one.losses, strict=True):
        assert mine == pytest.approx(theirs, rel=1e-3)
    for name, tensor in one.state.items():
        if "weights" in name:
            assert (two.state[name] - tensor).abs().mean() < 2e-5, name


@pytest.mark.parametrize(
    "chosen",
    [
        ("schedule={name='learned', width=8}", "parameterization.name='eps'", "loss.name='vdm'"),
        ("schedule.steps=2", "levels.count=2", "draw={name='loss-second-moment', history=4}"),
    ],
    ids=["learned schedule", "draw with a memory"],
)
def test_what_is_learned_beside_the_network_is_shared(
    chosen: Sequence[str], data: Path, tmp_path: Path
) -> None:
    words = [word for setting in chosen for word in ("--set", setting)]
    done = torchrun(command(data, tmp_path / "two", *words))
    assert done.returncode == 0, done.stderr
    whole = ("--set", "network.dropout=0.0")
    assert runs.train(data, tmp_path / "one", *whole, *words).code == 0
    two, one = result(tmp_path / "two").state, result(tmp_path / "one").state
    for name in (n for n in one if n.startswith(("weights.schedule.", "draw."))):
        assert torch.allclose(two[name].double(), one[name].double(), rtol=2e-2, atol=2e-3), name


def test_a_batch_that_does_not_divide_is_refused(data: Path, tmp_path: Path) -> None:
    done = torchrun(command(data, tmp_path / "run", "--batch", 7))
    assert done.returncode != 0
    assert "Error: train.batch: 7 images do not divide among 2 processes" in done.stderr
    assert runs.contents(tmp_path / "run") == {}
    done = torchrun(command(data, tmp_path / "run", "--set", "train.accumulate=3"))
    assert "Error: train.accumulate: 3 parts of 4 images are not equal" in done.stderr


def test_a_limit_of_time_stops_all_processes(data: Path, tmp_path: Path) -> None:
    done = torchrun(command(data, tmp_path / "run", "--minutes", 1e-9))
    assert done.returncode == 0, done.stderr
    assert result(tmp_path / "run").step == 1


def test_all_processes_take_one_plan(data: Path, tmp_path: Path) -> None:
    """How many steps fit depends on the machine, that they are the same in both does not."""
    words = command(data, tmp_path / "run", "--budget", "1d", "--steps", 60)
    done = torchrun(words)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("budget 1d: all 60 steps, at ") == 1
    assert result(tmp_path / "run").step == 60
    counted = torchrun(command(data, tmp_path / "counted", "--budget", "1e9flop", "--steps", 9999))
    assert counted.returncode == 0, counted.stderr
    assert "of 9999 steps, at " in counted.stderr
    assert 50 <= result(tmp_path / "counted").step < 9999


@pytest.mark.parametrize("send", [os.kill, os.killpg], ids=["launcher", "whole group"])
def test_sigterm_saves_in_all_processes(
    send: Callable[[int, int], None], data: Path, tmp_path: Path
) -> None:
    """torchrun passes on to its processes what all of the group have heard already."""
    often = ("--set", "train.log_every=1", "--set", "train.workers=1")
    words = command(data, tmp_path / "run", "--steps", 100_000, *often)
    heard = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with started(words, start_new_session=True, env=ENVIRONMENT, **heard) as process:
        wait_for(tmp_path / "run" / "metrics.jsonl", process, least=1)
        send(process.pid, signal.SIGTERM)
        _, err = process.communicate(timeout=100)
    saved = re.search(r"saved at step (\d+) of 100000", err)
    assert saved, err
    assert result(tmp_path / "run").step == int(saved[1])
    assert "Error: " not in err


def test_one_process_needs_no_group() -> None:
    alone = Group(0, 1, 0)
    distributed.start(alone, torch.device("cpu"))
    distributed.wait(alone)
    assert distributed.agreed(alone, True)
    assert not distributed.agreed(alone, False)
    assert distributed.local_device(torch.device("cpu"), Group(1, 2, 1)) == torch.device("cpu")
    distributed.stop(alone)


def test_what_all_refuse_one_tells(data: Path, tmp_path: Path) -> None:
    done = torchrun(command(data, tmp_path / "run", "--batch", 7))
    assert len(groups.told(done)) == 1, done.stderr
    assert done.stderr.count("exitcode  : 2") >= 1
    done = torchrun(command(data, tmp_path / "run", "--lr", "fast"))
    assert len(groups.told(done)) == 1, done.stderr


def test_what_one_refuses_ends_all(data: Path, tmp_path: Path) -> None:
    """The first process alone locks the folder; the other one waits for it in vain."""
    (tmp_path / "run").mkdir()
    with (tmp_path / "run" / "run.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = torchrun(command(data, tmp_path / "run"))
    assert done.returncode == 1
    assert groups.told(done) == [f"Error: {tmp_path / 'run'}: in use by another run"]


def test_the_line_of_the_documentation_trains(data: Path, tmp_path: Path) -> None:
    page = Path(ddpm_cli.__file__).parents[1] / "docs" / "training.md"
    found = re.search(
        r"^torchrun (--nproc-per-node) 8 (-m ddpm_cli train) .*$", page.read_text(), re.M
    )
    assert found
    words = ["-m", "torch.distributed.run", found[1], "2", *found[2].split(), *SETTINGS]
    place = ["--set", f"data.path={data}", "-o", tmp_path / "run"]
    done = torchrun([sys.executable, *map(str, [*words, *place])])
    assert done.returncode == 0, done.stderr
    assert result(tmp_path / "run").step == runs.STEPS


def test_a_process_that_is_killed_ends_all(data: Path, tmp_path: Path) -> None:
    """The state of before is whole."""
    often = ("--set", "train.log_every=1", "--set", "train.save_every=1")
    words = command(data, tmp_path / "run", "--steps", 100_000, *often)
    with started(words, env=ENVIRONMENT, stderr=subprocess.PIPE) as process:
        wait_for(tmp_path / "run" / "metrics.jsonl", process, least=1)
        wait_for(tmp_path / "run" / "state.previous.safetensors", process)
        listed = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        ranks = {
            dict(
                entry.split("=", 1)
                for entry in Path(f"/proc/{pid}/environ").read_text().split("\0")
                if "=" in entry
            ).get("RANK"): int(pid)
            for pid in listed
        }
        os.kill(ranks["1"], signal.SIGKILL)
        _, err = process.communicate(timeout=200)
    assert process.returncode == 1
    lost = [line for line in err.splitlines() if line.startswith("Error: ")]
    assert lost in (["Error: a process of the group was lost"], [])  # torchrun may be quicker
    result(tmp_path / "run")
