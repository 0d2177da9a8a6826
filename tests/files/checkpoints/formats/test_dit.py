"""DiT, and SiT and REPA which share its keys: fixtures of DiT's own code, and made-up files."""

import argparse
from pathlib import Path
from typing import Any

import pytest
import runs
import torch
from foreign_checkpoints import assert_outputs, converted, described, numbers, unpacked
from safetensors.torch import save_file
from torch import Tensor

import ddpm_cli
from ddpm_cli.files.checkpoints.containers import content as contents
from ddpm_cli.files.checkpoints.conversion import Ask
from ddpm_cli.files.checkpoints.formats import dit
from ddpm_cli.files.checkpoints.header import read_header
from ddpm_cli.networks.parts.tokens import places
from ddpm_cli.settings import releases
from ddpm_cli.settings.config import Layer, resolve

TOLD = {
    "dit": ("--set", "network.heads=3"),
    "dit_bare": (
        "--set", "network.heads=2", "--set", "parameterization.name=eps",
        "--set", "schedule.name=linear",
    ),
}  # fmt: skip


def weights(
    *,
    width: int = 16,
    depth: int = 1,
    patch: int = 2,
    channels: int = 3,
    side: int = 4,
    rows: int = 4,
    outputs: int = 1,
    ratio: int = 2,
) -> dict[str, Tensor]:
    """Random weights under DiT's keys; side: of the grid of patches, rows: of the class table."""
    generator = torch.Generator().manual_seed(0)
    shapes: dict[str, tuple[int, ...]] = {
        "x_embedder.proj": (width, channels, patch, patch),
        "t_embedder.mlp.0": (width, 256),
        "t_embedder.mlp.2": (width, width),
        "final_layer.linear": (outputs * channels * patch**2, width),
        "final_layer.adaLN_modulation.1": (2 * width, width),
    }
    for block in range(depth):
        shapes |= {
            f"blocks.{block}.attn.qkv": (3 * width, width),
            f"blocks.{block}.attn.proj": (width, width),
            f"blocks.{block}.mlp.fc1": (ratio * width, width),
            f"blocks.{block}.mlp.fc2": (width, ratio * width),
            f"blocks.{block}.adaLN_modulation.1": (6 * width, width),
        }
    made = {"pos_embed": places(side, side, width, torch.device("cpu"))[None]}
    for name, shape in shapes.items():
        made[f"{name}.weight"] = torch.randn(shape, generator=generator) / shape[1] ** 0.5
        made[f"{name}.bias"] = torch.randn(shape[0], generator=generator) / 4
    table = torch.randn(rows, width, generator=generator)
    return made | {"y_embedder.embedding_table.weight": table}


def saved(folder: Path, tree: Any) -> Path:
    torch.save(tree, folder / "0000100.pt")
    return folder / "0000100.pt"


def args(**named: Any) -> argparse.Namespace:
    return argparse.Namespace(model="DiT-mine/2", num_classes=3, vae="mse", **named)


@pytest.mark.parametrize(
    ("name", "which"), [("dit", "ema"), ("dit", "model"), ("dit_bare", "model")]
)
def test_outputs_are_those_of_dit(name: str, which: str, tmp_path: Path) -> None:
    model = converted(unpacked(name, tmp_path), "--weights", which, *TOLD[name])
    io, atol = numbers(name), described(name)["tolerance"]["out_"]["atol"]
    want = io[f"out_{which}"], io[f"out64_{which}"]
    assert_outputs(model, io["x"], io["t"], io["y"], want, (atol, 1e-8))
    network = model.network.double()
    with torch.no_grad():
        exact = network(io["x"].double(), io["t"], io["y"])
    assert (exact - want[1]).abs().max() <= 1e-10, "integers are labels, too"


def test_samples_are_latents_of_the_vae(tmp_path: Path) -> None:
    model = converted(unpacked("dit", tmp_path), *TOLD["dit"])
    assert model.info.std == (1 / 0.18215,) * 4
    assert model.config["wrappers"] == []
    few = ddpm_cli.load(next(tmp_path.glob("*.safetensors")), settings={"levels": {"count": 10}})
    drawn = few.sample([0, 1], classes="2")
    assert drawn.shape == (2, 4, 8, 8)
    assert drawn.isfinite().all()


