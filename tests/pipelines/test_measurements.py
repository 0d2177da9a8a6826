"""Measurements in files, operators of the user's own, and the adjoint test."""

from pathlib import Path

import numpy as np
import pytest
import torch

from ddpm_cli.data import operators
from ddpm_cli.diffusion.measuring import Adjoint
from ddpm_cli.diffusion.rng import PHILOX
from ddpm_cli.errors import Refusal
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.guides.parts.user_code import load
from ddpm_cli.pipelines import measurements

INFO = DataInfo((1, 4, 6))
CODE = """
import torch

def shift(x):
    return x.roll(1, -1) * 2

def half(x):
    return x[..., ::2]

def half_adjoint(y):
    made = torch.zeros(len(y), 1, 4, 6)
    made[..., ::2] = y
    return made

def wrong(x):
    return x[..., ::2]

def wrong_adjoint(y):
    return torch.ones(len(y), 1, 4, 6)

def short(x):
    return x[..., ::2]

def short_adjoint(y):
    return y

def clash(x):
    return x[..., ::2]

def clash_adjoint(y):
    return y @ torch.ones(9, 9)

def square(x):
    return x * x

def whole(x):
    return x.sum()

def words(x):
    return "y"

def broken(x):
    raise KeyError("lens")

def nothing(x):
    return 0 * x

def loose(x):
    return torch.zeros(len(x), 3)

def odd(x):
    return x / 0.0

def oddly(x):
    return x if len(x) == 2 else x * float("nan")

def undone(x):
    return x[..., ::2]

def undone_adjoint(y):
    return torch.full((len(y), 1, 4, 6), float("nan"))

def cut(x):
    return x.detach()[..., ::2]

def copied(x):
    return torch.from_numpy(x.detach().numpy() * 2)

def empty(x):
    return x[..., :0]

def varying(x):
    return x[..., : 2 if x.max() > 1 else 3]

def inplace(x):
    x *= 2
    return x

def tended(x):
    return x.detach()[..., ::2]

tended.adjoint = half_adjoint
"""


@pytest.fixture
def lens(tmp_path: Path) -> Path:
    path = tmp_path / "lens.py"
    path.write_text(CODE)
    return path


@pytest.mark.parametrize("name", ["shift", "half", "inplace", "tended"])
def test_own_is_a_linear_map_with_its_adjoint(lens: Path, name: str) -> None:
    made = measurements.own(load(f"{lens}:{name}"), INFO, torch.device("cpu"))
    assert Adjoint.of(made, torch.empty(1, *INFO.shape)).gap < 1e-6
    assert made.peak == pytest.approx(4 if name in ("shift", "inplace") else 1, rel=1e-3)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("wrong", "its adjoint is that of another map"),
        ("short", "its adjoint: of y [1, 1, 4, 3] it gives [1, 1, 4, 3], and not [1, 1, 4, 6]"),
        ("clash", "its adjoint, of y [1, 1, 4, 3]: line"),
        ("square", "no linear map"),
        ("whole", "2 images in, a result [] out"),
        ("words", "it gives str, no float32"),
        ("broken", "KeyError"),
        ("nothing", "it gives 0 of every image"),
        ("loose", "it gives 0 of every image"),
        ("odd", "its result is not finite"),
        ("oddly", "; its result is not finite"),
        ("undone", "; its adjoint is not finite"),
        ("cut", "not differentiable in the images\nleave out detach(), no_grad() and NumPy, or "),
        ("copied", "or write copied_adjoint beside it"),
        ("empty", "it gives no numbers, a result [2, 1, 4, 0]"),
        ("varying", "a result [2, 1, 4, 3] of some images, and [2, 1, 4, 2] of others"),
    ],
)
def test_own_that_is_none_is_refused(lens: Path, name: str, words: str) -> None:
    with pytest.raises(Refusal) as caught:
        measurements.own(load(f"{lens}:{name}"), INFO, torch.device("cpu"))
    assert words in str(caught.value)
    assert "lens.py" in str(caught.value)


def test_check_is_of_the_operator() -> None:
    found = measurements.check("fourier", operators.fourier((1, 4, 6)), INFO.shape)
    assert found["y"] == [2, 4, 2]
    assert found["gap"] < 1e-14
    assert found["forward"] == pytest.approx(found["backward"])
    assert "1x4x6 to 2x4x2: <Ax, y> = " in measurements.checked(found)
    saved = measurements.check("jpeg", operators.jpeg((1, 4, 6)), INFO.shape)
    assert "no linear map" in measurements.checked(saved)


def test_noise_follows_from_the_image_alone() -> None:
    x, other = torch.zeros(1, 4, 6), torch.full((1, 4, 6), 0.5)
    made = operators.sensing((1, 4, 6))
    first, again, third = (measurements.measured(v, made, 0.5, PHILOX) for v in (x, x, other))
    assert torch.equal(first, again)
    assert float(first.std()) == pytest.approx(0.5, rel=0.6)
    assert not torch.allclose(third - made(other[None].double())[0], first)
    assert torch.equal(measurements.measured(x, made, 0.0, PHILOX), torch.zeros_like(first))


class TestRead:
    def test_numbers_of_the_shape_of_the_operator(self, tmp_path: Path) -> None:
        np.save(tmp_path / "y.npy", np.arange(6, dtype=np.int16).reshape(2, 3))
        got = measurements.read(str(tmp_path / "y.npy"), (2, 3))
        assert got.tolist() == [[0, 1, 2], [3, 4, 5]]
        assert got.dtype == torch.float64

    @pytest.mark.parametrize(
        ("array", "words"),
        [
            (np.zeros((3, 2)), "3x2 numbers, and the operator leaves 2x3"),
            (np.zeros((2, 3), complex), "no real numbers"),
            (np.full((2, 3), np.nan), "6 numbers of it are not finite"),
            (np.array([{"a": 1}]), "no .npy file of numbers"),
        ],
    )
    def test_refuses_others(self, tmp_path: Path, array: np.ndarray, words: str) -> None:  # type: ignore[type-arg]
        np.save(tmp_path / "y.npy", array, allow_pickle=True)
        with pytest.raises(Refusal) as caught:
            measurements.read(str(tmp_path / "y.npy"), (2, 3))
        assert words in str(caught.value)

    def test_refuses_what_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(Refusal, match="No such file"):
            measurements.read(str(tmp_path / "none.npy"), (2, 3))


def test_likeness_is_that_of_images_in_a_range_of_two() -> None:
    x = torch.zeros(1, 2, 2)
    assert measurements.likeness(x + 0.02, x) == pytest.approx(40, abs=1e-3)
