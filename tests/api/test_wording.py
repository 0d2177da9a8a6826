"""What Python callers are told: parameters and settings in place of options."""

import math
import re
from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
import torch

import ddpm_cli
from ddpm_cli.api.model import Model
from ddpm_cli.api.training import train
from ddpm_cli.api.wording import worded


@pytest.mark.parametrize(
    ("function", "text", "said"),
    [
        (Model.nll, "--samples: of images alone", "samples: of images alone"),
        (Model.nll, "--probes 3: give --probes 4, or", "probes=3: give probes=4, or"),
        (Model.nll, "of no use with --trace exact; x", "of no use with trace='exact'; x"),
        (Model.nll, "--rate-distortion: of images", "--rate-distortion: of images"),
        (Model.guide, "name one with --class", "name one with classes"),
        (Model.guide, "--class none: it", "classes='none': it"),
        (Model.guide, "--grad-at mean: it", "grad_at='mean': it"),
        (Model.guide, "give --reward FILE.py:NAME, or", "give reward='FILE.py:NAME', or"),
        (Model.guide, "--trust if you may", "trust=True if you may"),
        (Model.upscale, "--method says already how", "method says already how"),
        (Model.upscale, "or --method pigdm with a model", "or method='pigdm' with a model"),
        (Model.upscale, "choose another with -m", "choose another with load()"),
        (Model.encode, "use --steps 3 or more", "use settings={'levels.count': 3} or more"),
        (Model.encode, "--sampler heun: it", "settings={'sampler.name': 'heun'}: it"),
        (train, "use --steps 3 or more", "use settings={'train.steps': 3} or more"),
        (train, "another -o, or --force to", "another output, or force=True to"),
        (Model.nll, "--set guidance.scale=1", "settings={'guidance.scale': 1}"),
        (Model.nll, "as --set data.path=..., x", "as settings={'data.path': ...}, x"),
        (Model.nll, "is --set guidance.scale", "is guidance.scale"),
        (
            Model.guide,
            "give --guide-with MODEL, or --set guidance.model=MODEL, now",
            "give settings={'guidance.model': MODEL}, now",
        ),
        (
            Model.inpaint,
            """--set 'edits=[{name="jumps", lengths=[2]}]'""",
            "settings={'edits': [{'name': 'jumps', 'lengths': [2]}]}",
        ),
        (Model.guide, "ddpm guide --class NAME; --scale", "ddpm guide --class NAME; scale"),
        (Model.nll, "-log p(row), 1--2, a-m", "-log p(row), 1--2, a-m"),
    ],
)
def test_words(function: Callable[..., Any], text: str, said: str) -> None:
    assert worded(text, signature(function).parameters) == said


@pytest.fixture(scope="module")
def model(finished_small: Path) -> Model:
    return ddpm_cli.load(str(finished_small))


@pytest.fixture(scope="module")
def rows(roll: Path) -> Model:
    return ddpm_cli.load(str(roll))


X = torch.zeros(2, 1, 8, 8)
HOLE = torch.ones(8, 8).bool()
CALLS: list[Callable[[Model, Model], Any]] = [
    lambda m, r: m.sample(0, classes="cat"),
    lambda m, r: m.sample(0, values={"age": 3}),
    lambda m, r: m.sample(0, text="a"),
    lambda m, r: r.sample(0, classes="cat"),
    lambda m, r: m.walk(0, classes="cat"),
    lambda m, r: m.guide(0, classes="3", interval=(3, 1)),
    lambda m, r: m.guide(0, classifier="a.pt"),
    lambda m, r: m.guide(0, particles=4),
    lambda m, r: r.guide(0, scale=3),
    lambda m, r: m.encode(X, settings={"levels.count": 2}),
    lambda m, r: m.inpaint(X, HOLE, noise=0.1, method="replace"),
    lambda m, r: m.inpaint(X, HOLE, method="model"),
    lambda m, r: m.inpaint(X, HOLE, scale=2),
    lambda m, r: m.upscale(X[..., :4, :4], method="ddnm", noise=0.1),
    lambda m, r: m.upscale(X[..., :4, :4], method="ddrm", consistent=True),
    lambda m, r: m.upscale(X[..., :4, :4], method="ddrm", settings={"sampler.name": "heun"}),
    lambda m, r: m.upscale(X[..., :4, :4], settings={"method.name": "ddrm"}),
    lambda m, r: m.nll(X, samples=3, probes=3),
    lambda m, r: m.nll(X, trace="exact", probes=3),
    lambda m, r: r.nll(torch.zeros(2, 2), samples=3),
    lambda m, r: r.nll(torch.zeros(2, 2), dequantize="truncated"),
    lambda m, r: ddpm_cli.train(torch.zeros(9, 2), output="x", settings={"train.batch": 0}),
    lambda m, r: ddpm_cli.train(torch.zeros(9, 2), output="x", preset="mnist-distill"),
]


WRONG: dict[str, Callable[[Model], Any]] = {
    "scale: -1": lambda m: m.inpaint(X, HOLE, scorer=lambda x: x.mean((1, 2, 3)), scale=-1),
    "scale: 'x'": lambda m: m.guide(0, scale="x"),  # type: ignore[arg-type]
    "scale: inf": lambda m: m.guide(0, scale=math.inf),
    "rescale: 3": lambda m: m.guide(0, rescale=3),
    "(from factor)": lambda m: m.upscale(X[..., :4, :4], factor=0.5),
    "seed: -1": lambda m: m.nll(X, seed=-1),
    "seeds: -1": lambda m: m.guide(-1),
    "fourier is an operator of the command line; choose": lambda m: m.upscale(X, task="fourier"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("words", WRONG)
def test_what_does_not_fit_is_named_as_the_parameter_is(words: str, model: Model) -> None:
    with pytest.raises(ValueError, match=re.escape(words)) as caught:
        WRONG[words](model)
    assert "(from the command line)" not in str(caught.value)


@pytest.mark.parametrize("number", range(len(CALLS)))
def test_no_option_is_named_but_in_a_command(
    number: int, model: Model, rows: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError) as caught:  # noqa: PT011  (its text is what is looked at)
        CALLS[number](model, rows)
    plain = re.sub(r"ddpm [a-z]+[^;,\n]*", "", str(caught.value))
    assert not re.search(r"(?<![\w-])--?[a-z]", plain), plain
