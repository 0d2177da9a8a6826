"""What is known of images for methods that restore: the operator, and y = A x + noise in files."""

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ddpm_cli import console
from ddpm_cli.data.operators import MEASURED, OWN
from ddpm_cli.diffusion.linear_maps import Given
from ddpm_cli.diffusion.measuring import Adjoint, Measured, Operator
from ddpm_cli.diffusion.rng import Randomness, Rng
from ddpm_cli.errors import ConfigError, Refusal, many
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.files.images import inputs, pixels
from ddpm_cli.files.images.inputs import MODES, Input, Source
from ddpm_cli.guides.parts.faults import blamed
from ddpm_cli.guides.parts.user_code import Code
from ddpm_cli.models import walk_parts
from ddpm_cli.settings import code_names
from ddpm_cli.settings.config import Config

SUFFIX = ".npy"
GLOBAL = (*MEASURED, OWN)  # operators that see all of an image at once, or may
GAP = 1e-3  # of an adjoint, and of a linear map, in float32
_TAKES = (
    "an operator takes images float32 [B, C, H, W] and gives [B, ...], linear in them; "
    "NAME_adjoint of the same file, or NAME.adjoint, takes that and gives images"
)


def operator(
    config: Config, info: DataInfo, code: Code | None = None, device: torch.device | None = None
) -> Operator:
    """The operator of a configuration, which may be a function of the user's."""
    if config["operator"]["name"] == OWN and code is not None:
        return own(code, info, device or torch.device("cpu"))
    return walk_parts.operator(config, info)


def own(code: Code, info: DataInfo, device: torch.device) -> Operator:
    """A user's function as a linear map, tried; its adjoint is told, or found by its gradient."""
    function = code.function
    if not callable(function):
        raise ConfigError(f"{code.name}: an operator is FILE.py:NAME, no program")
    path = code_names.split(code.name)[0]
    like = torch.linspace(-1, 1, 2 * math.prod(info.shape), device=device)
    x = like.reshape(2, *info.shape)
    with blamed(code.name, _TAKES, path):
        y = _result(code.name, function(x.clone()), 2)
        twice = _result(code.name, function(2 * x + x.flip(0)), 2)
    _refuse_blind(code.name, y, twice)
    apart = float((twice - 2 * y - y.flip(0)).norm() / twice.norm().clamp(min=1e-30))
    if not apart < GAP:
        raise Refusal(f"{code.name}: no linear map: A (2 a + b) is not 2 A a + A b", _TAKES)

    def forward(x: Tensor) -> Tensor:
        with blamed(code.name, _TAKES, path):
            return _result(code.name, function(x.float().clone()), len(x)).to(x)

    told, shape = _adjoint(code.name, function), tuple(info.shape)

    def adjoint(y: Tensor) -> Tensor:
        if told is not None:
            with blamed(f"{code.name}: its adjoint, of y {list(y.shape)}", _TAKES, path):
                return _image(code.name, told(y.float().clone()), y, shape)
        with blamed(code.name, _TAKES, path):
            return _transposed(code.name, function, y, shape)

    made = Given(forward, adjoint, y.shape[1:], device)
    gap = Adjoint.of(made, x[:1])
    if not gap.gap < GAP:
        sides = {"its result": gap.forward, "its adjoint": gap.backward}
        odd = [side for side, value in sides.items() if not math.isfinite(value)]
        fault = f"{odd[0]} is not finite" if odd else "its adjoint is that of another map"
        raise Refusal(f"{code.name}: {words(gap)}; {fault}", _TAKES)
    return made


def _refuse_blind(name: str, y: Tensor, other: Tensor) -> None:
    """Refuse a map that leaves nothing of images, or nothing that is a number; y: what it does."""
    if y.shape != other.shape:
        what = f"a result {list(y.shape)} of some images, and {list(other.shape)} of others"
        raise Refusal(f"{name}: {what}", _TAKES)
    if not y.numel():
        raise Refusal(f"{name}: it gives no numbers, a result {list(y.shape)}", _TAKES)
    if not bool((y.isfinite() & other.isfinite()).all()):
        fix = "it must give finite numbers of finite images; look for a division by 0"
        raise Refusal(f"{name}: its result is not finite", fix)
    if not bool(y.any() | other.any()):
        fix = "a map must keep something of an image; is something multiplied by 0?"
        raise Refusal(f"{name}: it gives 0 of every image, so that nothing is known", fix)


