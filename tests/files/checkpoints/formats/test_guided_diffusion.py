"""Files of guided-diffusion: U-Nets, upsamplers, classifiers, and what they do not say."""

import shutil
from pathlib import Path
from typing import Any

import openai_files
import pytest
import torch
from foreign_checkpoints import assert_outputs, converted, numbers, unpacked
from golden.load_golden import FOLDER, Golden
from PIL import Image
from probes import images, lively
from runs import ddpm, done
from torch import Tensor, nn

import ddpm_cli
from ddpm_cli.data.tasks import upscale
from ddpm_cli.diffusion.rng import Randomness
from ddpm_cli.files.checkpoints import formats
from ddpm_cli.files.checkpoints.containers.content import Content
from ddpm_cli.files.checkpoints.conversion import Ask
from ddpm_cli.networks import classifier, unet
from ddpm_cli.networks.parts.outlines import outline
from ddpm_cli.settings import releases

GOLDEN = Golden("networks")
NOISE = {"schedule.name": "linear", "schedule.steps": 1000, "parameterization.name": "eps"}
TOLD: dict[str, dict[str, Any]] = {
    "guided_diffusion": {**NOISE, "network.head_width": 16, "network.qkv": "heads"},
    "guided_diffusion_neworder": {
        "schedule.name": "cosine",
        "schedule.steps": 1000,
        "parameterization.name": "x0",
        "network.heads": 2,
        "network.qkv": "parts",
        "sampler.variance": "large",
    },
}


def words(told: dict[str, Any], size: int | None = 8) -> list[str]:
    """Options that tell what a file does not say."""
    told = told | ({} if size is None else {"data.size": size})
    told_words = [word for key, value in told.items() for word in ("--set", f"{key}={value}")]
    return ["--from", "guided-diffusion", *told_words]


def saved(tensors: dict[str, Tensor], folder: Path) -> Path:
    path = folder / "model000010.pt"
    torch.save(tensors, path)
    return path


@pytest.mark.parametrize("name", TOLD)
def test_weights_give_the_numbers_of_the_peer(name: str, tmp_path: Path) -> None:
    model, io = converted(unpacked(name, tmp_path), *words(TOLD[name])), numbers(name)
    want = io["out_model"], io["out64_model"]
    assert_outputs(model, io["x"], io["t_network"], io.get("y"), want)
    label = io["t_network"]
    assert not label.is_floating_point()
    with torch.no_grad():
        got = model.network.double()(io["x"].double(), label, io.get("y"))
    assert (got - want[1]).abs().max() < 1e-8, "of whole labels, too"


@pytest.mark.parametrize("name", TOLD)
def test_process_makes_the_same_of_the_output(name: str, tmp_path: Path) -> None:
    """Clean image, mean and variance of the reverse step, from the peer's own functions."""
    model, io = converted(unpacked(name, tmp_path), *words(TOLD[name])), numbers(name)
    model.network.double()
    schedule, want = model.schedule, {k[4:]: v for k, v in io.items() if k.startswith("p64/")}
    for row, t in enumerate(io["t"].tolist()):
        sigma, below = schedule.levels[t], schedule.levels[t - 1] if t else torch.zeros(())
        alpha, here = schedule.alpha(sigma), slice(row, row + 1)
        x = io["x"][here].double() / alpha
        classes = [int(io["y"][row])] if "y" in io else None
        seen = model.denoise(x, sigma, classes)
        mean = schedule.alpha(below) * (seen.x0 + (below / sigma) ** 2 * (x - seen.x0))
        for key, got in {"pred_xstart": seen.x0, "mean": mean}.items():
            assert torch.allclose(got, want[key][here], rtol=1e-9, atol=1e-9), key
        if seen.range is not None and t:
            high = schedule.betas()[t]
            low = high * (1 - schedule.alpha(below) ** 2) / (1 - alpha**2)
            logs = torch.lerp(low.log(), high.log(), (seen.range + 1) / 2)
            assert torch.allclose(logs, want["log_variance"][here], atol=1e-9)


@pytest.mark.parametrize("name", TOLD)
def test_ten_steps_run(name: str, tmp_path: Path) -> None:
    source = unpacked(name, tmp_path)
    done("convert", source, "-o", tmp_path / "m.safetensors", *words(TOLD[name]))
    done("sample", "-m", tmp_path / "m.safetensors", "--steps", "10", "-o", tmp_path / "x.png")


