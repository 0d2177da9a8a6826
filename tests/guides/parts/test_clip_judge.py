"""CLIP as a judge, with a small one of random weights: what it says, and what it refuses."""

import json
import math
import pickle
import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from runs import ddpm
from safetensors.torch import load_file, save_file
from torch import Tensor

from ddpm_cli import console
from ddpm_cli.diffusion import cutouts
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.encoders import clip_files
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files.images import pixels
from ddpm_cli.guides.parts import clip_judge

SETTINGS: dict[str, Any] = {
    "embed_dim": 8,
    "vision_cfg": {
        "layers": 1,
        "width": 16,
        "head_width": 8,
        "patch_size": 8,
        "image_size": 16,
    },
    "text_cfg": {
        "context_length": 12,
        "vocab_size": 49408,
        "width": 8,
        "heads": 2,
        "layers": 1,
    },
}
LOOKS = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import open_clip

    place = tmp_path_factory.mktemp("clip")
    torch.manual_seed(0)
    network = open_clip.CLIP(**SETTINGS)
    for parameter in network.parameters():  # so that different images are far from each other
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=parameter.shape[-1] ** -0.5)
    config = {"model_cfg": SETTINGS, "preprocess_cfg": LOOKS}
    (place / clip_files.CONFIG).write_text(json.dumps(config), encoding="utf-8")
    save_file(network.state_dict(), place / clip_files.WEIGHTS)
    return place


@pytest.fixture(scope="module")
def judge(folder: Path) -> clip_judge.Clip:
    return clip_judge.load(str(folder))


