"""Conditional models: what they see in training, how they start from other weights, and resume."""

from pathlib import Path
from typing import Literal

import pytest
import torch
from runs import ddpm, digits, train
from safetensors.torch import load_file

from ddpm_cli.data import tasks
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.errors import ConfigError
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.files.checkpoints.header import read_header
from ddpm_cli.models import build
from ddpm_cli.settings.config import Layer, resolve
from ddpm_cli.training.init import widened

SMALL = {"name": "unet", "width": 8, "attention": [], "patch": 2, "classes": 3}

INPAINT = ("--set", "task.name=inpaint")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return digits(tmp_path_factory.mktemp("data") / "digits")


@pytest.fixture(scope="module")
def base(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "base"
    assert train(data, folder).code == 0
    return folder


@pytest.fixture(scope="module")
def conditional(data: Path, base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "inpaint"
    done = train(data, folder, *INPAINT, "--init", base)
    assert done.code == 0, done.err
    return folder


class TestInpaint:
    def test_holes_show_nothing(self) -> None:
        """Two images that differ in the hole alone give one and the same condition."""
        task = tasks.inpaint((3, 8, 8))
        image, known = torch.randn(1, 3, 8, 8), torch.ones(1, 1, 8, 8)
        known[..., 2:5, 3:6] = 0
        other = torch.where(known == 0, torch.randn_like(image), image)
        seen = task.image(image, known)
        assert seen.shape == (1, task.channels, 8, 8)
        assert torch.equal(seen, task.image(other, known))
        assert torch.equal(seen[:, :3] * known, image * known)
        assert torch.equal(seen[:, 3:], known)

    def test_training_masks_its_own_image(self) -> None:
        task = tasks.inpaint((1, 8, 8))
        seen = task(torch.full((5, 1, 8, 8), 0.5), Rng(range(5)))
        assert torch.equal(seen[:, :1], 0.5 * seen[:, 1:])
        assert 0 < float(seen[:, 1].mean()) < 1


class TestUpscale:
    def test_shows_the_small_image_and_its_noise(self) -> None:
        task = tasks.upscale((3, 8, 6), noise=0.5)
        x0 = torch.rand(2, 3, 8, 6) * 2 - 1
        low = task.low(x0)
        assert low.shape == (2, *task.small) == (2, 3, 4, 3)
        seen = task.image(low, torch.tensor([0.0, 0.3]), Rng([1, 2]))
        assert seen.shape == (2, task.channels, 8, 6)
        assert seen[:, 3].flatten(1).unique(dim=1).tolist() == [[0.0], [pytest.approx(0.3)]]
        clean = task.image(low, torch.zeros(2), Rng([1, 2]))
        assert torch.equal(seen[0], clean[0])
        spread = (task.low(seen[1:, :3]) - task.low(clean[1:, :3])).std()
        assert 0.1 < float(spread) < 0.5

    def test_training_sees_the_bytes_of_files(self) -> None:
        """Without augmentation the condition is the shrunken image, rounded to bytes."""
        task = tasks.upscale((1, 8, 8), filter="area")
        x0 = torch.rand(3, 1, 8, 8) * 2 - 1
        rounded = ((task.low(x0) + 1) * 127.5).round() / 127.5 - 1
        expected = task.image(rounded, torch.zeros(3), Rng(range(3)))
        assert torch.allclose(task(x0, Rng(range(3))), expected, atol=1e-6)

    def test_of_a_model_with_a_range_it_sees_the_levels_of_that(self) -> None:
        settings = config(task={"name": "upscale", "filter": "area"})
        task = build.task(settings, DataInfo((1, 8, 8), range=(0, 4095)))
        assert isinstance(task, tasks.upscale)
        x0 = torch.rand(3, 1, 8, 8) * 2 - 1
        rounded = ((task.low(x0) + 1) * 2047.5).round() / 2047.5 - 1
        expected = task.image(rounded, torch.zeros(3), Rng(range(3)))
        assert torch.allclose(task(x0, Rng(range(3))), expected, atol=1e-6)
        assert len(rounded.unique()) > 40

    @pytest.mark.parametrize("degrade", ["none", "blur", "bsr"])
    def test_a_condition_is_an_images_own(self, degrade: Literal["none", "blur", "bsr"]) -> None:
        task = tasks.upscale((3, 8, 8), degrade=degrade, noise=0.2)
        x0 = torch.rand(4, 3, 8, 8) * 2 - 1
        alone = task(x0[2:3], Rng([7]))
        assert torch.allclose(task(x0, Rng([5, 6, 7, 8]))[2], alone[0], atol=1e-6)
        assert not torch.allclose(task(x0, Rng([5, 6, 9, 8]))[2], alone[0], atol=1e-3)


def config(**tables: object) -> dict[str, object]:
    return resolve([Layer("test", tables)])


class TestInit:
    def test_the_condition_changes_nothing_at_first(self) -> None:
        """Zero-initialised channels: any conditioning image gives the base model's answer."""
        info = DataInfo((1, 8, 8), ("a", "b", "c"))
        base = build.network(config(network=SMALL), info).double()
        base.requires_grad_(False)
        for value in base.parameters():
            torch.nn.init.normal_(value, std=0.1)
        settings = config(network=SMALL, task={"name": "inpaint"})
        denoiser = build.denoiser(settings, build.network(settings, info).double())
        weights = widened(base.state_dict(), denoiser.weights(), "base")
        denoiser.load_weights(weights)
        x, label = torch.randn(2, 1, 8, 8).double(), torch.tensor([3.0, 400.0]).double()
        image = torch.randn(2, 2, 8, 8).double()
        assert denoiser.network.stem.weight.shape[1] == 3 * 4
        plain = base(x, label, torch.tensor([0, 3]))
        found = denoiser.network(x, label, torch.tensor([0, 3]), image)
        assert torch.allclose(found, plain, atol=1e-12)
        assert float(plain.abs().max()) > 0.01

    def test_a_network_of_another_width_is_refused(self, data: Path, base: Path) -> None:
        words = ("--set", "network.width=16", "--init", base)
        done = train(data, base.parent / "wide", *words)
        assert done.code == 2
        assert "init.model" in done.err
        assert "another network" in done.err
        assert not (base.parent / "wide").exists()

    def test_the_run_starts_there(self, data: Path, base: Path, tmp_path: Path) -> None:
        """One step at a learning rate of nearly nothing leaves the base model's average."""
        words = ("--init", base, "--steps", 1, "--lr", 1e-12)
        assert train(data, tmp_path / "run", *words).code == 0
        old, new = (load_file(f / "model.safetensors") for f in (base, tmp_path / "run"))
        assert old.keys() == new.keys()
        assert all(torch.allclose(old[k], new[k], atol=1e-6) for k in old)


class TestRuns:
    def test_say_what_they_are_for(self, conditional: Path) -> None:
        header = read_header(conditional / "model.safetensors")
        assert header.task == "inpaint"
        shown = ddpm("info", conditional)
        assert shown.code == 0
        assert "inpaint" in shown.out
        assert (conditional / "samples" / "step-0000012.png").exists()

    def test_resume_bit_for_bit(self, data: Path, base: Path, conditional: Path) -> None:
        folder = base.parent / "resumed"
        words = (*INPAINT, "--init", base)
        assert train(data, folder, *words, "--minutes", 1e-6).code == 0
        assert read_header(folder / "state.safetensors").step < 12
        done = train(data, folder, *words, "--minutes", 0)
        assert done.code == 0, done.err
        first, second = (load_file(f / "model.safetensors") for f in (conditional, folder))
        assert all(torch.equal(first[k], second[k]) for k in first)

    def test_cannot_be_sampled_without_an_image(self, conditional: Path, tmp_path: Path) -> None:
        done = ddpm("sample", "-m", conditional, "-o", tmp_path / "x.png")
        assert done.code == 1
        assert "ddpm inpaint" in done.err
        assert not (tmp_path / "x.png").exists()

    def test_arrays_see_no_image(self) -> None:
        settings = config(network={"name": "mlp"}, task={"name": "inpaint"})
        with pytest.raises(ConfigError, match="unet"):
            build.network(settings, DataInfo((2, 4, 4)))


def test_the_newest_run_of_the_same_task_is_taken(
    conditional: Path, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ddpm_cli.files.checkpoints import find

    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    assert find.find(None, "inpaint").path.parent == find.BUNDLED
    for name, source in (("base", base), ("conditional", conditional)):
        (tmp_path / "runs" / name).symlink_to(source)
    assert find.find(None).name == "runs/base"
    assert find.find(None, "inpaint").name == "runs/conditional"
