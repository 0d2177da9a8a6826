"""Denoising diffusion GANs: two players in a run, what they draw, and what is refused."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest
import runs
import torch
from runs import GAME, assert_same, ddpm, result, signal_after

import ddpm_cli
from ddpm_cli.files.checkpoints.header import read_header
from ddpm_cli.settings import presets
from ddpm_cli.settings.config import resolve


def train(data: Path, folder: Path, *words: object) -> runs.Outcome:
    return ddpm("train", *GAME, "--set", f"data.path={data}", "-o", folder, *words)


@pytest.fixture(scope="module")
def played(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a game of six steps."""
    folder = tmp_path_factory.mktemp("game") / "run"
    outcome = train(data, folder)
    assert outcome.code == 0, outcome.err
    return folder


def test_a_stopped_game_goes_on_bit_for_bit(data: Path, played: Path, tmp_path: Path) -> None:
    with signal_after(3, signal.SIGTERM):
        assert train(data, tmp_path / "run").code == 143
    assert train(data, tmp_path / "run").code == 0
    assert_same(result(tmp_path / "run"), result(played))


def test_both_players_are_told_of_and_kept(played: Path) -> None:
    found = result(played)
    numbers = found.losses[-1]
    assert numbers["loss"] > 0
    assert numbers["critic_loss"] > 0
    assert numbers["critic_grad_norm"] > 0
    assert "held_out" not in numbers  # of a game nothing is comparable over a run
    critics = [name for name in found.state if name.startswith("critic.")]
    assert "critic.weights.stem.weight" in critics
    assert "critic.optimizer.network.stem.weight.exp_avg" in critics or any(
        name.startswith("critic.optimizer.") for name in critics
    )
    assert not [name for name in found.model if "critic" in name]


def test_a_batch_in_parts_is_the_same_game(data: Path, played: Path, tmp_path: Path) -> None:
    assert train(data, tmp_path / "run", "--set", "train.accumulate=2").code == 0
    parts, whole = result(tmp_path / "run"), result(played)
    for name, tensor in whole.model.items():
        assert (parts.model[name] - tensor).abs().max() < 2e-4, name


def test_an_image_is_its_own_whatever_the_batch(played: Path) -> None:
    model = ddpm_cli.load(str(played), dtype="float32", device="cpu")
    batch = model.sample(range(4))
    # Matrix products of one row are rounded otherwise than those of four.
    assert torch.allclose(model.sample([2])[0], batch[2], atol=1e-6)
    assert torch.allclose(model.sample(range(4), batch=3), batch, atol=1e-6)
    assert not torch.allclose(batch[0], batch[1])


