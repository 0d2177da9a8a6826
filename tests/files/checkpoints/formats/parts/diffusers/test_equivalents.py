"""Which knobs of our U-Net a UNet2DModel has, and which not."""

from pathlib import Path
from typing import Any

import pytest

from ddpm_cli.files.checkpoints.formats.parts.diffusers import equivalents, options
from ddpm_cli.files.checkpoints.formats.parts.diffusers.equivalents import Equivalent
from ddpm_cli.settings.config import Layer, resolve

USUAL: dict[str, Any] = {"width": 32, "multipliers": [1, 2], "attention": [8]}


def found(size: int = 16, **knobs: Any) -> Equivalent:
    settings = {"network": {"name": "unet", **USUAL, **knobs}}
    network = resolve([Layer("test", settings)])["network"]
    return equivalents.found(network, (3, size, size))


@pytest.mark.parametrize(
    "knobs",
    [
        {},
        {"heads": 4, "attention": []},
        {"head_width": 16, "attention": [16, 8]},
        {"scale_shift": True, "resample_blocks": True, "middle": "unnormed"},
        {"middle": "blocks", "classes": 4},
        {"resample_blocks": True, "conv_up": [8], "attention": [16]},
        {"embedded": 8, "nonlinearity": "relu", "middle_groups": 16},
        {"embedding": "log-fourier", "per_label": True, "center_input": True},
        {"middle": "none", "attention": [16], "attention_up": []},
        {"embedding": "endpoint", "same_padding": True, "epsilon": 1e-6, "learned_variance": True},
    ],
)
def test_there_and_back(knobs: dict[str, Any]) -> None:
    """What a UNet2DModel of our knobs is read as is the same network."""
    made = found(**knobs)
    assert made.problems == ()
    again = options.read(made.options, Path("x"), (16, 16))
    assert again.layout == made.layout
    want = {"width": 32, "multipliers": [1, 2], **knobs}
    if "classes" in want:
        want["classes"] += 1  # our null class is one of theirs
    assert {key: again.knobs.get(key) for key in want if key not in ("heads", "attention_up")} == {
        key: value for key, value in want.items() if key not in ("heads", "attention_up")
    }


@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        ({"patch": 2}, "network.patch: 2 has no equivalent; 1 has"),
        ({"norm": "pixel"}, 'network.norm: "pixel" has no equivalent; "group" has'),
        ({"embedding": "fourier"}, "network.embedding"),
        ({"fir": True}, "network.fir: true has no equivalent; false has"),
        ({"rescale": True}, "network.rescale"),
        ({"progressive_input": "sum"}, "network.progressive_input"),
        ({"decoder_attention": "last"}, "network.decoder_attention"),
        ({"resample_blocks": True, "project_resampled": True}, "network.project_resampled"),
        ({"multipliers": [2, 2]}, "network.multipliers: [2, 2] has no equivalent; [1, 2] has"),
        ({"middle": "unnormed"}, "network.middle"),
        ({"per_label": True}, "network.per_label"),
        ({"nonlinearity": "elu"}, 'network.nonlinearity: "elu" has no equivalent; "silu" has'),
        ({"group_width": 4}, "network.groups"),
        ({"heads": 2, "attention": [16, 8]}, "network.heads: heads of 16 and 32 channels"),
        ({"width": 24}, "network.groups: 32 has no equivalent; 6 has"),
    ],
)
def test_knob_without_an_equivalent_is_named(knobs: dict[str, Any], words: str) -> None:
    problems = found(**knobs).problems
    assert len(problems) == 1
    assert words in problems[0]


def test_sizes_that_are_not_halved_evenly_are_named() -> None:
    assert "14x14 is no multiple of 4" in found(14, multipliers=[1, 2, 2]).problems[0]
