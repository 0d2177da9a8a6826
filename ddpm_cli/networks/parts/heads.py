"""A second output of a trained network: a small head on the features of its last layer."""

import weakref

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ddpm_cli.networks.parts.grids import Grid, cut
from ddpm_cli.networks.parts.layers import dense, zero
from ddpm_cli.networks.parts.stages import unfold


class Tap:
    """What enters the last layer `out` of a network, at its latest call: `features`.

    The network knows it only as long as somebody holds it, and is then left as it was.
    """

    def __init__(self, network: nn.Module) -> None:
        if not isinstance(getattr(network, "out", None), (nn.Conv1d, nn.Conv2d, nn.Linear)):
            raise ValueError("the network has no last layer to put a second head beside")
        self.features = torch.empty(0)
        me = weakref.ref(self)

        def catch(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            tap = me()
            if tap is not None:
                tap.features = inputs[0].detach()

        hook = network.get_submodule("out").register_forward_pre_hook(catch)
        weakref.finalize(self, hook.remove)


class Head(nn.Module):
    """Two layers from the features of a network to one number for each value of its data.

    It starts at 1 everywhere.  shape: of one image or array.
    """

    def __init__(self, network: nn.Module, shape: tuple[int, ...], width: int = 32) -> None:
        super().__init__()
        last, self.shape = network.get_submodule("out"), shape
        patch = int(getattr(network, "patch", 1))
        if isinstance(last, nn.Conv1d | nn.Conv2d):
            grid, each = Grid(len(shape) - 1), patch ** (len(shape) - 1)
            self.first: nn.Module = grid.conv(last.in_channels, width, 3, padding=1)
            self.last: nn.Module = zero(grid.conv(width, shape[0] * each, 3, padding=1))
        elif isinstance(last, nn.Linear):
            self.first = nn.Linear(last.in_features, width)
            self.last = zero(nn.Linear(width, torch.Size(shape).numel()))
        self.patch = patch

    def forward(self, features: Tensor) -> Tensor:
        """features as `Tap` caught them, [B, ...] -> [B, *shape]."""
        h = features.float()
        if h.ndim > 2:
            h = dense(h)
        h = torch.as_tensor(1 + self.last(F.silu(self.first(h))))
        if h.ndim == 2:
            return h.reshape(-1, *self.shape)
        return cut(unfold(h, self.patch), self.shape[1:])
