"""How models of rows of numbers are opened: they compute in float32 unless told."""

from ddpm_cli.pipelines.opening import Opened, chosen, settled
from ddpm_cli.settings.config import Layer
from ddpm_cli.settings.request_parts import Guiding, Use

# What bfloat16 keeps of a number, three digits, shows in a table.
FLOAT32 = Layer("a model of rows", {"compute": {"dtype": "float32"}})


def opened(use: Use, *below: Layer, asked: Guiding | None = None) -> Opened:
    """The unconditional model of a request, of images or of rows, with its settings.

    asked: see `settled`.
    """
    place, header = chosen(use.model)
    exact = () if header.data.is_image else (FLOAT32,)
    layers, label = (*below, *exact), use.label
    config = settled(place, header, use.layers, layers, asked=asked, label=label)
    return Opened(place, header, config)
