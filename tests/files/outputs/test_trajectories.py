"""Walks kept state by state: as numbers, as pictures, and as drift."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from exact import TWO_POINTS, by_sigma
from PIL import Image
from runs import contents, ddpm, sample
from safetensors import safe_open

from ddpm_cli.diffusion.schedules.tables import linear
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.files.checkpoints.header import read_header
from ddpm_cli.files.images.pixels import open_image
from ddpm_cli.files.outputs import trajectories
from ddpm_cli.files.outputs.trajectories import drift
from ddpm_cli.models import walks


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_every_state_is_there(roll: Path) -> None:
    sample(roll, "-n", 5, "--batch", 2, "-o", "a.npy", "--trajectory", "t.npz")
    found = np.load("t.npz", allow_pickle=False)
    assert found["states"].shape == (6, 5, 2)
    assert found["states"].dtype == np.float32
    assert (found["states"][-1] == np.load("a.npy")).all()
    assert found["sigmas"][-1] == 0
    assert (np.diff(found["sigmas"]) < 0).all()
    assert np.allclose(found["alphas"], 1 / np.sqrt(1 + found["sigmas"] ** 2))
    assert json.loads(str(found["ddpm"]))["seeds"] == "0-4"
    sample(roll, "-n", 5, "--batch", 2, "-o", "b.npy", "--trajectory", "t.safetensors")
    with safe_open("t.safetensors", framework="np") as file:
        assert (file.get_tensor("states") == found["states"]).all()


def test_the_start_is_unit_noise_in_the_scale_of_the_network(roll: Path) -> None:
    info = read_header(roll / "model.safetensors").data
    sample(roll, "-n", 500, "--steps", 2, "-b", 500, "-o", "a.npy", "--trajectory", "t.npz")
    first = (np.load("t.npz")["states"][0] - np.array(info.mean)) / np.array(info.std)
    assert first.std() == pytest.approx(1, abs=0.07)
    assert first.mean() == pytest.approx(0, abs=0.1)


def test_frames_are_chosen_evenly_with_both_ends(roll: Path) -> None:
    sample(roll, "-o", "a.npy", "--trajectory", "all.npz", "--steps", 20)
    sample(roll, "-o", "b.npy", "--trajectory", "t.npz", "--steps", 20, "--frames", 3)
    whole, some = np.load("all.npz")["sigmas"], np.load("t.npz")["sigmas"]
    assert some.tolist() == whole[[0, 10, 20]].tolist()


@pytest.mark.parametrize("name", ["t.png", "t.gif"])
def test_pictures_of_points(name: str, roll: Path) -> None:
    pytest.importorskip("matplotlib")
    sample(roll, "-n", 30, "-o", "a.npy", "--trajectory", name, "--frames", 3)
    with Image.open(name) as picture:
        assert getattr(picture, "n_frames", 1) == (3 if name == "t.gif" else 1)


@pytest.mark.parametrize(("name", "size"), [("t.png", (52, 32)), ("t.gif", (22, 22))])
def test_pictures_of_images(name: str, size: tuple[int, int], finished: Path) -> None:
    sample(finished, "-n", 3, "-o", "a.png", "--trajectory", name)
    with Image.open(name) as picture:
        assert picture.size == size
        assert getattr(picture, "n_frames", 1) == (5 if name == "t.gif" else 1)
        picture.seek(getattr(picture, "n_frames", 1) - 1)
        last = np.asarray(picture.convert("L"))
    sheet = open_image("a.png", "L")[0].numpy()
    if name == "t.gif":
        assert (last == sheet).all()
    else:
        assert (last[2:10, 42:50] == sheet[2:10, 2:10]).all(), "row 0 ends in image 0"
        assert (last[22:30, 42:50] == sheet[12:20, 2:10]).all(), "row 2 ends in image 2"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--trajectory", "t.mp4"], "--trajectory t.mp4: unknown ending"),
        (["--frames", "4"], "--frames: only with --trajectory"),
        (["-n", "100000000", "--trajectory", "t.npz"], "the states take"),
        (["--trajectory", "there.npz"], "there.npz: exists already"),
    ],
)
def test_refused_before_any_work(
    words: list[str], message: str, roll: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("there.npz").write_text("mine")
    monkeypatch.setattr(walks, "last", None)
    outcome = ddpm("sample", "-m", roll, "-o", "a.npy", *words)
    assert outcome.code in (1, 2)
    assert message in outcome.err
    assert contents(Path()) == {"there.npz": b"mine"}


def test_too_many_images_for_a_picture(finished: Path) -> None:
    outcome = ddpm("sample", "-m", finished, "-n", 60000, "-o", "a.npy",
                   "--trajectory", "t.png", "--frames", 5)  # fmt: skip
    assert outcome.code == 1
    assert "60000 images are too many for a picture" in outcome.err


def test_a_stopped_walk_leaves_no_trajectory(roll: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walks, "last", lambda states: None)
    ddpm("sample", "-m", roll, "-o", "a.npy", "--trajectory", "t.npz")
    assert list(Path().iterdir()) == []


class TestDrift:
    def test_it_is_the_mean_of_a_trained_step(self) -> None:
        """For two points: mu = c0 E[x0 given x_t] + c1 x_t with Ho 2020's coefficients (eq. 7)."""
        schedule, number = linear(), 399
        betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
        abar = (1 - betas).cumprod(0)
        now, before, beta = abar[number], abar[number - 1], betas[number]
        x = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
        mean = 0.5 * torch.tanh(0.5 * now.sqrt() * x / (1 - now))
        c0 = before.sqrt() * beta / (1 - now)
        c1 = (1 - beta).sqrt() * (1 - before) / (1 - now)
        denoise = by_sigma(TWO_POINTS, schedule).bind()
        sigma = schedule.sigma(torch.tensor((number + 1) / 1000))
        for batch in (1, 4, 9, 50):
            found = drift(denoise, x, sigma, batch)
            assert torch.allclose(found, c0 * mean + (c1 - 1) * x, atol=1e-9)

    def test_the_first_step_ends_at_the_data(self) -> None:
        schedule = linear()
        denoise = by_sigma(TWO_POINTS, schedule).bind()
        sigma = schedule.sigma(torch.tensor(0.001))
        x = torch.tensor([[0.45], [-0.52]], dtype=torch.float64)
        found = x + drift(denoise, x, sigma, 2)
        assert found.flatten().tolist() == pytest.approx([0.5, -0.5], abs=1e-6)


def test_memory_of_a_trajectory_is_bounded_before_the_walk(tmp_path: Path) -> None:
    info = DataInfo((3, 64, 64))
    allowed = trajectories.BYTE_LIMIT // (4 * math.prod(info.shape) * 11)
    path = tmp_path / "t.npz"
    trajectories.Trajectory(path, allowed, info, 10, None, force=False)
    with pytest.raises(Exception, match="fewer --frames"):
        trajectories.Trajectory(path, allowed + 1, info, 10, None, force=False)
    trajectories.Trajectory(path, 2 * allowed, info, 10, 5, force=False)
    assert not path.exists()