def _transposed(
    name: str, function: Callable[..., Any], y: Tensor, shape: tuple[int, ...]
) -> Tensor:
    """A^T y of a linear map A without an adjoint of its own: the gradient of <A x, y>."""
    with torch.enable_grad():
        x = y.new_zeros(len(y), *shape, dtype=torch.float32).requires_grad_()
        seen = function(x.clone())  # a copy, as it may be changed in place
        found = None
        if isinstance(seen, Tensor) and seen.requires_grad:
            (found,) = torch.autograd.grad(seen, x, y.to(seen), allow_unused=True)
    if found is None:
        attribute = code_names.split(name)[1] or "NAME"
        fix = f"leave out detach(), no_grad() and NumPy, or write {attribute}_adjoint beside it"
        raise Refusal(f"{name}: its result is not differentiable in the images", fix)
    return found.to(y)


def _adjoint(name: str, function: Callable[..., Any]) -> Callable[..., Any] | None:
    """What a user's file calls the adjoint of a function, if it has it."""
    attribute = code_names.split(name)[1]
    found = getattr(function, "adjoint", None)
    return found or getattr(function, "__globals__", {}).get(f"{attribute}_adjoint")


def _result(name: str, result: Any, count: int) -> Tensor:
    """What a user's function gives, which must be numbers of as many images."""
    if not isinstance(result, Tensor) or not result.is_floating_point():
        kind = type(result).__name__ if not isinstance(result, Tensor) else str(result.dtype)
        raise Refusal(f"{name}: it gives {kind.removeprefix('torch.')}, no float32", _TAKES)
    if result.ndim < 2 or len(result) != count:
        raise Refusal(f"{name}: {count} images in, a result {list(result.shape)} out", _TAKES)
    return result.detach()


def _image(name: str, result: Any, y: Tensor, shape: tuple[int, ...]) -> Tensor:
    """What a user's adjoint gives of y, which must be as many images of a shape."""
    made = _result(f"{name}: its adjoint", result, len(y))
    if math.prod(made.shape[1:]) != math.prod(shape):
        what = f"of y {list(y.shape)} it gives {list(made.shape)}, and not {[len(y), *shape]}"
        raise Refusal(f"{name}: its adjoint: {what}", _TAKES)
    return made.reshape(len(y), *shape).to(y)


def words(found: Adjoint) -> str:
    """An adjoint test in words."""
    sides = f"<Ax, y> = {found.forward:.9g}, <x, A'y> = {found.backward:.9g}"
    return f"{sides}, difference {found.gap:.1e} of |Ax| |y|"


def tell(name: str, made: Operator, shape: Sequence[int], *, as_json: bool) -> None:
    """Print the adjoint test of an operator on images of a shape, as --check asks for."""
    facts = check(name, made, shape)
    if as_json:
        console.json_line(facts)
    else:
        console.result(checked(facts))


def check(name: str, made: Operator, shape: Sequence[int]) -> dict[str, Any]:
    """The adjoint test of an operator: the two sides, their difference, and the shapes."""
    facts = {"operator": name, "x": list(shape), "y": list(made.shape)}
    if not made.is_linear:
        x = Rng([0], "saved").normal(torch.empty(1, *shape)).double().clamp(-1, 1)
        again = float((made(made(x)) - made(x)).abs().mean())
        return {**facts, "linear": False, "changes_twice": again}
    found = Adjoint.of(made, torch.empty(1, *shape))
    return {**facts, "linear": True, **found._asdict()}


def checked(facts: Mapping[str, Any]) -> str:
    """What `check` found, in words."""
    shapes = " to ".join("x".join(map(str, facts[key])) for key in ("x", "y"))
    if not facts["linear"]:
        again = f"saved twice, an image changes by {facts['changes_twice']:.1e} on average"
        return f"{facts['operator']}, {shapes}: no linear map; {again}"
    found = Adjoint(facts["forward"], facts["backward"], facts["gap"])
    return f"{facts['operator']}, {shapes}: {words(found)}"


