"""What samples are worth as training data."""

from itertools import pairwise
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ddpm_cli.errors import Refusal
from ddpm_cli.evaluation.evidence import Evidence
from ddpm_cli.evaluation.measures import Measure, at_least, takes
from ddpm_cli.settings.knobs import Batch, Count, Seed

_SIDE = 32  # larger images are made smaller, so that every set takes seconds


@takes("images", "labels")
def classification_accuracy(
    samples: Evidence,
    reference: Evidence,
    *,
    steps: Count = 400,
    batch: Batch = 128,
    seed: Seed = 0,
) -> Measure:
    """Share of real images that a classifier trained on samples gets right (Ravuri 2019): CAS.

    A small convolutional network of images of 32 pixels at most, `steps` of AdamW; equal seeds,
    equal figure. What it reaches is to be compared with the same of real training images as the
    samples. The error is that of a share of the reference's images, not that of the training.
    """
    at_least(2, samples, "training")
    at_least(1, reference, "a share")
    images, tests = cast(Tensor, samples.images), cast(Tensor, reference.images)
    if images.shape[1:] != tests.shape[1:]:
        shapes = " and ".join("x".join(map(str, i.shape[1:])) for i in (images, tests))
        raise Refusal(f"{samples.name}, {reference.name}: images of {shapes} cannot be compared")
    device = images.device
    labels, wanted = _labels(samples, device), _labels(reference, device)
    classes = int(max(labels.max(), wanted.max())) + 1
    network = _trained(images, labels, classes, steps, batch, seed)
    right = _told(network, tests.to(device)) == wanted
    share = float(right.double().mean())
    each = {c: float(right[wanted == c].double().mean()) for c in _present(wanted)}
    missing = sorted({*_present(wanted)} - {*_present(labels)})
    notes = (f"{samples.name}: no images of classes {', '.join(map(str, missing))}",)
    return Measure(
        {"classification_accuracy": share},
        {"classification_accuracy": (share * (1 - share) / len(right)) ** 0.5},
        {"classification_accuracy": {"by_class": each}},
        notes if missing else (),
    )


def _labels(side: Evidence, device: torch.device) -> Tensor:
    labels = cast(Tensor, side.labels).to(device).long()
    if int(labels.min()) < 0:
        raise Refusal(f"{side.name}: a label below 0", "classes are numbered from 0")
    return labels


def _present(labels: Tensor) -> list[int]:
    classes: list[int] = labels.bincount().nonzero()[:, 0].tolist()
    return classes


def _network(channels: int, classes: int) -> nn.Sequential:
    """Three strided convolutions, means over 4x4 places, one logit a class."""
    widths, layers = (channels, 32, 64, 128), list[nn.Module]()
    for i, (before, after) in enumerate(pairwise(widths)):
        size = 5 if i == 0 else 3
        layers += [
            nn.Conv2d(before, after, size, stride=2, padding=size // 2),
            nn.GroupNorm(8, after),
            nn.SiLU(),
        ]
    head = (nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(16 * widths[-1], classes))
    return nn.Sequential(*layers, *head)


def _trained(
    images: Tensor, labels: Tensor, classes: int, steps: int, batch: int, seed: int
) -> nn.Module:
    """A classifier of the images after `steps` of AdamW whose rate falls along a cosine."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _network(images.shape[1], classes)
    network.to(images.device).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    order, generator = torch.empty(0, dtype=torch.long), torch.Generator().manual_seed(seed)
    for _ in range(steps):
        while len(order) < min(batch, len(images)):
            order = torch.cat([order, torch.randperm(len(images), generator=generator)])
        places, order = order[:batch].to(images.device), order[batch:]
        loss = F.cross_entropy(network(_seen(images[places])), labels[places], label_smoothing=0.1)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
    return network.eval()


def _told(network: nn.Module, images: Tensor) -> Tensor:
    """The classes [n] that a network takes images for."""
    with torch.inference_mode():
        return torch.cat([network(_seen(part)).argmax(1) for part in torch.split(images, 1024)])


def _seen(images: Tensor) -> Tensor:
    """Bytes [B, C, H, W] as values in [-1, 1], no side longer than 32 pixels."""
    values = images.float() / 127.5 - 1
    longest = max(values.shape[2:])
    if longest <= _SIDE:
        return values
    size = [max(1, round(side * _SIDE / longest)) for side in values.shape[2:]]
    return F.interpolate(values, size, mode="area")