def test_what_is_missing_is_listed(tmp_path: Path) -> None:
    outcome = runs.ddpm("convert", unpacked("dit_bare", tmp_path), "-o", tmp_path / "x")
    assert outcome.code == 2
    for key in ("network.heads: ", "parameterization.name: ", "schedule.name: "):
        assert f"Error: {key}not in the file; " in outcome.err
    assert "1, 2, 4, 8, 16, 32" in outcome.err
    outcome = runs.ddpm("convert", unpacked("dit", tmp_path), "-o", tmp_path / "x")
    assert outcome.code == 2
    assert outcome.err.count("Error: ") == 1
    assert "network.heads: not in the file" in outcome.err


def test_what_is_assumed_is_said_and_kept(tmp_path: Path) -> None:
    source, output = unpacked("dit", tmp_path), tmp_path / "x.safetensors"
    outcome = runs.done("convert", source, "-o", output, *TOLD["dit"])
    assert 'assumed schedule.name = "linear"' in outcome.err
    origin = dict(read_header(output).source or {})
    assert origin["format"] == "dit"
    assert {*origin["assumed"]} == {"parameterization.name", "schedule.name", "data.name"}


def test_other_sizes_pixels_and_no_variance(tmp_path: Path) -> None:
    kept = weights(width=24, depth=2, patch=4, side=2, ratio=3)
    model = converted(saved(tmp_path, kept), "--set", "network.heads=2", *TOLD["dit_bare"][2:])
    network = model.config["network"]
    assert (network["patch"], network["depth"], network["ratio"]) == (4, 2, 3.0)
    assert (network["classes"], network["learned_variance"]) == (3, False)
    assert model.info.shape == (3, 8, 8)
    assert model.info.is_image


def test_heads_of_published_sizes_are_known(tmp_path: Path) -> None:
    kept = weights(width=384, depth=12, channels=4, ratio=1)
    ask = Ask({})
    conversion = dit.read(contents.opened(saved(tmp_path, kept)), ask)
    assert conversion.settings["network"]["heads"] == 6
    assert ask.assumed["network.heads"]["why"] == "as the published 12 blocks of width 384 have"


def test_table_without_a_null_class(tmp_path: Path) -> None:
    kept = weights(rows=3)
    source = saved(tmp_path, {"model": kept, "ema": kept, "opt": {}, "args": args()})
    model = converted(source, "--set", "network.heads=2")
    assert model.config["network"]["classes"] == 3
    assert model.config["train"]["drop_class"] == 0
    assert not model.network.class_embed.weight[3].any()


def test_kinds_of_class_tables_that_no_file_tells_apart(tmp_path: Path) -> None:
    told = ("--set", "network.heads=2", *TOLD["dit_bare"][2:])
    source = saved(tmp_path, weights(rows=4))
    assert converted(source, *told).config["train"]["drop_class"] == 0.1
    model = converted(source, *told, "--set", "network.classes=4")
    assert model.config["train"]["drop_class"] == 0


class TestFlows:
    """SiT and REPA: velocities at times in [0, 1]."""

    def test_sit_runs_from_noise_to_data(self, tmp_path: Path) -> None:
        kept = weights(outputs=2, channels=4)
        sit = args(path_type="Linear", prediction="velocity")
        source = saved(tmp_path, {"model": kept, "ema": kept, "args": sit})
        model = converted(source, "--set", "network.heads=2")
        self.holds(model, 1 - 0.25)
        assert not model.config["network"]["learned_variance"], "nothing reads the second half"

    def test_repa_runs_from_data_to_noise(self, tmp_path: Path) -> None:
        kept = weights(channels=4) | {"projectors.0.0.weight": torch.ones(2, 2)}
        repa = args(path_type="linear", prediction="v", proj_coeff=0.5)
        source = saved(tmp_path, {"ema": kept, "model": kept, "args": repa, "steps": 70})
        model = converted(source, "--set", "network.heads=2")
        self.holds(model, 0.25)
        assert read_header(next(tmp_path.glob("*.safetensors"))).step == 70

    def test_bare_file_is_asked_for_its_direction(self, tmp_path: Path) -> None:
        source = saved(tmp_path, weights(channels=4))
        words = ("--set", "network.heads=2", "--set", "parameterization.name=flow")
        outcome = runs.ddpm("convert", source, "-o", tmp_path / "x", *words)
        assert outcome.code == 2
        assert "parameterization.target: not in the file; data (SiT" in outcome.err
        model = converted(source, *words, "--set", "parameterization.target=data")
        self.holds(model, 0.75)

    def test_projectors_are_those_of_repa(self, tmp_path: Path) -> None:
        kept = weights(channels=4) | {"projectors.0.0.weight": torch.ones(2, 2)}
        self.holds(converted(saved(tmp_path, kept), "--set", "network.heads=2"), 0.25)

    def test_curved_paths_are_refused(self, tmp_path: Path) -> None:
        gvp = args(path_type="GVP", prediction="velocity")
        outcome = runs.ddpm("convert", saved(tmp_path, {"ema": weights(), "args": gvp}), "-o", "x")
        assert outcome.code == 1
        assert "GVP paths" in outcome.err

    def holds(self, model: Any, time: float) -> None:
        """At a quarter of the way to noise: x0 = x_t -+ t v(x_t, time), x_t = (1 - t) x."""
        x = torch.randn(2, *model.info.shape, generator=torch.Generator().manual_seed(1))
        classes = torch.tensor([0, 2])
        with torch.no_grad():
            velocity = model.network(0.75 * x, torch.full((2,), time), classes)
        sign = 1 if time == 0.75 else -1
        want = 0.75 * x + sign * 0.25 * velocity
        got = model.denoise(x, 1 / 3, classes).x0
        assert velocity.abs().max() > 0.1
        assert torch.allclose(got.float(), want, atol=1e-5)