@pytest.fixture(autouse=True)
def _connections(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test reaches for the network: an exception alone could be caught on its way."""
    asked: list[Any] = []

    def refuse(*where: Any, **_: Any) -> None:
        asked.append(where)
        raise OSError("no network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    yield
    assert not asked


def copied(folder: Path, place: Path, **changes: Any) -> Path:
    """A copy of the model with other settings of the network."""
    place.mkdir()
    settings = json.loads(json.dumps(SETTINGS))
    for key, value in changes.items():
        if isinstance(value, dict):
            settings.setdefault(key, {}).update(value)
        else:
            settings[key] = value
    config = {"model_cfg": settings, "preprocess_cfg": LOOKS}
    (place / clip_files.CONFIG).write_text(json.dumps(config), encoding="utf-8")
    (place / clip_files.WEIGHTS).write_bytes((folder / clip_files.WEIGHTS).read_bytes())
    return place


def x0(count: int = 2, channels: int = 3, height: int = 28, width: int = 28) -> Tensor:
    """Random images."""
    return torch.rand(count, channels, height, width, generator=torch.manual_seed(1)) * 2 - 1


# ---- the formulas


def test_the_distance_is_half_the_squared_angle() -> None:
    angle = torch.linspace(0, math.pi - 0.01, 20, dtype=torch.float64)
    a = torch.stack([angle.cos(), angle.sin(), torch.zeros_like(angle)], 1)
    b = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)
    assert torch.allclose(cutouts.great_circle(a, b), angle**2 / 2, atol=1e-12)


def test_the_distance_has_a_gradient_everywhere() -> None:
    b = torch.tensor([1.0, 0.0])
    a = torch.stack([b, -b, b.flip(0)]).requires_grad_()
    (found,) = torch.autograd.grad(cutouts.great_circle(a, b).sum(), a)
    assert bool(found.isfinite().all())


def test_the_score_is_minus_the_weighted_mean_distance() -> None:
    generator = torch.manual_seed(3)
    made, wanted = (
        torch.nn.functional.normalize(torch.randn(*shape, 5, generator=generator).double(), dim=-1)
        for shape in ((2, 4), (3,))
    )
    weights = torch.tensor([0.7, -0.1, 0.2], dtype=torch.float64)
    expected = [
        -sum(
            weight * sum(math.acos(float(one @ other)) ** 2 / 2 for one in row) / 4
            for weight, other in zip(weights.tolist(), wanted, strict=True)
        )
        for row in made
    ]
    found = cutouts.similarity(made, wanted, weights)
    wanted = torch.tensor(expected, dtype=torch.float64)
    assert torch.allclose(found, wanted, rtol=0, atol=1e-12)


def test_colours_are_three() -> None:
    grey = x0(2, 1)
    assert torch.equal(cutouts.colours(grey), torch.cat([grey] * 3, 1))
    rgba = torch.cat([x0(), torch.full((2, 1, 28, 28), -1.0)], 1)
    assert torch.equal(cutouts.colours(rgba), torch.ones(2, 3, 28, 28))
    rgba[:, 3] = 1
    assert torch.equal(cutouts.colours(rgba), x0())


@pytest.mark.parametrize(("height", "width"), [(28, 28), (5, 40), (1, 1), (256, 64)])
def test_cutouts_are_squares_of_the_size_asked_for(height: int, width: int) -> None:
    made = cutouts.crops(x0(2, 3, height, width), 5, (16, 16), Rng([3, 4]))
    assert made.shape == (10, 3, 16, 16)
    # Every crop lies within its image: of a plane that grows to the right, it grows, too.
    plane = torch.linspace(-1, 1, width).expand(1, 1, height, width)
    for crop in cutouts.crops(plane, 20, (8, 8), Rng([7])):
        assert float(crop.min()) >= -1.2
        assert float(crop.max()) <= 1.2


def test_cutouts_show_places_and_sizes_all_over_the_image() -> None:
    plane = torch.linspace(-1, 1, 64).expand(1, 1, 64, 64)
    made = cutouts.crops(plane, 300, (8, 8), Rng([7]))[:, 0]
    left, right = made[:, :, 0].mean(1), made[:, :, -1].mean(1)
    assert float(left.min()) < -0.9
    assert float(right.max()) > 0.9
    assert float((right - left).min()) == pytest.approx(7 / 8, abs=0.1)
    assert float((right - left).max()) == pytest.approx(7 / 4, abs=0.1)


@pytest.mark.parametrize(("height", "width"), [(9, 9), (6, 9), (9, 4)])
def test_overviews_come_first_and_show_all(height: int, width: int) -> None:
    given = x0(2, 3, height, width)
    side = max(height, width)
    made = cutouts.crops(given, 6, (side, side), Rng([3, 4]), overviews=4)
    made = made.reshape(2, 6, 3, side, side)
    top, left = (side - height) // 2, (side - width) // 2
    inside = made[:, 0, :, top : top + height, left : left + width]
    torch.testing.assert_close(inside, given)
    assert float(made[:, 0].abs().sum()) == pytest.approx(float(given.abs().sum()), rel=1e-5)
    torch.testing.assert_close(made[:, 1], made[:, 0].flip(-1))
    torch.testing.assert_close(made[:, 2, 1], given_grey(made[:, 0]))
    torch.testing.assert_close(made[:, 3], made[:, 2].flip(-1))
    rest = cutouts.crops(given, 2, (side, side), Rng([3, 4])).reshape(2, 2, 3, side, side)
    assert torch.equal(made[:, 4:], rest)


def given_grey(images: Tensor) -> Tensor:
    return images.mean(1)


def test_numbers_of_parts_of_a_walk() -> None:
    levels = torch.tensor([8.0, 4.0, 2.0, 1.0, 0.5, 0.0])
    spread = cutouts.Spread(levels, [16, 8, 4])
    asked = [8.0, 6.0, 4.0, 3.0, 2.0, 1.5, 1.0, 0.5, 0.1, 9.0]
    found = [spread.at(torch.tensor(sigma)) for sigma in asked]
    assert found == [16, 16, 16, 16, 8, 8, 8, 4, 4, 16]
    assert cutouts.Spread(levels, [5]).at(torch.tensor(0.7)) == 5


def test_cutouts_of_an_image_depend_on_its_own_seed_only() -> None:
    images_ = x0(3)
    whole = cutouts.crops(images_, 4, (16, 16), Rng([1, 2, 3])).reshape(3, 4, -1)
    alone = cutouts.crops(images_[1:2], 4, (16, 16), Rng([2])).reshape(1, 4, -1)
    assert torch.equal(whole[1:2], alone)
    other = cutouts.crops(images_[1:2], 4, (16, 16), Rng([5])).reshape(1, 4, -1)
    assert not torch.equal(alone, other)


# ---- prompts


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a cat", ("a cat", 1.0)),
        ("a cat:2", ("a cat", 2.0)),
        ("a cat: -0.5", ("a cat", -0.5)),
        ("ratio 1:two", ("ratio 1:two", 1.0)),
        ("a: b: c", ("a: b: c", 1.0)),
        ("a: b:3", ("a: b", 3.0)),
        ("x:nan", ("x:nan", 1.0)),
        ("x:inf", ("x:inf", 1.0)),
    ],
)
def test_weights_of_prompts(text: str, expected: tuple[str, float]) -> None:
    assert clip_judge.parse(text) == expected


@pytest.mark.parametrize("text", ["", "  ", ":2", " :1"])
def test_empty_prompts_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="it is empty"):
        clip_judge.parse(text)


def test_weights_are_normalized_by_their_magnitudes() -> None:
    assert clip_judge.normalized([3, -1]) == [0.75, -0.25]
    for weights in ([0.0, 0.0], []):
        with pytest.raises(ConfigError, match="CLIP guidance"):
            clip_judge.normalized(weights)


# ---- the judge


def test_the_score_is_that_of_the_network_itself(folder: Path, judge: clip_judge.Clip) -> None:
    import open_clip

    network = open_clip.CLIP(**SETTINGS).eval()
    network.load_state_dict(load_file(folder / clip_files.WEIGHTS))
    tokens = open_clip.SimpleTokenizer(context_length=12)(["a cat"])
    text = network.encode_text(tokens, normalize=True)
    crops = cutouts.crops(x0(), 3, (16, 16), Rng([1, 2]))
    mean, std = (torch.tensor(LOOKS[key]).reshape(3, 1, 1) for key in ("mean", "std"))
    image = network.encode_image(((crops + 1) / 2 - mean) / std, normalize=True)
    expected = -((image @ text.T).acos() ** 2 / 2).reshape(2, 3).mean(1)
    found = judge.objective(["a cat:5"], [])(x0(), Rng([1, 2]), 3)
    assert torch.allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize(("channels", "height", "width"), [(1, 28, 28), (3, 9, 40), (4, 32, 32)])
def test_the_gradient_is_that_of_differences(
    channels: int, height: int, width: int, judge: clip_judge.Clip
) -> None:
    score = partial(judge.objective(["a cat", "a dog:-0.5"], []), cutouts=2)
    x = x0(2, channels, height, width).requires_grad_()
    made = score(x, Rng([1, 2]))
    assert made.shape == (2,)
    (slope,) = torch.autograd.grad(made.sum(), x)
    step = 1e-2 * slope / slope.norm()
    with torch.no_grad():
        change = (score(x + step, Rng([1, 2])) - score(x - step, Rng([1, 2]))).sum() / 2
    assert float(change) == pytest.approx(float((slope * step).sum()), rel=2e-2)


def test_an_image_depends_on_its_own_seed_only(judge: clip_judge.Clip) -> None:
    score = partial(judge.objective(["a cat"], []), cutouts=4)
    whole = score(x0(3), Rng([1, 2, 3]))
    assert torch.allclose(score(x0(3)[1:2], Rng([2])), whole[1:2], atol=1e-6)
    assert not torch.allclose(score(x0(3)[1:2], Rng([3])), whole[1:2], atol=1e-6)


def test_climbing_raises_what_the_text_encoder_was_asked_once(
    judge: clip_judge.Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    encode = judge._model.network.encode_text
    monkeypatch.setattr(
        judge._model.network, "encode_text", lambda tokens: asked.append(1) or encode(tokens)
    )
    score = partial(judge.objective(["a cat"], []), cutouts=8)
    x = x0(1)
    before = float(score(x, Rng([100]))[0])
    for step in range(30):
        x = x.requires_grad_()
        (slope,) = torch.autograd.grad(score(x, Rng([step])).sum(), x)
        x = (x + 2 * slope / slope.norm()).detach().clamp(-1, 1)
    assert float(score(x, Rng([100]))[0]) > before + 0.05
    assert len(asked) == 1


def test_an_image_is_nearest_to_itself(judge: clip_judge.Clip, tmp_path: Path) -> None:
    # Every cutout of one colour is that colour.
    pictures = pixels.to_uint8(x0(3, 3, 1, 1)).expand(-1, -1, 24, 24)
    names = [str(tmp_path / f"{number}.png") for number in range(3)]
    for name, picture in zip(names, pictures, strict=True):
        Path(name).write_bytes(pixels.encode_png(picture))
    given = pixels.from_uint8(pictures)
    scores = torch.stack(
        [judge.objective([], [name])(given, Rng([1, 2, 3]), 32) for name in names]
    )
    assert scores.argmax(0).tolist() == [0, 1, 2]
    assert float(scores.diagonal().abs().max()) < 1e-4
    both = judge.objective(["a cat:3"], [f"{names[0]}:-1"])(given, Rng([1, 2, 3]), 4)
    text = judge.objective(["a cat"], [])(given, Rng([1, 2, 3]), 4)
    image = judge.objective([], [names[0]])(given, Rng([1, 2, 3]), 4)
    assert torch.allclose(both, 0.75 * text - 0.25 * image, atol=1e-5)


def test_a_file_whose_name_ends_in_a_number(judge: clip_judge.Clip, tmp_path: Path) -> None:
    odd = tmp_path / "a:7"
    odd.write_bytes(pixels.encode_png(pixels.to_uint8(x0()[0])))
    assert clip_judge._image_prompt(str(odd)) == (str(odd), 1.0)
    judge.objective([], [f"{odd}:2"])
    with pytest.raises(Refusal, match=r"none\.png"):
        judge.objective([], [str(tmp_path / "none.png:2")])


def test_long_prompts_are_cut_and_said(
    judge: clip_judge.Clip, capsys: pytest.CaptureFixture[str]
) -> None:
    console.set_verbosity(0)
    judge.objective(["one two three four five six seven eight nine ten eleven"], [])
    assert "11 tokens; the model reads the first 10" in capsys.readouterr().err


def test_weights_draw_nothing_from_the_global_generator(folder: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    clip_judge.load(str(folder))
    assert torch.equal(torch.rand(3), expected)


# ---- what is refused


def test_a_missing_package_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "open_clip", None)
    with pytest.raises(Refusal, match=r"pip install 'ddpm-cli\[clip\]'"):
        clip_judge.load(str(folder))


def test_pickled_weights_never_run(folder: Path, tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple[object, tuple[Path]]:
            return Path.touch, (tmp_path / "canary",)

    for name in ("open_clip_pytorch_model.bin", "model.pt"):
        place = copied(folder, tmp_path / name.replace(".", "-"))
        (place / name).write_bytes(pickle.dumps(Payload()))
        assert clip_judge.load(str(place))  # beside safetensors it is not looked at
        (place / clip_files.WEIGHTS).unlink()
        with pytest.raises(Refusal, match="a pickle, which can run code"):
            clip_judge.load(str(place))
        with pytest.raises(Refusal, match="not a folder"):
            clip_judge.load(str(place / name))
        (place / clip_files.WEIGHTS).write_bytes(pickle.dumps(Payload()))
        with pytest.raises(Refusal, match=r"safetensors: corrupt"):
            clip_judge.load(str(place))
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text_cfg": {"hf_model_name": "some/model"}}, "hf_model_name"),
        ({"text_cfg": {"hf_tokenizer_name": "some/model"}}, "hf_tokenizer_name"),
        ({"vision_cfg": {"timm_model_name": "hf_hub:some/model"}}, "timm_model_name"),
        ({"text_cfg": {"tokenizer_kwargs": {"bpe_path": "/etc/passwd"}}}, "tokenizer_kwargs"),
        ({"multimodal_cfg": {"width": 8}}, "CoCa"),
        ({"embed_dim": 2**40}, "beyond the limit"),
        ({"vision_cfg": {"layers": 10**6}}, "beyond the limit"),
        ({"vision_cfg": {"width": 24}}, "do not fit"),
        ({"vision_cfg": {"nonsense": 1}}, "do not fit"),
        ({"vision_cfg": {"patch_size": 0}}, "do not fit"),
        ({"vision_cfg": 3}, "no model_cfg"),
        ({"text_cfg": {"vocab_size": 100}}, "do not fit"),
    ],
)
def test_settings_that_are_not_read_are_refused(
    changes: dict[str, Any], message: str, folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(Refusal, match=message) as caught:
        clip_judge.load(str(copied(folder, tmp_path / "model", **changes)))
    assert caught.value.message.startswith(str(tmp_path))


def test_damaged_folders_are_refused(folder: Path, tmp_path: Path) -> None:
    place = copied(folder, tmp_path / "model")
    for text in ("", "[]", "{", '{"model_cfg": 3}', "[" * 10**5):
        (place / clip_files.CONFIG).write_text(text, encoding="utf-8")
        with pytest.raises(Refusal, match="open_clip_config"):
            clip_judge.load(str(place))
    looks: list[Any] = [{}, {"mean": [0, 0], "std": [1, 1]}, {"mean": [0] * 3, "std": [0] * 3}, 3]
    for look in looks:
        config = {"model_cfg": SETTINGS, "preprocess_cfg": look}
        (place / clip_files.CONFIG).write_text(json.dumps(config), encoding="utf-8")
        with pytest.raises(Refusal, match="preprocess_cfg"):
            clip_judge.load(str(place))
    (place / clip_files.CONFIG).unlink()
    with pytest.raises(Refusal, match="No such file"):
        clip_judge.load(str(place))
    (place / clip_files.WEIGHTS).unlink()
    with pytest.raises(Refusal, match=r"safetensors: no such file"):
        clip_judge.load(str(place))


def test_weights_that_are_not_finite_are_refused(folder: Path, tmp_path: Path) -> None:
    place = copied(folder, tmp_path / "model")
    weights = load_file(place / clip_files.WEIGHTS)
    weights["visual.proj"][0, 0] = math.nan
    save_file(weights, place / clip_files.WEIGHTS)
    with pytest.raises(Refusal, match=r"visual\.proj has values that are not finite"):
        clip_judge.load(str(place))


def test_other_tokenizers_are_refused(folder: Path, tmp_path: Path) -> None:
    place = copied(folder, tmp_path / "model", text_cfg={"vocab_size": 100})
    weights = load_file(place / clip_files.WEIGHTS)
    weights["token_embedding.weight"] = weights["token_embedding.weight"][:100].clone()
    save_file(weights, place / clip_files.WEIGHTS)
    with pytest.raises(Refusal, match="vocab_size: fewer than the 49408 tokens"):
        clip_judge.load(str(place))


def test_names_are_looked_up_in_the_cache_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(Refusal, match=r"not in the cache") as caught:
        clip_judge.load("ViT-B-32/laion2b_s34b_b79k")
    assert "--download" in caught.value.message
    with pytest.raises(Refusal, match="did you mean ViT-B-32/laion2b_s34b_b79k"):
        clip_judge.load("ViT-B-32/laion2b_s34b_b79")
    with pytest.raises(Refusal, match="no such folder"):
        clip_judge.load(str(tmp_path / "none"))
    with pytest.raises(Refusal, match="no such folder"):
        clip_judge.load("ViT-B-32")


def test_only_download_reaches_for_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    asked: list[tuple[str, str]] = []

    def fetch(repository: str, name: str) -> str:
        asked.append((repository, name))
        raise OSError("offline")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fetch)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(Refusal, match="--download"):
        clip_judge.load("ViT-B-32/openai")
    assert not asked
    with pytest.raises(Refusal, match="could not be fetched: offline"):
        clip_judge.load("ViT-B-32/openai", download=True)
    assert asked == [("timm/vit_base_patch32_clip_224.openai", clip_files.WEIGHTS)]


@pytest.mark.parametrize("download", [False, True])
def test_what_is_in_the_cache_is_taken_with_the_settings_of_its_tag(
    download: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import open_clip
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    place = tmp_path / "models--timm--vit_base_patch32_clip_224.openai"
    weights = place / "snapshots" / "abc" / clip_files.WEIGHTS
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"x")
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text("abc", encoding="utf-8")
    found = clip_files.find("ViT-B-32/openai", download=download)
    assert found.weights == weights
    assert found.config["model_cfg"]["quick_gelu"] is True
    assert found.config["preprocess_cfg"]["mean"] == list(open_clip.OPENAI_DATASET_MEAN)


def test_guided_images_are_nearer_to_the_text(
    folder: Path,
    judge: clip_judge.Clip,
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("-m", finished, "-n", 3, "--dtype", "float32", "--class", "none")
    words = (*words, "--set", "levels={name='karras', count=20}")
    guided = ("--clip", "a bright corner", "--clip-model", folder, "--cutouts", 4, "--scale", 300)
    for name, verb, own in (("a", "guide", guided), ("b", "guide", guided), ("c", "sample", ())):
        assert ddpm(verb, *own, *words, "-o", f"{name}.npy").code == 0
    first, again, plain = (torch.from_numpy(np.load(f"{name}.npy")) for name in "abc")
    assert torch.equal(first, again), "cutouts are drawn from the seed"
    objective = partial(judge.objective(["a bright corner"], []), cutouts=64)
    near, far = (objective(pixels.from_uint8(x), Rng(range(3))) for x in (first, plain))
    assert float(near.mean()) > float(far.mean()) + 0.05
