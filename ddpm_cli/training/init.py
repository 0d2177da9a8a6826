"""What a training starts from beside random weights."""

import torch.nn.functional as F
from torch import Tensor

from ddpm_cli.diffusion.classifier import Trained
from ddpm_cli.errors import ConfigError
from ddpm_cli.files.checkpoints import checkpoint, find

STRENGTH = ".strength."  # of what reads how strongly a student is guided
STEM = "stem.weight"  # of the layer that sees the images


def init(trained: Trained, *, model: str = "") -> None:
    """Start from the weights of another model, extra input channels at zero.

    model: what -m takes, as a file, a run or a bundled name; empty starts from random weights.
    Zeros make the network ignore a conditioning image until it has learned what it is good for
    (Nichol 2022, section 2.3).
    """
    if model:
        _, weights = checkpoint.load(find.find(model).path)
        trained.load_weights(widened(weights, trained.weights(), model))


def widened(weights: dict[str, Tensor], fresh: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    """The weights of the model `name` for the network of `fresh` ones, which may see more."""
    if (stem := weights.get(STEM)) is not None and STEM in fresh:
        missing = fresh[STEM].shape[1] - stem.shape[1]
        if stem.ndim > 2 and missing > 0:
            sides = [0, 0] * (stem.ndim - 2)
            weights = weights | {STEM: F.pad(stem, [*sides, 0, missing])}
    differing = {n for n in fresh.keys() & weights.keys() if fresh[n].shape != weights[n].shape}
    strength = {name: value for name, value in fresh.items() if STRENGTH in name}
    weights = strength | weights  # which begins at zero
    if differing := differing | (fresh.keys() ^ weights.keys()):
        what = f"{len(differing)} of its tensors do not fit, as {min(differing)}"
        raise ConfigError(
            f"init.model: {name} has another network: {what}",
            hints=[f"take its settings: ddpm info {name} --toml > its.toml; --config its.toml"],
        )
    return weights
