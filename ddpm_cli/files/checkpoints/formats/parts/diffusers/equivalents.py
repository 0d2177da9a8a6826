"""Our U-Net as a UNet2DModel of diffusers, or which of its knobs prevents it."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ddpm_cli.files.checkpoints.formats.parts.diffusers import options
from ddpm_cli.files.checkpoints.formats.parts.diffusers.names import Layout
from ddpm_cli.settings import catalog
from ddpm_cli.settings.toml import toml_value

Knobs = Mapping[str, Any]
# What is translated below; every other knob must be as it is by default.
_TRANSLATED = {
    "width", "multipliers", "stem", "blocks", "attention", "attention_up", "middle", "heads",
    "head_width", "qkv", "dropout", "classes", "embedding", "fourier_scale", "center_input",
    "per_label", "scale_shift", "resample_blocks", "conv_down", "conv_up", "project_resampled",
    "same_padding", "decoder_attention", "middle_groups", "embedded", "nonlinearity",
    "group_width", "groups", "epsilon", "learned_variance",
}  # fmt: skip


class Equivalent(NamedTuple):
    """A UNet2DModel: its options and the names of its tensors; and what prevents it, if anything.

    problems: a knob each, with what to set instead.
    """

    options: dict[str, Any]
    layout: Layout
    problems: tuple[str, ...]


def found(knobs: Knobs, shape: Sequence[int]) -> Equivalent:
    """The UNet2DModel that does what `unet` of these knobs does, for images [C, H, W]."""
    widths = tuple(max(1, round(knobs["width"] * share)) for share in knobs["multipliers"])
    channels, rows, columns = shape
    at = [math.ceil(rows / 2**level) for level in range(len(widths))]
    up = knobs["attention"] if knobs["attention_up"] is None else knobs["attention_up"]
    layout = Layout(
        widths=widths,
        blocks=knobs["blocks"],
        down=tuple(side in knobs["attention"] for side in at),
        up=tuple(side in up for side in at),
        shrinks=(*(_is_block(knobs, "conv_down", side) for side in at[:-1]), False),
        grows=(False, *(_is_block(knobs, "conv_up", side) for side in at[1:])),
        middle=knobs["middle"],
        has_classes=bool(knobs["classes"]),
        is_fourier=knobs["embedding"] == "log-fourier",
    )
    problems = [*_wrong(knobs, layout), *_indivisible(rows, columns, layout)]
    groups = _groups(knobs, layout, problems)
    made = {
        **options.DEFAULTS,
        "sample_size": rows if rows == columns else [rows, columns],
        "in_channels": channels,
        "out_channels": channels * (2 if knobs["learned_variance"] else 1),
        "center_input_sample": knobs["center_input"],
        "time_embedding_type": "fourier" if layout.is_fourier else "positional",
        "freq_shift": 1 if knobs["embedding"] == "endpoint" else 0,
        **_types(layout),
        "block_out_channels": list(widths),
        "layers_per_block": layout.blocks,
        "downsample_padding": 0 if knobs["same_padding"] else 1,
        "dropout": knobs["dropout"],
        "attention_head_dim": _head_width(knobs, layout, problems),
        "norm_num_groups": groups,
        "attn_norm_num_groups": _middle_groups(knobs, layout),
        "time_embedding_dim": knobs["embedded"] or None,
        "act_fn": knobs["nonlinearity"],
        "norm_eps": knobs["epsilon"],
        "resnet_time_scale_shift": "scale_shift" if knobs["scale_shift"] else "default",
        "mid_block_type": None if layout.middle == "none" else "UNetMidBlock2D",
        "add_attention": layout.middle != "blocks",
        # The last row is our null class.
        "num_class_embeds": knobs["classes"] + 1 if knobs["classes"] else None,
    }
    return Equivalent(made, layout, tuple(problems))


def _wrong(knobs: Knobs, layout: Layout) -> Iterator[str]:
    """Knobs that a UNet2DModel does not have, or not so."""
    usual = catalog.find("network", "unet").knobs
    for name, knob in usual.items():
        if name not in _TRANSLATED and knobs[name] != knob.default:
            yield _problem(knobs, name, knob.default)
    if knobs["embedding"] == "fourier":
        yield _problem(knobs, "embedding", "sinusoid")
    if knobs["multipliers"][0] != 1:
        yield _problem(knobs, "multipliers", [1, *knobs["multipliers"][1:]])
    if knobs["decoder_attention"] != "every" and any(layout.up):
        yield _problem(knobs, "decoder_attention", "every")
    if knobs["nonlinearity"] not in options.ACTIVATIONS:
        yield _problem(knobs, "nonlinearity", "silu")
    if knobs["per_label"] != layout.is_fourier:
        yield _problem(knobs, "per_label", layout.is_fourier)
    if knobs["project_resampled"] and any((*layout.shrinks, *layout.grows)):
        yield _problem(knobs, "project_resampled", False)
    for name, places, blocks in (
        ("conv_down", layout.down[:-1], layout.shrinks),
        ("conv_up", layout.up[1:], layout.grows[1:]),
    ):
        if len({is_block for here, is_block in zip(places, blocks, strict=False) if here}) > 1:
            yield _problem(knobs, name, [])
    if layout.middle == "unnormed" and not knobs["scale_shift"]:
        yield _problem(knobs, "middle", "attention")


def _is_block(knobs: Knobs, name: str, side: int) -> bool:
    """Whether a block halves or doubles images of so many pixels a side."""
    return bool(knobs["resample_blocks"]) and side not in knobs[name]


def _problem(knobs: Knobs, name: str, instead: Any) -> str:
    value = toml_value(knobs[name])
    return f"network.{name}: {value} has no equivalent; {toml_value(instead)} has"


def _indivisible(rows: int, columns: int, layout: Layout) -> Iterator[str]:
    """Sizes that a UNet2DModel cannot halve so often; ours rounds up."""
    stride = 2 ** (len(layout.widths) - 1)
    if rows % stride or columns % stride:
        halved = f"halved {len(layout.widths) - 1} times"
        what = f"{columns}x{rows} is no multiple of {stride}, {halved}"
        yield f"network.multipliers: {what}; fewer levels have an equivalent"


def _groups(knobs: Knobs, layout: Layout, problems: list[str]) -> int:
    """The number of groups of every norm, which must be one for all."""
    sizes = sorted(set(_normed(layout)))
    each = {_group_count(knobs, knobs["groups"], size) for size in sizes}
    if len(each) > 1 and knobs.get("norm") == "group":
        problems.append(_problem(knobs, "groups", _common(math.gcd(*sizes), knobs["groups"])))
    return min(each)


def _common(channels: int, most: int) -> int:
    """Groups that all norms can have: of four channels at least, where there are so many."""
    most = min(most, max(1, channels // 4))
    return max(groups for groups in range(1, most + 1) if channels % groups == 0)


def _group_count(knobs: Knobs, groups: int, channels: int) -> int:
    """As networks.parts.layers.normalization has it."""
    if (width := knobs["group_width"]) > 1:
        groups = min(groups, max(1, channels // width))
    if groups > channels:
        groups = max(1, channels // 4)
    return math.gcd(groups, channels)


def _middle_groups(knobs: Knobs, layout: Layout) -> int | None:
    """Groups of the norm of attention in the middle, if it has one."""
    groups = knobs["middle_groups"] or knobs["groups"]
    has_one = layout.middle == "attention"
    return _group_count(knobs, groups, layout.widths[-1]) if has_one else None


def _normed(layout: Layout) -> Iterator[int]:
    """The channels of every norm of a U-Net."""
    skips, now = [layout.widths[0]], layout.widths[0]
    last = len(layout.widths) - 1
    for level, width in enumerate(layout.widths):
        for _ in range(layout.blocks):
            yield from (now, width)
            now = width
            skips.append(now)
        if level < last:
            skips.append(now)
    for level in range(last, -1, -1):
        for _ in range(layout.blocks + 1):
            yield from (now + skips.pop(), layout.widths[level])
            now = layout.widths[level]


def _head_width(knobs: Knobs, layout: Layout, problems: list[str]) -> int | None:
    """Channels of a head, which are the same at all levels; None: all channels, of one head."""
    levels = zip(layout.widths, layout.down, layout.up, strict=True)
    attending = {width for width, *attends in levels if any(attends)}
    if layout.middle in ("attention", "unnormed"):
        attending.add(layout.widths[-1])
    heads = {width: heads_of(knobs, width) for width in attending}
    if all(count == 1 for count in heads.values()):
        return None
    sizes = {width // count for width, count in heads.items()}
    if len(sizes) == 1:
        return sizes.pop()
    name = "head_width" if knobs["head_width"] else "heads"
    common = math.gcd(*attending)
    words = f"network.{name}: heads of {' and '.join(map(str, sorted(sizes)))} channels"
    problems.append(f"{words} have no equivalent; network.head_width={min(common, 64)} has")
    return None


def heads_of(knobs: Knobs, width: int) -> int:
    """The number of heads at so many channels, as networks.parts.stages has it."""
    size = knobs["head_width"]
    return max(1, width // size) if size else max(1, int(knobs["heads"]))


def _types(layout: Layout) -> dict[str, Any]:
    """The kinds of the blocks; those with attention resample all alike, by a block if any does.

    A level that lacks attention has a kind of its own for either way.
    """
    plain = {False: "DownBlock2D", True: "ResnetDownsampleBlock2D"}
    down = [
        "AttnDownBlock2D" if attends else plain[is_block]
        for attends, is_block in zip(layout.down, layout.shrinks, strict=True)
    ]
    plain = {False: "UpBlock2D", True: "ResnetUpsampleBlock2D"}
    up = [
        "AttnUpBlock2D" if attends else plain[is_block]
        for attends, is_block in zip(layout.up, layout.grows, strict=True)
    ]
    return {
        "down_block_types": down,
        "up_block_types": up[::-1],
        "downsample_type": _how(layout.down[:-1], layout.shrinks),
        "upsample_type": _how(layout.up[1:], layout.grows[1:]),
    }


def _how(attends: Sequence[bool], blocks: Sequence[bool]) -> str:
    """How levels with attention are resampled, by the first of them."""
    kinds = [is_block for here, is_block in zip(attends, blocks, strict=False) if here]
    return "resnet" if kinds and kinds[0] else "conv"
