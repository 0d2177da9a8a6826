"""Models for diffusers: random networks of its own in and out again, and what is refused."""

from pathlib import Path
from typing import Any, NamedTuple

import pytest
import random_models
import torch
from exact import Recorded
from foreign_checkpoints import converted
from runs import ddpm, done
from safetensors.torch import load_file
from torch import Tensor

import ddpm_cli
from ddpm_cli.api.model import Model
from ddpm_cli.diffusion.walk import start
from ddpm_cli.files import quantities
from ddpm_cli.files.checkpoints import checkpoint
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.files.checkpoints.header import Header
from ddpm_cli.models import build, walks
from ddpm_cli.settings import presets
from ddpm_cli.settings.config import Config, Layer, resolve

CLOSE, STEPS, ROWS = 1e-4, 10, 2
SMALL: dict[str, Any] = {
    "sample_size": 8,
    "in_channels": 1,
    "out_channels": 1,
    "block_out_channels": (8, 16),
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "attention_head_dim": 8,
}
RESNETS = ("ResnetDownsampleBlock2D", "AttnDownBlock2D", "DownBlock2D")
CASES: dict[str, dict[str, Any]] = {
    "usual": {},
    "ddpm": {
        "flip_sin_to_cos": False,
        "freq_shift": 1,
        "downsample_padding": 0,
        "norm_eps": 1e-6,
        "attention_head_dim": None,
        "layers_per_block": 2,
        "in_channels": 3,
        "out_channels": 3,
    },
    "adm": {
        "block_out_channels": (8, 16, 24),
        "down_block_types": RESNETS,
        "up_block_types": ("UpBlock2D", "AttnUpBlock2D", "ResnetUpsampleBlock2D"),
        "downsample_type": "resnet",
        "upsample_type": "resnet",
        "resnet_time_scale_shift": "scale_shift",
        "attn_norm_num_groups": 4,
        "attention_head_dim": 4,
        "num_class_embeds": 5,
    },
    "no norm in the middle": {"resnet_time_scale_shift": "scale_shift", "attention_head_dim": 4},
    "no attention in the middle": {"add_attention": False, "num_class_embeds": 3},
    "no middle": {"mid_block_type": None, "flip_sin_to_cos": False, "act_fn": "mish"},
    "fourier": {
        "time_embedding_type": "fourier",
        "center_input_sample": True,
        "downsample_type": "resnet",
        "upsample_type": "resnet",
        "sample_size": 16,
        "block_out_channels": (8, 16, 16),
        "down_block_types": ("DownBlock2D", *["AttnDownBlock2D"] * 2),
        "up_block_types": (*["AttnUpBlock2D"] * 2, "UpBlock2D"),
    },
    "one way": {
        "down_block_types": ("AttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
        "sample_size": (8, 12),
    },
    "others": {"time_embedding_dim": 12, "attn_norm_num_groups": 2, "act_fn": "gelu"},
    "variance": {"in_channels": 2, "out_channels": 4, "block_out_channels": (16, 24)},
}
CASES["adm"]["up_block_types"] = ("ResnetUpsampleBlock2D", "AttnUpBlock2D", "UpBlock2D")


class Peer(NamedTuple):
    """A network of diffusers and the folder of its pipeline."""

    unet: Any
    folder: Path

    def output(self, x: Tensor, label: Tensor, classes: Tensor | None) -> Tensor:
        more = {} if classes is None else {"class_labels": classes}
        with torch.no_grad():
            out: Tensor = self.unet(x, timestep=label, **more).sample
        return out


@pytest.fixture(scope="module")
def diffusers() -> Any:
    module = pytest.importorskip("diffusers")
    module.utils.logging.disable_progress_bar()
    return module


@pytest.fixture(scope="module", params=CASES)
def peer(
    request: pytest.FixtureRequest, diffusers: Any, tmp_path_factory: pytest.TempPathFactory
) -> Peer:
    """A random network of one configuration, saved by diffusers."""
    options = SMALL | CASES[request.param]
    torch.manual_seed(0)
    unet = diffusers.UNet2DModel(**options).eval()
    for parameter in unet.parameters():
        parameter.data.add_(0.05 * torch.randn_like(parameter))
    kind = "learned_range" if options["out_channels"] != options["in_channels"] else "fixed_small"
    scheduler = diffusers.DDPMScheduler(variance_type=kind, timestep_spacing="trailing")
    folder = tmp_path_factory.mktemp("peer")
    diffusers.DDPMPipeline(unet, scheduler).save_pretrained(folder / "pipe")
    return Peer(unet, folder / "pipe")


def inputs(peer: Peer) -> tuple[Tensor, Tensor, Tensor | None]:
    generator = torch.Generator().manual_seed(1)
    config = peer.unet.config
    size = config.sample_size
    sides = (size, size) if isinstance(size, int) else size
    x = torch.randn(3, config.in_channels, *sides, generator=generator)
    count = config.num_class_embeds
    return x, torch.tensor([1, 371, 999]), None if count is None else torch.arange(3) % count


@pytest.mark.peers
def test_network_comes_in_and_goes_out(peer: Peer, diffusers: Any) -> None:
    x, label, classes = inputs(peer)
    want = peer.output(x, label, classes)
    model = converted(peer.folder)
    with torch.no_grad():
        ours = model.network(x, label, classes)
    assert want.std() > 0.1
    assert (ours - want).abs().max() <= CLOSE
    back = peer.folder.with_name("back")
    done("convert", model._handle.place.path, "--to", "diffusers", back)
    again = diffusers.UNet2DModel.from_pretrained(back, subfolder="unet").eval()
    assert (Peer(again, back).output(x, label, classes) - want).abs().max() <= CLOSE


@pytest.fixture
def transformer(diffusers: Any, tmp_path: Path) -> Peer:
    """A small DiTTransformer2DModel whose blocks share their embeddings, as DiT's do."""
    torch.manual_seed(0)
    options = {"num_attention_heads": 2, "attention_head_dim": 8, "in_channels": 4}
    options |= {"out_channels": 8, "num_layers": 2, "sample_size": 8, "num_embeds_ada_norm": 3}
    network = diffusers.DiTTransformer2DModel(**options).eval()
    first, *others = network.transformer_blocks
    for block in others:
        block.norm1.emb.load_state_dict(first.norm1.emb.state_dict())
    folder = tmp_path / "pipe"
    network.save_pretrained(folder / "transformer")
    diffusers.DDIMScheduler(clip_sample=False).save_pretrained(folder / "scheduler")
    return Peer(network, folder)


@pytest.mark.peers
def test_transformer_comes_in(transformer: Peer) -> None:
    x = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    label, classes = torch.tensor([0, 371, 999]), torch.tensor([0, 2, 3])  # 3 is none
    want = transformer.output(x, label, classes)
    model = converted(transformer.folder)
    with torch.no_grad():
        ours = model.network(x, label, classes)
    assert want.std() > 0.1
    assert (ours - want).abs().max() <= CLOSE


@pytest.mark.peers
def test_blocks_with_embeddings_of_their_own_are_refused(transformer: Peer) -> None:
    block = transformer.unet.transformer_blocks[1]
    block.norm1.emb.timestep_embedder.linear_1.bias.data += 1
    transformer.unet.save_pretrained(transformer.folder / "transformer")
    outcome = ddpm("convert", transformer.folder, "-o", transformer.folder / "x.safetensors")
    assert outcome.code == 1
    assert "transformer_blocks.1.norm1.emb.timestep_embedder.linear_1.bias" in outcome.err


def draws(shape: tuple[int, ...], seed: int = 7) -> list[Tensor]:
    """The start and the noise of each step that a pipeline draws with a generator."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator) for _ in range(STEPS + 1)]


def drawn(model: Model, noise: list[Tensor]) -> Tensor:
    """The images [B, H, W, C] from 0 to 1 of a model's own walk with recorded noise."""
    walk = walks.prepared(model.config, model.schedule)
    denoise = walk.wrap(model.denoiser.bind())
    with torch.no_grad():
        x = start(denoise, walk.levels, noise[0], Recorded(noise[:1]))
        *_, last = walk.states(denoise, x, Recorded(noise[1:]))
    images: Tensor = (last.x / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1)
    return images


@pytest.fixture(scope="module")
def plain(diffusers: Any, tmp_path_factory: pytest.TempPathFactory) -> Peer:
    """A network without classes that predicts v, so that untrained walks stay near images."""
    torch.manual_seed(3)
    unet = diffusers.UNet2DModel(**SMALL | {"in_channels": 3, "out_channels": 3}).eval()
    folder = tmp_path_factory.mktemp("plain")
    scheduler = diffusers.DDPMScheduler(prediction_type="v_prediction")
    diffusers.DDPMPipeline(unet, scheduler).save_pretrained(folder / "pipe")
    return Peer(unet, folder / "pipe")


SAMPLERS = ("DDPMScheduler", "DDIMScheduler", "DPMSolverMultistepScheduler",
            "FlowMatchEulerDiscreteScheduler")  # fmt: skip


@pytest.mark.peers
@pytest.mark.parametrize("name", SAMPLERS)
def test_ten_steps_give_the_same_images(name: str, plain: Peer, diffusers: Any) -> None:
    """In: a pipeline's own walk and that of what it is converted to; out: the same again."""
    folder = plain.folder.with_name(name)
    pipeline = diffusers.DDPMPipeline.from_pretrained(plain.folder)
    kind = getattr(diffusers, name)
    config = {**pipeline.scheduler.config, "timestep_spacing": "trailing", "shift": 3.0}
    pipeline.scheduler = kind.from_config(config)
    pipeline.save_pretrained(folder)
    want = images(pipeline)
    noise = draws((ROWS, 3, 8, 8))
    model = converted(folder, "--set", f"levels.count={STEPS}")
    assert want.std() > 0.05
    assert (drawn(model, noise) - want).abs().max() <= CLOSE

    back = plain.folder.with_name(f"{name}-back")
    done("convert", model._handle.place.path, "--to", "diffusers", back)
    loaded = diffusers.DDPMPipeline.from_pretrained(back)
    if name == "DDIMScheduler":
        loaded = diffusers.DDIMPipeline.from_pretrained(back)
    loaded.scheduler = kind.from_config(loaded.scheduler.config)
    assert (images(loaded) - want).abs().max() <= CLOSE


def images(pipeline: Any) -> Tensor:
    pipeline.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(7)
    made = pipeline(ROWS, generator, num_inference_steps=STEPS, output_type="np").images
    return torch.from_numpy(made)


def saved(path: Path, config: Config, info: DataInfo) -> dict[str, Tensor]:
    """Random weights of a configuration's network, saved as a model."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = build.network(config, info).state_dict()
    tensors = {name: torch.randn_like(value) for name, value in fresh.items()}
    checkpoint.save(path, tensors, Header("model", config, info, 0))
    return tensors


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the preset that is made for this, but narrower and not trained."""
    folder = tmp_path_factory.mktemp("own") / "run"
    narrow = Layer("test", {"network": {"width": 8, "groups": 4}})
    config = resolve([*presets.layers("mnist-diffusers"), narrow])
    saved(folder / "model.safetensors", config, DataInfo((1, 28, 28)))
    return folder


def names(folder: Path) -> list[str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path.relative_to(folder).as_posix() for path in files)


FILES = ["README.md", "model_index.json", "scheduler/scheduler_config.json", "unet/config.json",
         "unet/diffusion_pytorch_model.safetensors"]  # fmt: skip


def test_folder_is_whole(own: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pipe"
    assert done("convert", own, "--to", "diffusers", folder).out.splitlines() == [str(folder)]
    assert names(folder) == FILES
    assert names(tmp_path) == [f"pipe/{name}" for name in FILES]
    back = converted(folder)
    weights = load_file(own / "model.safetensors")
    again = load_file(back._handle.place.path)
    assert {*again} == {*weights}
    assert all(torch.equal(again[name], weights[name]) for name in weights)
    assert back.config["schedule"] == ddpm_cli.load(own).config["schedule"]


def test_classes_keep_their_names(tmp_path: Path) -> None:
    """Ours have a null class, which is one more of theirs."""
    network = {"name": "unet", "width": 4, "multipliers": [1], "blocks": 1, "attention": [],
               "classes": 2, "groups": 1}  # fmt: skip
    config = resolve([Layer("test", {"network": network})])
    info = DataInfo((1, 4, 4), ("cats", "dogs"))
    tensors = saved(tmp_path / "x.safetensors", config, info)
    done("convert", tmp_path / "x.safetensors", "--to", "diffusers", tmp_path / "pipe")
    back = converted(tmp_path / "pipe")
    assert back.info.classes == ("cats", "dogs")
    again = load_file(back._handle.place.path)
    assert all(torch.equal(again[name], tensors[name]) for name in tensors)


def test_classes_may_be_left_out(tmp_path: Path) -> None:
    """What pipelines without classes draw is then what the null class draws."""
    knobs = {"width": 4, "multipliers": [1], "blocks": 1, "attention": [], "groups": 1}
    network = {"name": "unet", **knobs, "classes": 2}
    config, info = resolve([Layer("test", {"network": network})]), DataInfo((1, 4, 4), ("a", "b"))
    saved(tmp_path / "x.safetensors", config, info)
    out = [tmp_path / "x.safetensors", "--to", "diffusers", tmp_path / "pipe"]
    assert "network.classes" in ddpm("convert", *out, "--set", "network.classes=1").err
    done("convert", *out, "--set", "network.classes=0")
    x, label = torch.randn(2, 1, 4, 4), torch.tensor([3.0, 700.0])
    with torch.no_grad():
        want = ddpm_cli.load(tmp_path / "x.safetensors", dtype="float32").network(x, label)
        got = converted(tmp_path / "pipe").network(x, label)
    assert (got - want).abs().max() <= CLOSE


def test_nothing_is_replaced_unasked(own: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pipe"
    done("convert", own, "--to", "diffusers", folder, "--dry-run")
    assert not folder.exists()
    done("convert", own, "--to", "diffusers", folder)
    (folder / "mine").touch()
    outcome = ddpm("convert", own, "--to", "diffusers", folder)
    assert outcome.code == 1
    assert "exists already" in outcome.err
    done("convert", own, "--to", "diffusers", folder, "--force")
    assert names(folder) == FILES
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine").touch()
    outcome = ddpm("convert", own, "--to", "diffusers", other, "--force")
    assert outcome.code == 1
    assert names(other) == ["mine"]


def test_failure_leaves_nothing(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", fail)
    outcome = ddpm("convert", own, "--to", "diffusers", tmp_path / "pipe")
    assert outcome.code == 1
    assert list(tmp_path.iterdir()) == []


def test_bundled_digits_say_what_prevents_them(tmp_path: Path) -> None:
    outcome = ddpm("convert", "mnist", "--to", "diffusers", tmp_path / "pipe")
    assert outcome.code == 1
    first, fix = outcome.err.splitlines()
    assert "network.patch: 2 has no equivalent; 1 has" in first
    assert 'network.norm: "pixel" has no equivalent; "group" has' in first
    assert "--preset mnist-diffusers" in fix
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("model", "word"), [("mnist-classifier", "classifier"), ("mnist-inpaint", "inpaint")]
)
def test_other_models_are_refused(model: str, word: str, tmp_path: Path) -> None:
    outcome = ddpm("convert", model, "--to", "diffusers", tmp_path / "pipe")
    assert outcome.code == 1
    assert f"a model for {word}" in outcome.err


def test_networks_that_are_told_more_are_refused(tmp_path: Path) -> None:
    known = quantities.of(("age",), torch.rand(5, 1))
    network = {"name": "unet", "width": 32, "multipliers": [1], "blocks": 1, "attention": []}
    path = random_models.saved(tmp_path / "a.safetensors", network, known=known, values={})
    outcome = ddpm("convert", path, "--to", "diffusers", tmp_path / "pipe")
    assert outcome.code == 1
    assert "its network is told values" in outcome.err
    assert "--to export" in outcome.err
