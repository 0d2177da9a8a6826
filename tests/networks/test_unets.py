"""The U-Net."""

from itertools import pairwise
from typing import Any

import pytest
import torch
from probes import SIZES, images, lively
from torch import Tensor, nn

from ddpm_cli import hardware
from ddpm_cli.networks import unet
from ddpm_cli.networks.parts.attention import Attention
from ddpm_cli.networks.parts.layers import GroupNorm, PixelNorm, ResBlock
from ddpm_cli.networks.parts.resampling import Downsample, Upsample

SMALL: dict[str, Any] = {"width": 8, "multipliers": [1, 2], "blocks": 1, "attention": []}
SONG = {
    "resample_blocks": True,
    "project_resampled": True,
    "decoder_attention": "last",
    "rescale": True,
    "embedding": "fourier",
    "fir": True,
}
FAMILIES: dict[str, dict[str, Any]] = {
    "plain": {},
    "adm": {"resample_blocks": True, "scale_shift": True, "head_width": 4},
    "ddpm": {"embedding": "endpoint", "same_padding": True, "epsilon": 1e-6},
    "fir": {"fir": True, "progressive_input": "sum"},
    "ncsn++": SONG | {"progressive_input": "residual"},
    "input skip": SONG | {"progressive_input": "sum"},
    "unconvolved": {"plain_resampling": True, "wide_skip": True},
}


def make(size: int = 8, channels: int = 1, **knobs: Any) -> unet:
    torch.manual_seed(0)
    made = lively(unet((channels, size, size), **SMALL | knobs))
    assert isinstance(made, unet)
    return made


@pytest.mark.parametrize("family", FAMILIES)
def test_output_has_the_size_of_the_input(family: str, subtests: pytest.Subtests) -> None:
    for size, patch, multipliers in SIZES:
        with subtests.test(size=size, patch=patch, multipliers=multipliers):
            network = make(size, patch=patch, multipliers=multipliers, **FAMILIES[family])
            out = network(images(2, 1, size), torch.tensor([3.0, 900.0]))
            assert out.shape == (2, 1, size, size)
            assert out.isfinite().all()
            assert out.std() > 1e-3
            # The right and lower edges, which a patch may have to fill up, are computed too.
            assert out[..., -1].std() > 1e-3
            assert out[..., -1, :].std() > 1e-3


def test_image_need_not_be_square() -> None:
    network = unet((3, 9, 14), **SMALL, patch=2)
    assert network(torch.zeros(1, 3, 9, 14), torch.zeros(1)).shape == (1, 3, 9, 14)


@pytest.mark.parametrize("channels", [1, 3])
def test_learned_variance_doubles_the_channels(channels: int) -> None:
    network = make(8, channels, learned_variance=True)
    x = images(2, channels, 8)
    assert network(x, torch.zeros(2)).shape == (2, 2 * channels, 8, 8)
    assert make(8, channels)(x, torch.zeros(2)).shape == x.shape


@pytest.mark.parametrize("norm", ["group", "pixel"])
@pytest.mark.parametrize("scale_shift", [False, True])
def test_image_does_not_depend_on_its_batch(norm: str, scale_shift: bool) -> None:
    network = make(8, norm=norm, scale_shift=scale_shift, attention=[8], classes=3)
    x, label, classes = images(3, 1, 8), torch.tensor([1.0, 50.0, 900.0]), torch.tensor([0, 1, 2])
    batch = network(x, label, classes)
    for row in range(3):
        one = slice(row, row + 1)
        alone = network(x[one], label[one], classes[one])
        assert torch.allclose(alone[0], batch[row], atol=1e-5)


@pytest.mark.parametrize("scale_shift", [False, True])
def test_label_and_class_change_the_output(scale_shift: bool) -> None:
    network, x = make(8, classes=10, scale_shift=scale_shift), images(1, 1, 8)

    def run(label: float, digit: int | None) -> Tensor:
        return network(x, torch.tensor([label]), None if digit is None else torch.tensor([digit]))

    assert (run(3, 1) - run(4, 1)).abs().max() > 1e-4
    assert (run(3, 1) - run(3, 2)).abs().max() > 1e-4
    assert torch.equal(run(3, None), run(3, 10)), "the row after the classes is the null class"
    assert (run(3, None) - run(3, 9)).abs().max() > 1e-4


@pytest.mark.parametrize("family", FAMILIES)
def test_fresh_network_predicts_0(family: str) -> None:
    network = unet((1, 8, 8), **SMALL | FAMILIES[family])
    assert not network(images(1, 1, 8), torch.zeros(1)).any()


def attentions(network: nn.Module) -> int:
    return sum(isinstance(module, Attention) for module in network.modules())


