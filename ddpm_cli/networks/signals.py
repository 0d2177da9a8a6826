"""Networks for signals: sound, heart beats, trajectories, and other series of measurements."""

from collections.abc import Mapping
from typing import Literal

from torch import nn

from ddpm_cli.networks.conditions import NONE, Recipe
from ddpm_cli.networks.parts.grids import Grid
from ddpm_cli.networks.unets import unet
from ddpm_cli.settings.knobs import (
    Blocks,
    Classes,
    Epsilon,
    Fraction,
    Heads,
    HeadWidth,
    Multipliers,
    Patch,
    Resolutions,
    Scale,
    Width,
)


def unet1d(
    shape: tuple[int, ...],
    extra: int = 0,
    told: Mapping[str, Recipe] = NONE,
    *,
    width: Width = 64,
    multipliers: Multipliers = [1, 2, 4],  # noqa: B006  (read, never changed)
    blocks: Blocks = 2,
    attention: Resolutions = [],  # noqa: B006
    attention_up: Resolutions | None = None,
    decoder_attention: Literal["every", "last"] = "every",
    middle: Literal["attention", "unnormed", "blocks", "none"] = "attention",
    heads: Heads = 1,
    head_width: HeadWidth = 0,
    dropout: Fraction = 0.0,
    classes: Classes = 0,
    patch: Patch = 1,
    embedding: Literal["sinusoid", "endpoint", "fourier", "log-fourier"] = "sinusoid",
    fourier_scale: Scale = 16.0,
    embedded: HeadWidth = 0,
    nonlinearity: Literal["silu", "elu", "relu", "leaky-relu", "gelu", "mish"] = "silu",
    inject: Literal["add", "adaptive"] = "add",
    periodic: bool = False,
    scale_shift: bool = False,
    resample_blocks: bool = False,
    plain_resampling: bool = False,
    fir: bool = False,
    rescale: bool = False,
    norm: Literal["group", "pixel"] = "group",
    groups: Width = 32,
    group_width: Width = 1,
    epsilon: Epsilon = 1e-5,
    learned_variance: bool = False,
) -> nn.Module:
    """U-Net along one axis: the one of images, with filters of 3 values, for signals [C, L].

    shape: [C, L] of one signal of any length; extra: channels of a conditioning signal; told: as
    for unet. attention: the lengths that have it, of L / patch, half of that, and so on, rounded
    up; none but in the middle is usual, as its cost grows with the square. patch: so many values
    become channels. periodic: the end meets the beginning, as in a year or a closed curve; then a
    roll of the signal by patch 2^levels values rolls the answer. All else as for unet.
    """
    if periodic and fir:
        raise ValueError("its filter ends where the signal does; --set network.fir=false")
    return unet(
        shape,
        extra,
        told,
        Grid(1, periodic),
        width=width,
        multipliers=multipliers,
        blocks=blocks,
        attention=attention,
        attention_up=attention_up,
        decoder_attention=decoder_attention,
        middle=middle,
        heads=heads,
        head_width=head_width,
        dropout=dropout,
        classes=classes,
        patch=patch,
        embedding=embedding,
        fourier_scale=fourier_scale,
        embedded=embedded,
        nonlinearity=nonlinearity,
        inject=inject,
        scale_shift=scale_shift,
        resample_blocks=resample_blocks,
        plain_resampling=plain_resampling,
        fir=fir,
        rescale=rescale,
        norm=norm,
        groups=groups,
        group_width=group_width,
        epsilon=epsilon,
        learned_variance=learned_variance,
    )
