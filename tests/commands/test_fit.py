"""`ddpm fit` and sampling with what it measured."""

import json
import os
import shlex
import shutil
import signal
from pathlib import Path

import pytest
import runs
from runs import ddpm, flip_bit

import ddpm_cli
from ddpm_cli.diffusion.analytic import Analytic
from ddpm_cli.files.checkpoints import checkpoint, find, moments
from ddpm_cli.files.checkpoints.header import read_header
from ddpm_cli.pipelines import fit

FEW = ("-n", 24, "--grid", 5, "--batch", 16, "--device", "cpu", "--dtype", "float32")
OPTIMAL = ("--set", "sampler.variance=optimal", "--device", "cpu", "--dtype", "float32")


@pytest.fixture(scope="module")
def measured(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run with moments beside its model; copy it before changing it."""
    folder = tmp_path_factory.mktemp("measured") / "run"
    shutil.copytree(finished, folder)
    outcome = ddpm("fit", folder, *FEW)
    assert outcome.code == 0, outcome.err
    assert outcome.out == f"{folder / 'model.moments.safetensors'}\n"
    assert f"ddpm sample -m {folder}" in outcome.err
    return folder


@pytest.fixture
def fitted(measured: Path, tmp_path: Path) -> Path:
    """A copy of the run with moments."""
    return Path(shutil.copytree(measured, tmp_path / "fitted"))


def sidecar(folder: Path) -> Path:
    return folder / "model.moments.safetensors"


def test_the_same_command_writes_the_same_bytes(fitted: Path) -> None:
    before = sidecar(fitted).read_bytes()
    assert ddpm("fit", fitted, *FEW, "--force").code == 0
    assert sidecar(fitted).read_bytes() == before
    assert ddpm("fit", fitted, *FEW, "--seed", 1, "--force").code == 0
    assert sidecar(fitted).read_bytes() != before


@pytest.mark.parametrize("sampler", ["ddpm", "ddim"])
def test_sample_finds_the_moments_beside_the_model(
    fitted: Path, tmp_path: Path, sampler: str
) -> None:
    pictures = []
    for number, words in enumerate([OPTIMAL, OPTIMAL[2:]]):
        path = tmp_path / f"{number}.npy"
        outcome = ddpm("sample", "-m", fitted, "--sampler", sampler, "-n", 3, "-o", path, *words)
        assert outcome.code == 0, outcome.err
        pictures.append(path.read_bytes())
    assert pictures[0] != pictures[1]


def test_python_loads_the_moments_too(fitted: Path) -> None:
    header, weights = checkpoint.load(fitted / "model.safetensors")
    config = header.config | {"sampler": header.config["sampler"] | {"variance": "optimal"}}
    checkpoint.save(fitted / "model.safetensors", weights, header._replace(config=config))
    assert ddpm("fit", fitted, *FEW, "--force").code == 0
    model = ddpm_cli.load(str(fitted), device="cpu", dtype="float32")
    assert isinstance(model._core.denoiser, Analytic)
    assert model.sample([1, 2]).isfinite().all()


def test_info_says_what_they_are_and_belong_to(fitted: Path, tmp_path: Path) -> None:
    facts = json.loads(ddpm("info", sidecar(fitted), "--json").out)
    model = read_header(fitted / "model.safetensors")
    assert (facts["kind"], facts["method"], facts["count"]) == ("moments", "error", 24)
    assert facts["model"] == model.hash
    assert facts["model_file"] == str(fitted / "model.safetensors")
    alone = shutil.copy(sidecar(fitted), tmp_path / "alone.safetensors")
    assert json.loads(ddpm("info", alone, "--json").out)["model_file"] is None


def refused(*words: object) -> str:
    """The one message of a command that fails."""
    outcome = ddpm(*words)
    assert outcome.code in (1, 2), outcome.err
    found = [line for line in outcome.err.splitlines() if line.startswith("Error: ")]
    assert len(found) == 1
    assert outcome.out == ""
    return outcome.err


def test_missing_moments_name_the_command(run: Path, tmp_path: Path) -> None:
    picture = tmp_path / "x.png"
    error = refused("sample", "-m", run, "-o", picture, *OPTIMAL)
    assert f"type: ddpm fit {run}" in error
    assert not picture.exists()


def test_moments_of_other_weights_are_refused(fitted: Path, tmp_path: Path) -> None:
    header, weights = checkpoint.load(fitted / "model.safetensors")
    checkpoint.save(fitted / "model.safetensors", weights, header._replace(step=99))
    error = refused("sample", "-m", fitted, "-o", tmp_path / "x.png", *OPTIMAL)
    assert f"ddpm fit {fitted} --force" in error
    assert "another model" in error


def test_damaged_and_wrong_files_are_refused(fitted: Path, tmp_path: Path) -> None:
    words = ("sample", "-m", fitted, "-o", tmp_path / "x.png", *OPTIMAL)
    flip_bit(sidecar(fitted), -3)
    assert "corrupt" in refused(*words)
    error = refused(*words, "--moments", fitted / "model.safetensors")
    assert "no moments of a model" in error
    assert "moments of a model" in refused("sample", "-m", copy(fitted), "-o", tmp_path / "x.png")


def copy(folder: Path) -> Path:
    """The moments, whole again, under a name of their own."""
    flip_bit(sidecar(folder), -3)
    return Path(shutil.copy(sidecar(folder), folder / "other.safetensors"))


def test_moments_elsewhere_are_named_and_recorded(fitted: Path, tmp_path: Path) -> None:
    elsewhere = shutil.move(sidecar(fitted), tmp_path / "m.safetensors")
    picture = tmp_path / "x.png"
    words = ("sample", "-m", fitted, "-o", picture, "--moments", elsewhere)
    assert ddpm(*words, *OPTIMAL).code == 0
    assert f"--moments {elsewhere}" in ddpm("info", picture, "--command").out
    assert "only of use" in refused(*words, "--force")


def test_the_command_that_it_closes_with_finds_the_moments(run: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "other moments.safetensors"
    for words in ([], ["-o", elsewhere]):
        outcome = ddpm("fit", run, *FEW, *words)
        assert outcome.code == 0, outcome.err
        tried = shlex.split(outcome.err.rpartition("try: ddpm ")[2])
        assert ("--moments" in tried) == bool(words)
        assert ddpm(*tried, "-o", tmp_path / "x.png", "--force").code == 0
        sidecar(run).unlink(missing_ok=True)


def test_existing_moments_are_kept(fitted: Path) -> None:
    before = sidecar(fitted).read_bytes()
    assert "--force" in refused("fit", fitted, *FEW)
    assert sidecar(fitted).read_bytes() == before


def test_a_dry_run_says_what_measuring_takes(run: Path) -> None:
    planned = ddpm("fit", run, *FEW, "--dry-run")
    assert planned.code == 0, planned.err
    assert "24 images at 5 noise levels, 5 network calls an image" in planned.err
    assert "[network]" in planned.out
    assert not sidecar(run).exists()


def test_trajectory_is_a_setting_of_sample(fitted: Path, tmp_path: Path) -> None:
    before = sidecar(fitted).read_bytes()
    outcome = ddpm("fit", fitted, "--trajectory", 4)
    assert sidecar(fitted).read_bytes() == before
    words = ("--set", outcome.out.strip(), "-o", tmp_path / "x.png")
    drawn = ddpm("sample", "-m", fitted, *OPTIMAL, *words)
    assert drawn.code == 0, drawn.err
    assert "4 steps" in drawn.err
    found = json.loads(ddpm("fit", fitted, "--trajectory", 4, "--json").out)
    assert found["timesteps"][0] == 0
    assert found["timesteps"][-1] == 999
    assert "2 to 1000" in refused("fit", fitted, "--trajectory", 1001)


@pytest.mark.parametrize("method", ["npr", "sn"])
def test_head_is_kept_with_the_moments(run: Path, tmp_path: Path, method: str) -> None:
    assert ddpm("fit", run, *FEW, "--diagonal", method, "--steps", 3).code == 0
    header, tensors = checkpoint.load(sidecar(run))
    assert header.fitted
    assert header.fitted["method"] == method
    assert "head.last.weight" in tensors
    outcome = ddpm("sample", "-m", run, "-n", 2, "-o", tmp_path / "x.npy", *OPTIMAL)
    assert outcome.code == 0, outcome.err
    other = {name: value for name, value in tensors.items() if name != "head.last.weight"}
    checkpoint.save(sidecar(run), other, header)
    error = refused("sample", "-m", run, "-o", tmp_path / "y.npy", *OPTIMAL)
    assert "does not fit" in error


def test_what_the_model_is_cannot_be_changed(run: Path, data: Path, tmp_path: Path) -> None:
    assert "schedule.steps" in refused("fit", run, *FEW, "--set", "schedule.steps=10")
    assert "leave out" in refused("fit", run, *FEW, "--estimate", "norm", "--diagonal", "sn")
    assert not sidecar(run).exists()
    assert ddpm("fit", run, *FEW, "--set", f"data.path={data}").code == 0


def test_stopping_writes_nothing(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def squares(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        return real(*_)

    real = fit.analytic.squares
    monkeypatch.setattr(fit.analytic, "squares", squares)
    assert ddpm("fit", run, *FEW).code == 130
    assert not sidecar(run).exists()


def test_training_cannot_sample_with_what_only_a_model_has(data: Path, tmp_path: Path) -> None:
    outcome = runs.train(data, tmp_path / "run", "--set", "sampler.variance=optimal")
    assert outcome.code == 2
    assert "sampler.variance" in outcome.err


def test_the_bundled_model_comes_with_its_moments() -> None:
    found = find.find("mnist")
    header = read_header(found.path)
    published = moments.load(moments.beside(found.path), header, found.name)
    variance = published.moments.variance(published.moments.sigma)
    assert bool((variance > 0).all())
    assert 0.2 < float(variance[-1]) < 0.6  # of all digits: what noise has wiped out
    assert find.bundled() == [
        "mnist",
        "mnist-classifier",
        "mnist-diffusers",
        "mnist-inpaint",
        "mnist-likelihood",
        "mnist-upscale",
    ]
