"""Building blocks of the networks, made for the memory layout that is fastest for their norm."""

import math
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from ddpm_cli.errors import ConfigError
from ddpm_cli.networks.parts.grids import PLANE, Grid, spread
from ddpm_cli.networks.parts.resampling import enlarge, shrink

_Value = TypeVar("_Value")


class GroupNorm(nn.GroupNorm):
    """Group normalization that takes channels-last tensors, too.

    PyTorch's CPU kernel is about 30 times slower on channels-last bfloat16 than on contiguous
    memory, so such tensors pass through contiguous memory and back; see `layout`.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalize x [B, C, H, W]."""
        if x.device.type != "cpu" or x.is_contiguous() or x.ndim != 4:
            return super().forward(x)
        return super().forward(x.contiguous()).contiguous(memory_format=torch.channels_last)


class PixelNorm(nn.LayerNorm):
    """Layer normalization over the channels of each pixel: the cheapest norm for channels-last."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalize x [B, C, H, W]."""
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


def normalization(
    kind: str, channels: int, groups: int, epsilon: float = 1e-5, group_width: int = 1
) -> nn.Module:
    """The norm layer `kind` ("group", "pixel", "none"); groups shrink to divide the channels.

    With fewer channels than groups they are of four channels each: a group of a single channel
    would remove the noise level that is added to it. group_width: channels that a group has at
    least; Song 2021 and Karras 2022 have 4 of them.
    """
    if kind == "none":
        return nn.Identity()
    if kind == "pixel":
        return PixelNorm(channels, eps=epsilon)
    groups = min(groups, max(1, channels // group_width)) if group_width > 1 else groups
    if groups > channels:
        groups = max(1, channels // 4)
    return GroupNorm(math.gcd(groups, channels), channels, eps=epsilon)


def activation(kind: str) -> nn.Module:
    """The nonlinearity of a name; "leaky-relu" has slope 0.2."""
    if kind == "leaky-relu":
        return nn.LeakyReLU(0.2)
    kinds: dict[str, type[nn.Module]] = {
        "silu": nn.SiLU, "elu": nn.ELU, "relu": nn.ReLU, "gelu": nn.GELU, "mish": nn.Mish,
    }  # fmt: skip
    return kinds[kind]()


def refuse_no_images(shape: tuple[int, ...], grid: Grid = PLANE) -> None:
    """Refuse data that are no images [C, H, W], or no signals [C, L]."""
    if len(shape) == grid.axes + 1:
        return
    fitting = {2: "unet1d", 3: "unet"}.get(len(shape), "mlp")
    what = "images" if grid.axes == 2 else "signals [C, L]"
    raise ValueError(f"no {what} but data of shape {shape}; --set network.name={fitting}")


def beside(x: Tensor, image: Tensor | None) -> Tensor:
    """Noisy images x [B, C, H, W], and a conditioning image, if there is one, as more channels."""
    return x if image is None else torch.cat([x, image.to(x.dtype)], dim=1)


def zero(module: nn.Module) -> nn.Module:
    """Set all parameters to 0, so that a residual branch starts as nothing."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module


def lookup(count: int, width: int) -> nn.Embedding:
    """nn.Embedding of `count` rows, normal but on device "meta", where there is nothing to draw.

    Asked for normal numbers there, torch imports its compiler first, which takes a second.
    """
    rows = torch.empty(count, width)
    if not rows.is_meta:
        nn.init.normal_(rows)
    return nn.Embedding(count, width, _weight=rows)


def with_classes(embedding: Tensor, table: nn.Module | None, classes: Tensor | None) -> Tensor:
    """An embedding [B, E] and the row of each class [B] in a table, if the network has one.

    classes: None stands for the null class, the last row of the table.
    """
    if not isinstance(table, nn.Embedding):
        return embedding
    if classes is None:
        null = table.num_embeddings - 1
        classes = torch.full((len(embedding),), null, device=embedding.device)
    added: Tensor = embedding + table(classes)
    return added


def divided(width: int, heads: int, key: str = "network.heads") -> int:
    """The number of heads, which must divide the channels; key: what says how many there are."""
    if not heads or width % heads:
        fix = "choose a number that does"
        raise ConfigError(f"{key}: {heads} heads do not divide {width} channels; {fix}")
    return heads


def each(values: Sequence[_Value], count: int, key: str) -> list[_Value]:
    """One value of each level, of a list that may have one for all."""
    if len(values) not in (1, count):
        what = f"{len(values)} values of {count} levels"
        raise ConfigError(f"network.{key}: {what}; give one for all, or one each as widths has")
    return list(values) * (count if len(values) == 1 else 1)


def layout(norm: str) -> torch.memory_format:
    """How images lie in a CPU's memory in a network of such norms.

    Convolutions gain less from channels-last memory than group norm loses, whose groups are then
    scattered.
    """
    return torch.channels_last if norm == "pixel" else torch.contiguous_format


def dense(x: Tensor, on_cpu: torch.memory_format = torch.channels_last) -> Tensor:
    """The same [B, C, H, W] in contiguous memory, channels last but perhaps on a CPU."""
    if x.ndim == 3:  # a signal [B, C, L]
        return x.contiguous()
    last = torch.channels_last
    return x.contiguous(memory_format=on_cpu if x.device.type == "cpu" else last)


class ResBlock(nn.Module):
    """Two convolutions with the time embedding between them (Ho 2020; Dhariwal 2021).

    scale_shift: adaptive norm, (1 + scale) * norm(h) + shift, instead of an added embedding.
    told: so does, behind it, the vector of what the network is told, and nothing at first.
    resample: "down" or "up" halves or doubles the image inside the block (BigGAN), with a 1x1
    convolution on the way around it if `project` and a low-pass filter if `fir`.
    wide_skip: the convolution around a block that changes the width is 3x3, not 1x1.
    rescale: divide the sum by sqrt(2), which keeps its variance (Song 2021, appendix H.1).
    """

    def __init__(
        self,
        width_in: int,
        width: int,
        embedding: int,
        *,
        dropout: float,
        scale_shift: bool,
        norm: str,
        groups: int,
        epsilon: float = 1e-5,
        group_width: int = 1,
        nonlinearity: str = "silu",
        resample: str = "",
        project: bool = False,
        fir: bool = False,
        rescale: bool = False,
        wide_skip: bool = False,
        grid: Grid = PLANE,
        told: bool = False,
    ) -> None:
        super().__init__()
        self.scale_shift, self.rescale = scale_shift, rescale
        self.resample, self.fir = resample, fir
        self.activate = activation(nonlinearity)
        self.norm1 = normalization(norm, width_in, groups, epsilon, group_width)
        self.conv1 = grid.conv(width_in, width, 3, padding=1)
        self.embed = nn.Linear(embedding, 2 * width if scale_shift else width)
        self.tell = zero(nn.Linear(embedding, 2 * width)) if told else None
        self.norm2 = normalization(norm, width, groups, epsilon, group_width)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = zero(grid.conv(width, width, 3, padding=1))
        straight = width == width_in and not (resample and project)
        side = 3 if wide_skip else 1
        self.skip = (
            nn.Identity() if straight else grid.conv(width_in, width, side, padding=side // 2)
        )

    def forward(
        self,
        x: Tensor,
        embedding: Tensor,
        size: tuple[int, ...] | None = None,
        told: Tensor | None = None,
    ) -> Tensor:
        """x [B, C, H, W], embedding and told [B, E] already activated -> [B, width, H', W']."""
        h = self.activate(self.norm1(x))
        if self.resample == "down":
            h, x = shrink(h, self.fir), shrink(x, self.fir)
        elif self.resample == "up" and size is not None:
            h, x = enlarge(h, size, self.fir), enlarge(x, size, self.fir)
        h = self.conv1(h)
        shift = spread(self.embed(embedding), h).to(h.dtype)
        if self.scale_shift:
            scale, shift = shift.chunk(2, dim=1)
            h = torch.addcmul(shift, self.norm2(h), 1 + scale)
        else:
            h = self.norm2(h + shift)
        if self.tell is not None and told is not None:
            scale, shift = spread(self.tell(told), h).to(h.dtype).chunk(2, dim=1)
            h = torch.addcmul(shift, h, 1 + scale)
        out: Tensor = self.skip(x) + self.conv2(self.dropout(self.activate(h)))
        return out * 0.5**0.5 if self.rescale else out
