"""What a network is told beside the noisy image, and how training leaves it out.

A new kind of condition is an entry of a data set's `conditions`, an input of a network, and its
null and the option of its dropout: here and in `loop.train`.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ddpm_cli.data.image_set import Conditions
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.diffusion.shapes import sent


def nulls(network: Mapping[str, Any]) -> Conditions:
    """What stands for "not told", by the kinds that a network of these settings takes.

    classes: the number behind the last one (Ho 2022, "Classifier-free guidance", section 3).
    """
    classes = network.get("classes", 0)
    return {"classes": torch.tensor(classes)} if classes else {}


def taken(conditions: Conditions, nulls: Conditions) -> Conditions:
    """Those conditions of a data set that the network takes."""
    return {kind: conditions[kind] for kind in nulls if kind in conditions}


def dropped(
    conditions: Conditions, nulls: Conditions, rates: Mapping[str, float], chance: Tensor, rng: Rng
) -> Conditions:
    """Conditions [B, ...], each left out of a share of the images that is its rate.

    The first kind is left out where `chance` [B] says so; each further one draws its own from
    `rng`, so that a run without it draws what it drew before.
    """
    left = {}
    for number, (kind, values) in enumerate(conditions.items()):
        chances = rng.uniform(1, chance.device)[:, 0] if number else chance
        told = (chances >= rates.get(kind, 0.0)).reshape(-1, *[1] * (values.ndim - 1))
        left[kind] = torch.where(told, values, nulls[kind].to(values))
    return left


def on(device: torch.device, conditions: Conditions) -> Conditions:
    """Conditions on a device, copied while it works on."""
    return {kind: sent(values, device) for kind, values in conditions.items()}
