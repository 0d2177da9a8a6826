"""k-diffusion: fixtures of its own code, and made-up files of other options."""

import json
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import runs
import torch
from foreign_checkpoints import converted, described, numbers, unpacked
from safetensors.torch import save_file
from torch import Tensor

import ddpm_cli
from ddpm_cli.files.checkpoints.header import read_header

CONFIG: dict[str, Any] = {
    "model": {
        "type": "image_transformer_v2", "input_channels": 3, "input_size": [16, 16],
        "patch_size": [2, 2], "depths": [1, 1, 1], "widths": [8, 16, 24], "sigma_data": 0.5,
        "d_ffs": None, "mapping_width": 8, "mapping_depth": 2, "mapping_d_ff": None,
        "self_attns": [
            {"type": "shifted-window", "d_head": 8, "window_size": 2},
            {"type": "neighborhood", "d_head": 8, "kernel_size": 3},
            {"type": "global", "d_head": 8},
        ],
        "dropout_rate": None, "has_variance": False, "sigma_min": 0.01, "sigma_max": 80,
        "sigma_sample_density": {"type": "lognormal", "mean": -1.0, "std": 1.4},
    },
    "dataset": {"type": "imagefolder", "num_classes": 3, "cond_dropout_rate": 0.2},
}  # fmt: skip


