"""`ddpm guide --reward`, `--particles`: what they bring and cost, what is refused, and replay."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from runs import Outcome, ddpm, replayed
from torch import Tensor

from ddpm_cli.files.images.pixels import read_metadata

pytestmark = pytest.mark.usefixtures("here")

CODE = """
calls = []


def bright(images):
    calls.append(len(images))
    return images.mean((1, 2, 3)) * 30


def first(images):
    return range(len(images))
"""
PROGRAM = """
import sys
from PIL import Image
for name in sys.argv[1:]:
    values = list(Image.open(name).getdata())
    print(30 * (sum(values) / len(values) / 127.5 - 1))
"""
NOISY = ("--sampler", "ddpm", "--dtype", "float32")


@pytest.fixture
def bright(here: Path) -> str:
    Path("code.py").write_text(CODE)
    return "code.py:bright"


@pytest.fixture
def command(here: Path) -> str:
    Path("score.py").write_text(PROGRAM)
    return f"{sys.executable} score.py"


def drawn(*words: object, verb: str = "guide") -> Outcome:
    outcome = ddpm(verb, *NOISY, *words)
    assert outcome.code == 0, outcome.err
    return outcome


def pixels(*words: object, verb: str = "guide") -> Tensor:
    drawn(*words, "--force", "-o", "pixels.npy", verb=verb)
    return torch.from_numpy(np.load("pixels.npy")).int()


def brightness(images: Tensor) -> Tensor:
    return images.double().mean((1, 2, 3))


def test_they_find_what_is_rewarded(bright: str) -> None:
    plain = pixels("-n", 6, verb="sample")
    for pick in ("drawn", "best"):
        words = ("--reward", bright, "--particles", 12, "--set", f"particles.pick={pick}")
        found = brightness(pixels("-n", 6, *words))
        assert float(found.mean()) > float(brightness(plain).mean()) + 5


def test_one_particle_is_plain_sampling(bright: str) -> None:
    plain = pixels("-n", 3, verb="sample")
    assert torch.equal(pixels("-n", 3, "--reward", bright, "--particles", 1), plain)


def test_the_best_of_one_round_is_one_of_plain_samples(bright: str) -> None:
    words = ("--particles", 6, "--set", "particles.rounds=1", "--set", "particles.pick=best")
    best = brightness(pixels("--reward", bright, *words, "--seeds", "3"))
    assert float(best) >= float(brightness(pixels("--seeds", "3", verb="sample")))


def test_an_image_depends_on_its_own_seed_only(bright: str) -> None:
    words = ("--reward", bright, "--particles", 4)
    whole = pixels(*words, "--seeds", "0-4")
    small = pixels(*words, "--seeds", "0-4", "-b", 3)
    alone = pixels(*words, "--seeds", "3")
    assert int((whole - small).abs().max()) <= 1
    assert int((whole[3] - alone[0]).abs().max()) <= 1


def test_a_program_draws_what_its_function_draws(bright: str, command: str) -> None:
    """But for the rounding of what it sees to bytes, of which no draw here hangs."""
    words = ("--particles", 4, "-n", 2, "--set", "particles.pick=best")
    apart = pixels("--reward", bright, *words) - pixels("--reward", command, *words)
    assert int(apart.abs().max()) <= 1


def test_cost_is_said_and_true(bright: str) -> None:
    words = ("--reward", bright, "--particles", 4, "--steps", 10)
    said = drawn(*words, "--dry-run")
    assert "10 steps, 40 network calls an image" in said.err
    assert "4 particles, scored 5 times" in said.err
    line = json.loads(drawn(*words, "-n", 2, "--json", "-o", "a.npz").out.splitlines()[-1])
    assert line["calls"] == 40, "an image"
    fit = drawn("--reward", bright, "--particles", 4, "--calls", 41, "--dry-run").err
    assert "10 steps, 40 network calls" in fit
    few = drawn(*words[:-2], "--steps", 3, "--dry-run").err
    assert "scored 3 times" in few


@pytest.mark.parametrize("verb", ["guide", "sample"])
def test_repeated(verb: str, bright: str) -> None:
    words = ("--particles", 3, "--set", "particles.potential=max", "-n", 2, "--class", 1)
    drawn("--reward", bright, *words, "-o", "a.png", verb=verb)
    record = read_metadata(Path("a.png"))
    assert record["settings"]["particles"]["count"] == 3
    assert len(record["guides"]) == 1
    told = ddpm("info", "a.png", "--command")
    assert f"--reward {bright}: left out" in told.err
    before = Path("a.png").read_bytes()
    again = replayed("a.png")
    assert ddpm(*again, "--reward", bright, "--force").code == 0
    assert Path("a.png").read_bytes() == before


def test_beside_guides_an_image_to_start_from_and_frames(bright: str) -> None:
    Path("scorer.py").write_text("def dark(x):\n    return -x.mean((1, 2, 3))\n")
    drawn("--seeds", 5, "-o", "start.png", verb="sample")
    words = ("--init", "start.png", "--at", "90%", "--scorer", "scorer.py:dark")
    drawn(
        *words,
        "--reward",
        bright,
        "--particles",
        3,
        "-n",
        2,
        "-o",
        "a.png",
        "--trajectory",
        "a.gif",
    )
    assert Path("a.gif").exists()
    others = pixels(*words, "--reward", bright, "--particles", 8, "--scale", 0, "-n", 1)
    plain = pixels("--init", "start.png", "--at", "90%", "-n", 1, verb="sample")
    assert not torch.equal(others, plain), "each particle has noise of its own"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--particles", 4), "particles: which reward chooses among them?"),
        (("--reward", "no.py:f"), "no.py:f: No such file"),
        (("--reward", "no-such-program"), "no program 'no-such-program' is found"),
        (("--reward", "code.py"), "which function of it? Give code.py:NAME"),
        (("--reward", "code.pkl"), "a pickle"),
        (("--reward", "code.pt2"), "add --trust"),
        (("--reward", "code.py:bright", "--sampler", "heun"), "adds no noise here"),
        (("--reward", "false"), "it ended with exit code 1"),
        (("--reward", "echo 1"), "2 images in, 3 numbers out"),
        (("--reward", "code.py:bright", "--set", "particles.potential=min"), "potential"),
    ],
)
@pytest.mark.parametrize("verb", ["guide", "sample"])
def test_refused(verb: str, words: tuple[object, ...], said: str, bright: str) -> None:
    outcome = ddpm(verb, *NOISY, *words, "-o", "x.png")
    assert outcome.code in (1, 2)
    (line,) = [line for line in outcome.err.splitlines() if line.startswith("Error: ")]
    assert said in line or said == "2 images in, 3 numbers out"
    assert not Path("x.png").exists()


@pytest.mark.parametrize("verb", ["encode", "interpolate", "inpaint", "upscale"])
def test_other_verbs_have_none(verb: str) -> None:
    words = ("--mask", "0,0,2,2") if verb == "inpaint" else ()
    outcome = ddpm(verb, "a.png", *words, "--set", "particles.count=3", "-o", "x.png")
    assert outcome.code in (1, 2)
    assert "particles: only of ddpm guide and sample" in outcome.err


def test_settings_name_no_program() -> None:
    outcome = ddpm("guide", "--set", "particles.reward='rm -rf x'", "-o", "x.png")
    assert (outcome.code, "particles.reward" in outcome.err) == (2, True)


def test_no_noise_is_no_matter_where_none_is_drawn_anew(bright: str) -> None:
    words = ("--reward", bright, "--sampler", "heun", "--set", "particles.rounds=1")
    assert ddpm("guide", *NOISY, *words, "-n", 1, "-o", "x.png").code == 0
