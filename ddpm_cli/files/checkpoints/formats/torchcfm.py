"""Models of torchcfm (conditional-flow-matching, Tong 2024): OpenAI's U-Net as a velocity.

Files hold the raw weights and their average, each perhaps with `module.` before its names.
"""

from collections.abc import Mapping
from typing import Any

from ddpm_cli.errors import Refusal
from ddpm_cli.files.checkpoints.containers.content import Content, state_dict, stripped
from ddpm_cli.files.checkpoints.conversion import Ask, Conversion
from ddpm_cli.files.checkpoints.formats.parts import openai, openai_models

_SETS = {"ema": "ema_model", "model": "net_model"}


def tells(content: Content) -> bool:
    """By the names of the sets of weights, or of the U-Net alone, which other formats share."""
    tree = content.tree
    if _sets(tree):
        return True
    return openai.tells(tree) and not openai.is_classifier(tree)


def read(content: Content, ask: Ask) -> Conversion:
    """Networks as their shapes say; heads are asked for, usual times and units are assumed."""
    tree, sets = content.tree, _sets(content.tree)
    chosen = ""
    if sets:
        chosen = _SETS[ask.weights] if _SETS[ask.weights] in sets else sets[0]
        tree = tree[chosen]
    tensors = stripped(state_dict(tree, content.path), "module.")
    found = openai.unet(tensors, content.path)
    if found.outputs != found.channels:
        what = f"{content.path}: {found.outputs} channels come out of {found.channels}"
        raise Refusal(f"{what}, which is no velocity", "try --from guided-diffusion")
    reverse = ask.assume("label.reverse", True, "torchcfm's time runs from noise to data")
    target = ask.assume("parameterization.target", "data", "its velocity is data - noise")
    low = ask.assume("units.low", -1.0, "its scripts train on images in [-1, 1]")
    high = ask.assume("units.high", 1.0, "as units.low")
    qkv = ask.assume("network.qkv", "heads", "use_new_attention_order is off")
    settings: dict[str, Any] = {
        "schedule": {"name": "flow"},
        "parameterization": {"name": "flow", "target": target},
        "label": {"name": "time", "scale": 1.0, "reverse": reverse},
        **({"units": {"low": low, "high": high}} if (low, high) != (-1, 1) else {}),
    }
    network = {"qkv": qkv, **openai_models.way_up(ask)}
    conversion = openai_models.assembled(
        tensors, content.path, ask, found, settings, network, found.channels
    )
    if not sets:
        return conversion
    step = content.tree.get("step")
    other = "" if len(sets) == 2 else ", the only ones of the file"
    return conversion._replace(
        weights=f"{chosen}{other}", step=step if isinstance(step, int) else 0
    )


def _sets(tree: Any) -> list[str]:
    """Which sets of weights there are, of a dict of them."""
    if not isinstance(tree, Mapping):
        return []
    return [name for name in _SETS.values() if openai.tells(tree.get(name))]
