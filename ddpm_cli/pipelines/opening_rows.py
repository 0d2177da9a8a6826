"""How models of rows of numbers are opened: they compute in float32 unless told."""

from collections.abc import Mapping
from typing import Any

from ddpm_cli.pipelines.opening import Opened, chosen, settled
from ddpm_cli.settings.config import Layer
from ddpm_cli.settings.request_parts import Use

# What bfloat16 keeps of a number, three digits, shows in a table.
FLOAT32 = Layer("a model of rows", {"compute": {"dtype": "float32"}})


def opened(use: Use, *below: Layer, flags: Mapping[str, Any] | None = None) -> Opened:
    """The unconditional model of a request, of images or of rows, with its settings.

    flags: see `settled`.
    """
    place, header = chosen(use.model)
    exact = () if header.data.is_image else (FLOAT32,)
    return Opened(place, header, settled(place, header, use.layers, (*below, *exact), flags=flags))