@pytest.mark.parametrize(
    ("knobs", "count"),
    [
        ({"attention": []}, 1),  # the middle always attends
        ({"attention": [28]}, 1 + 2 + 3),
        ({"attention": [14]}, 1 + 2 + 3),
        ({"attention": [28, 14]}, 1 + 5 + 5),
        ({"attention": [14], "patch": 2}, 1 + 2 + 3),
        ({"attention": [28], "patch": 2}, 1),
        ({"attention": [7, 4]}, 1),
    ],
)
def test_attention_stands_at_its_resolutions(knobs: dict[str, Any], count: int) -> None:
    network = unet((1, 28, 28), **SMALL | {"blocks": 2} | knobs)
    assert attentions(network) == count


def test_attention_counts_odd_resolutions_rounded_up() -> None:
    assert attentions(unet((1, 27, 27), **SMALL | {"attention": [14]})) == 1 + 1 + 2
    network = make(27, attention=[14])
    attention = network.down[2].parts[1]
    seen: list[tuple[int, ...]] = []
    attention.register_forward_pre_hook(lambda module, given: seen.append(given[0].shape[-2:]))
    network(images(1, 1, 27), torch.zeros(1))
    assert seen == [(14, 14)]


def test_heads_have_their_width() -> None:
    network = unet((1, 8, 8), **SMALL | {"width": 64, "attention": [8], "head_width": 32})
    heads = [m.heads for m in network.modules() if isinstance(m, Attention)]
    assert heads == [2, 4, 2, 2], "64 wide, 128 wide in the middle, 64 wide twice"


@pytest.mark.parametrize("norm", ["group", "pixel"])
def test_images_lie_on_a_cpu_as_the_norm_wants(norm: str) -> None:
    """Through all layers: no copy from one layout to the other, and the same numbers."""
    knobs = {"norm": norm, "attention": [4], "progressive_input": "sum", "scale_shift": True}
    network = make(8, 3, **knobs, classes=3)
    x, label = images(2, 3, 8), torch.zeros(2)
    want = network(x, label)
    seen = list[Tensor]()
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | GroupNorm | PixelNorm):
            layer.register_forward_hook(lambda layer, given, made: seen.append(made))
    got = hardware.compute(device="cpu").place(network)(x, label)
    layout = torch.channels_last if norm == "pixel" else torch.contiguous_format
    assert len(seen) > 10
    assert all(made.is_contiguous(memory_format=layout) for made in seen)
    assert torch.allclose(got, want, atol=1e-6)


def test_weights_may_be_narrower_than_the_input() -> None:
    """The walk's state is float64, the weights are not; the label stays float32."""
    network = make(8)
    x, label = images(1, 1, 8), torch.tensor([999.0])
    assert torch.allclose(network(x.double(), label), network(x, label), atol=1e-6)
    assert network.bfloat16()(x, label).dtype == torch.bfloat16


def test_fourier_frequencies_stay_exact_in_a_16_bit_network() -> None:
    network = make(8, embedding="fourier")
    exact = network.fourier.frequencies.clone()
    network = network.bfloat16()
    assert torch.equal(network.fourier.frequencies, exact)
    assert network(images(1, 1, 8), torch.zeros(1)).dtype == torch.bfloat16


def test_fourier_network_loads_over_an_outline() -> None:
    network = make(8, embedding="fourier")
    with torch.device("meta"):
        outline = unet((1, 8, 8), **SMALL | {"embedding": "fourier"})
    outline.load_state_dict(network.state_dict(), assign=True)
    x, label = images(1, 1, 8), torch.tensor([0.7])
    assert torch.equal(outline.eval()(x, label), network(x, label))


def test_decoder_may_attend_once_a_resolution() -> None:
    knobs = SMALL | {"blocks": 2, "attention": [28, 14]}
    last = unet((1, 28, 28), **knobs | {"decoder_attention": "last"})
    assert attentions(last) == 1 + 4 + 2
    attends = [any(isinstance(p, Attention) for p in stage.parts) for stage in last.up]
    assert attends == [False, False, True, False, False, True]


def test_decoder_may_attend_at_other_resolutions() -> None:
    network = make(8, blocks=1, attention=[4], attention_up=[8])
    attends = [
        any(isinstance(p, Attention) for p in s.parts) for s in (*network.down, *network.up)
    ]
    assert attends == [False, False, True, *[False, False, True, True]]


def test_convolutions_may_resample_beside_blocks() -> None:
    knobs: dict[str, Any] = {"multipliers": [1, 1, 1], "resample_blocks": True}
    network = make(8, **knobs, conv_down=[8], conv_up=[2])
    down = [type(stage.parts[0]) for stage in network.down][1::2]
    up = [type(stage.parts[1]) for stage in network.up if len(stage.parts) == 2]
    assert down == [Downsample, ResBlock]
    assert up == [Upsample, ResBlock]
    assert network(images(2, 1, 8), torch.tensor([3.0, 900.0])).isfinite().all()


