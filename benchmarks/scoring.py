"""Scores of MNIST-like digits by the package's own measures, in the features `digits`."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ddpm_cli.data.image_arrays import image_arrays
from ddpm_cli.data.sets import images as sets
from ddpm_cli.evaluation import measuring
from ddpm_cli.evaluation.evidence import Evidence
from ddpm_cli.evaluation.extractor import Seen
from ddpm_cli.evaluation.features import digits as features

BATCH = 500
SURE = 0.9  # probability from which on a digit counts as confident


class Scorer:
    """The feature network and what it sees of the MNIST test set, to score any number of sets.

    The distance is `fid` of `ddpm eval --ref mnist:test --protocol digits`.
    """

    def __init__(self) -> None:
        self._look = features(torch.device("cpu"))
        test, labels = digits("test")
        self._reference = self._evidence("mnist:test", test, labels)

    def __call__(self, pixels: Tensor, labels: Tensor | None = None) -> dict[str, Any]:
        """Score digits uint8 [N, 1, 28, 28]; labels [N], those that were asked for."""
        seen = self._evidence("samples", pixels, labels)
        fid = measuring.measure("fid", seen, self._reference).values["fid"]
        sure, classes = _likely(seen).max(1)
        scores = {
            "n": len(pixels),
            "frechet": round(fid, 3),
            "confidence": round(float(sure.mean()), 4),
            "confident_share": round(float((sure > SURE).float().mean()), 4),
            "classes": torch.bincount(classes, minlength=10).tolist(),
        }
        if labels is not None:
            said = measuring.measure("class-agreement", seen, self._reference)
            scores["agreement"] = round(said.values["class_agreement"], 4)
        return scores

    def classes(self, pixels: Tensor) -> Tensor:
        """The digits [N] that the network sees in pixels uint8 [N, 1, 28, 28]."""
        return _likely(self._evidence("digits", pixels, None)).argmax(1)

    def floor(self, count: int) -> float:
        """What `count` real digits score, always the same of the training set."""
        everything, _ = digits("train")
        order = torch.randperm(len(everything), generator=torch.Generator().manual_seed(0))
        return float(self(everything[order[:count]])["frechet"])

    def scale(self, count: int) -> str:
        """A line that says how many images were scored, and what as many real ones score."""
        what = f"{count} images, seeds 0 to {count - 1}"
        return f"{what}; real digits score {self.floor(count):.2f}"

    def _evidence(self, name: str, pixels: Tensor, labels: Tensor | None) -> Evidence:
        parts = [self._look(part) for part in pixels.split(BATCH)]
        seen = Seen(*(None if x[0] is None else torch.cat(x) for x in zip(*parts, strict=True)))
        return Evidence(name, len(pixels), *seen, labels=labels)


def _likely(seen: Evidence) -> Tensor:
    assert seen.probabilities is not None
    return seen.probabilities


def digits(split: sets.Split) -> tuple[Tensor, Tensor]:
    """All MNIST digits of a split, uint8 [N, 1, 28, 28], and what they are [N]."""
    images = sets.mnist(split)
    pixels, told = images[torch.arange(len(images))]
    return pixels, told["classes"]


def load(path: Path) -> tuple[Tensor, Tensor | None]:
    """Pixels of a file of samples, and the classes they should show."""
    images = image_arrays(path)
    pixels, told = images[torch.arange(len(images))]
    if images.classes is None:
        return pixels, None
    numbers = torch.tensor([int(name) for name in images.classes])
    return pixels, numbers[told["classes"]]