def test_what_is_missing_is_listed(tmp_path: Path) -> None:
    source = unpacked("guided_diffusion", tmp_path)
    outcome = ddpm("convert", source, "-o", tmp_path / "m.safetensors", *words({}, None))
    assert outcome.code == 2
    told = [line.split(":")[1].strip() for line in outcome.err.splitlines()[:-2]]
    assert told == [
        "network.qkv",
        "schedule.name",
        "schedule.steps",
        "parameterization.name",
        "network.heads",
        "data.size",
    ]
    assert not (tmp_path / "m.safetensors").exists()


def test_keys_that_formats_share_need_a_name(tmp_path: Path) -> None:
    source = unpacked("guided_diffusion", tmp_path)
    output = tmp_path / "m.safetensors"
    outcome = ddpm("convert", source, "-o", output)
    assert outcome.code == 2
    assert "--from guided-diffusion" in outcome.err
    outcome = ddpm("convert", source, "-o", output, "--from", "improved-diffusion")
    assert outcome.code == 1, "it resamples in blocks"
    assert "its keys are not those of improved-diffusion" in outcome.err
    assert not output.exists()


def test_rescaled_times_are_asked_of_other_than_1000_steps(tmp_path: Path) -> None:
    source, told = unpacked("guided_diffusion", tmp_path), TOLD["guided_diffusion"]
    told = told | {"schedule.steps": 4000}
    outcome = ddpm("convert", source, "-o", tmp_path / "m.safetensors", *words(told))
    assert outcome.code == 2
    assert "label.scale: not in the file; 0.25 if" in outcome.err
    model = converted(source, *words(told | {"label.scale": 0.25}))
    assert model.config["label"].items() >= {"name": "index", "scale": 0.25}.items()


@pytest.mark.parametrize("damage", ["cut", "lost", "lost first", "extra"])
def test_damaged_weights_are_refused(damage: str, tmp_path: Path) -> None:
    tensors = torch.load(unpacked("guided_diffusion", tmp_path), weights_only=True)
    key = "input_blocks.1.0.out_layers.3.weight"
    if damage == "cut":
        tensors[key] = tensors[key][:, :7].clone()
    elif damage == "extra":
        tensors["input_blocks.1.0.gate.weight"] = torch.ones(3)
    else:
        del tensors["out.2.bias" if damage == "lost" else key]
    output = tmp_path / "m.safetensors"
    told = words(TOLD["guided_diffusion"])
    outcome = ddpm("convert", saved(tensors, tmp_path), "-o", output, *told)
    assert outcome.code == 1
    assert outcome.err.startswith("Error: ")
    assert "Traceback" not in outcome.err
    assert not output.exists()


OTHERS: dict[str, dict[str, Any]] = {
    "heads": {
        "multipliers": [1, 2, 3],
        "blocks": 2,
        "attention": [4, 2],
        "heads": 2,
        "decoder_heads": 4,
        "classes": 3,
        "qkv": "heads",
    },
    "narrow first level": {
        "width": 64,
        "multipliers": [0.5, 1, 1.5],
        "stem": "level",
        "attention": [8],
        "head_width": 16,
        "scale_shift": True,
        "resample_blocks": True,
        "learned_variance": True,
    },
    "no convolutions": {"multipliers": [1, 1, 2], "attention": [], "plain_resampling": True},
    "one level": {"multipliers": [2], "blocks": 3, "attention": []},
}


@pytest.mark.parametrize("case", OTHERS)
def test_other_options_are_read_from_keys_and_shapes(case: str, tmp_path: Path) -> None:
    knobs = {"width": 32, "blocks": 1, **OTHERS[case]}
    torch.manual_seed(0)
    network = lively(unet((1, 8, 8), **knobs))
    path = saved(openai_files.openai(network), tmp_path)
    told = {
        f"network.{key}": knobs[key] for key in ("head_width", "decoder_heads") if key in knobs
    }
    told |= {"network.heads": knobs.get("heads", 1), "network.qkv": knobs.get("qkv", "parts")}
    told |= {} if "learned_variance" in knobs else {"sampler.variance": "small"}
    model = converted(path, *words(NOISE | told))
    read = {key: model.config["network"][key] for key in knobs}
    assert read == knobs
    x, label = images(2, 1, 8), torch.tensor([3.0, 900.0])
    classes = torch.tensor([0, 2]) if "classes" in knobs else None
    with torch.no_grad():
        assert torch.equal(model.network(x, label, classes), network(x, label, classes))


