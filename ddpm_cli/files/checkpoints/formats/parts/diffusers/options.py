"""The options of diffusers' UNet2DModel as the knobs of our U-Net; those without one are refused.

Defaults are UNet2DModel's own: a file may leave them out.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ddpm_cli.errors import Refusal
from ddpm_cli.files.checkpoints.formats.parts.diffusers.names import Layout
from ddpm_cli.files.checkpoints.formats.parts.keys import ratio

CLASS = "UNet2DModel"
MOST, LARGEST = 100_000, 2048  # of any number, and of the pixels of a side: files may be wrong
_COUNT = f"not a number from 1 to {MOST:,}"
DEFAULTS: Mapping[str, Any] = {
    "sample_size": None,
    "in_channels": 3,
    "out_channels": 3,
    "center_input_sample": False,
    "time_embedding_type": "positional",
    "time_embedding_dim": None,
    "freq_shift": 0,
    "flip_sin_to_cos": True,
    "down_block_types": ["DownBlock2D", *["AttnDownBlock2D"] * 3],
    "mid_block_type": "UNetMidBlock2D",
    "up_block_types": [*["AttnUpBlock2D"] * 3, "UpBlock2D"],
    "block_out_channels": [224, 448, 672, 896],
    "layers_per_block": 2,
    "mid_block_scale_factor": 1,
    "downsample_padding": 1,
    "downsample_type": "conv",
    "upsample_type": "conv",
    "dropout": 0.0,
    "act_fn": "silu",
    "attention_head_dim": 8,
    "norm_num_groups": 32,
    "attn_norm_num_groups": None,
    "norm_eps": 1e-5,
    "resnet_time_scale_shift": "default",
    "add_attention": True,
    "class_embed_type": None,
    "num_class_embeds": None,
    "num_train_timesteps": None,
}
# What each kind of block does: whether it attends, and how it resamples (None: as is told).
_DOWN: Mapping[str, tuple[bool, str | None]] = {
    "DownBlock2D": (False, "conv"),
    "AttnDownBlock2D": (True, None),
    "ResnetDownsampleBlock2D": (False, "resnet"),
}
_UP: Mapping[str, tuple[bool, str | None]] = {
    "UpBlock2D": (False, "conv"),
    "AttnUpBlock2D": (True, None),
    "ResnetUpsampleBlock2D": (False, "resnet"),
}
ACTIVATIONS = ("silu", "swish", "relu", "gelu", "mish")
# The forms of options that our network has.
_FIXED: Mapping[str, tuple[Any, ...]] = {
    "center_input_sample": (False, True),
    "time_embedding_type": ("positional", "fourier"),
    "freq_shift": (0, 1),
    "mid_block_type": ("UNetMidBlock2D", None),
    "downsample_padding": (0, 1),
    "act_fn": ACTIVATIONS,
    "resnet_time_scale_shift": ("default", "scale_shift"),
    "class_embed_type": (None,),
}


class Network(NamedTuple):
    """A UNet2DModel in our terms: knobs, names of its tensors, and the shape of its images.

    sines_first: sines precede cosines in its embedding of the noise level.
    """

    knobs: dict[str, Any]
    layout: Layout
    shape: tuple[int, int, int]
    sines_first: bool


class _Options:
    """The options of a file, and what is said of those that have no equivalent."""

    def __init__(self, config: Mapping[str, Any], path: Path) -> None:
        self.path, self.values = path, {**DEFAULTS, **config}

    def __getitem__(self, key: str) -> Any:
        return self.values[key]

    def refusal(self, key: str, why: str) -> Refusal:
        """The refusal of an option."""
        what = f"{self.path}: {key} = {self.values[key]!r}"
        return Refusal(f"{what}: {why}", "no network of ddpm is so; see docs/convert.md")


def read(config: Mapping[str, Any], path: Path, size: tuple[int, int]) -> Network:
    """The network that the options of a UNet2DModel describe, for images of a size."""
    options = _Options(config, path)
    _refuse_wrong_types(options)
    for key, forms in _FIXED.items():
        if options[key] not in forms:
            raise options.refusal(key, f"only {' or '.join(map(repr, forms))} has an equivalent")
    widths = tuple(options["block_out_channels"])
    down, shrinks = _levels(options, "down_block_types", "downsample_type", _DOWN)
    up, grows = _levels(options, "up_block_types", "upsample_type", _UP)
    layout = Layout(
        widths=widths,
        blocks=options["layers_per_block"],
        down=down,
        up=up[::-1],
        shrinks=(*shrinks[:-1], False),
        grows=(False, *grows[::-1][1:]),
        middle=_middle(options),
        has_classes=options["num_class_embeds"] is not None,
        is_fourier=options["time_embedding_type"] == "fourier",
    )
    knobs = {
        **_widths(layout, options),
        "blocks": layout.blocks,
        **_attention(layout, options, size[0]),
        "middle": layout.middle,
        "middle_groups": options["attn_norm_num_groups"] or 0,
        "dropout": float(options["dropout"]),
        "classes": options["num_class_embeds"] or 0,
        **_embedding(options),
        "embedded": options["time_embedding_dim"] or 0,
        "nonlinearity": options["act_fn"].replace("swish", "silu"),
        "center_input": options["center_input_sample"],
        "scale_shift": options["resnet_time_scale_shift"] == "scale_shift",
        **_resampling(layout, size[0]),
        "same_padding": options["downsample_padding"] == 0,
        "groups": options["norm_num_groups"],
        "epsilon": float(options["norm_eps"]),
        "learned_variance": _is_doubled(options),
    }
    sines_first = layout.is_fourier or not options["flip_sin_to_cos"]
    return Network(knobs, layout, (options["in_channels"], *size), sines_first)


def size(config: Mapping[str, Any], path: Path) -> tuple[int, int] | None:
    """Height and width of the images, if they are told."""
    options = _Options(config, path)
    told = options["sample_size"]
    if told is None:
        return None
    sides = told if isinstance(told, list) else [told, told]
    if len(sides) != 2 or not all(_is_count(side, LARGEST) for side in sides):
        raise options.refusal("sample_size", f"not one number or two, up to {LARGEST}")
    return sides[0], sides[1]


def _refuse_wrong_types(options: _Options) -> None:
    """Refuse a config.json whose numbers are none, as it may be damaged or of a stranger."""
    for key in ("in_channels", "out_channels", "layers_per_block", "norm_num_groups"):
        if not _is_count(options[key]):
            raise options.refusal(key, _COUNT)
    optional = ("attention_head_dim", "num_class_embeds", "attn_norm_num_groups")
    for key in (*optional, "time_embedding_dim"):
        if options[key] is not None and not _is_count(options[key]):
            raise options.refusal(key, _COUNT)
    for key in ("norm_eps", "dropout"):
        if not isinstance(options[key], int | float):
            raise options.refusal(key, "not a number")
    for key in ("block_out_channels", "down_block_types", "up_block_types"):
        if not isinstance(options[key], list) or not options[key]:
            raise options.refusal(key, "not a list")
        if len(options[key]) != len(options["block_out_channels"]):
            raise options.refusal(key, "not as long as block_out_channels")
    if not all(map(_is_count, options["block_out_channels"])):
        raise options.refusal("block_out_channels", f"one is {_COUNT}")


def _is_count(value: Any, most: int = MOST) -> bool:
    return type(value) is int and 0 < value <= most


def _levels(
    options: _Options, key: str, how: str, kinds: Mapping[str, tuple[bool, str | None]]
) -> tuple[tuple[bool, ...], tuple[bool, ...]]:
    """Whether each level attends, and whether a block resamples it, in the order of the list."""
    told = options[how] or "conv"
    if told not in ("conv", "resnet"):
        raise options.refusal(how, "only 'conv' or 'resnet' has an equivalent")
    names = [str(name).removeprefix("UNetRes") for name in options[key]]
    for name in names:
        if name not in kinds:
            raise options.refusal(key, f"{name} is no block that ddpm has; it has {_or(kinds)}")
    return (
        tuple(kinds[name][0] for name in names),
        tuple((kinds[name][1] or told) == "resnet" for name in names),
    )


def _or(names: Mapping[str, Any]) -> str:
    return " or ".join(names)


def _middle(options: _Options) -> str:
    """What stands in the middle; the norm of its attention may be left out."""
    if options["mid_block_type"] is None:
        return "none"
    if options["mid_block_scale_factor"] != 1:
        raise options.refusal("mid_block_scale_factor", "only 1 has an equivalent")
    if not options["add_attention"]:
        return "blocks"
    own, width = options["attn_norm_num_groups"], options["block_out_channels"][-1]
    if own is not None and width % own:
        raise options.refusal("attn_norm_num_groups", f"it does not divide {width} channels")
    is_bare = own is None and options["resnet_time_scale_shift"] != "default"
    return "unnormed" if is_bare else "attention"


def _widths(layout: Layout, options: _Options) -> dict[str, Any]:
    """The width of the stem, and of each level in its units."""
    first = layout.widths[0]
    for width in layout.widths:
        if width % options["norm_num_groups"]:
            raise options.refusal("norm_num_groups", f"it does not divide {width} channels")
    return {"width": first, "multipliers": [ratio(width, first) for width in layout.widths]}


def _attention(layout: Layout, options: _Options, rows: int) -> dict[str, Any]:
    """Where there is attention, by resolution, and with how many heads."""
    places = [-(-rows // 2**level) for level in range(len(layout.widths))]
    down = [at for at, attends in zip(places, layout.down, strict=True) if attends]
    up = [at for at, attends in zip(places, layout.up, strict=True) if attends]
    made: dict[str, Any] = {"attention": down} | ({"attention_up": up} if up != down else {})
    width = options["attention_head_dim"]
    if width is None:
        return {**made, "heads": 1, "head_width": 0}
    seen = {w for w, *has in zip(layout.widths, layout.down, layout.up, strict=True) if any(has)}
    if layout.middle in ("attention", "unnormed"):
        seen.add(layout.widths[-1])
    for channels in sorted(seen):
        if channels % width:
            raise options.refusal("attention_head_dim", f"it does not divide {channels} channels")
    return {**made, "head_width": width}


def _resampling(layout: Layout, rows: int) -> dict[str, Any]:
    """Blocks that resample, and where convolutions do it nevertheless; places are resolutions."""
    at = [-(-rows // 2**level) for level in range(len(layout.widths))]
    down = [side for side, is_block in zip(at[:-1], layout.shrinks, strict=False) if not is_block]
    up = [side for side, is_block in zip(at[1:], layout.grows[1:], strict=True) if not is_block]
    if not any(layout.shrinks) and not any(layout.grows):
        return {"resample_blocks": False}
    return {"resample_blocks": True, "conv_down": down, "conv_up": up}


def _embedding(options: _Options) -> dict[str, Any]:
    """How the noise level is embedded; behind Fourier features outputs are divided by it."""
    if options["time_embedding_type"] == "fourier":
        return {"embedding": "log-fourier", "per_label": True}
    return {"embedding": "endpoint" if options["freq_shift"] else "sinusoid"}


def _is_doubled(options: _Options) -> bool:
    """Whether the network predicts a variance beside each channel."""
    seen, made = options["in_channels"], options["out_channels"]
    if made not in (seen, 2 * seen):
        why = f"only {seen}, or {2 * seen} with a variance, has an equivalent"
        raise options.refusal("out_channels", why)
    return bool(made == 2 * seen)