class TestDamagedFiles:
    """One line and exit code 1."""

    @pytest.mark.parametrize("name", ["pos_embed", "final_layer.linear.bias"])
    def test_key_is_missing(self, name: str, tmp_path: Path) -> None:
        kept = weights()
        del kept[name]
        self.refused(saved(tmp_path, kept), f"{name} is missing")

    def test_key_of_a_block_is_missing(self, tmp_path: Path) -> None:
        kept = weights()
        del kept["blocks.0.attn.proj.bias"]
        self.refused(saved(tmp_path, kept), "blocks.0.attn.proj.bias is missing")

    @pytest.mark.parametrize(
        ("name", "rows", "told"),
        [
            ("blocks.0.attn.qkv.weight", 40, "40x16, not 48x16"),
            ("final_layer.linear.weight", 11, "11 rows"),
            ("t_embedder.mlp.0.weight", 3, "3x256"),
            ("blocks.0.mlp.fc1.weight", 0, "is 0x16"),
        ],
    )
    def test_tensor_is_cut(self, name: str, rows: int, told: str, tmp_path: Path) -> None:
        kept = weights()
        kept[name] = kept[name][:rows].clone()
        self.refused(saved(tmp_path, kept), told)

    def test_positions_are_others(self, tmp_path: Path) -> None:
        kept = weights()
        kept["pos_embed"] = torch.ones_like(kept["pos_embed"])
        self.refused(saved(tmp_path, kept), "not the sines and cosines")

    def refused(self, source: Path, told: str) -> None:
        words = ("--set", "network.heads=2", *TOLD["dit_bare"][2:])
        outcome = runs.ddpm("convert", source, "-o", source.with_name("x"), *words)
        assert outcome.code == 1
        assert told in outcome.err
        assert outcome.err.count("Error: ") == 1
        assert not source.with_name("x").exists()


def test_set_that_is_not_there(tmp_path: Path) -> None:
    source = saved(tmp_path, {"model": weights(), "args": args()})
    outcome = runs.ddpm("convert", source, "-o", tmp_path / "x", "--set", "network.heads=2")
    assert outcome.code == 1
    assert "--weights model" in outcome.err


def test_safetensors_of_16_bits_are_read_too(tmp_path: Path) -> None:
    source = tmp_path / "half.safetensors"
    save_file({name: value.half() for name, value in weights().items()}, source)
    model = converted(source, "--set", "network.heads=2", *TOLD["dit_bare"][2:])
    assert model.info.shape == (3, 8, 8)


@pytest.mark.parametrize("name", ["dit-xl-2-256", "dit-xl-2-512", "sit-xl-2-256"])
def test_releases_say_all_that_their_files_do_not(name: str, tmp_path: Path) -> None:
    source = saved(tmp_path, weights(width=64, channels=4, outputs=2, rows=1001))
    release = releases.read(name)
    ask = Ask(release.settings)
    conversion = dit.read(contents.opened(source), ask)
    assert (ask.missing, ask.assumed) == ({}, {})
    config = resolve([Layer("the file", {**conversion.settings}), release.layer])
    flows = name.startswith("sit")
    assert config["network"]["learned_variance"] != flows
    assert config["network"]["width"] == 1152
    assert config["label"]["name"] == ("time" if flows else "index")
    outcome = runs.ddpm("convert", source, "-o", tmp_path / "x", "--as", name)
    assert outcome.code == 1
    assert "not of the network described" in outcome.err