def test_there_is_no_null_class(tmp_path: Path) -> None:
    source = unpacked("guided_diffusion", tmp_path)
    told = words(TOLD["guided_diffusion"])
    outcome = done("convert", source, "-o", tmp_path / "m.safetensors", *told)
    assert "never saw images without a class" in outcome.err
    drawing = (
        "sample",
        "-m",
        tmp_path / "m.safetensors",
        "--steps",
        "2",
        "-o",
        tmp_path / "x.png",
    )
    for more in (["--class", "none"], ["--class", "1", "--set", "guidance.scale=2"]):
        outcome = ddpm(*drawing, *more)
        assert outcome.code == 2
        assert "always saw the class" in outcome.err


def published(key: str, folder: Path, **told: Any) -> Path:
    """A checkpoint of golden/networks, converted."""
    path = folder / f"{key}.safetensors"
    shutil.copy(FOLDER / f"networks/{key}.safetensors", path)
    output = folder / f"{key}.converted.safetensors"
    done("convert", path, "-o", output, *words(NOISE | {"network.qkv": "heads"} | told))
    return output


def test_classifier_guides(tmp_path: Path) -> None:
    told = {"network.head_width": 16}
    judge, model = (published(f"guided_{n}", tmp_path, **told) for n in ("classifier", "unet"))
    case, loaded = GOLDEN["guided_classifier"], ddpm_cli.load(judge)
    for dtype in (torch.float32, torch.float64):
        with torch.no_grad():
            x, label = case.inputs["x"].to(dtype), case.inputs["timesteps"]
            got = loaded.network.to(dtype)(x, label)
        assert case.excess(str(dtype).replace("torch.", "out_"), got) <= 0
    assert "classifier images 3x8x8, 5 classes" in repr(loaded)
    with pytest.raises(ValueError, match="a classifier, which draws nothing"):
        loaded.sample(0)
    with pytest.raises(ValueError, match="a classifier, which draws nothing"):
        _ = loaded.denoiser
    output = tmp_path / "x.png"
    told_words = ["--classifier", judge, "--class", "3", "--steps", "5", "-o", output]
    done("guide", "-m", model, *told_words)
    assert output.exists()


def test_upsampler_sees_the_small_image_behind_the_noisy_one(tmp_path: Path) -> None:
    more = {"network.heads": 2, "task.factor": 2, "sampler.variance": "large"}
    model = published("guided_superres", tmp_path, **more)
    case = GOLDEN["guided_superres"]
    loaded = ddpm_cli.load(model)
    told = {"factor": 2.0, "filter": "area", "shows_level": False, "enlarge": "bilinear"}
    assert loaded.config["task"].items() >= told.items()
    task = upscale((3, 8, 8), filter="area", shows_level=False, enlarge="bilinear")
    low = case.inputs["low_res"]
    image = task.image(low, torch.zeros(3), Randomness("philox").rng([0], "degrade"))
    x, label = case.inputs["x"].float(), case.inputs["timesteps"]
    with torch.no_grad():
        got = loaded.network(x, label, image=image.float())
    assert case.excess("out_float32", got) <= 0
    small, large = tmp_path / "small.png", tmp_path / "large.png"
    Image.new("RGB", (4, 4), (200, 10, 90)).save(small)
    done("upscale", small, "-m", model, "--steps", "3", "-o", large)
    assert Image.open(large).size == (8, 8)


def test_files_name_their_weights(tmp_path: Path) -> None:
    source = unpacked("guided_diffusion", tmp_path)
    told = words(TOLD["guided_diffusion"])
    outcome = done("convert", source, "--dry-run", *told)
    assert "weights: ema, rate 0.9999 (by the name of the file)" in outcome.err


# The flags of the READMEs and the multipliers of their sizes, but for heads.
ADM = {"blocks": 2, "attention": [32, 16, 8], "scale_shift": True, "resample_blocks": True}
WIDE: dict[str, Any] = ADM | {"learned_variance": True}
MULTIPLIERS = {
    64: [1, 2, 3, 4],
    128: [1, 1, 2, 3, 4],
    256: [1, 1, 2, 2, 4, 4],
    512: [0.5, 1, 1, 2, 2, 4, 4],
}
DRAWING: dict[str, dict[str, Any]] = {
    "openai-imagenet64": WIDE | {"width": 192, "blocks": 3, "classes": 1000},
    "openai-imagenet128": WIDE | {"width": 256, "classes": 1000},
    "openai-imagenet256": WIDE | {"width": 256, "classes": 1000},
    "openai-imagenet256-uncond": WIDE | {"width": 256},
    "openai-imagenet512": WIDE | {"width": 256, "classes": 1000, "stem": "level"},
    "openai-imagenet64to256-upsampler": WIDE | {"width": 192, "classes": 1000},
    "openai-imagenet128to512-upsampler": WIDE
    | {"width": 192, "classes": 1000, "attention": [32, 16], "multipliers": MULTIPLIERS[256]},
    "openai-lsun-bedroom": WIDE | {"width": 256},
    "dps-ffhq": WIDE | {"width": 128, "blocks": 1, "attention": [16]},
}