def transformer(model: Mapping[str, Any], classes: int) -> dict[str, Tensor]:
    """Random weights of image_transformer_v2 under k-diffusion's keys."""
    told, widths, depths = model["mapping_width"], model["widths"], model["depths"]
    area = model["patch_size"][0] ** 2 * model["input_channels"]
    shapes: dict[str, tuple[int, ...]] = {
        "patch_in.proj.weight": (widths[0], area),
        "time_emb.weight": (told // 2, 1),
        "time_in_proj.weight": (told, told),
        "aug_emb.weight": (told // 2, 9),
        "aug_in_proj.weight": (told, told),
        "mapping.in_norm.scale": (told,),
        "mapping.out_norm.scale": (told,),
        "out_norm.scale": (widths[0],),
        "patch_out.proj.weight": (area, widths[0]),
    }
    if classes:
        shapes["class_emb.weight"] = (classes + 1, told)
    for block in range(model["mapping_depth"]):
        shapes |= {
            f"mapping.blocks.{block}.norm.scale": (told,),
            f"mapping.blocks.{block}.up_proj.weight": (6 * told, told),
            f"mapping.blocks.{block}.down_proj.weight": (told, 3 * told),
        }
    for level, (width, depth) in enumerate(zip(widths, depths, strict=True)):
        last = level == len(widths) - 1
        places = ["mid_level"] if last else [f"down_levels.{level}", f"up_levels.{level}"]
        for block in (f"{place}.{number}" for place in places for number in range(depth)):
            if (model["self_attns"] or [{}])[min(level, 0)].get("type") != "none":
                shapes |= {
                    f"{block}.self_attn.scale": (width // 8,),
                    f"{block}.self_attn.norm.linear.weight": (width, told),
                    f"{block}.self_attn.qkv_proj.weight": (3 * width, width),
                    f"{block}.self_attn.pos_emb.freqs": (width // 8, 1),
                    f"{block}.self_attn.out_proj.weight": (width, width),
                }
            shapes |= {
                f"{block}.ff.norm.linear.weight": (width, told),
                f"{block}.ff.up_proj.weight": (6 * width, width),
                f"{block}.ff.down_proj.weight": (width, 3 * width),
            }
        if not last:
            shapes |= {
                f"merges.{level}.proj.weight": (widths[level + 1], 4 * width),
                f"splits.{level}.proj.weight": (4 * width, widths[level + 1]),
                f"splits.{level}.fac": (1,),
            }
    return filled(shapes)


def unet(model: Mapping[str, Any], variance: bool) -> dict[str, Tensor]:
    """Random weights of image_v1 under k-diffusion's keys, without the wrapper's prefix."""
    told, widths, depths = model["mapping_out"], model["channels"], model["depths"]
    area = model["patch_size"] ** 2 * model["input_channels"]
    shapes: dict[str, tuple[int, ...]] = {
        "timestep_embed.weight": (told // 2, 1),
        "proj_in.weight": (widths[0], area, 1, 1),
        "proj_in.bias": (widths[0],),
        "proj_out.weight": (area + variance, widths[0], 1, 1),
        "proj_out.bias": (area + variance,),
    }
    for layer in (0, 2):
        shapes |= {f"mapping.{layer}.weight": (told, told), f"mapping.{layer}.bias": (told,)}

    def stage(name: str, level: int, first: int, width_in: int, width: int) -> None:
        at, now = first, width_in
        for number in range(depths[level]):
            out = width if number == depths[level] - 1 else widths[level]
            block = f"u_net.{name}.{at}"
            for place, inner in ((0, now), (4, widths[level])):
                shapes[f"{block}.main.{place}.mapper.weight"] = (2 * inner, told)
                shapes[f"{block}.main.{place}.mapper.bias"] = (2 * inner,)
            for place, ends in ((2, (widths[level], now)), (6, (out, widths[level]))):
                shapes[f"{block}.main.{place}.weight"] = (*ends, 3, 3)
                shapes[f"{block}.main.{place}.bias"] = (ends[0],)
            if now != out:
                shapes[f"{block}.skip.weight"] = (out, now, 1, 1)
            at, now = at + 1, out
            if model["self_attn_depths"][level]:
                block = f"u_net.{name}.{at}"
                for part, rows in (("qkv_proj", 3 * out), ("out_proj", out)):
                    shapes[f"{block}.{part}.weight"] = (rows, out, 1, 1)
                    shapes[f"{block}.{part}.bias"] = (rows,)
                shapes[f"{block}.norm_in.mapper.weight"] = (2 * out, told)
                shapes[f"{block}.norm_in.mapper.bias"] = (2 * out,)
                at += 1
        if level and name.startswith("u_"):
            shapes[f"u_net.{name}.{at}.kernel"] = (4, 4)

    above, count = [widths[0], *widths[:-1]], len(widths)
    for level in range(count):
        stage(f"d_blocks.{level}", level, 1, above[level], widths[level])
        if level:
            shapes[f"u_net.d_blocks.{level}.0.kernel"] = (4, 4)
        seen = widths[level] * (1 if level == count - 1 else 2)
        stage(f"u_blocks.{count - 1 - level}", level, 0, seen, above[level])
    return filled(shapes)


def filled(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Small random numbers; gains and cosine scales positive."""
    generator = torch.Generator().manual_seed(0)
    made = {n: torch.randn(s, generator=generator) / 4 for n, s in shapes.items()}
    return {n: 1 + v.abs() if n.endswith("scale") else v for n, v in made.items()}


def model_of(**changed: Any) -> dict[str, Any]:
    config = deepcopy(CONFIG)
    config["model"].update(changed)
    return config


def saved(folder: Path, config: dict[str, Any], weights: dict[str, Tensor] | None = None) -> Path:
    if weights is None:
        weights = transformer(config["model"], config["dataset"]["num_classes"])
    tree = {"config": config, "model": weights, "model_ema": weights, "step": 7, "demo_gen": None}
    torch.save(tree, folder / "x.pth")
    return folder / "x.pth"


def refused(source: Path, told: str, *words: str) -> None:
    outcome = runs.ddpm("convert", source, "-o", source.with_name("out"), *words)
    assert outcome.code == 1, outcome.err
    assert told in outcome.err
    assert outcome.err.count("Error: ") == 1
    assert not source.with_name("out").exists()


@pytest.mark.parametrize("name", ["k_diffusion_v1", "k_diffusion_v2"])
@pytest.mark.parametrize("which", ["ema", "model", "slim"])
def test_outputs_are_those_of_k_diffusion(name: str, which: str, tmp_path: Path) -> None:
    """D(x, sigma) = c_skip x + c_out F(c_in x, log(sigma) / 4), F the network that is stored."""
    source = unpacked(name, tmp_path, int(which == "slim"))
    model = converted(source, *(("--weights", "model") if which == "model" else ()))
    io, spread = numbers(name), float(described(name)["config"]["model"]["sigma_data"])
    x, sigma, classes = io["x"].double(), io["sigma"].double(), io.get("class_cond")
    level = sigma[:, None, None, None]
    total = level**2 + spread**2

    def denoised(dtype: torch.dtype) -> Tensor:
        network = model.network.to(dtype)
        with torch.no_grad():
            out = network((x * total.rsqrt()).to(dtype), (sigma.log() / 4).to(dtype), classes)
        return spread**2 / total * x + level * spread * total.rsqrt() * out

    if which != "slim":
        assert (denoised(torch.float32) - io[f"out_{which}"]).abs().max() <= 1e-5
        if classes is None:
            got = model.denoise(io["x"], io["sigma"]).x0
            assert (got - io[f"out_{which}"]).abs().max() <= 1e-5
    assert (denoised(torch.float64) - io[f"out64_{which}"]).abs().max() <= 1e-12


def test_denoiser_is_told_of_classes_and_of_none(tmp_path: Path) -> None:
    io, model = numbers("k_diffusion_v2"), converted(unpacked("k_diffusion_v2", tmp_path))
    assert model.config["network"]["classes"] == 5
    for row, number in enumerate(io["class_cond"].tolist()):
        named = None if number == 5 else str(number)
        got = model.denoise(io["x"][row][None], io["sigma"][row], named).x0
        assert (got[0] - io["out_ema"][row]).abs().max() <= 1e-5


@pytest.mark.parametrize("name", ["k_diffusion_v1", "k_diffusion_v2"])
def test_samples(name: str, tmp_path: Path) -> None:
    converted(unpacked(name, tmp_path))
    path = next(tmp_path.glob("*.safetensors"))
    few = ddpm_cli.load(path, settings={"levels": {"count": 10}})
    assert few.config["sampler"]["name"] == "heun"
    drawn = few.sample([0, 1])
    assert drawn.shape == (2, *few.info.shape)
    assert drawn.isfinite().all()


def test_settings_are_those_of_its_configuration(tmp_path: Path) -> None:
    model = converted(saved(tmp_path, CONFIG))
    network = model.config["network"]
    assert network["attention"] == ["window", "neighborhood", "global"]
    assert network["reach"] == [2, 3, 7]
    assert network["hidden"] == [24, 48, 72]
    assert network["augmented"] is True
    assert model.config["train"]["drop_class"] == 0.2
    assert model.config["draw"] == {"name": "lognormal", "mean": -1.0, "std": 1.4}
    assert model.config["levels"]["high"] == 80
    header = read_header(next(tmp_path.glob("*.safetensors")))
    assert header.step == 7
    assert dict(header.source or {})["weights"] == "ema"
    assert "not compared with NATTEN" in dict(header.source or {})["notes"][0]


def test_attention_that_is_not_said_is_the_usual_one(tmp_path: Path) -> None:
    config = model_of(self_attns=None, widths=[8, 16], depths=[1, 1])
    weights = transformer(config["model"], 3)
    model = converted(saved(tmp_path, config, weights), "--set", "network.head_widths=[8]")
    assert model.config["network"]["attention"] == ["neighborhood", "global"]


def test_no_classes_no_attention_other_patches_and_no_square(tmp_path: Path) -> None:
    config = model_of(
        patch_size=[4, 4], input_size=[16, 32], input_channels=4, widths=[8, 16],
        depths=[2, 1], self_attns=[{"type": "none"}] * 2, dropout_rate=[0.1, 0.0],
    )  # fmt: skip
    config["dataset"]["num_classes"] = 0
    model = converted(saved(tmp_path, config))
    assert model.info.shape == (4, 16, 32)
    assert model.info.classes is None
    assert model.config["network"]["dropout"] == 0.1


@pytest.mark.parametrize("variance", [False, True])
@pytest.mark.parametrize("wrapper", ["", "inner_model."])
def test_other_u_nets(variance: bool, wrapper: str, tmp_path: Path) -> None:
    config = model_of(
        type="image_v1", mapping_out=8, channels=[8, 8, 16], depths=[2, 1, 2], patch_size=2,
        self_attn_depths=[False, True, True], has_variance=variance, input_channels=3,
        dropout_rate=0.05, augment_wrapper=bool(wrapper),
    )  # fmt: skip
    weights = {wrapper + name: v for name, v in unet(config["model"], variance).items()}
    if wrapper:
        weights["inner_model.mapping_cond.weight"] = torch.ones(8, 9)
    model = converted(saved(tmp_path, config, weights))
    assert model.config["network"]["attention"] == [4, 2]
    assert model.config["network"]["dropout"] == 0.05
    assert model.network(torch.zeros(1, 3, 16, 16), torch.zeros(1)).shape == (1, 3, 16, 16)


class TestSlimFiles:
    """safetensors of the average, the configuration in the metadata or beside it."""

    def test_configuration_lies_beside(self, tmp_path: Path) -> None:
        weights = {n: v.half() for n, v in transformer(CONFIG["model"], 3).items()}
        save_file(weights, tmp_path / "slim.safetensors")
        refused(tmp_path / "slim.safetensors", "put the JSON file")
        (tmp_path / "slim.json").write_text(json.dumps(CONFIG), encoding="utf-8")
        assert converted(tmp_path / "slim.safetensors").config["network"]["classes"] == 3

    def test_files_of_training_may_lack_theirs_too(self, tmp_path: Path) -> None:
        weights = transformer(CONFIG["model"], 3)
        torch.save({"model": weights, "model_ema": weights}, tmp_path / "x.pth")
        refused(tmp_path / "x.pth", "put the JSON file")
        (tmp_path / "config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
        assert converted(tmp_path / "x.pth", "--weights", "model").config["network"]["patch"] == 2

    def test_raw_weights_are_not_there(self, tmp_path: Path) -> None:
        source = unpacked("k_diffusion_v2", tmp_path, 1)
        refused(source, "holds the average alone", "--weights", "model")

    def test_configuration_is_damaged(self, tmp_path: Path) -> None:
        weights = transformer(CONFIG["model"], 3)
        save_file(weights, tmp_path / "slim.safetensors", {"config": "{"})
        refused(tmp_path / "slim.safetensors", "its configuration is no JSON")


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"type": "image_transformer_v1"}, "a network 'image_transformer_v1' of k-diffusion"),
        ({"mapping_cond_dim": 4}, "mapping_cond_dim = 4"),
        ({"patch_size": [2, 4]}, "not square"),
        ({"cross_attn_depths": [False, True]}, "attends to other data"),
        ({"self_attns": [{"type": "dilated"}] * 3}, "attention of type 'dilated'"),
        ({"widths": [8, "16", 24]}, "has no widths that can be"),
        ({"sigma_max": "high"}, "has no sigma_max that can be"),
        ({"input_size": None}, "has no input_size that can be"),
        ({"input_size": [16, 65536]}, "has no input_size that can be"),
        ({"input_channels": 4}, "patches are not those of its configuration"),
    ],
)
def test_what_is_not_read_is_refused(changed: dict[str, Any], told: str, tmp_path: Path) -> None:
    weights = transformer(CONFIG["model"], 3)
    refused(saved(tmp_path, model_of(**changed), weights), told)


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("down_levels.0.0.self_attn.qkv_proj.weight", 20),
        ("splits.0.fac", 0),
        ("patch_in.proj.weight", 3),
        ("time_emb.weight", 3),
        ("class_emb.weight", None),
        ("out_norm.scale", None),
    ],
)
def test_damaged_weights_are_refused(name: str, rows: int | None, tmp_path: Path) -> None:
    weights = transformer(CONFIG["model"], 3)
    kept = weights.pop(name)
    if rows is not None:
        weights[name] = kept[:rows].clone()
    if name == "class_emb.weight":
        del weights["aug_emb.weight"]
        config = model_of()
        config["dataset"]["num_classes"] = 3
        refused(saved(tmp_path, config, weights), "class_emb.weight is missing")
    else:
        refused(saved(tmp_path, CONFIG, weights), "its ")


def test_other_format_is_refused(tmp_path: Path) -> None:
    source = unpacked("k_diffusion_v2", tmp_path)
    refused(source, "its keys are not those of dit", "--from", "dit")