def refuse(config: Config, made: Operator, noise: float) -> None:
    """Refuse a method that the operator does not suit, before any work."""
    if (method := walk_parts.method(config)) is not None:
        method(Measured(made, torch.zeros(1, *made.shape).double(), noise))


def measured(x: Tensor, made: Operator, noise: float, randomness: Randomness) -> Tensor:
    """y = A x + noise z of a clean image x [C, H, W], float64; z follows from the image alone."""
    digest = hashlib.sha256(x.cpu().double().numpy().tobytes()).hexdigest()
    y = made(x[None].double())
    rng = randomness.rng([0], "measurement", digest)
    return (y + noise * rng.normal(y))[0].cpu()


def picture(source: Source, shape: Sequence[int]) -> Input:
    """What stands for the image that is made of a measurement, black, of the model's shape."""
    plane = torch.zeros(tuple(shape), dtype=torch.uint8)
    size = (shape[2], shape[1])
    return Input(source.name, source.stem, plane, plane, size, "error", (255, 255, 255), {})


def refuse_pictures(name: str, config: Config, shape: Sequence[int]) -> None:
    """Refuse an image where the operator leaves none."""
    undone = config["operator"]["name"]
    is_image = len(shape) == 3 and shape[0] in MODES and undone not in MEASURED
    if not is_image:
        what = f"{name}: an image, and {undone} leaves {'x'.join(map(str, shape))} numbers"
        raise Refusal(what, "give those in a .npy file, or whole images to ddpm upscale --degrade")


def size(source: Source) -> tuple[int, ...]:
    """The shape of the array of a source, or the height and width of its image.

    None of what can be read but once, and of a file that holds neither.
    """
    if inputs.is_read_once(source):
        return ()
    if not source.name.endswith(SUFFIX):
        wide, high = pixels.inspected(source.name)[0]
        return high, wide
    try:
        found = np.load(Path(source.name), mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError):
        return ()
    return tuple(getattr(found, "shape", ()))


def refuse_global(name: str, config: Config, found: tuple[int, ...], takes: Sequence[int]) -> None:
    """Refuse what is of larger images where no windows can be made, as each sees but a part.

    found: its shape, or height and width; takes: what the model's operator leaves, or its shape.
    """
    undone, usual = config["operator"]["name"], tuple(takes[-len(found) :])
    if undone not in GLOBAL or not found or found == usual or len(found) > len(takes):
        return
    if all(side >= least for side, least in zip(found, usual, strict=True)):
        is_image = not name.endswith(SUFFIX)
        both = (found[::-1], usual[::-1]) if is_image else (found, usual)
        sides = ("x".join(map(str, one)) + (" pixels" if is_image else "") for one in both)
        who = "code of yours may see" if undone == OWN else f"{undone} sees"
        what = "{}: {}, of an image larger than the model, which takes {}".format(name, *sides)
        fix = f"{who} all of an image at once, so that it is not made by windows; give a small one"
        raise Refusal(what, fix)


def likeness(made: Tensor, clean: Tensor) -> float:
    """The peak signal-to-noise ratio in decibels of images in [-1, 1]."""
    error = float((made.double() - clean.double()).square().mean())
    return 10 * math.log10(4 / max(error, 1e-12))


def read(path: str, shape: tuple[int, ...]) -> Tensor:
    """The measurement float64 of a .npy file, which must have the operator's shape."""
    try:
        array = np.load(Path(path), allow_pickle=False)
    except (OSError, ValueError) as error:
        what = getattr(error, "strerror", None) or "no .npy file of numbers"
        raise Refusal(f"{path}: {what}", f"write {shape} numbers by numpy.save") from None
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        raise Refusal(
            f"{path}: it holds no real numbers", "split complex ones in real and imaginary parts"
        )
    if array.shape != shape:
        sizes = ("x".join(map(str, one)) for one in (array.shape, shape))
        raise Refusal("{}: {} numbers, and the operator leaves {}".format(path, *sizes))
    if not np.isfinite(array).all():
        bad = int((~np.isfinite(array)).sum())
        raise Refusal(f"{path}: {many(bad, 'numbers')} of it are not finite")
    return torch.from_numpy(array.astype(np.float64))