def read(release: str, network: nn.Module) -> tuple[dict[str, Any], nn.Module]:
    """What is read of weights as a release: knobs, and a network that fits."""
    known, tensors = releases.read(release), openai_files.openai(network)
    ask = Ask(known.settings)
    found = formats.find(known.format)
    content = Content(Path("x.pt"), tensors, {}, {})
    assert found.tells(content)
    conversion = found.read(content, ask)
    assert (ask.missing, ask.assumed) == ({}, {})
    knobs = {**conversion.settings["network"], **known.settings["network"]}
    name = knobs.pop("name")
    extra = tensors["input_blocks.0.0.weight"].shape[1] - 3
    kind = unet if name == "unet" else classifier
    return knobs, outline(lambda: kind(conversion.info.shape, extra, **knobs), conversion.tensors)


@pytest.mark.parametrize("release", DRAWING)
def test_releases_say_all_that_published_files_do_not(release: str) -> None:
    size = releases.read(release).settings["data"]["size"]
    knobs = {"multipliers": MULTIPLIERS[size], **DRAWING[release]}
    told = releases.read(release).settings["network"]
    extra = 3 if "upsampler" in release else 0
    with torch.device("meta"):
        network = unet((3, size, size), extra, **knobs | told)
    assert read(release, network)[0].items() >= knobs.items()


@pytest.mark.parametrize("size", MULTIPLIERS)
def test_classifiers_of_releases_are_read(size: int) -> None:
    knobs = ADM | {"width": 128, "multipliers": MULTIPLIERS[size], "classes": 1000}
    knobs |= {"blocks": 4} if size == 64 else {"stem": "level"} if size == 512 else {}
    with torch.device("meta"):
        network = classifier((3, size, size), **knobs, head_width=64, qkv="heads")
    assert read(f"openai-imagenet{size}-classifier", network)[0].items() >= knobs.items()


def test_other_networks_are_no_such_release(tmp_path: Path) -> None:
    source, output = unpacked("guided_diffusion", tmp_path), tmp_path / "m.safetensors"
    outcome = ddpm("convert", source, "--as", "openai-imagenet512", "-o", output)
    assert outcome.code == 1
    assert "its weights are not of the network described" in outcome.err
    assert not output.exists()


def test_keys_may_have_hyphens(tmp_path: Path) -> None:
    told = {key.replace("_", "-"): value for key, value in TOLD["guided_diffusion"].items()}
    model = converted(unpacked("guided_diffusion", tmp_path), *words(told))
    assert model.config["network"]["head_width"] == 16


def test_fields_of_any_number_of_channels_are_read(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = lively(unet((5, 8, 8), width=32, blocks=1, attention=[], qkv="heads"))
    path = saved(openai_files.openai(network), tmp_path)
    told = {"network.heads": 1, "network.qkv": "heads", "sampler.variance": "large"}
    model = converted(path, *words(NOISE | told))
    assert model.info.shape == (5, 8, 8)
    assert model.sample(0).shape == (1, 5, 8, 8)


def test_blocks_of_a_classifier_are_asked_for_where_keys_leave_them_open(tmp_path: Path) -> None:
    knobs: dict[str, Any] = {"multipliers": [1, 1], "blocks": 2, "attention": []}
    torch.manual_seed(0)
    network = lively(
        classifier((3, 8, 8), width=32, classes=4, head_width=8, resample_blocks=True, **knobs)
    )
    path = saved(openai_files.openai(network), tmp_path)
    told = words({**NOISE, "network.head_width": 8, "network.qkv": "parts"}, None)
    outcome = ddpm("convert", path, "-o", tmp_path / "m.safetensors", *told)
    assert outcome.code == 2
    assert "network.blocks: not in the file; how many" in outcome.err
    model = converted(path, *told, "--set", "network.blocks=2")
    assert {key: model.config["network"][key] for key in knobs} == knobs
    x, label = images(2, 3, 8), torch.tensor([3.0, 900.0])
    with torch.no_grad():
        assert torch.equal(model.network(x, label), network(x, label))
