"""Folders and files of diffusers: the golden network and its pipelines, and what is refused."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from exact import Recorded
from foreign_checkpoints import converted
from golden.load_golden import FOLDER, Golden
from runs import ddpm
from safetensors.torch import load_file, save_file
from torch import Tensor

from ddpm_cli.api.model import Model
from ddpm_cli.diffusion.walk import start
from ddpm_cli.models import walks

GOLDEN = Golden("networks")
NETWORK = GOLDEN["diffusers_unet2d"]
PIPELINES = GOLDEN.select("pipeline_")
WEIGHTS = FOLDER / "networks/diffusers_unet2d.safetensors"
NAME = "diffusion_pytorch_model.safetensors"


def pipeline(folder: Path, scheduler: str = "DDPMScheduler", **options: Any) -> Path:
    """The golden pipeline in a folder, with other options of its network."""
    settings = GOLDEN["pipeline_ddpm"].params["scheduler_config"]
    written(folder / "unet/config.json", NETWORK.params["config"] | options, "UNet2DModel")
    written(folder / "scheduler/scheduler_config.json", settings, scheduler)
    written(folder / "model_index.json", {}, "DDPMPipeline")
    shutil.copy(WEIGHTS, folder / "unet" / NAME)
    return folder


def written(path: Path, values: dict[str, Any], kind: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    known = {"_class_name": kind, "_diffusers_version": "0.42.1"}
    path.write_text(json.dumps(known | values), encoding="utf-8")


def bare(folder: Path, scheduler: bool = True) -> Path:
    """The golden network alone, as older repositories have it."""
    whole = pipeline(folder / "whole")
    shutil.move(whole / "unet", folder / "bare")
    if scheduler:
        shutil.copy(whole / "scheduler/scheduler_config.json", folder / "bare")
    return folder / "bare"


def agrees(model: Model) -> None:
    """The network gives the recorded outputs, in float32 and in float64."""
    x, label = NETWORK.inputs["x"], NETWORK.inputs["timesteps"]
    for dtype, output in ((torch.float32, "out_float32"), (torch.float64, "out_float64")):
        with torch.no_grad():
            got = model.network.to(dtype)(x.to(dtype), label.to(dtype), None)
        assert NETWORK.excess(output, got) <= 0


def test_pipeline(tmp_path: Path) -> None:
    model = converted(pipeline(tmp_path / "pipe"))
    agrees(model)
    config = model.config
    assert (
        config["schedule"] | {"name": "linear", "first": 1e-4, "last": 0.02}
        == (config["schedule"])
    )
    assert config["sampler"]["variance"] == "large"
    assert config["levels"] == {"name": "leading", "count": 1000, "offset": 0, "ends": "low"}
    assert config["wrappers"] == [{"name": "clamp", "limit": 1.0}]


@pytest.mark.parametrize("key", PIPELINES)
def test_whole_pipeline_gives_its_images(key: str, tmp_path: Path) -> None:
    """A walk of the converted settings, with the recorded noise of the pipeline."""
    case = GOLDEN[key]
    folder = pipeline(tmp_path / "pipe")
    kind = "DDPMScheduler" if key == "pipeline_ddpm" else "DDIMScheduler"
    settings = case.params["scheduler_config"]
    written(folder / "scheduler/scheduler_config.json", settings, kind)
    chosen = [f"--set levels.count={case.params['num_inference_steps']}"]
    if "eta" in case.params:
        chosen.append(f"--set sampler.eta={case.params['eta']}")
    model = converted(folder, *" ".join(chosen).split())
    walk = walks.prepared(model.config, model.schedule)
    denoise = walk.wrap(model.denoiser.bind())
    first, *noise = case.inputs["x_T_and_noise"]
    with torch.no_grad():
        x = start(denoise, walk.levels, first, Recorded([first]))
        *_, last = walk.states(denoise, x, Recorded(noise))
    images = (last.x / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1)
    assert case.excess("images_nhwc", images) <= 0


def test_bare_folder_and_file(tmp_path: Path) -> None:
    folder = bare(tmp_path)
    agrees(converted(folder))
    agrees(converted(folder / NAME))


def test_old_names_of_attention_and_a_pickle(tmp_path: Path) -> None:
    folder = bare(tmp_path)
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    pattern = re.compile(r"(?<=attentions\.\d\.)(to_q|to_k|to_v|to_out\.0)")
    tensors = {pattern.sub(lambda m: old[m[0]], k): v for k, v in load_file(WEIGHTS).items()}
    assert any(".proj_attn." in name for name in tensors)
    (folder / NAME).unlink()
    torch.save(tensors, folder / NAME.replace("safetensors", "bin"))
    agrees(converted(folder))


def test_weights_in_pieces(tmp_path: Path) -> None:
    folder = bare(tmp_path)
    tensors = sorted(load_file(WEIGHTS).items())
    (folder / NAME).unlink()
    places = {}
    for number in (1, 2):
        name = f"diffusion_pytorch_model-0000{number}-of-00002.safetensors"
        part = dict(tensors[number - 1 :: 2])
        save_file(part, folder / name)
        places |= dict.fromkeys(part, name)
    index = folder / f"{NAME}.index.json"
    index.write_text(json.dumps({"weight_map": places}))
    agrees(converted(folder))
    (folder / name).unlink()
    outcome = ddpm("convert", folder, "-o", tmp_path / "x.safetensors")
    assert outcome.code == 1
    assert f"{name} is missing" in outcome.err


def test_average_or_raw_weights(tmp_path: Path) -> None:
    """Training scripts of diffusers save an average beside the network."""
    folder = pipeline(tmp_path / "pipe")
    shutil.copytree(folder / "unet", folder / "unet_ema")
    raw = {name: value / 2 for name, value in load_file(WEIGHTS).items()}
    save_file(raw, folder / "unet" / NAME)
    agrees(converted(folder))
    other = converted(folder, "--weights", "model")
    stem = other.network.state_dict()["stem.weight"]
    assert torch.equal(stem, raw["conv_in.weight"])


def refusal(folder: Path, *words: object) -> str:
    outcome = ddpm("convert", folder, "-o", folder.parent / "x.safetensors", *words)
    assert outcome.code in (1, 2), outcome.err
    assert not (folder.parent / "x.safetensors").exists()
    assert len(outcome.err.splitlines()) <= 3
    return outcome.err.splitlines()[0]


def test_without_a_scheduler_the_process_is_asked_for(tmp_path: Path) -> None:
    folder = bare(tmp_path, scheduler=False)
    outcome = ddpm("convert", folder, "-o", tmp_path / "x.safetensors")
    assert outcome.code == 2
    assert "schedule.name" in outcome.err
    assert "parameterization.name" in outcome.err
    told = ["--set", "schedule.name=linear", "--set", "parameterization.name=eps"]
    agrees(converted(folder, *told))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("act_fn", "geglu"),
        ("class_embed_type", "timestep"),
        ("time_embedding_type", "learned"),
        ("mid_block_scale_factor", 2.0),
        ("down_block_types", ["SkipDownBlock2D", *["DownBlock2D"] * 3]),
        ("up_block_types", ["UpBlock2D", "UpBlock2D", "Nonsense", "UpBlock2D"]),
        ("block_out_channels", [8, 8, 8, "8"]),
        ("attention_head_dim", 3),
        ("norm_num_groups", 3),
        ("downsample_padding", 2),
        ("out_channels", 4),
        ("freq_shift", 2),
        ("sample_size", "8"),
        ("sample_size", 10**9),
        ("sample_size", [8, 8, 8]),
        ("layers_per_block", 10**9),
        ("layers_per_block", True),
        ("in_channels", None),
        ("time_embedding_dim", 7.5),
        ("attn_norm_num_groups", 3),
        ("norm_eps", "small"),
        ("center_input_sample", 1.5),
    ],
)
def test_option_without_an_equivalent_is_named(key: str, value: Any, tmp_path: Path) -> None:
    line = refusal(pipeline(tmp_path / "pipe", **{key: value}))
    assert f" {key} = " in line


def test_other_networks_are_refused(tmp_path: Path) -> None:
    folder = pipeline(tmp_path / "pipe", _class_name="UNet2DConditionModel")
    assert "_class_name = 'UNet2DConditionModel'" in refusal(folder)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    folder = pipeline(tmp_path / "pipe")
    tensors = load_file(WEIGHTS)
    save_file(tensors | {"stranger": torch.zeros(1)}, folder / "unet" / NAME)
    assert "stranger" in refusal(folder)
    del tensors["mid_block.attentions.0.to_q.weight"]
    save_file(tensors, folder / "unet" / NAME)
    assert "mid_block.attentions.0.to_q.weight is missing" in refusal(folder)
    (folder / "unet" / NAME).unlink()
    assert "no diffusion_pytorch_model.safetensors" in refusal(folder)


def test_file_alone_needs_its_configuration(tmp_path: Path) -> None:
    shutil.copy(WEIGHTS, tmp_path / "weights.safetensors")
    assert "no config.json beside it" in refusal(tmp_path / "weights.safetensors")


def test_damaged_configuration_is_one_line(tmp_path: Path) -> None:
    folder = pipeline(tmp_path / "pipe")
    (folder / "unet/config.json").write_text("{")
    assert "corrupt" in refusal(folder)
    (folder / "unet/config.json").write_text("[]")
    assert "corrupt" in refusal(folder)


def test_classes_get_a_null_row(tmp_path: Path) -> None:
    folder = pipeline(tmp_path / "pipe", num_class_embeds=5)
    rows = torch.randn(5, 32, generator=torch.Generator().manual_seed(0))
    tensors = load_file(WEIGHTS) | {"class_embedding.weight": rows}
    save_file(tensors, folder / "unet" / NAME)
    model = converted(folder)
    assert model.info.classes == ("0", "1", "2", "3", "4")
    got: Tensor = model.network.state_dict()["class_embed.weight"]
    assert torch.equal(got, torch.cat([rows, torch.zeros(1, 32)]))
    source = model._handle.header.source or {}
    assert source["assumed"]["network.classes"]["value"] == 5
    own = converted(folder, "--set", "network.classes=4")
    assert own.info.classes == ("0", "1", "2", "3")
    assert torch.equal(own.network.state_dict()["class_embed.weight"], rows)
    assert "network.classes: 5 or 4" in refusal(folder, "--set", "network.classes=9")