def test_blocks_may_have_other_nonlinearities_and_embeddings() -> None:
    x, label = images(2, 1, 8), torch.tensor([3.0, 900.0])
    outs = [make(8, nonlinearity=kind)(x, label) for kind in ("silu", "gelu", "mish", "relu")]
    assert all((one - other).abs().max() > 1e-3 for one, other in pairwise(outs))
    assert make(8, embedded=5).embed[2].out_features == 5
    attention = make(8, middle_groups=2).middle.parts[1]
    assert isinstance(attention, Attention)
    assert isinstance(attention.norm, GroupNorm)
    assert attention.norm.num_groups == 2


def test_a_network_may_scale_its_input_and_its_output() -> None:
    plain, label = make(8, embedding="fourier"), torch.tensor([0.5, 3.0])
    other = make(8, embedding="log-fourier", center_input=True, per_label=True)
    other.load_state_dict(plain.state_dict())
    x = images(2, 1, 8)
    want = plain(2 * x - 1, label.log()) / label[:, None, None, None]
    assert torch.allclose(other(x, label), want, atol=1e-6)


@pytest.mark.parametrize(
    ("middle", "parts", "norms"),
    [("attention", 3, 1), ("unnormed", 3, 0), ("blocks", 2, 0), ("none", 0, 0)],
)
def test_middle_may_lack_parts(middle: str, parts: int, norms: int) -> None:
    network = make(8, middle=middle)
    assert len(network.middle.parts) == parts
    assert sum(isinstance(p, Attention) and isinstance(p.norm, GroupNorm)
               for p in network.middle.parts) == norms  # fmt: skip
    assert network(images(2, 1, 8), torch.tensor([3.0, 900.0])).std() > 1e-3


@pytest.mark.parametrize("kind", ["sum", "residual"])
def test_input_reaches_every_level(kind: str) -> None:
    """With the encoder's own path cut after the stem, the image still arrives below."""
    network = make(16, multipliers=[1, 1, 2], progressive_input=kind)
    nn.init.zeros_(network.stem.weight)
    x, label = images(1, 1, 16), torch.tensor([3.0])
    assert (network(x, label) - network(-x, label)).abs().max() > 1e-4
    without = make(16, multipliers=[1, 1, 2])
    nn.init.zeros_(without.stem.weight)
    assert torch.equal(without(x, label), without(-x, label))


def test_default_network_has_the_names_of_format_1() -> None:
    """Renaming a module would orphan every checkpoint."""
    names = {name.split(".")[0] for name in make(8, classes=3).state_dict()}
    assert names == {"embed", "class_embed", "stem", "down", "middle", "up", "head", "out"}


@pytest.mark.parametrize("knobs", [SONG, {"norm": "pixel", "same_padding": True}], ids=str)
def test_compiler_sees_a_conditioned_network_in_one_piece(knobs: dict[str, Any]) -> None:
    network = lively(unet((1, 8, 8), 1, **SMALL | knobs)).eval()
    torch._dynamo.reset()
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    given = images(2, 1, 8), torch.ones(2)
    assert torch.equal(compiled(*given, image=given[0]), network(*given, image=given[0]))


def test_stem_is_as_wide_as_the_network_or_as_its_first_level() -> None:
    for stem, width in (("width", 8), ("level", 4)):
        network = make(multipliers=[0.5, 1.5], stem=stem)
        assert network.stem.out_channels == width
        blocks = [m for m in network.down.modules() if isinstance(m, ResBlock)]
        seen = [(block.conv1.in_channels, block.conv1.out_channels) for block in blocks]
        assert seen == [(width, 4), (4, 12)]
        assert network.out.in_channels == 4


def test_decoder_has_heads_of_its_own() -> None:
    network = make(attention=[4, 8], heads=2, decoder_heads=4)
    heads = {name: m.heads for name, m in network.named_modules() if isinstance(m, Attention)}
    assert {name: number for name, number in heads.items() if not name.startswith("up")} == {
        "down.0.parts.1": 2,
        "down.2.parts.1": 2,
        "middle.parts.1": 2,
    }
    assert {number for name, number in heads.items() if name.startswith("up")} == {4}


def test_rows_of_attention_may_lie_head_by_head() -> None:
    torch.manual_seed(0)
    parts = Attention(8, heads=2, norm="group", groups=2)
    heads = Attention(8, heads=2, norm="group", groups=2, qkv="heads")
    weights = lively(parts).state_dict()
    order = torch.arange(24).reshape(3, 2, 4).transpose(0, 1).flatten()
    heads.load_state_dict(weights | {k: w[order] for k, w in weights.items() if "qkv" in k})
    x = images(2, 8, 4)
    assert torch.equal(heads(x), parts(x))


def test_whole_labels_are_as_exact_as_the_weights() -> None:
    network = make(classes=3).double()
    x, label = images(2, 1, 8).double(), torch.tensor([3, 997])
    assert torch.equal(network(x, label), network(x, label.double()))
    assert torch.equal(network(x, label.float()), network(x, label.double()))
