"""What a new run takes over from the model that it starts from or learns from."""

from collections.abc import Sequence

from ddpm_cli.files.checkpoints import find
from ddpm_cli.files.checkpoints.header import read_header
from ddpm_cli.settings.config import SAMPLING, Layer, merge

# What is its own all the same.
_OWN = (*SAMPLING, "draw", "loss", "train", "compute", "init", "teacher", "critic", "summary")


def followed(layers: Sequence[Layer]) -> list[Layer]:
    """Layers of a new run, above what a model says that it starts from or learns from.

    Unless they name a network: then all about the model is theirs to say.
    """
    if any("network" in layer.values for layer in layers):
        return [*layers]
    given = merge([layer.values for layer in layers])
    for table in ("init", "teacher"):
        name = given.get(table, {}).get("model")
        if name and isinstance(name, str):
            place = find.find(name)
            said = read_header(place.path).config
            kept = {key: value for key, value in said.items() if key not in _OWN}
            return [Layer(str(place.path), kept), *layers]
    return [*layers]
