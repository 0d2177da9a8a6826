"""The transformer against DiT's own code: the same weights give the same numbers."""

import json
import re
from typing import Any

import pytest
import torch
from golden.load_golden import FOLDER
from safetensors import safe_open
from torch import Tensor

from ddpm_cli.networks import dit

NAMES = {
    "x_embedder.proj": "stem",
    "t_embedder.mlp": "embed",
    "y_embedder.embedding_table": "class_embed",
    "attn.qkv": "mix.qkv",
    "attn.proj": "mix.project",
    "mlp.fc1": "perceptron.expand",
    "mlp.fc2": "perceptron.project",
    "final_layer.linear": "out",
    "final_layer.adaLN_modulation.1": "modulate",
    "adaLN_modulation.1": "modulate",
}


def renamed(theirs: dict[str, Tensor], patch: int) -> dict[str, Tensor]:
    """Their weights under our names; the values of a patch lie channel by channel in ours."""
    pattern = re.compile("|".join(map(re.escape, NAMES)))
    ours = {pattern.sub(lambda m: NAMES[m[0]], key): value for key, value in theirs.items()}
    del ours["pos_embed"]
    area, width = patch**2, ours["stem.weight"].shape[0]
    ours["stem.weight"] = ours["stem.weight"].reshape(width, -1, 1, 1)
    for kind in ("weight", "bias"):
        value = ours[f"out.{kind}"]
        by_pixel = value.reshape(area, len(value) // area, *value.shape[1:])
        ours[f"out.{kind}"] = by_pixel.transpose(0, 1).reshape(value.shape)
    ours["out.weight"] = ours["out.weight"][..., None, None]
    return ours


@pytest.mark.parametrize(
    ("dtype", "output", "close"), [(torch.float64, "out64", 1e-12), (torch.float32, "out", 1e-5)]
)
@pytest.mark.parametrize("name", ["dit", "dit_bare"])
def test_published_weights(name: str, dtype: torch.dtype, output: str, close: float) -> None:
    with safe_open(FOLDER / f"networks/{name}.safetensors", "pt") as file:
        config: dict[str, Any] = json.loads(file.metadata()["config"])
        values = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    size, channels = config["input_size"], config["in_channels"]
    network = dit(
        (channels, size, size),
        patch=config["patch_size"],
        width=config["hidden_size"],
        depth=config["depth"],
        heads=config["num_heads"],
        ratio=config["mlp_ratio"],
        classes=config["num_classes"],
        learned_variance=config["learn_sigma"],
        overlap=False,
        activation="gelu-tanh",
    ).eval()
    weights = {k.removeprefix("weights."): v for k, v in values.items() if k.startswith("weights")}
    network.load_state_dict(renamed(weights, config["patch_size"]))
    with torch.no_grad():
        out = network.to(dtype)(values["x"].to(dtype), values["t"].to(dtype), values["y"])
    assert out.dtype == dtype
    assert (out - values[output]).abs().max() <= close
