"""CLIP as a judge, with a small one of random weights: what it says of prompts and images."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from probes import x0
from random_encoders import CLIP, LOOKS
from runs import ddpm
from safetensors.torch import load_file

from ddpm_cli import console
from ddpm_cli.diffusion import cutouts
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.encoders import clip_files
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files.images import pixels
from ddpm_cli.guides.parts import clip_judge

pytestmark = pytest.mark.usefixtures("_no_network")


@pytest.fixture(scope="module")
def judge(clip: Path) -> clip_judge.Clip:
    return clip_judge.load(str(clip))


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


def test_the_score_is_that_of_the_network_itself(clip: Path, judge: clip_judge.Clip) -> None:
    import open_clip

    network = open_clip.CLIP(**CLIP).eval()
    network.load_state_dict(load_file(clip / clip_files.WEIGHTS))
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


def test_weights_draw_nothing_from_the_global_generator(clip: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    clip_judge.load(str(clip))
    assert torch.equal(torch.rand(3), expected)


def test_guided_images_are_nearer_to_the_text(
    clip: Path,
    judge: clip_judge.Clip,
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("-m", finished, "-n", 3, "--dtype", "float32", "--class", "none")
    words = (*words, "--set", "levels={name='karras', count=20}")
    guided = ("--clip", "a bright corner", "--clip-model", clip, "--cutouts", 4, "--scale", 300)
    for name, verb, own in (("a", "guide", guided), ("b", "guide", guided), ("c", "sample", ())):
        assert ddpm(verb, *own, *words, "-o", f"{name}.npy").code == 0
    first, again, plain = (torch.from_numpy(np.load(f"{name}.npy")) for name in "abc")
    assert torch.equal(first, again), "cutouts are drawn from the seed"
    objective = partial(judge.objective(["a bright corner"], []), cutouts=64)
    near, far = (objective(pixels.from_uint8(x), Rng(range(3))) for x in (first, plain))
    assert float(near.mean()) > float(far.mean()) + 0.05
