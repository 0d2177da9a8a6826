"""The feature network that `ddpm eval` looks through: one of the catalog, or a user's code."""

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor

from ddpm_cli.errors import Refusal
from ddpm_cli.evaluation.extractor import HASH, Extractor, Seen
from ddpm_cli.guides.parts.faults import blamed
from ddpm_cli.guides.parts.user_code import load
from ddpm_cli.models import making
from ddpm_cli.settings import code_names

_SIGNATURE = "it takes pixels uint8 [B, 3, H, W] and gives features [B, d], or a dict of features"


def extractor(settings: Mapping[str, Any], code: str | None, device: torch.device) -> Extractor:
    """The network of some settings, or FILE.py:NAME, on a device."""
    if code is not None:
        return _of_code(code, device)
    return cast(Extractor, making.maker("features", dict(settings))(device))


def _of_code(name: str, device: torch.device) -> Extractor:
    """A function of the user's own from pixels to features; it brings them to its size itself."""
    code = load(name)
    function, path = code.on(device), code_names.split(name)[0]

    def look(images: Tensor) -> Seen:
        with blamed(name, f"{_SIGNATURE}; -vv shows where", path):
            result = function(images.clone())
        parts = dict(result) if isinstance(result, Mapping) else {"features": result}
        if unknown := set(parts) - set(Seen._fields):
            raise Refusal(f"{name}: gives {min(map(str, unknown))}", _SIGNATURE)
        return Seen(**{key: _rows(name, key, parts.get(key), len(images)) for key in Seen._fields})

    return Extractor(name, code.sha256[:HASH], "its own", "RGB", look, device)


def _rows(name: str, key: str, values: Any, count: int) -> Any:
    """One of the results of a function, of the shape that it must have."""
    if values is None and key != "features":
        return None
    if not isinstance(values, Tensor) or not values.is_floating_point():
        raise Refusal(f"{name}: {key} are no tensor of floats", _SIGNATURE)
    if values.ndim < 2 or len(values) != count:
        raise Refusal(f"{name}: {count} images in, {key} {list(values.shape)} out", _SIGNATURE)
    return values.flatten(1)
