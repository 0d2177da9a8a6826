"""What every network of the catalog that draws must do."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from probes import images, lively
from torch import Tensor, nn

from ddpm_cli.networks.parts.heads import Head, Tap
from ddpm_cli.networks.parts.outlines import outline
from ddpm_cli.settings import catalog
from ddpm_cli.settings.checks import JUDGES

SHAPES = {"unet1d": (1, 8)}  # of what is no image
IMAGE = (1, 8, 8)
NETWORKS = sorted({*catalog.names("network")} - {*JUDGES})
# Settings besides the defaults, each with a network that is small.
SMALL: dict[str, list[dict[str, Any]]] = {
    "unet": [
        {"width": 8, "multipliers": [1, 2], "blocks": 1, "attention": [4], "patch": 2},
        {"width": 8, "multipliers": [1], "blocks": 1, "norm": "pixel", "scale_shift": True},
    ],
    "unet1d": [
        {"width": 8, "multipliers": [1, 2], "blocks": 1, "attention": [4], "patch": 2},
        {
            "width": 8,
            "multipliers": [1, 1],
            "blocks": 1,
            "norm": "pixel",
            "scale_shift": True,
            "resample_blocks": True,
            "periodic": True,
        },
        {"width": 8, "multipliers": [1], "embedding": "fourier", "fir": True, "rescale": True},
    ],
    "linear-attention-unet": [
        {"width": 8, "multipliers": [1, 2], "full": [1], "heads": 2, "head_width": 4},
        {
            "width": 8,
            "multipliers": [1, 1],
            "full": [],
            "stem_width": 12,
            "heads": 1,
            "head_width": 8,
            "level_heads": [2, 3],
            "level_head_widths": [4, 6],
            "memory": 0,
            "embedding": "learned",
            "frequencies": 3,
            "downsample": "conv",
            "self_condition": True,
            "norm": "group",
            "groups": 4,
        },
    ],
    "ncsnpp": [
        {
            "width": 8,
            "multipliers": [1, 2],
            "blocks": 1,
            "attention": [4],
            "embedding": "log-fourier",
            "scale_by_sigma": True,
        },
        {
            "width": 8,
            "multipliers": [1, 1],
            "blocks": 1,
            "attention": [8],
            "embedding": "sinusoid",
            "resample": "conv",
            "fir": False,
            "progressive_input": "sum",
            "progressive_output": "sum",
            "nonlinearity": "elu",
            "centered": False,
        },
    ],
    "mlp": [{"width": 8, "depth": 1}],
    "dit": [
        {"width": 16, "depth": 2, "heads": 2},
        {
            "width": 16,
            "depth": 1,
            "heads": 2,
            "positions": "rope",
            "norm": "rms",
            "activation": "swiglu",
            "qk_norm": True,
            "patch": 3,
            "bottleneck": 4,
        },
    ],
    "adagn-unet": [
        {"widths": [8, 16], "depths": [1], "attention": [4], "mapping_width": 16, "head_width": 8},
        {"widths": [8], "depths": [2], "patch": 2, "group_width": 4, "mapping_width": 8},
    ],
    "hdit": [
        {
            "patch": 2,
            "widths": [16, 32],
            "depths": [1],
            "head_widths": [8],
            "reach": [3],
            "mapping_width": 16,
            "mapping_depth": 1,
            "augmented": True,
        },
        {
            "patch": 1,
            "widths": [16, 24],
            "depths": [1, 2],
            "hidden": [16],
            "attention": ["window", "none"],
            "head_widths": [8],
            "reach": [4],
            "mapping_width": 8,
            "mapping_hidden": 16,
        },
    ],
}
CASES = [
    pytest.param(name, knobs, id=f"{name}-{number}")
    for name in NETWORKS
    for number, knobs in enumerate(SMALL[name])
]
Make = Callable[..., nn.Module]


def maker(name: str, knobs: dict[str, Any]) -> Make:
    torch.manual_seed(0)
    return partial(catalog.load(catalog.find("network", name)), SHAPES.get(name, IMAGE), **knobs)


def inputs(name: str, count: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    x = images(count, 1, 8)
    x = x if name not in SHAPES else x[:, :, 0]
    return x, torch.linspace(1, 900, count), torch.arange(count) % 3


@pytest.mark.parametrize(("name", "knobs"), CASES)
class TestEveryNetwork:
    def test_starts_as_0(self, name: str, knobs: dict[str, Any]) -> None:
        network = maker(name, knobs)(classes=3)
        assert not network(*inputs(name)).any()

    def test_image_does_not_depend_on_its_batch(self, name: str, knobs: dict[str, Any]) -> None:
        network = lively(maker(name, knobs)(classes=3))
        batch = network(*inputs(name))
        assert batch.std() > 1e-3
        for row in range(3):
            alone = network(*(part[row : row + 1] for part in inputs(name)))
            assert torch.allclose(alone[0], batch[row], atol=1e-5)

    def test_row_after_the_classes_is_the_null_class(
        self, name: str, knobs: dict[str, Any]
    ) -> None:
        network = lively(maker(name, knobs)(classes=3))
        x, label, classes = inputs(name)
        assert torch.equal(network(x, label), network(x, label, torch.full((3,), 3)))
        assert (network(x, label) - network(x, label, classes)).abs().max() > 1e-4

    def test_learned_variance_doubles_the_channels(self, name: str, knobs: dict[str, Any]) -> None:
        network = maker(name, knobs)(learned_variance=True)
        assert network(*inputs(name)[:2]).shape == (3, 2, *SHAPES.get(name, IMAGE)[1:])

    def test_outline_takes_its_weights(self, name: str, knobs: dict[str, Any]) -> None:
        make = partial(maker(name, knobs), classes=3)
        network = lively(make())
        empty = outline(make, network.state_dict())
        empty.load_state_dict(network.state_dict(), assign=True)
        assert torch.equal(empty.eval()(*inputs(name)), network(*inputs(name)))

    def test_weights_may_be_narrower_than_the_input(
        self, name: str, knobs: dict[str, Any]
    ) -> None:
        """The walk's state is float64, the weights are not; the label stays float32."""
        network = lively(maker(name, knobs)())
        x, label, _ = inputs(name)
        exact = network(x, label)
        assert torch.allclose(network(x.double(), label), exact, atol=1e-6)
        with torch.autocast("cpu", torch.bfloat16):
            near = network(x, label)
        assert (near - exact).abs().max() < 0.05 * exact.abs().max()
        near = network.bfloat16()(x, label)
        assert near.dtype == torch.bfloat16
        assert (near - exact).abs().max() < 0.05 * exact.abs().max()

    def test_neighbouring_labels_differ_in_bfloat16(
        self, name: str, knobs: dict[str, Any]
    ) -> None:
        """997, 998 and 999 are one number in bfloat16: the label is never rounded to it."""
        network, seen = lively(maker(name, knobs)()).bfloat16(), list[Tensor]()
        first = next(m for m in network.get_submodule("embed").modules() if not [*m.children()])
        first.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
        network(inputs(name)[0], torch.tensor([997.0, 998.0, 999.0]))
        assert (seen[0][0] - seen[0][1]).abs().max() > 0.1
        assert (seen[0][1] - seen[0][2]).abs().max() > 0.1

    def test_derivative_forwards_is_the_slope(self, name: str, knobs: dict[str, Any]) -> None:
        network = lively(maker(name, knobs)()).double()
        x, label = inputs(name)[0].double(), inputs(name)[1].double()
        step = x.flip(0)
        for context in (torch.no_grad, torch.enable_grad):
            with context():
                _, slope = torch.func.jvp(
                    lambda x, t: network(x, t), (x, label), (step, torch.ones_like(label))
                )
                ahead, behind = (network(x + h * step, label + h) for h in (1e-5, -1e-5))
            assert torch.allclose(slope, (ahead - behind) / 2e-5, rtol=1e-4, atol=1e-6)

    def test_second_head_stands_beside_its_last_layer(
        self, name: str, knobs: dict[str, Any]
    ) -> None:
        network = lively(maker(name, knobs)())
        tap, head = Tap(network), Head(network, shape := SHAPES.get(name, IMAGE))
        network(*inputs(name)[:2])
        assert torch.equal(head(tap.features), torch.ones(3, *shape))

    def test_gradient_reaches_every_weight(self, name: str, knobs: dict[str, Any]) -> None:
        network = lively(maker(name, knobs)(classes=3)).train()
        network(*inputs(name)).square().mean().backward()
        idle = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
        assert idle == []

    @pytest.mark.parametrize("training", [False, True])
    def test_compiler_sees_it_in_one_piece(
        self, name: str, knobs: dict[str, Any], training: bool
    ) -> None:
        """With all conditions; a break would cost a fused kernel."""
        network = lively(maker(name, knobs)(classes=3, dropout=0.1)).train(training)
        torch._dynamo.reset()
        compiled = torch.compile(network, backend="eager", fullgraph=True)
        with torch.set_grad_enabled(training):
            torch.manual_seed(0)
            got = compiled(*inputs(name))
            torch.manual_seed(0)
            assert torch.equal(got, network(*inputs(name)))
