"""Walks kept state by state: as numbers, as pictures, and as drift."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from runs import contents, ddpm, sample
from safetensors import safe_open

from ddpm_cli.diffusion.milestones import HIGH, LOW
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.diffusion.schedules.tables import cosine
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.files.checkpoints.header import read_header
from ddpm_cli.files.images.pixels import open_image
from ddpm_cli.files.outputs import trajectories
from ddpm_cli.files.outputs.panels import SIDE
from ddpm_cli.files.outputs.stills import Images, Story
from ddpm_cli.files.outputs.trajectories import Trajectory, Wanted
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


def test_frames_are_chosen_where_they_differ_with_both_ends(roll: Path) -> None:
    sample(roll, "-o", "a.npy", "--trajectory", "all.npz", "--steps", 20)
    sample(roll, "-o", "b.npy", "--trajectory", "t.npz", "--steps", 20, "--frames", 3)
    whole, some = np.load("all.npz")["sigmas"], np.load("t.npz")["sigmas"]
    middle = (HIGH * LOW) ** 0.5
    nearest = int(np.abs(np.log(whole[:-1]) - math.log(middle)).argmin())
    assert some.tolist() == whole[[0, nearest, 20]].tolist()


def test_predictions_on_the_way_are_kept_beside_the_states(roll: Path) -> None:
    """Of ddim x_s = x0 + s / t (x - x0), so states tell what was predicted."""
    sample(roll, "-n", 5, "-b", 2, "--sampler", "ddim", "-o", "a.npy", "--trajectory", "t.npz")
    found = np.load("t.npz")
    info = read_header(roll / "model.safetensors").data
    x = (found["states"] - info.mean) / info.std / found["alphas"][:, None, None]
    t, s = (found["sigmas"][part, None, None] for part in (slice(None, -1), slice(1, None)))
    x0 = (x[1:] - s / t * x[:-1]) / (1 - s / t)
    assert found["x0"][:-1] == pytest.approx(x0 * info.std + info.mean, abs=2e-3)
    assert (found["x0"][-1] == found["states"][-1]).all()


class TestRows:
    def test_a_forward_row_is_the_samples_with_noise_again(
        self, finished: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        told: list[Story] = []
        made = Images.strip
        monkeypatch.setattr(
            Images, "strip", lambda self, story: told.append(story) or made(self, story)
        )
        sample(
            finished, "-n", 3, "-o", "a.png", "--trajectory", "t.png", "--show", "forward,walk,x0"
        )
        forward, walked, x0 = told[0].states.values()
        assert torch.equal(forward[-1], walked[-1])
        assert torch.equal(x0[-1], walked[-1])
        sigma = torch.tensor(told[0].sigmas[1], dtype=torch.float64)
        schedule = cosine()
        noise = Rng(range(3), "noised").normal(torch.empty(3, 1, 8, 8, dtype=torch.float64))
        x = schedule.native(walked[-1].double() + sigma * noise, sigma)
        assert torch.allclose(forward[1].double(), x, atol=1e-5)
        with Image.open("t.png") as picture:
            assert picture.height == 11 + 9 * 10 + 2
            assert json.loads(picture.text["ddpm"])["show"] == ["forward", "walk", "x0"]  # type: ignore[attr-defined]
        told = ddpm("info", "t.png", "--command").err
        assert re.search(r"--trajectory t.png --frames \d+ --show forward,walk,x0", told)

    def test_one_image_alone_is_as_in_a_batch(self, finished: Path) -> None:
        show = ("--show", "forward,walk", "--frames", 3)
        sample(finished, "--seeds", "0-2", "-o", "a.png", "--trajectory", "all.png", *show)
        sample(finished, "--seeds", 2, "-o", "b.png", "--trajectory", "one.png", *show)
        every, one = (open_image(name, "L")[0].int() for name in ("all.png", "one.png"))
        names = 50  # pixels at the left
        assert int((every[11 + 40 :, names:] - one[11:, names:]).abs().max()) <= 1

    def test_rows_of_points(self, roll: Path) -> None:
        pytest.importorskip("matplotlib")
        sizes = []
        for show in ("walk", "walk,score", "forward,walk,x0,drift,score,paths"):
            name = f"{show.replace(',', '-')}.png"
            sample(roll, "-n", 20, "-o", f"{name}.npy", "--trajectory", name, "--show", show)
            with Image.open(name) as picture:
                sizes.append(picture.height)
        assert sizes == [round(100 * (0.35 + SIDE * rows)) for rows in (1, 2, 6)]

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["--show", "walk"], "--show: only with --trajectory"),
            (["--trajectory", "t.png", "--show", "wlak"], "did you mean walk?"),
            (["--trajectory", "t.png", "--show", "walk,walk"], "--show walk: named twice"),
            (["--trajectory", "t.npz", "--show", "x0"], "of a picture, and t.npz is none"),
            (["--trajectory", "t.gif", "--show", "walk,x0"], "a film shows one"),
        ],
    )
    def test_refusals(self, words: list[str], message: str, roll: Path) -> None:
        outcome = ddpm("sample", "-m", roll, "-o", "a.npy", *words)
        assert outcome.code == 2
        assert message in outcome.err
        assert list(Path().iterdir()) == []

    def test_images_have_no_score_to_draw(self, finished: Path) -> None:
        words = ("-o", "a.png", "--trajectory", "t.png", "--show", "walk,score")
        outcome = ddpm("sample", "-m", finished, *words)
        assert outcome.code == 2
        assert "--show score: of one or two numbers alone" in outcome.err


@pytest.mark.parametrize("name", ["t.png", "t.gif"])
def test_pictures_of_points(name: str, roll: Path) -> None:
    pytest.importorskip("matplotlib")
    sample(roll, "-n", 30, "-o", "a.npy", "--trajectory", name, "--frames", 3)
    with Image.open(name) as picture:
        assert getattr(picture, "n_frames", 1) == (3 if name == "t.gif" else 1)


@pytest.mark.parametrize(("name", "size"), [("t.png", (194, 43)), ("t.gif", (22, 22))])
def test_pictures_of_images(name: str, size: tuple[int, int], finished: Path) -> None:
    sample(finished, "-n", 3, "-o", "a.png", "--trajectory", name)
    with Image.open(name) as picture:
        assert picture.size == size
        assert getattr(picture, "n_frames", 1) == (5 if name == "t.gif" else 1)
        picture.seek(getattr(picture, "n_frames", 1) - 1)
        last = np.asarray(picture.convert("L"))
    end = slice(-21, -13)  # in the middle of a column as wide as its title
    sheet = open_image("a.png", "L")[0].numpy()
    if name == "t.gif":
        assert (last == sheet).all()
    else:
        assert (last[13:21, end] == sheet[2:10, 2:10]).all(), "row 0 ends in image 0"
        assert (last[33:41, end] == sheet[12:20, 2:10]).all(), "row 2 ends in image 2"


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


def test_memory_of_a_trajectory_is_bounded_before_the_walk(tmp_path: Path) -> None:
    info, levels = DataInfo((3, 64, 64)), torch.linspace(10, 0, 11)
    allowed = trajectories.BYTE_LIMIT // (8 * math.prod(info.shape) * 11)
    path = tmp_path / "t.npz"
    Trajectory(Wanted(path, levels), allowed, info)
    with pytest.raises(Exception, match="fewer --frames"):
        Trajectory(Wanted(path, levels), allowed + 1, info)
    Trajectory(Wanted(path, levels, 5), 2 * allowed, info)
    assert not path.exists()
