"""A teacher with guidance in it, of one strength or of those that the student is told."""

from pathlib import Path

import pytest
import torch
from runs import ddpm, done
from torch import Tensor

from ddpm_cli.diffusion.denoiser import Prediction, Wrapped
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.diffusion.schedules.tables import cosine
from ddpm_cli.files.checkpoints.header import read_header
from ddpm_cli.hardware import compute
from ddpm_cli.models.teacher import Teacher, teacher

CPU = {"device": "cpu", "dtype": "float32"}


def test_a_guided_teacher_is_the_walk_with_guidance(finished: Path) -> None:
    config = read_header(finished / "model.safetensors").config
    known = teacher(config, compute(**config["compute"] | CPU), model=str(finished), scale=2.5)
    x = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    classes = torch.tensor([0, 3, 10])  # the last one is the null class
    guide, told = known.lesson({"classes": classes}, Rng([1, 2, 3]))
    sigma = torch.full((3,), 1.5, dtype=torch.float64)
    conditional = known.denoiser.bind(classes=classes)(x, sigma).x0
    free = known.denoiser.bind(classes=torch.full((3,), 10))(x, sigma).x0
    want = free + 2.5 * (conditional - free)
    assert torch.allclose(guide(x, sigma).x0, want, atol=1e-5)
    assert torch.allclose(guide(x, sigma).x0[2], free[2], atol=1e-5)
    assert told.keys() == {"classes"}


class Scaling:
    """A denoiser whose clean image is x, 1 + class times, in float64."""

    schedule = cosine()

    def bind(self, *, classes: Tensor) -> Wrapped:
        def call(x: Tensor, sigma: Tensor) -> Prediction:
            return Prediction(x * (1 + classes.double()).reshape(-1, 1, 1, 1))

        return Wrapped(self, call)  # type: ignore[arg-type]


def test_the_scale_is_the_one_asked_for() -> None:
    """Float32 has no 1.8."""
    nulls = {"classes": torch.tensor(0)}
    known = Teacher(Scaling(), torch.empty(0), (1.8, 1.8), nulls, "")
    x = torch.ones(2, 1, 1, 1, dtype=torch.float64)
    guide, _ = known.lesson({"classes": torch.tensor([1, 2])}, Rng([1, 2]))
    found = guide(x, torch.tensor([1.0, 2.0], dtype=torch.float64)).x0.flatten()
    assert found.tolist() == pytest.approx([1 + 1.8, 1 + 1.8 * 2], rel=0, abs=1e-15)


def test_a_student_is_told_how_strongly_and_needs_one_pass(
    data: Path, finished: Path, tmp_path: Path
) -> None:
    """Of two stages the second teacher is the first student, which is told the same strength."""
    run = tmp_path / "run"
    words = (
        "--dtype", "float32", "--device", "cpu", "--steps", 2, "--batch", 8, "--lr", 0.01,
        "--set", "loss.name=progressive", "--set", "teacher.stages=[4,2]",
        "--set", f"teacher.model={finished}", "--set", f"data.path={data}",
        "--set", "strength.low=1", "--set", "strength.high=3", "--set", "train.warmup=0",
        "--set", "train.sheet_count=0",
    )  # fmt: skip
    done("train", *words, "-o", run)
    drawn = {}
    for scale in (1, 2, 3):
        asked = ("--class", 1, "--set", f"guidance.scale={scale}", "-o", tmp_path / f"{scale}.npy")
        told = done("sample", "-m", run, "-n", 2, *asked, "--dry-run")
        assert "2 network calls" in told.err
        done("sample", "-m", run, "-n", 2, *asked)
        drawn[scale] = (tmp_path / f"{scale}.npy").read_bytes()
    assert len(set(drawn.values())) == 3
    for wrong, says in (
        ("guidance.scale=5", "learned strengths from 1 to 3"),
        ("guidance.rescale=0.5", "of no use"),
    ):
        told = ddpm("sample", "-m", run, "--set", wrong, "-o", tmp_path / "x.png")
        assert told.code == 2
        assert says in told.err


def test_what_was_not_trained_to_be_guided_is_no_guided_teacher(
    data: Path, finished: Path
) -> None:
    config = read_header(finished / "model.safetensors").config
    config = config | {"strength": {"low": 1.0, "high": 2.0}}
    with pytest.raises(Exception, match=r"teacher\.scale: the table strength says"):
        teacher(config, compute(**config["compute"] | CPU), model=str(finished), scale=2.0)
