"""The moments of a model, beside it in a file of their own: NAME.moments.safetensors.

A checkpoint of kind "moments" whose header holds the hash of the model that it belongs to.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ddpm_cli import __version__
from ddpm_cli.errors import Refusal
from ddpm_cli.files.checkpoints.header import Header
from ddpm_cli.foreign.signs import INDEX

if TYPE_CHECKING:
    from torch import Tensor

    from ddpm_cli.diffusion.analytic import Moments

SUFFIX = ".moments"
_HEAD = "head."


class Fit(NamedTuple):
    """What `ddpm fit` measured: moments, and the weights of a head for single pixels, if any."""

    path: Path
    moments: "Moments"
    head: "dict[str, Tensor]"
    header: Header


def beside(model: Path) -> Path:
    """Where the moments of a model are kept: model.safetensors -> model.moments.safetensors."""
    stem = Path(model.name.removesuffix(INDEX)).stem
    return model.with_name(f"{stem}{SUFFIX}.safetensors")


def save(
    path: Path, moments: "Moments", head: "Mapping[str, Tensor]", model: Header, **facts: Any
) -> Header:
    """Write moments of the model with that header; `facts` say how they were measured."""
    from ddpm_cli.files.checkpoints import checkpoint

    tensors = {"sigma": moments.sigma, "gamma": moments.gamma}
    tensors |= {_HEAD + name: value for name, value in head.items()}
    fitted = {"model": model.hash, **facts}
    header = model._replace(kind="moments", hash="", fitted=fitted, version=__version__)
    return checkpoint.save(path, tensors, header)


def load(path: Path, model: Header, name: str) -> Fit:
    """The moments in the file `path`, which must belong to the model with that header."""
    import torch

    from ddpm_cli.diffusion.analytic import Moments
    from ddpm_cli.files.checkpoints import checkpoint

    fix = f"type: ddpm fit {name}"
    if not path.exists():
        raise Refusal(f"{path}: no moments, which an optimal variance needs; {fix}")
    header, tensors = checkpoint.load(path)
    if header.kind != "moments" or header.fitted is None:
        raise Refusal(f"{path}: no moments of a model; {fix} -o FILE")
    if header.fitted.get("model") != model.hash:
        raise Refusal(f"{path}: moments of another model or of an earlier one; {fix} --force")
    head = {key.removeprefix(_HEAD): v for key, v in tensors.items() if key.startswith(_HEAD)}
    moments = Moments(*(tensors.get(key, torch.empty(0)) for key in Moments._fields))
    whole = moments.sigma.ndim == 1 and moments.sigma.shape == moments.gamma.shape
    if not whole or not len(moments.sigma) or not bool((moments.sigma.diff() > 0).all()):
        raise Refusal(f"{path}: corrupt: its noise levels do not ascend; {fix} --force")
    return Fit(path, moments, head, header)
