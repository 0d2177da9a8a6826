"""What takes something from a clean image, for models that are trained to give it back.

Filters of images [B, C, H, W] in [-1, 1]; an image's result does not depend on its batch-mates.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from ddpm_cli.data.degradations import blur, grey, jpeg
from ddpm_cli.data.random_masks import random_known
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.diffusion.shapes import column

Filter = Literal[
    "grey", "edges", "segments", "blur", "jpeg", "low-light", "noise", "uncrop", "mask"
]
NAMES: tuple[Filter, ...] = get_args(Filter)
READ_NOISE = 0.02  # of a dark photograph, whose white is 1
SMOOTH = 1.0  # pixels: the blur before an image becomes segments
# What is cut off of an image, or out of it: the weights of `random_known`.
_CUTS = {"uncrop": {"sides": 4.0, "margins": 1.0}, "mask": {"boxes": 2.0, "strokes": 1.0}}


class Filtered(NamedTuple):
    """Images [B, C, H, W], which of their pixels count, bool [B, 1, H, W], and each one's filter.

    which: its place among the filters that were asked for, int64 [B].
    """

    images: Tensor
    known: Tensor
    which: Tensor


def filtered(
    x0: Tensor,
    filters: Sequence[Filter],
    strengths: Mapping[str, Sequence[float]],
    rng: Rng,
    which: Tensor | None = None,
) -> Filtered:
    """Clean images x0 [B, C, H, W], each by one of the filters, as strong as its own numbers say.

    strengths: for some filters the strength, or the least and the largest of those drawn. which:
    each image's filter, if that is not drawn, too. What a filter draws is drawn for all images.
    """
    chance = rng.uniform(2, x0.device)
    if which is None:
        which = (chance[:, 0] * len(filters)).long()
    images, known = x0.clone(), x0.new_ones(len(x0), 1, *x0.shape[2:], dtype=torch.bool)
    for place, name in enumerate(filters):
        rows = which == place
        ends = strengths.get(name, (0.0,))
        strength = (ends[0] + (ends[-1] - ends[0]) * chance[:, 1]).to(x0)[rows]
        if name == "jpeg":  # as many of each whole quality
            strength = (ends[0] + (ends[-1] - ends[0] + 1) * chance[:, 1]).floor()[rows]
            strength = strength.clamp(max=ends[-1])
        if name in _CUTS:
            drawn = random_known(len(x0), (x0.shape[2], x0.shape[3]), rng, **_CUTS[name])
            known[rows] = drawn.bool().to(x0.device)[rows]
            continue
        noise = rng.normal(x0)[rows] if name in ("noise", "low-light") else None
        images[rows] = _by(name, x0[rows], strength, noise)
    return Filtered(images.clamp(-1, 1) * known, known, which)


def _by(name: Filter, x: Tensor, strength: Tensor, noise: Tensor | None) -> Tensor:
    """Images x by one filter, each as strong as its number in `strength` [B] says."""
    if not len(x):
        return x
    if noise is not None:
        return _dark(x, strength, noise) if name == "low-light" else _noisy(x, strength, noise)
    if name == "blur":
        return blur(x, strength)
    if name == "jpeg":
        return jpeg(x, strength)
    if name == "segments":
        return segments(x, strength)
    return grey(x) if name == "grey" else edges(x)


def edges(x: Tensor) -> Tensor:
    """How steep the grey of images is, white on black: the length of Sobel's gradient.

    Opacity is kept. The gradient of a step from black to white is 1.
    """
    luma = F.pad((grey(x)[:, :1] + 1) / 2, (1, 1, 1, 1), mode="replicate")
    smooth, step = luma.new_tensor([1.0, 2.0, 1.0]) / 4, luma.new_tensor([-1.0, 0.0, 1.0])
    across, down = smooth[:, None] * step, step[:, None] * smooth
    slopes = F.conv2d(luma, torch.stack([across, down])[:, None])
    length = slopes.square().sum(1, keepdim=True).sqrt().clamp(max=1) * 2 - 1
    colours = min(x.shape[1], 3)
    return torch.cat([length.expand(-1, colours, -1, -1), x[:, colours:]], dim=1)


def segments(x: Tensor, count: Tensor) -> Tensor:
    """Areas of `count` [B] even greys: a label map, which holds where things are, not how."""
    smooth = (grey(blur(x, torch.full_like(count, SMOOTH))) + 1) / 2
    many = column(count, x)
    labels = (smooth * many).floor().clamp(min=0).minimum(many - 1)
    flat = labels / (many - 1).clamp(min=1) * 2 - 1
    colours = min(x.shape[1], 3)
    return torch.cat([flat[:, :colours], x[:, colours:]], dim=1)


def _dark(x: Tensor, light: Tensor, noise: Tensor) -> Tensor:
    """Photographs with so much of their light [B], and a camera's noise; opacity is kept."""
    colours = min(x.shape[1], 3)
    seen = (x + 1) / 2 * column(light, x) + READ_NOISE * noise
    return torch.cat([seen[:, :colours].clamp(0, 1) * 2 - 1, x[:, colours:]], dim=1)


def _noisy(x: Tensor, level: Tensor, noise: Tensor) -> Tensor:
    """Images and Gaussian noise of the deviations `level` [B]."""
    return x + column(level, x) * noise
