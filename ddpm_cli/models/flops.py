"""What a network costs by itself, the same on every machine: its floating-point operations."""

import torch
from torch.utils.flop_counter import FlopCounterMode

from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.models import build
from ddpm_cli.settings import checks
from ddpm_cli.settings.config import Config

PASSES = 3  # forward and backward together, in forward passes: gradients of inputs and of weights


def forward(config: Config, info: DataInfo) -> int:
    """Operations of a network for one image, two for each product that is summed.

    Nothing is computed: the network and what it sees lie on the device "meta".
    """
    with torch.device("meta"):
        network = build.network(config, info).eval()
        x, label = torch.zeros(1, *info.shape), torch.zeros(1, dtype=torch.float64)
        draws = checks.purpose(config) not in checks.JUDGES
        told = build.unsaid(config, info) if draws else {}
        seen = {kind: rows.to("meta") for kind, rows in told.items()}
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            network(x, label, **seen)
    return int(counter.get_total_flops())


def training(config: Config, info: DataInfo) -> int:
    """Operations of one step of training: forward and backward of its whole batch."""
    return PASSES * forward(config, info) * int(config["train"]["batch"])
