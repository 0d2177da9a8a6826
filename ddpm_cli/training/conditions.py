"""What a network is told beside the noisy image, and how training leaves it out."""

from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from ddpm_cli.data.image_set import Conditions
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.diffusion.shapes import sent
from ddpm_cli.files.images.pixels import from_uint8

IMAGE = "image"  # the kind that lies beside each image, and is always told


def taken(conditions: Conditions, nulls: Conditions, rng: Rng | None = None) -> Conditions:
    """Those conditions of a data set that the network takes, and the image beside each.

    Of several of one row, as captions, [B, F, ...], which are null behind a row's last, `rng`
    draws one that is there; without it that is the first.
    """
    found = {kind: conditions[kind] for kind in (*nulls, IMAGE) if kind in conditions}
    return {
        kind: _one(rows, nulls[kind], rng) if _has_several(rows, nulls.get(kind)) else rows
        for kind, rows in found.items()
    }


def _has_several(rows: Tensor, null: Tensor | None) -> bool:
    return null is not None and rows.ndim > null.ndim + 1


def _one(rows: Tensor, null: Tensor, rng: Rng | None) -> Tensor:
    """One of several [B, F, ...] of each row, [B, ...]."""
    if rng is None:
        return rows[:, 0]
    nan = rows.isnan() if rows.is_floating_point() else torch.zeros_like(rows, dtype=torch.bool)
    is_null = (nan | torch.eq(rows, null.to(rows))).flatten(2).all(2)
    count = (~is_null).sum(1).clamp(min=1)
    chosen = (rng.uniform(1, rows.device)[:, 0] * count).long().clamp(max=rows.shape[1] - 1)
    return rows[torch.arange(len(rows), device=rows.device), chosen]


def seen(conditions: Conditions) -> Conditions:
    """Conditions as the network sees them: bytes of images in [-1, 1]."""
    image = conditions.get(IMAGE)
    if image is None or image.dtype != torch.uint8:
        return conditions
    return conditions | {IMAGE: from_uint8(image)}


def dropped(
    conditions: Conditions,
    nulls: Conditions,
    rates: Mapping[str, float],
    chance: Tensor,
    rng: Rng,
    each: Mapping[str, float] = MappingProxyType({}),
) -> Conditions:
    """Conditions [B, ...], each left out of a share of the images that is its rate.

    One alone is left out where `chance` [B] says so.  Of several, half of that falls on the same
    images, as guidance asks for predictions without any; the rest each draws for itself.
    each: how often single entries of a kind are left out, whatever else is.
    """
    dropping = {kind: rates.get(kind, 0.0) for kind in conditions}
    left, alone = {}, sum(rate > 0 for rate in dropping.values()) < 2
    for kind, values in conditions.items():
        often = dropping[kind] if alone else dropping[kind] / 2
        out = chance < often
        if not alone:  # own: the share of the others with which the rate is met
            out = out | (rng.uniform(1, chance.device)[:, 0] < often / (1 - often))
        told = ~out.reshape(-1, *[1] * (values.ndim - 1))
        if rate := each.get(kind, 0.0):
            told = told & (rng.uniform(values.shape[1], chance.device) >= rate)
        left[kind] = torch.where(told, values, nulls[kind].to(values))
    return left


def on(device: torch.device, conditions: Conditions) -> Conditions:
    """Conditions on a device, copied while it works on."""
    return {kind: sent(values, device) for kind, values in conditions.items()}
