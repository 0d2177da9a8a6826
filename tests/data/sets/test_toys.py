"""Toys: their sets, and their training from end to end, in seconds."""

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import runs
import torch
from exact import TWO_POINTS, by_index, process
from image_sets import rows
from runs import TOY, ddpm, sample, train_toy

import ddpm_cli
from ddpm_cli.data.array_set import ArraySet
from ddpm_cli.data.sets.toys import eight_gaussians, swiss_roll, two_gaussians, two_points
from ddpm_cli.diffusion.denoiser import Denoiser
from ddpm_cli.files.checkpoints import checkpoint
from ddpm_cli.files.checkpoints.header import read_header
from ddpm_cli.settings import config, presets

BEST = 0.092868  # Bayes-optimal L_simple of the two points, linear schedule, T = 1000


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


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
        exact = by_index(TWO_POINTS, *process("linear"))
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
            assert ddpm("train", "--preset", "swiss-roll", *TOY, "-o", "cut").code == 143
        train_toy("swiss-roll", Path("cut"))
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
        assert "wrong.safetensors: corrupt: its header " in outcome.err

    def test_headers_from_before_there_were_arrays(self) -> None:
        fixture = Path(__file__).parents[2] / "fixtures" / "format-1.safetensors"
        assert read_header(fixture).data.is_image

    def test_classes_and_learned_variance(self, tmp_path: Path) -> None:
        words = ["--set", "network.classes=2", "--set", "network.learned_variance=true"]
        train_toy("two-gaussians", tmp_path / "run", *words)
        text = sample(tmp_path / "run", "-n", 3, "--class", "high", "-o", "-").out
        header, *lines = text.splitlines()
        assert header == "x1,x2,class"
        assert [line.split(",")[2] for line in lines] == ["high"] * 3

    def test_dry_run_and_info(self, roll: Path) -> None:
        outcome = ddpm("train", "--preset", "swiss-roll", *TOY, "--dry-run")
        assert "data: 200 rows of 2 values, in memory 0 MB" in outcome.err
        assert "20 steps of 16 rows" in outcome.err
        assert "[2]" in ddpm("info", roll, "--json").out


TOYS: dict[str, Callable[..., ArraySet]] = {
    "two-points": two_points,
    "two-gaussians": two_gaussians,
    "eight-gaussians": eight_gaussians,
    "swiss-roll": swiss_roll,
}


class TestToys:
    @pytest.mark.parametrize("name", TOYS)
    def test_made_from_the_seed_alone(self, name: str) -> None:
        make = TOYS[name]
        first = rows(make("train", count=500, seed=3))
        assert torch.equal(first, rows(make("train", count=500, seed=3)))
        assert not torch.equal(first, rows(make("train", count=500, seed=4)))
        test = make("test", count=500, seed=3)
        assert (len(first), len(test)) == (500, 100)
        assert not torch.equal(first[:100], rows(test))

    def test_two_points(self) -> None:
        found = two_points("train", count=1000)
        values, conditions = found[torch.arange(1000)]
        labels = conditions["classes"]
        assert values.shape == (1000, 1)
        assert torch.equal(values[:, 0], labels - 0.5), "not normalized"
        assert int(labels.sum()) == 500
        assert found.frequencies() == [0.5, 0.5]

    def test_two_gaussians_have_their_weights(self) -> None:
        found = two_gaussians("train", count=5000, weight=0.2)
        values = rows(found)
        assert int((values[:, 0] < 0).sum()) == 1000
        low, high = values[values[:, 0] < 0], values[values[:, 0] > 0]
        assert low.mean(0).tolist() == pytest.approx([-5, -5], abs=0.15)
        assert high.mean(0).tolist() == pytest.approx([5, 5], abs=0.1)
        assert high.std(0).tolist() == pytest.approx([1, 1], abs=0.05)

    def test_eight_gaussians_lie_on_a_circle(self) -> None:
        found = eight_gaussians("train", count=8000, deviation=0.0)
        values, labels = rows(found), found.labels
        assert labels is not None
        assert values.norm(dim=1).tolist() == pytest.approx([4.0] * 8000, abs=1e-5)
        assert torch.bincount(labels).tolist() == [1000] * 8
        assert torch.equal(torch.atan2(values[:, 1], values[:, 0]).mul(4 / torch.pi).round() % 8,
                           labels.float())  # fmt: skip

    def test_the_swiss_roll_turns_once_and_a_half(self) -> None:
        values = rows(swiss_roll("train", count=4000, noise=0.0)).double()
        radius = values.norm(dim=1)
        assert 1.5 * torch.pi <= radius.min() < 1.52 * torch.pi
        assert 4.48 * torch.pi < radius.max() <= 4.5 * torch.pi + 1e-5
        turned = torch.stack([radius * radius.cos(), radius * radius.sin()], dim=1)
        assert torch.allclose(values, turned, atol=1e-4)

    @pytest.mark.parametrize("name", sorted(TOYS.keys() - {"two-points"}))
    def test_both_splits_are_normalized_as_the_training_split(self, name: str) -> None:
        train, test = TOYS[name]("train", count=3000), TOYS[name]("test", count=3000)
        assert (train.mean, train.std) == (test.mean, test.std)
        values, _ = train[torch.arange(len(train))]
        assert values.dtype == torch.float32
        assert values.mean(0).tolist() == pytest.approx([0, 0], abs=1e-5)
        assert values.std(0, correction=0).tolist() == pytest.approx([1, 1], abs=1e-5)
