"""DiTTransformer2DModel: what of its options and weights is read, and what is refused."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ddpm_cli.errors import Refusal
from ddpm_cli.files.checkpoints.formats.parts.diffusers import transformers
from ddpm_cli.networks import dit
from ddpm_cli.networks.parts.outlines import outline

HERE = Path("pipe")
OPTIONS: dict[str, Any] = {
    "num_attention_heads": 2,
    "attention_head_dim": 4,
    "in_channels": 3,
    "out_channels": 6,
    "num_layers": 2,
    "sample_size": 8,
    "patch_size": 2,
    "num_embeds_ada_norm": 5,
}


def weights() -> dict[str, Tensor]:
    """Random tensors of the names and shapes that diffusers saves for these options."""
    shapes: dict[str, tuple[int, ...]] = {"pos_embed.proj": (8, 3, 2, 2)}
    shapes |= {"proj_out_1": (16, 8), "proj_out_2": (24, 8)}
    for number in range(2):
        block = f"transformer_blocks.{number}"
        shapes |= {f"{block}.attn1.{name}": (8, 8) for name in ("to_q", "to_k", "to_v")}
        shapes |= {f"{block}.attn1.to_out.0": (8, 8), f"{block}.norm1.linear": (48, 8)}
        shapes |= {f"{block}.ff.net.0.proj": (32, 8), f"{block}.ff.net.2": (8, 32)}
        shapes |= {f"{block}.norm1.emb.timestep_embedder.linear_1": (8, 256)}
        shapes |= {f"{block}.norm1.emb.timestep_embedder.linear_2": (8, 8)}
    made = {}
    for name, shape in shapes.items():
        value = torch.zeros(shape) if ".emb." in name else torch.randn(shape)
        made |= {f"{name}.weight": value, f"{name}.bias": torch.zeros(shape[0])}
    for number in range(2):
        table = f"transformer_blocks.{number}.norm1.emb.class_embedder.embedding_table.weight"
        made[table] = torch.ones(6, 8)
    return made


def test_weights_find_their_places() -> None:
    found = transformers.read(OPTIONS, HERE)
    assert found.shape == (3, 8, 8)
    ours = transformers.taken(weights(), found, HERE)
    outline(lambda: dit(found.shape, **found.knobs), ours)


def test_rows_of_the_output_come_channel_by_channel() -> None:
    """Row (pixel p, channel c) of theirs, p C + c, is row c area + p of ours."""
    theirs = weights() | {"proj_out_2.bias": torch.arange(24.0)}
    ours = transformers.taken(theirs, transformers.read(OPTIONS, HERE), HERE)
    assert ours["out.bias"][:4].tolist() == [0, 6, 12, 18]


def test_missing_and_strange_tensors_are_named() -> None:
    found, theirs = transformers.read(OPTIONS, HERE), weights()
    with pytest.raises(Refusal, match="stranger is no tensor"):
        transformers.taken(theirs | {"stranger": torch.zeros(1)}, found, HERE)
    del theirs["proj_out_1.bias"]
    with pytest.raises(KeyError, match=r"proj_out_1\.bias"):
        transformers.taken(theirs, found, HERE)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("norm_type", "ada_norm_single"),
        ("activation_fn", "geglu"),
        ("attention_bias", False),
        ("norm_elementwise_affine", True),
        ("num_layers", 10**9),
        ("sample_size", 7),
        ("out_channels", 4),
        ("num_embeds_ada_norm", None),
    ],
)
def test_option_without_an_equivalent_is_named(key: str, value: Any) -> None:
    with pytest.raises(Refusal, match="patch_size" if key == "sample_size" else key):
        transformers.read(OPTIONS | {key: value}, HERE)
