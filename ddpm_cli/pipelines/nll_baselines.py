"""What compressors and histograms make of the images that `ddpm nll` measured."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from ddpm_cli.evaluation import baselines
from ddpm_cli.evaluation.baselines import Baseline
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.pipelines import rows
from ddpm_cli.settings.config import Config
from ddpm_cli.settings.nll_requests import Nll

_BATCH = 4096  # images in training that are counted at once


def of(request: Nll, pixels: Tensor, config: Config, info: DataInfo) -> list[Baseline]:
    """The baselines of images [N, C, H, W]; histograms only where a data set has others."""
    found = [*baselines.compressed(pixels)]
    if pixels.dtype == torch.uint8:
        found.append(baselines.png(pixels))
    if not request.inputs:
        levels = 2 ** (request.bits or 8) if info.range is None else round(2**info.scale.bits)
        found.append(baselines.histograms(pixels, _training(request, config, info), levels))
    return found


def whole(values: Tensor, bits: float) -> Tensor:
    """Images of a network's values [-1, 1] as whole numbers from 0 on."""
    top = round(2**bits) - 1
    levels = ((values.double() + 1) * (top / 2)).round()
    return levels.to(torch.uint8 if top < 256 else torch.int32)


def said(found: Sequence[Baseline]) -> list[dict[str, Any]]:
    """Them as a record says them."""
    return [
        {"baseline": one.name, "bits": one.bits, "bits_error": one.error, "of": one.of}
        for one in found
    ]


def _training(request: Nll, config: Config, info: DataInfo) -> Iterator[Tensor]:
    """The images in training, as the measured ones are read."""
    data = rows.data_set(config, "train", info, ())
    batches = rows.of_set(data, info, range(len(data)), _BATCH, request.bits, {})
    bits = info.scale.bits if info.range is not None else request.bits or 8
    for batch in batches:
        yield whole(batch.values, bits)
