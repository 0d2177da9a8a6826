"""Toys from end to end: trained, sampled, plotted, resumed and walked, in seconds."""

import json
import math
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import runs
import torch
from PIL import Image
from runs import Outcome, contents, ddpm
from safetensors import safe_open

import ddpm_cli
from ddpm_cli.diffusion.denoiser import Denoiser
from ddpm_cli.diffusion.labels import index
from ddpm_cli.diffusion.parameterizations import eps
from ddpm_cli.diffusion.schedules.tables import linear
from ddpm_cli.files.checkpoints import checkpoint
from ddpm_cli.files.checkpoints.header import DataInfo, read_header
from ddpm_cli.files.images.pixels import open_image, read_metadata
from ddpm_cli.files.outputs import trajectories
from ddpm_cli.files.outputs.trajectories import drift
from ddpm_cli.models import walks
from ddpm_cli.settings import config, presets

BEST = 0.092868  # Bayes-optimal L_simple of the two points, linear schedule, T = 1000
QUICK = (
    "--device", "cpu", "--dtype", "float32", "--steps", 20, "--batch", 16,
    "--set", "data.count=200", "--set", "train.save_every=5", "--set", "train.log_every=5",
    "--set", "levels.count=5", "--set", "train.measure_every=10",
)  # fmt: skip


def train(preset: str, folder: Path, *words: object) -> Outcome:
    outcome = ddpm("train", "--preset", preset, *QUICK, "-o", folder, *words)
    assert outcome.code == 0, outcome.err
    return outcome


