"""Stages of progressive distillation: a folder each, resumed bit for bit, and what is refused."""

import signal
from pathlib import Path

import pytest
import tomli
import torch
from runs import assert_same, ddpm, done, result, signal_after

from ddpm_cli.files.checkpoints import checkpoint
from ddpm_cli.files.checkpoints.header import read_header

STUDENT = (
    "--dtype", "float32", "--device", "cpu", "--steps", 3, "--batch", 8,
    "--set", "loss.name=progressive", "--set", "teacher.stages=[4,2]",
    "--set", "train.log_every=1", "--set", "train.save_every=1", "--set", "train.warmup=0",
    "--set", "train.sheet_count=4",
)  # fmt: skip


@pytest.fixture(scope="module")
def distilled(data: Path, finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Students of the tiny model in four steps and in two."""
    folder = tmp_path_factory.mktemp("distilled") / "run"
    told = distil(data, finished, folder)
    assert told.code == 0, told.err
    assert "stage-4: 8 steps of" in told.err
    return folder


def distil(data: Path, teacher: Path, folder: Path, *words: object):  # type: ignore[no-untyped-def]
    own = ("--set", f"teacher.model={teacher}", "--set", f"data.path={data}")
    return ddpm("train", *STUDENT, *own, "-o", folder, *words)


def test_each_stage_is_a_run_and_a_model_that_draws(distilled: Path, tmp_path: Path) -> None:
    for folder, count, steps in ((distilled / "stage-4", 4, 3), (distilled, 2, 6)):
        header = read_header(folder / "model.safetensors")
        assert header.step == steps
        assert header.config["teacher"]["stages"] == [count]
        assert header.config["levels"]["count"] == count
        # What the teacher says is what the student is.
        assert header.config["network"]["width"] == 8
        drawn = done("sample", "-m", folder, "-n", 2, "-o", tmp_path / f"{count}.npz")
        assert f"{count} network calls" in drawn.err
    before = read_header(distilled / "stage-4" / "model.safetensors")
    own = read_header(distilled / "model.safetensors").config["teacher"]
    assert own["model"] == str(distilled / "stage-4")
    assert own["digest"] == before.hash


@pytest.mark.parametrize(
    ("verb", "says"),
    [
        (("nll", "--split", "test"), "no likelihood"),
        (("fit", "-o", "m.safetensors"), "no moments"),
    ],
)
def test_what_needs_a_mean_refuses_a_student(
    verb: tuple[str, ...], says: str, data: Path, distilled: Path
) -> None:
    place = ("-m", distilled) if verb[0] == "nll" else (distilled,)
    told = ddpm(*verb, *place, "--set", f"data.path={data}")
    assert told.code == 1
    assert f"loss.progressive: {says}" in told.err


def test_a_student_begins_as_its_teacher(data: Path, finished: Path, tmp_path: Path) -> None:
    with signal_after(0, signal.SIGTERM):
        distil(data, finished, tmp_path / "run", "--lr", 1e-30)
    _, taught = checkpoint.load(finished / "model.safetensors")
    _, first = checkpoint.load(tmp_path / "run" / "stage-4" / "model.safetensors")
    assert all(torch.equal(first[name], taught[name]) for name in taught)


@pytest.mark.parametrize("stop", [1, 4])  # within either stage
def test_resume_is_exact(
    stop: int, data: Path, finished: Path, distilled: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    with signal_after(stop, signal.SIGTERM):
        assert distil(data, finished, folder).code == 143
    again = ddpm("train", "-o", folder) if stop == 1 else distil(data, finished, folder)
    assert again.code == 0, again.err
    for part in (".", "stage-4"):
        mine, theirs = result(folder / part), result(distilled / part)
        assert_same(mine, theirs)


def test_another_teacher_of_the_same_name_is_refused(
    data: Path, finished: Path, distilled: Path, tmp_path: Path
) -> None:
    told = distil(data, distilled, tmp_path / "run", "--set", "teacher.stages=[1]")
    assert told.code == 0, told.err
    other = ddpm(
        "train", "-o", tmp_path / "run", "--steps", 9, "--set", f"teacher.model={finished}"
    )
    assert other.code == 2
    assert "another model now than the one that this run began with" in other.err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--set", "teacher.stages=[4,3]"), "3 is not half of 4"),
        (("--set", "levels.name=logsnr"), "every second is none of 4"),
        (("--set", "loss.name=simple"), "loss simple asks for none"),
        (("--set", "teacher.model=nowhere"), "nowhere"),
        (("--budget", "1h"), "train.budget: of one run"),
        (("--set", "parameterization.name=eps"), "counts 2.03e+04 times in x0"),
        (("--set", "strength.low=3", "--set", "strength.high=2"), "low 3 is above high 2"),
    ],
)
def test_refusals(
    words: tuple[str, ...], says: str, data: Path, finished: Path, tmp_path: Path
) -> None:
    told = distil(data, finished, tmp_path / "run", *words)
    assert told.code in (1, 2)
    assert says in told.err
    assert not (tmp_path / "run" / "stage-4" / "model.safetensors").exists()


def test_a_loss_without_its_teacher_names_what_is_missing(data: Path, tmp_path: Path) -> None:
    words = ("--set", "loss.name=progressive", "--set", f"data.path={data}", "--steps", 1)
    told = ddpm("train", "--preset", "tiny", *words, "-o", tmp_path / "run")
    assert told.code == 2
    assert "loss.progressive: there is no teacher; --set teacher.model=MODEL" in told.err


def test_the_plan_is_that_of_all_stages(data: Path, finished: Path, tmp_path: Path) -> None:
    told = distil(data, finished, tmp_path / "run", "--dry-run")
    assert told.code == 0, told.err
    assert "of 4 (3 steps), 2 (6 steps)" in told.err
    assert tomli.loads(told.out)["teacher"]["stages"] == [4, 2]
    assert not (tmp_path / "run").exists()
