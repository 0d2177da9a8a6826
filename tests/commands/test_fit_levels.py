"""`ddpm fit --levels`, and sampling along the levels that it found."""

import json
import os
import shlex
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from runs import ddpm, done, flip_bit, replayed

import ddpm_cli
from ddpm_cli.files.checkpoints import find, level_fits
from ddpm_cli.files.checkpoints.header import read_header
from ddpm_cli.files.checkpoints.level_fits import LevelFit
from ddpm_cli.pipelines import level_search

pytestmark = pytest.mark.small

PLAIN = ("--device", "cpu", "--dtype", "float32")
FEW = ("-n", 4, "--grid", 8, "--walks", 8, *PLAIN)
SOLVER = ("--sampler", "dpm++2m")
ALONG = (*SOLVER, "--levels", "fitted", "--steps", 3, *PLAIN)


@pytest.fixture(scope="module")
def known(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run with levels of two samplers beside it; copy it before changing it."""
    folder = tmp_path_factory.mktemp("known") / "run"
    shutil.copytree(finished, folder)
    found = done("fit", folder, "--levels", "3,2", *SOLVER, *FEW)
    assert found.out == f"{sidecar(folder)}\n"
    assert "4 images, a reference of 8 levels; lists of 2, 3: at most" in found.err
    done("fit", folder, "--levels", 2, "--sampler", "ddim", *FEW)
    return folder


@pytest.fixture
def fitted(known: Path, tmp_path: Path) -> Path:
    """A copy of the run with levels."""
    return Path(shutil.copytree(known, tmp_path / "fitted"))


def sidecar(folder: Path) -> Path:
    return folder / "model.levels.safetensors"


def fits(folder: Path) -> list[LevelFit]:
    model = read_header(folder / "model.safetensors")
    return level_fits.load(sidecar(folder), model, "")


def refused(*words: object) -> str:
    """The one message of a command that fails."""
    outcome = ddpm(*words)
    assert outcome.code in (1, 2), outcome.err
    assert outcome.err.count("Error: ") == 1
    assert outcome.out == ""
    return outcome.err


def test_each_fit_adds_its_lists_to_those_of_the_model(known: Path) -> None:
    found = [(fit.sampler["name"], fit.moves) for fit in fits(known)]
    assert found == [("ddim", 2), ("dpm-solver-pp-multi", 2), ("dpm-solver-pp-multi", 3)]
    for fit in fits(known):
        assert fit.facts["rms"] <= fit.facts["planned_rms"]
        assert fit.facts["rms"] <= fit.facts["spacing_rms"]
        assert fit.facts["seed"] == 10_000_000
    facts = json.loads(ddpm("info", sidecar(known), "--json").out)
    assert facts["kind"] == "levels"
    assert facts["model_file"] == str(known / "model.safetensors")
    assert [fit["count"] for fit in facts["fits"]] == [2, 2, 3]
    assert "ddim 2; dpm-solver-pp-multi 2, 3" in ddpm("info", sidecar(known)).out
    assert "levels fitted to a model" in refused("sample", "-m", sidecar(known), "-o", "x.png")


def test_the_same_command_finds_the_same_whatever_the_batch(fitted: Path) -> None:
    words = ("fit", fitted, "--levels", 3, *SOLVER, *FEW)
    before = fits(fitted)[2]
    assert "3 levels already" in refused(*words)
    done(*words, "--force", "--batch", 3)
    assert fits(fitted)[2] == before
    assert len(fits(fitted)) == 3
    done(*words, "--force", "--seed", 5)
    assert fits(fitted)[2].facts["seed"] == 5
    assert fits(fitted)[2] != before


def test_samples_walk_along_them_and_replay_without_them(fitted: Path, tmp_path: Path) -> None:
    picture = tmp_path / "x.png"
    done("sample", "-m", fitted, *ALONG, "-n", 2, "-o", picture)
    levels = json.loads(ddpm("info", picture, "--json").out)["settings"]["levels"]
    sigmas = list(fits(fitted)[2].sigmas)
    assert levels == {"name": "fitted", "count": 3, "file": "", "sigmas": sigmas}
    plan = done("sample", "-m", fitted, *ALONG, "--dry-run")
    settings = tmp_path / "plan.toml"
    settings.write_text(plan.out)
    before = picture.read_bytes()
    sidecar(fitted).unlink()
    done(*replayed(picture), "--force")
    assert picture.read_bytes() == before
    other = tmp_path / "y.npy"
    done("sample", "-m", fitted, "--config", settings, *PLAIN, "-o", other)
    explicit = {"name": "explicit", "sigmas": sigmas}
    words = shlex.quote(json.dumps(explicit).replace('": ', '"=')).strip("'")
    third = tmp_path / "z.npy"
    done("sample", "-m", fitted, *SOLVER, *PLAIN, "--set", f"levels={words}", "-o", third)
    assert other.read_bytes() == third.read_bytes()


def test_calls_take_the_longest_list_that_they_pay(fitted: Path) -> None:
    def planned(*words: object) -> str:
        walk = (*SOLVER, "--levels", "fitted", *words, "--dry-run")
        return done("sample", "-m", fitted, *walk).err

    assert "3 steps, 3 network calls" in planned("--calls", 7)
    assert "2 steps, 2 network calls" in planned("--calls", 2)
    walk = ("sample", "-m", fitted, *SOLVER, "--levels", "fitted", "--dry-run")
    assert "has 2 levels" in refused(*walk, "--calls", 1)


def test_a_fit_is_for_its_guidance(fitted: Path, tmp_path: Path) -> None:
    guided = ("--set", "guidance.scale=2")
    walk = ("sample", "-m", fitted, *ALONG, *guided, "-o", tmp_path / "x.png")
    error = refused(*walk)
    assert "guidance.scale 2" in error
    tried = shlex.split(error.rpartition("type: ddpm ")[2])
    before = len(fits(fitted))
    found = done(*tried, *FEW)
    assert len(fits(fitted)) == before + 1
    assert "3 steps, 6 network calls" in done(*walk).err
    tried = shlex.split(found.err.rpartition("try: ddpm ")[2])
    done(*tried, "-o", tmp_path / "y.png")


def test_what_is_missing_is_said_with_the_command_for_it(fitted: Path, tmp_path: Path) -> None:
    walk = ("sample", "-m", fitted, "--levels", "fitted", "-o", tmp_path / "x.png")
    error = refused(*walk, *SOLVER, "--steps", 7)
    assert "no fit of dpm-solver-pp-multi has 7 levels, but 2, 3" in error
    assert f"ddpm fit {fitted} --levels 7 --sampler dpm-solver-pp-multi" in error
    error = refused(*walk, "--sampler", "heun", "--steps", 3)
    assert "no fit of heun, but of ddim 2; dpm-solver-pp-multi 2, 3" in error
    other = refused(*walk, *SOLVER, "--steps", 3, "--set", "sampler.order=3")
    assert "order 3" in other
    assert "--set sampler.order=3" in other
    flip_bit(sidecar(fitted), -3)
    assert "corrupt" in refused(*walk, *SOLVER, "--steps", 3)
    sidecar(fitted).unlink()
    error = refused(*walk, *SOLVER, "--steps", 3)
    assert "is not there" in error
    assert f"ddpm fit {fitted} --levels 3 --sampler dpm-solver-pp-multi" in error
    shutil.copy(fitted / "model.safetensors", sidecar(fitted))
    assert "no levels fitted" in refused(*walk, *SOLVER, "--steps", 3)


def test_levels_of_other_weights_are_refused(fitted: Path, tmp_path: Path) -> None:
    shutil.copy(sidecar(fitted), tmp_path / "l.safetensors")
    mnist = ("sample", "-m", "mnist", *ALONG, "-o", tmp_path / "x.png")
    error = refused(*mnist, "--set", f"levels.file={tmp_path / 'l.safetensors'}")
    assert "another model" in error
    words = ("fit", fitted, "--levels", 2, *SOLVER, *FEW, "-o", tmp_path / "l.safetensors")
    assert "2 levels already" in refused(*words)
    shutil.copy(level_fits.beside(find.find("mnist").path), tmp_path / "l.safetensors")
    assert "another model" in refused(*words)
    found = done(*words, "--force")
    tried = shlex.split(found.err.rpartition("try: ddpm ")[2])
    assert "levels.file" in found.err
    done(*tried, "-o", tmp_path / "y.png")


def test_noise_of_its_own_leads_away_from_the_ode(fitted: Path, tmp_path: Path) -> None:
    words = ("fit", fitted, "--levels", 2, *FEW, "--force")
    found = done(*words, "--sampler", "ddim", "--set", "sampler.eta=1")
    assert "fitted without its noise" in found.err
    assert "sampler.eta=0" in found.err.rpartition("try: ")[2]
    assert fits(fitted)[0].sampler["eta"] == 0
    for name in ("ddpm", "euler-maruyama"):
        assert f"sampler.{name}: adds noise" in refused(*words, "--sampler", name)
    churned = ("--sampler", "heun", "--set", 'edits=[{name="churn", amount=5}]')
    assert "edits: adds noise" in refused(*words, *churned)
    assert "by a tolerance" in refused(*words, "--sampler", "ode")
    walk = ("sample", "-m", fitted, "--sampler", "ddim", "--levels", "fitted", "--steps", 2)
    noisy = done(*walk, "--set", "sampler.eta=1", "-o", tmp_path / "x.png")
    assert "fitted without; --set sampler.eta=0" in noisy.err
    other = done(*walk, "--set", "wrappers=[]", "-o", tmp_path / "y.png")
    assert "other wrappers (clamp)" in other.err


@pytest.mark.parametrize("sampler", ["heun", "unipc", "dpm++3m"])
def test_samplers_of_several_calls_and_of_memory_are_fitted(fitted: Path, sampler: str) -> None:
    words = ("fit", fitted, "--levels", 3, "-n", 2, "--grid", 5, "--walks", 2, *PLAIN)
    done(*words, "--sampler", sampler)
    assert len(fits(fitted)) == 4


def test_arrays_are_walked_too(roll: Path, tmp_path: Path) -> None:
    path = tmp_path / "levels.safetensors"
    words = ("fit", roll, "--levels", 3, "--sampler", "ddim", *FEW, "-o", path)
    planned = done(*words, "--dry-run")
    assert 'name = "ddim"' in planned.out
    assert not path.exists()
    row = json.loads(done(*words, "--json").out)
    assert (row["sampler"], row["steps"], len(row["sigmas"])) == ("ddim", 3, 3)
    assert row["path"] == str(path)


def test_options_that_do_not_go_together_are_refused(fitted: Path) -> None:
    assert "only with --levels" in refused("fit", fitted, "--sampler", "ddim")
    assert "not with --levels" in refused("fit", fitted, "--levels", 2, "--diagonal", "npr")
    for text in ("", "0", "5,,6", "many", "-3"):
        assert "--levels" in refused("fit", fitted, f"--levels={text}")
    assert "the grid has" in refused("fit", fitted, "--levels", 50, *FEW)


def test_stopping_keeps_what_is_whole(fitted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def improved(*words: Any) -> Any:
        if len(words[0]) == 5:
            os.kill(os.getpid(), signal.SIGINT)
        return real(*words)

    real = level_search.level_fitting.improved
    monkeypatch.setattr(level_search.level_fitting, "improved", improved)
    before = sidecar(fitted).read_bytes()
    assert ddpm("fit", fitted, "--levels", "5", *SOLVER, *FEW).code == 130
    assert sidecar(fitted).read_bytes() == before
    stopped = ddpm("fit", fitted, "--levels", "4,5", *SOLVER, *FEW)
    assert stopped.code == 130
    assert "not fitted: 5 levels" in stopped.err
    assert [fit.moves for fit in fits(fitted)] == [2, 2, 3, 4]


def test_python_walks_along_them(fitted: Path) -> None:
    settings = {"sampler": {"name": "dpm-solver-pp-multi"}, "levels": {"name": "fitted"}}
    settings["levels"]["count"] = 3  # type: ignore[assignment]
    model = ddpm_cli.load(str(fitted), device="cpu", dtype="float32", settings=settings)
    assert model._core.config["levels"]["sigmas"] == list(fits(fitted)[2].sigmas)
    assert torch.isfinite(model.sample([1, 2])).all()


def test_training_has_no_levels_that_belong_to_a_model(data: Path, tmp_path: Path) -> None:
    words = ("train", "--preset", "tiny", "--set", f"data.path={data}", "-o", tmp_path / "run")
    assert "fitted ones belong to a finished model" in refused(
        *words, "--set", "levels.name=fitted"
    )


def test_the_bundled_model_comes_with_its_levels() -> None:
    found = find.find("mnist")
    path = level_fits.beside(found.path)
    published = level_fits.load(path, read_header(found.path), "")
    for name in ("ddim", "dpm-solver-pp-multi"):
        own = [fit for fit in published if fit.sampler["name"] == name]
        assert [fit.moves for fit in own] == [2, 3, 4, 5, 6, 8, 10, 15, 20]
        assert all(fit.facts["rms"] <= fit.facts["spacing_rms"] for fit in own)
    assert path.stat().st_size < 20_000