@pytest.fixture(scope="module")
def roll(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A little trained run on the swiss roll, without classes."""
    folder = tmp_path_factory.mktemp("roll") / "run"
    train("swiss-roll", folder)
    return folder


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def sample(model: Path, *words: object) -> Outcome:
    outcome = ddpm("sample", "-m", model, "--dtype", "float32", *words)
    assert outcome.code == 0, outcome.err
    return outcome


class TwoPoints(torch.nn.Module):
    """The exact eps of the two points: (x_t - sqrt(abar) E[x0 given x_t]) / sqrt(1 - abar)."""

    def forward(self, x: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
        abar = (1 - betas).cumprod(0)[label.round().long()][:, None]
        mean = 0.5 * torch.tanh(0.5 * abar.sqrt() * x / (1 - abar))
        return (x - abar.sqrt() * mean) / (1 - abar).sqrt()


@torch.no_grad()
def expected_loss(denoiser: Denoiser) -> float:
    """L_simple of a denoiser on the two points: the mean over t of an integral over the noise."""
    z = torch.linspace(-6, 6, 301, dtype=torch.float64)
    weight = torch.exp(-(z**2) / 2)
    t = torch.arange(1, 1001, dtype=torch.float64) / 1000
    total = 0.0
    for sigma in denoiser.schedule.sigma(t):
        for x0 in (-0.5, 0.5):
            found = denoiser((x0 + sigma * z)[:, None], sigma).x0[:, 0]
            total += float((weight * ((found - x0) / sigma) ** 2).sum() / weight.sum()) / 2
    return total / len(t)


class TestTwoPoints:
    def test_the_closed_form_has_the_best_loss(self) -> None:
        exact = Denoiser(TwoPoints(), linear(), eps, index)
        assert expected_loss(exact) == pytest.approx(BEST, abs=5e-7)

    @pytest.mark.slow
    def test_the_preset_comes_close_and_never_below(self, tmp_path: Path) -> None:
        words = ["--preset", "two-points", "--device", "cpu", "--dtype", "float32"]
        assert ddpm("train", *words, "-o", "run").code == 0
        model = ddpm_cli.load("run", device="cpu", dtype="float32")
        assert BEST < expected_loss(model.denoise) < 1.02 * BEST
        made = model.sample(range(1000), batch=1000)
        assert float(((made.abs() - 0.5).abs() < 0.05).double().mean()) > 0.98
        assert float((made > 0).double().mean()) == pytest.approx(0.5, abs=0.05)


@pytest.mark.slow
def test_two_gaussians_get_their_weights(tmp_path: Path) -> None:
    words = ["--preset", "two-gaussians", "--device", "cpu", "--dtype", "float32"]
    assert ddpm("train", *words, "-o", "run").code == 0
    made = ddpm_cli.load("run", device="cpu", dtype="float32").sample(range(1000), batch=1000)
    low = made.sum(1) < 0
    assert float(low.double().mean()) == pytest.approx(0.2, abs=0.05)
    assert made[~low].mean(0).tolist() == pytest.approx([5, 5], abs=0.3)
    assert made[low].mean(0).tolist() == pytest.approx([-5, -5], abs=0.4)


@pytest.mark.parametrize("name", ["two-points", "two-gaussians", "swiss-roll", "eight-gaussians"])
def test_presets_of_toys(name: str) -> None:
    found = config.resolve(presets.layers(name))
    assert found["data"]["name"] == name
    assert found["network"]["name"] == "mlp"
    assert found["wrappers"] == []


class TestTraining:
    def test_resumed_bit_for_bit(self, roll: Path, tmp_path: Path) -> None:
        with runs.signal_after(7, signal.SIGTERM):
            assert ddpm("train", "--preset", "swiss-roll", *QUICK, "-o", "cut").code == 143
        train("swiss-roll", Path("cut"))
        runs.assert_same(runs.result(Path("cut")), runs.result(roll))

    def test_the_checkpoint_carries_the_normalization(self, roll: Path, tmp_path: Path) -> None:
        header, tensors = checkpoint.load(roll / "model.safetensors")
        assert header.data.shape == (2,)
        assert header.data.mean is not None
        assert header.data.std is not None
        again = checkpoint.save(tmp_path / "again.safetensors", tensors, header)
        assert again == header == read_header(tmp_path / "again.safetensors")

    @pytest.mark.parametrize(
        "change",
        [{"std": [1.0]}, {"std": None}, {"std": [1.0, 0.0]}, {"mean": [0.0, float("nan")]},
         {"mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0]}, {"mean": "ab"}],
    )  # fmt: skip
    def test_a_damaged_normalization(
        self, change: dict[str, object], roll: Path, tmp_path: Path
    ) -> None:
        header, tensors = checkpoint.load(roll / "model.safetensors")
        wrong = header._replace(data=header.data._replace(**change))  # type: ignore[arg-type]
        checkpoint.save(tmp_path / "wrong.safetensors", tensors, wrong)
        outcome = ddpm("info", tmp_path / "wrong.safetensors")
        assert outcome.code == 1
        assert "corrupt: its header has missing or wrong entries" in outcome.err

    def test_headers_from_before_there_were_arrays(self) -> None:
        fixture = Path(__file__).parents[2] / "fixtures" / "format-1.safetensors"
        assert read_header(fixture).data.is_image

    def test_classes_and_learned_variance(self, tmp_path: Path) -> None:
        words = ["--set", "network.classes=2", "--set", "network.learned_variance=true"]
        train("two-gaussians", tmp_path / "run", *words)
        text = sample(tmp_path / "run", "-n", 3, "--class", "high", "-o", "-").out
        header, *lines = text.splitlines()
        assert header == "x1,x2,class"
        assert [line.split(",")[2] for line in lines] == ["high"] * 3

    def test_dry_run_and_info(self, roll: Path) -> None:
        outcome = ddpm("train", "--preset", "swiss-roll", *QUICK, "--dry-run")
        assert "data: 200 rows of 2 values, in memory 0 MB" in outcome.err
        assert "20 steps of 16 rows" in outcome.err
        assert "[2]" in ddpm("info", roll, "--json").out


class TestSampling:
    def test_one_set_of_numbers_in_every_file(self, roll: Path) -> None:
        for suffix in ("csv", "npy", "npz", "safetensors"):
            sample(roll, "-n", 5, "-o", f"a.{suffix}")
        values = np.load("a.npy")
        assert (values.shape, values.dtype) == ((5, 2), np.float32)
        text = np.loadtxt("a.csv", delimiter=",", skiprows=1, dtype=np.float32)
        assert (text == values).all(), "the digits bring the same floats back"
        assert (np.load("a.npz")["samples"] == values).all()
        with safe_open("a.safetensors", framework="np") as file:
            assert (file.get_tensor("samples") == values).all()
        assert sample(roll, "-n", 5, "-o", "-").out == Path("a.csv").read_text()

    def test_the_default_is_a_table(self, roll: Path) -> None:
        assert sample(roll, "-n", 2).out == "samples.csv\n"
        assert Path("samples.csv").read_text().startswith("x1,x2\n")
        again = ddpm("sample", "-m", roll, "-n", 2)
        assert (again.code, "exists already" in again.err) == (1, True)

    def test_samples_are_in_the_units_of_the_data(self, roll: Path) -> None:
        model = ddpm_cli.load(str(roll), device="cpu", dtype="float32")
        assert model.info.mean is not None
        *_, final = model.walk([0, 1])
        std, mean = torch.tensor(model.info.std), torch.tensor(model.info.mean)
        assert torch.allclose(model.sample([0, 1]), final.x.float() * std + mean, atol=1e-5)

    def test_alone_and_in_any_batch(self, roll: Path) -> None:
        sample(roll, "-n", 9, "-o", "all.npy")
        sample(roll, "--seeds", "4,7", "--batch", 1, "-o", "two.npy")
        assert np.allclose(np.load("two.npy"), np.load("all.npy")[[4, 7]], atol=1e-3)

    def test_a_file_of_samples_can_be_made_again(self, roll: Path) -> None:
        sample(roll, "-n", 4, "-o", "a.safetensors")
        before = Path("a.safetensors").read_bytes()
        command = ddpm("info", "a.safetensors", "--command").out.split()
        assert command[:2] == ["ddpm", "sample"]
        Path("a.safetensors").unlink()
        assert ddpm("info", "a.safetensors").code == 1
        sample(roll, "-n", 4, "-o", "a.safetensors")
        assert Path("a.safetensors").read_bytes() == before

    @pytest.mark.parametrize("place", ["folder/", "{seed}.npy", "folder"])
    def test_no_folders(self, place: str, roll: Path) -> None:
        outcome = ddpm("sample", "-m", roll, "-o", place)
        assert outcome.code == 2
        assert "arrays go to one file; use .csv" in outcome.err
        assert list(Path().iterdir()) == []

    def test_a_plot(self, roll: Path) -> None:
        pytest.importorskip("matplotlib")
        for name in ("a.png", "b.png"):
            sample(roll, "-n", 50, "-o", name)
        assert Path("a.png").read_bytes() == Path("b.png").read_bytes()
        assert read_metadata("a.png")["seeds"] == "0-49"
        assert open_image("a.png").float().std() > 1

    def test_no_plot_of_many_values(self, tmp_path: Path) -> None:
        np.save("data.npy", np.random.default_rng(0).normal(size=(40, 2, 3)))
        words = ["--set", "data={name='array', path='data.npy'}", "--set", "wrappers=[]",
                 "--set", "network={name='mlp', width=8}"]  # fmt: skip
        outcome = ddpm("train", *QUICK[:8], *words, "-o", "run")
        assert outcome.code == 0, outcome.err
        for option in ("-o", "--trajectory"):
            refused = ddpm("sample", "-m", "run", option, "a.png")
            assert refused.code == 1
            assert "a.png: no picture of samples of 2x3 values; use .csv" in refused.err
        sample(Path("run"), "-n", 3, "-o", "a.csv", "--steps", 3)
        assert Path("a.csv").read_text().splitlines()[0] == "x1,x2,x3,x4,x5,x6"
        sample(Path("run"), "-n", 3, "-o", "a.npy", "--steps", 3)
        assert np.load("a.npy").shape == (3, 2, 3)

    def test_without_matplotlib(self, roll: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
        outcome = ddpm("sample", "-m", roll, "-o", "a.png")
        assert outcome.code == 1
        assert "pip install 'ddpm-cli[plot]'" in outcome.err


class TestTrajectories:
    def test_every_state_is_there(self, roll: Path) -> None:
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

    def test_the_start_is_unit_noise_in_the_scale_of_the_network(self, roll: Path) -> None:
        info = read_header(roll / "model.safetensors").data
        sample(roll, "-n", 500, "--steps", 2, "-b", 500, "-o", "a.npy", "--trajectory", "t.npz")
        first = (np.load("t.npz")["states"][0] - np.array(info.mean)) / np.array(info.std)
        assert first.std() == pytest.approx(1, abs=0.07)
        assert first.mean() == pytest.approx(0, abs=0.1)

    def test_frames_are_chosen_evenly_with_both_ends(self, roll: Path) -> None:
        sample(roll, "-o", "a.npy", "--trajectory", "all.npz", "--steps", 20)
        sample(roll, "-o", "b.npy", "--trajectory", "t.npz", "--steps", 20, "--frames", 3)
        whole, some = np.load("all.npz")["sigmas"], np.load("t.npz")["sigmas"]
        assert some.tolist() == whole[[0, 10, 20]].tolist()

    @pytest.mark.parametrize("name", ["t.png", "t.gif"])
    def test_pictures_of_points(self, name: str, roll: Path) -> None:
        pytest.importorskip("matplotlib")
        sample(roll, "-n", 30, "-o", "a.npy", "--trajectory", name, "--frames", 3)
        with Image.open(name) as picture:
            assert getattr(picture, "n_frames", 1) == (3 if name == "t.gif" else 1)

    @pytest.mark.parametrize(("name", "size"), [("t.png", (52, 32)), ("t.gif", (22, 22))])
    def test_pictures_of_images(self, name: str, size: tuple[int, int], finished: Path) -> None:
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
        self, words: list[str], message: str, roll: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        Path("there.npz").write_text("mine")
        monkeypatch.setattr(walks, "last", None)
        outcome = ddpm("sample", "-m", roll, "-o", "a.npy", *words)
        assert outcome.code in (1, 2)
        assert message in outcome.err
        assert contents(Path()) == {"there.npz": b"mine"}

    def test_too_many_images_for_a_picture(self, finished: Path) -> None:
        outcome = ddpm("sample", "-m", finished, "-n", 60000, "-o", "a.npy",
                       "--trajectory", "t.png", "--frames", 5)  # fmt: skip
        assert outcome.code == 1
        assert "60000 images are too many for a picture" in outcome.err

    def test_a_stopped_walk_leaves_no_trajectory(
        self, roll: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
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
        denoise = Denoiser(TwoPoints(), schedule, eps, index).bind()
        sigma = schedule.sigma(torch.tensor((number + 1) / 1000))
        for batch in (1, 4, 9, 50):
            found = drift(denoise, x, sigma, batch)
            assert torch.allclose(found, c0 * mean + (c1 - 1) * x, atol=1e-9)

    def test_the_first_step_ends_at_the_data(self) -> None:
        schedule = linear()
        denoise = Denoiser(TwoPoints(), schedule, eps, index).bind()
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
