"""Rewards: what functions and programs are given, what they may say, and how they fail."""

import hashlib
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ddpm_cli.errors import Refusal
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.guides.parts import rewards
from ddpm_cli.guides.parts.rewards import Reward
from ddpm_cli.settings import code_names

GREY = DataInfo((1, 4, 4))
CPU = torch.device("cpu")
# Prints the mean of each PNG file, 0 to 255.
MEANS = """
import sys
from PIL import Image
for name in sys.argv[1:]:
    values = list(Image.open(name).getdata())
    print(sum(values) / len(values))
"""


def images(count: int = 3) -> Tensor:
    return torch.linspace(-1, 1, count)[:, None, None, None].expand(count, 1, 4, 4).clone()


def program(folder: Path, text: str, *more: str) -> str:
    """The command that runs a script of Python."""
    script = folder / "score.py"
    script.write_text(text)
    return " ".join([sys.executable, str(script), *more])


def reward(named: str | Callable[..., Any], timeout: float = 30.0) -> Reward:
    return rewards.of(named, GREY, CPU, timeout)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.mean((1, 2, 3)),
        lambda x: x.mean((1, 2, 3))[:, None],
        lambda x: x.mean((1, 2, 3)).tolist(),
        lambda x: x.numpy().mean((1, 2, 3)),
        lambda x: x.add_(0).mean((1, 2, 3)),
    ],
)
def test_functions_say_numbers_of_any_kind(function: Callable[..., Any]) -> None:
    given = images() * 2
    said = reward(function)(given)
    assert said.dtype == torch.float64
    assert said.tolist() == pytest.approx([-1, 0, 1]), "beyond [-1, 1] there is nothing to see"
    assert float(given.min()) == -2, "they see a copy"


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda x: x.mean(), "3 images in, a result [] out"),
        (lambda x: x, "3 images in, a result [3, 1, 4, 4] out"),
        (lambda x: ["a"] * 3, "no numbers"),
        (lambda x: None, "no numbers"),
        (lambda x: x.mean((1, 2, 3)) / 0, "it says -inf of an image"),
        (lambda x: [0.0, float("nan"), 1.0], "it says nan of an image"),
        (lambda x: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_functions_that_say_something_else(function: Callable[..., Any], said: str) -> None:
    with pytest.raises(Refusal) as caught:
        reward(function)(images())
    assert said in caught.value.message


def test_programs_get_files_and_print_numbers(tmp_path: Path) -> None:
    command = program(tmp_path, MEANS)
    said = reward(command)(images())
    assert said.tolist() == pytest.approx([0, 128, 255], abs=1)
    digest = hashlib.sha256((tmp_path / "score.py").read_bytes()).hexdigest()
    assert digest in reward(command).sha256


def test_programs_say_where_the_images_stand(tmp_path: Path) -> None:
    between = program(tmp_path, MEANS.replace("sys.argv[1:]", "sys.argv[2:-1]"), "a", "{png}", "z")
    assert reward(between)(images()).tolist() == pytest.approx([0, 128, 255], abs=1)
    listing = MEANS.replace("sys.argv[1:]", "sorted(pathlib.Path(sys.argv[1][4:]).iterdir())")
    folder = program(tmp_path, "import pathlib" + listing, "--x={folder}")
    assert reward(folder)(images()).tolist() == pytest.approx([0, 128, 255], abs=1)
    load = "import sys, numpy\nprint(*numpy.load(sys.argv[1]).mean((1, 2, 3)))\n"
    assert reward(program(tmp_path, load, "{npy}"))(images()).tolist() == pytest.approx([-1, 0, 1])


def test_rows_come_as_an_array_in_their_units(tmp_path: Path) -> None:
    rows = DataInfo((2,), mean=(10.0, 0.0), std=(2.0, 1.0))
    load = "import sys, numpy\nprint(*numpy.load(sys.argv[1])[:, 0])\n"
    command = program(tmp_path, load)
    said = rewards.of(command, rows, CPU, 30)(torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
    assert said.tolist() == [10, 12]
    with pytest.raises(Refusal, match="of images, and this model makes rows"):
        rewards.of(f"{command} {{png}}", rows, CPU, 30)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("print(1)", "3 images in, 1 numbers out"),
        ("print(1, 2, 3, 4)", "3 images in, 4 numbers out"),
        ("", "3 images in, 0 numbers out"),
        ("print('score: 1 2 3')", "it prints 'score:', no number"),
        ("print(1, 2, 'nan')", "it says nan of an image"),
        ("print(1, 2, 'inf')", "it says inf of an image"),
        ("import sys; sys.exit('out of ideas')", "it ended with exit code 1: out of ideas"),
        ("1 / 0", "it ended with exit code 1: ZeroDivisionError: division by zero"),
        ("import os; os.kill(os.getpid(), 9)", "it was ended by SIGKILL"),
        ("while True: print('x' * 10000)", "it prints more than 1,000,000 bytes"),
    ],
)
def test_programs_that_fail(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(Refusal) as caught:
        reward(program(tmp_path, text))(images())
    assert said in caught.value.message
    assert "score.py" in caught.value.message


def test_a_program_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    mark = tmp_path / "alive"
    child = f"import time; time.sleep(3); open({str(mark)!r}, 'w')"
    text = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {child!r}])\n"
    began = time.monotonic()
    with pytest.raises(Refusal, match=r"no answer in 0\.5 seconds"):
        reward(program(tmp_path, text), timeout=0.5)(images())
    assert time.monotonic() - began < 2.5
    time.sleep(3.2)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("no-such-program a", "no program 'no-such-program' is found"),
        ("python3 'a", "No closing quotation"),
        ("   ", "an empty command"),
        ("python3 a{png}", "{png} is a word of its own"),
        ("none.py:f", "none.py:f: No such file"),
    ],
)
def test_what_cannot_be_run(named: str, said: str) -> None:
    with pytest.raises(Refusal) as caught:
        reward(named)
    assert said in caught.value.message


def test_code_and_commands_are_told_apart(tmp_path: Path) -> None:
    for name in ("a.py:f", "a.pt2", "a.pth", "a.py"):
        assert code_names.is_word_of_code(name)
    for name in ("python3 a.py", "python3 a.py:f", "./score", "score.sh {png}"):
        assert not code_names.is_word_of_code(name)
    blank = tmp_path / "my code.py"
    blank.write_text("def f(x):\n    return x.mean((1, 2, 3))\n")
    assert code_names.is_word_of_code(f"{blank}:f")
    assert reward(f"{blank}:f")(images()).tolist() == pytest.approx([-1, 0, 1])


def test_a_reward_is_tried_first() -> None:
    seen = list[Any]()

    def fussy(x: Tensor) -> Any:
        seen.append(np.asarray(x))
        return x.mean()

    with pytest.raises(Refusal, match="2 images in"):
        reward(fussy).tried(CPU)
    assert seen[0].shape == (2, 1, 4, 4)
