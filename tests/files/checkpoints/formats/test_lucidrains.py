"""Checkpoints of denoising-diffusion-pytorch: its own files, and files of other options."""

from pathlib import Path
from typing import Any

import pytest
import torch
from foreign_checkpoints import assert_outputs, converted, numbers, unpacked
from late_norm_files import Options, Peer
from runs import ddpm, done

import ddpm_cli
from ddpm_cli.errors import ConfigError
from ddpm_cli.networks import linear_attention_unet

SET = {
    "lucidrains": ["--set", "data.size=8"],
    "lucidrains_learned": ["--set", "data.size=8"],
    "lucidrains_v1": ["--set", "data.size=28", "--set", "network.groups=4"],
    "lucidrains_cfg": ["--set", "data.size=8", "--set", "network.heads=2"],
}
OTHERS = {
    "wide stem, one level": Options(
        stem=12, multipliers=(3,), full=(False,), heads=(3,), head_width=(2,), objective="x0"
    ),
    "heads of each level": Options(
        multipliers=(1, 1, 2), full=(True, False, True), heads=(1, 2, 3), head_width=(8, 3, 2),
        memory=1, objective="v", gamma=5,
    ),
    "self-conditioned": Options(before=True, objective="x0", gamma=5),
    "gray, learned variance": Options(channels=1, outputs=2),
    "learned frequencies": Options(learned=3, full=(True, True), objective="eps", gamma=5),
    "groups, other sines": Options(groups=2, theta=100.0, channels=4, outputs=4, memory=7),
    "classes": Options(classes=4, dim=12, stem=12, heads=(4, 4), full=(False, False)),
}  # fmt: skip
WORDS = {
    "groups, other sines": ["--set", "network.groups=2", "--set", "network.theta=100"],
    "classes": ["--set", "network.head_width=4"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lucidrains")


def converted_other(name: str, folder: Path, *words: str) -> Any:
    """The converted raw weights of a file of other options."""
    path = Peer(OTHERS[name]).file(folder / f"{name.replace(' ', '-')}.pt")
    words = ("--set", "data.size=8", *WORDS.get(name, []), *words)
    return converted(path, *words, *([] if OTHERS[name].classes else ["--weights", "model"]))


class TestTheirOwnFiles:
    @pytest.mark.parametrize("weights", ["ema", "model"])
    @pytest.mark.parametrize("name", SET)
    def test_network_gives_their_outputs(self, name: str, weights: str, folder: Path) -> None:
        if name == "lucidrains_cfg" and weights == "ema":
            pytest.skip("it has one set of weights")
        model, io = (
            converted(unpacked(name, folder), *SET[name], "--weights", weights),
            numbers(name),
        )
        want = io[f"out_{weights}"], io[f"out64_{weights}"]
        assert_outputs(model, io["x"], io["t"], io.get("y"), want)

    def test_null_class_is_theirs(self, folder: Path) -> None:
        path, io = unpacked("lucidrains_cfg", folder), numbers("lucidrains_cfg")
        model = converted(path, *SET["lucidrains_cfg"], "--weights", "model")
        want = io["null_out_model"], io["null_out64_model"]
        assert_outputs(model, io["x"], io["t"], None, want)

    @pytest.mark.parametrize(
        ("name", "key"), [("lucidrains", "x0_64_ema"), ("lucidrains_v1", "x0_64_ema"),
                          ("lucidrains_learned", "p64/pred_xstart")],
    )  # fmt: skip
    def test_clean_images_are_theirs(self, name: str, key: str, folder: Path) -> None:
        """The tables of the file, the prediction and the label are right together."""
        model, io = converted(unpacked(name, folder), *SET[name]), numbers(name)
        levels = model.schedule.levels[io["t"]]
        x = model.schedule.from_native(io["x"].double(), levels)
        got, want = model.denoise(x, levels).x0.double(), io[key]
        scale = levels[:, None, None, None]
        assert float(((got - want) / scale.clamp(min=1)).abs().max()) < 2e-4
        assert float((got - want).abs().max() / want.abs().max()) < 1e-5

    @pytest.mark.parametrize("name", SET)
    def test_ten_steps(self, name: str, folder: Path) -> None:
        output = folder / f"{name}.safetensors"
        done("convert", unpacked(name, folder), "-o", output, *SET[name])
        images = ddpm_cli.load(output, settings={"levels.count": 10}).sample([0])
        assert bool(images.isfinite().all())


class TestOtherOptions:
    @pytest.mark.parametrize("name", OTHERS)
    def test_network_gives_what_theirs_does(self, name: str, folder: Path) -> None:
        options, peer = OTHERS[name], Peer(OTHERS[name])
        model = converted_other(name, folder)
        x, t = torch.randn(3, options.channels, 8, 8), torch.tensor([0, 3, 19])
        classes = torch.tensor([0, 3, 1]) if options.classes else None
        for seen in (classes, None):
            want = peer(x, t, seen)
            assert_outputs(model, x, t, seen, (want, want))
        config = model.config
        assert config["parameterization"]["name"] == options.objective
        assert config["network"]["learned_variance"] == (options.outputs != options.channels)

    def test_estimate_stands_before_the_image(self, folder: Path) -> None:
        model, peer = converted_other("self-conditioned", folder), Peer(OTHERS["self-conditioned"])
        x, estimate, t = torch.randn(3, 3, 8, 8), torch.randn(3, 3, 8, 8), torch.arange(3)
        got = model.network.double()(x.double(), t, estimate=estimate)
        assert (got - peer(x, t, before=estimate)).abs().max() < 1e-8

    def test_average_is_taken_by_default(self, folder: Path) -> None:
        raw = converted_other("self-conditioned", folder)
        average = converted(folder / "self-conditioned.pt", "--set", "data.size=8")
        one, other = (m.network.state_dict()["stem.bias"] for m in (raw, average))
        assert torch.allclose(other, one + 0.5)

    def test_data_in_0_to_1(self, folder: Path) -> None:
        model = converted_other("self-conditioned", folder, "--set", "units.low=0")
        assert model.config["units"] == {"low": 0.0, "high": 1.0}


class TestWhatIsNotInTheFile:
    def test_all_of_it_is_listed_at_once(self, folder: Path) -> None:
        outcome = ddpm("convert", unpacked("lucidrains_cfg", folder), "-o", folder / "no")
        assert outcome.code == 2
        first, second, hint = outcome.err.splitlines()
        assert first.startswith("Error: network.heads: not in the file; attn_heads")
        assert "1, 2, 4, 8, 16" in first
        assert "data.size: not in the file" in second
        assert hint.endswith("--set network.heads=... --set data.size=...")
        assert not (folder / "no").exists()

    def test_what_is_assumed_is_said(self, folder: Path) -> None:
        outcome = ddpm(
            "convert", unpacked("lucidrains_v1", folder), "--dry-run", "--set", "data.size=28"
        )
        assert outcome.code == 0
        for said in ("network.groups = 8", "network.theta = 10000.0", "units.low = -1.0"):
            assert f"assumed {said}" in outcome.err
        assert "the loss weights say that it predicts eps" in outcome.err
        assert "written by version 1.9.4" in outcome.err

    def test_prediction_is_asked_for_where_weights_fit_none(self, folder: Path) -> None:
        path = _changed(folder, "odd weights", lambda tree: tree["model"]["loss_weight"].mul_(3))
        outcome = ddpm("convert", path, "--dry-run", "--set", "data.size=8", "--weights", "model")
        assert outcome.code == 2
        assert "parameterization.name: not in the file; eps (pred_noise)" in outcome.err

    def test_bare_network_has_no_schedule(self, folder: Path) -> None:
        path = folder / "bare.pt"
        torch.save(Peer(Options()).weights, path)
        outcome = ddpm("convert", path, "--dry-run", "--set", "data.size=8")
        assert outcome.code == 2
        assert "schedule.name: not in the file" in outcome.err
        words = ("--set", "schedule.name=cosine", "--set", "parameterization.name=v")
        done("convert", path, "--dry-run", "--set", "data.size=8", *words)


def _changed(folder: Path, name: str, change: Any) -> Path:
    """The file of usual options with a change."""
    path = Peer(Options()).file(folder / f"{name}.pt")
    tree = torch.load(path)
    change(tree)
    torch.save(tree, path)
    return path


def _cut(tree: dict[str, Any], name: str) -> None:
    tree["model"][name] = tree["model"][name][:-1]


class TestRefusals:
    @pytest.mark.parametrize(
        ("change", "said"),
        [
            (lambda t: t["model"].pop("model.ups.1.0.mlp.1.bias"), "more than the 140 tensors"),
            (
                lambda t: t["model"].pop("model.downs.0.2.to_qkv.weight"),
                "to_qkv.weight is missing",
            ),
            (lambda t: t["model"].pop("model.final_conv.weight"), "final_conv.weight is missing"),
            (lambda t: t["model"].update({"model.more": torch.ones(2)}), "more is no tensor"),
            (lambda t: _cut(t, "model.mid_attn.to_out.bias"), "project.bias is 15, not 16"),
            (lambda t: _cut(t, "model.time_mlp.1.weight"), "no multiples of the width 7"),
            (lambda t: t["model"]["betas"].mul_(0.5), "contradict each other"),
            (lambda t: t["model"]["model.init_conv.bias"].fill_(torch.nan), "not finite"),
        ],
    )
    def test_damage_is_named(self, change: Any, said: str, folder: Path) -> None:
        path = _changed(folder, "damaged", change)
        output = folder / "damaged.safetensors"
        words = ("--set", "data.size=8", "--weights", "model")
        outcome = ddpm("convert", path, "-o", output, *words)
        assert outcome.code == 1
        assert said in outcome.err.splitlines()[0]
        assert not output.exists()

    def test_missing_average(self, folder: Path) -> None:
        path = _changed(folder, "no average", lambda tree: tree.pop("ema"))
        outcome = ddpm("convert", path, "--dry-run", "--set", "data.size=8")
        assert outcome.code == 1
        assert "it has no weights 'ema'" in outcome.err
        assert "--weights model" in outcome.err

    def test_average_that_has_not_begun_is_said(self, folder: Path) -> None:
        late = {"initted": torch.tensor(False)}
        path = _changed(folder, "late", lambda tree: tree["ema"].update(late))
        outcome = ddpm("convert", path, "--dry-run", "--set", "data.size=8")
        assert outcome.code == 0
        assert "its average had not begun yet" in outcome.err

    def test_version_whose_convolutions_are_in_doubt(self, folder: Path) -> None:
        path = _changed(folder, "old", lambda tree: tree.update(version="1.7.2"))
        outcome = ddpm("convert", path, "--dry-run", "--set", "data.size=8")
        assert "may be standardized" in outcome.err

    def test_early_versions(self, folder: Path) -> None:
        weights = Peer(Options(classes=2)).weights
        for name in [name for name in weights if "class" in name]:
            del weights[name]
        torch.save(weights, folder / "early.pt")
        outcome = ddpm("convert", folder / "early.pt", "--dry-run")
        assert outcome.code == 1
        assert "an early version" in outcome.err

    def test_groups_that_do_not_divide(self, folder: Path) -> None:
        words = ("--set", "data.size=28", "--set", "network.groups=3")
        outcome = ddpm("convert", unpacked("lucidrains_v1", folder), "--dry-run", *words)
        assert outcome.code == 2
        assert "network.groups: 3 does not divide" in outcome.err


def test_levels_of_other_numbers_are_refused() -> None:
    with pytest.raises(ConfigError, match="2 numbers for 3 levels"):
        linear_attention_unet((1, 8, 8), level_heads=[1, 2])