def test_its_latents_follow_the_seed(played: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another latent for the same noise is another image."""
    from ddpm_cli.models import kinds

    model = ddpm_cli.load(str(played), dtype="float32", device="cpu")
    image, drawn = model.sample([0]), kinds.drawn
    seen: list[tuple[int, ...]] = []

    def other(*about: Any) -> Any:
        latents = drawn(*about)["latent"]
        seen.append(tuple(latents.shape))
        return {"latent": -latents}

    monkeypatch.setattr(kinds, "drawn", other)
    assert not torch.equal(model.sample([0]), image)
    assert seen == [(1, 4, 3)]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("nll", "--data", "mnist"), "loss.adversarial: no likelihood"),
        (("interpolate", "--seeds", "0,1", "-o", "frames"), "loss.adversarial: no way back"),
        (("fit", "-o", "moments.safetensors"), "loss.adversarial: no moments"),
    ],
    ids=["nll", "interpolate", "fit"],
)
def test_what_needs_a_mean_is_refused(
    words: tuple[str, ...], told: str, played: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    model = [played] if words[0] == "fit" else ["-m", played]
    outcome = ddpm(words[0], *model, *words[1:])
    assert outcome.code == 1, outcome.err
    assert told in outcome.err
    assert "another loss" in outcome.err


def test_encoding_is_refused(played: Path, tmp_path: Path) -> None:
    image = tmp_path / "a.png"
    assert ddpm("sample", "-m", played, "-n", 1, "-o", image).code == 0
    outcome = ddpm("encode", image, "-m", played, "-o", tmp_path / "z.safetensors")
    assert outcome.code == 1
    assert "no way back from images" in outcome.err


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (["--sampler", "heun"], "sampler heun makes other states"),
        (["--set", "sampler.variance=large"], "variance large makes other states"),
        (["--steps", "2"], "its steps are those between all 4 levels"),
        ([], ""),
    ],
    ids=["sampler", "variance", "steps", "usual"],
)
def test_other_walks_are_warned_of(
    settings: list[str], told: str, played: Path, tmp_path: Path
) -> None:
    outcome = ddpm("sample", "-m", played, "-n", 1, *settings, "-o", tmp_path / "a.png")
    assert outcome.code == 0, outcome.err
    assert (told in outcome.err) if told else ("loss.adversarial" not in outcome.err)


LINEAR = 'schedule={name="linear", steps=4}'
WEAK = 'schedule={name="linear", steps=4, rescale=false}'
REFUSED = {
    "no critic": (["critic.name=none"], "loss adversarial needs one; --set critic.name=residual"),
    "no noise": ([WEAK], "its last level is 0.2 times as large as the data"),
    "betas": ([LINEAR], "4 is too few"),
    "continuous": (["schedule.steps=0"], "vp is continuous"),
    "draw": (["draw.name=lognormal"], "lognormal weighs times"),
    "shard": (["train.shard=true"], "gradients of gradients"),
    "variance": (["network.learned_variance=true"], "the posterior's variance"),
    "augment": (["augment.scale=0.1"], "critics are told of classes alone"),
    "uncertainty": (["train.uncertainty=true"], "no squared error"),
    "depth": (["critic.multipliers=[]"], "critic.multipliers"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_suits_no_game_is_refused(name: str, data: Path, tmp_path: Path) -> None:
    settings, told = REFUSED[name]
    chosen = [word for setting in settings for word in ("--set", setting)]
    outcome = train(data, tmp_path / "run", *chosen)
    assert outcome.code == 2, outcome.err
    assert told in outcome.err
    if name in ("no noise", "betas", "continuous"):
        assert "--set 'schedule={name=\"vp\", steps=4}'" in outcome.err
    assert not (tmp_path / "run" / "model.safetensors").exists()


@pytest.mark.parametrize("schedule", ['{name="cosine", steps=100}', '{name="flow"}'])
def test_other_schedules_are_walked_in_large_steps(
    schedule: str, data: Path, tmp_path: Path
) -> None:
    settings = ("--set", f"schedule={schedule}", "--set", "loss.steps=4")
    planned = train(data, tmp_path / "run", *settings, "--dry-run")
    assert planned.code == 0, planned.err
    assert "critic: " in planned.err
    assert train(data, tmp_path / "run", *settings).code == 0
    outcome = ddpm("sample", "-m", tmp_path / "run", "-n", 1, "-o", tmp_path / "a.png")
    assert outcome.code == 0, outcome.err
    assert "loss.adversarial" not in outcome.err


def test_a_latent_without_a_game_is_refused(tmp_path: Path) -> None:
    words = ("--preset", "eight-gaussians", "--set", "latent.size=2", "-o", tmp_path / "run")
    outcome = ddpm("train", *words)
    assert outcome.code == 2
    assert "latent: drawn by generators alone" in outcome.err


def test_a_critic_without_a_game_is_refused(tmp_path: Path) -> None:
    words = ("--preset", "eight-gaussians", "--set", "critic.name=mlp", "-o", tmp_path / "run")
    outcome = ddpm("train", *words)
    assert outcome.code == 2
    assert "critic: of loss adversarial alone; --set loss.name=adversarial" in outcome.err


def test_a_generator_that_draws_nothing_is_warned_of(data: Path, tmp_path: Path) -> None:
    outcome = train(data, tmp_path / "run", "--set", "latent.size=0", "--dry-run")
    assert outcome.code == 0, outcome.err
    assert "one answer" in outcome.err


@pytest.mark.parametrize("name", ["mnist-ddgan", "eight-gaussians-ddgan"])
def test_the_presets_are_four_large_steps(name: str) -> None:
    config = resolve(presets.layers(name))
    assert config["schedule"]["steps"] == 4
    assert config["latent"]["size"] > 0
    assert config["sampler"]["variance"] == "small"
    assert (config["loss"]["name"], config["draw"]["name"]) == ("adversarial", "low-discrepancy")


def test_points_are_a_game_too(tmp_path: Path) -> None:
    words = ("--set", "critic.width=8", "--set", "network.width=8", "--set", "levels.count=4")
    preset = ("--preset", "eight-gaussians-ddgan")
    outcome = ddpm("train", *preset, *runs.TOY, *words, "-o", tmp_path / "run")
    assert outcome.code == 0, outcome.err
    table = tmp_path / "points.csv"
    assert ddpm("sample", "-m", tmp_path / "run", "-n", 5, "-o", table).code == 0
    assert len(table.read_text().splitlines()) >= 5
    assert read_header(tmp_path / "run" / "model.safetensors").config["latent"]["size"] == 2
    assert json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])
