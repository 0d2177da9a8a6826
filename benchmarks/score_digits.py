"""Score generated MNIST digits with a small classifier.

Prints the Frechet distance to the MNIST test set in the features of a LeNet, how sure the LeNet
is, the histogram of classes and, if labels are known, how often the LeNet agrees with them.
"""

import json
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import ddpm_cli
from ddpm_cli.data.idx_files import read_idx
from ddpm_cli.data.sets import images as sets
from ddpm_cli.errors import Refusal
from ddpm_cli.files.images import pixels

WEIGHTS = Path(ddpm_cli.__file__).parent / "assets" / "features" / "digits.safetensors"
BATCH = 500
SURE = 0.9  # probability from which on a digit counts as confident


class LeNet(nn.Module):
    """Classifier of 28x28 digits, 99.4 % right on the test set; features are its 84 last units."""

    def __init__(self) -> None:
        super().__init__()
        self.f = nn.Sequential(
            nn.Conv2d(1, 32, 5, padding=2),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 5, padding=2),
            nn.BatchNorm2d(64),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Dropout(0.3),
            nn.Linear(3136, 84),
            nn.ReLU(),
        )
        self.o = nn.Linear(84, 10)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x [B, 1, 28, 28] in [-1, 1] -> logits [B, 10], features [B, 84]."""
        features = self.f(x)
        return self.o(features), features


class Scorer:
    """The classifier and the features of the MNIST test set, to score any number of sets."""

    def __init__(self) -> None:
        self._network = LeNet().eval()
        self._network.load_state_dict(load_file(WEIGHTS))
        _, self._reference = self._features(digits("test"))

    def __call__(self, x: Tensor, labels: Tensor | None = None) -> dict[str, Any]:
        """Score images [N, 1, 28, 28] in [-1, 1]; labels [N], -1 where there is none."""
        logits, features = self._features(x)
        sure, classes = logits.softmax(1).max(1)
        scores = {
            "n": len(x),
            "frechet": round(frechet(features, self._reference), 3),
            "confidence": round(float(sure.mean()), 4),
            "confident_share": round(float((sure > SURE).float().mean()), 4),
            "classes": torch.bincount(classes, minlength=10).tolist(),
        }
        if labels is not None and bool((labels >= 0).any()):
            right = (classes == labels)[labels >= 0]
            scores["agreement"] = round(float(right.float().mean()), 4)
        return scores

    def classes(self, x: Tensor) -> Tensor:
        """The digits [N] that the LeNet sees in images [N, 1, 28, 28] in [-1, 1]."""
        return self._features(x)[0].argmax(1)

    @torch.inference_mode()
    def _features(self, x: Tensor) -> tuple[Tensor, Tensor]:
        logits, features = zip(*(self._network(part) for part in x.split(BATCH)), strict=True)
        return torch.cat(logits), torch.cat(features).double()


def frechet(a: Tensor, b: Tensor) -> float:
    """Frechet distance of two sets of features [N, D], taken as Gaussians (Heusel 2017).

    |mean_a - mean_b|^2 + tr(A + B - 2 (A^(1/2) B A^(1/2))^(1/2)) with covariances A and B.
    """
    cov_a, cov_b = torch.cov(a.T), torch.cov(b.T)
    values, vectors = torch.linalg.eigh(cov_a)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    mixed = torch.linalg.eigvalsh(root @ cov_b @ root).clamp(min=0).sqrt().sum()
    distance = (a.mean(0) - b.mean(0)).square().sum()
    return float(distance + cov_a.trace() + cov_b.trace() - 2 * mixed)


def digits(split: sets.Split) -> Tensor:
    """All MNIST digits of a split, [N, 1, 28, 28] in [-1, 1]."""
    images = sets.mnist(split)
    return pixels.from_uint8(images[torch.arange(len(images))][0])


def scale(scorer: Scorer, count: int) -> str:
    """A line that says how many images were scored, and what as many real ones score."""
    floor = scorer(training_digits(count))["frechet"]
    return f"{count} images, seeds 0 to {count - 1}; real digits score {floor:.2f}"


def training_digits(count: int) -> Tensor:
    """`count` training digits, always the same: their distance is the floor for that number."""
    everything = digits("train")
    order = torch.randperm(len(everything), generator=torch.Generator().manual_seed(0))
    return everything[order[:count]]


def load(path: Path) -> tuple[Tensor, Tensor | None]:
    """Images [N, 1, 28, 28] in [-1, 1] and, from an .npz, the classes they should show."""
    labels = None
    if path.is_dir():
        files = sorted(path.rglob("*.png"))
        if not files:
            raise Refusal(f"{path}: no PNG files are in it")
        array = np.stack([pixels.open_image(file, "L").numpy() for file in files])
    elif path.suffix == ".npy":
        array = np.load(path, allow_pickle=False)
    elif path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as archive:
            array = archive["images" if "images" in archive else archive.files[0]]
            labels = numbers(archive["classes"]) if "classes" in archive else None
    else:
        array = read_idx(path, 3).numpy()
    if array.size != len(array) * 784:
        raise Refusal(f"{path}: images of {array.size // len(array)} values; expected 28x28")
    x = torch.from_numpy(array.reshape(-1, 1, 28, 28))
    return pixels.from_uint8(x) if x.dtype == torch.uint8 else x.float().clamp(-1, 1), labels


def numbers(classes: np.ndarray) -> Tensor:
    """Class numbers int64 of numbers or names; what is no digit becomes -1."""
    names = classes.astype(str).tolist()
    return torch.tensor([int(name) if name.isdecimal() else -1 for name in names])


@click.command()
@click.argument("samples", required=False, type=click.Path(exists=True, path_type=Path))
@click.option(
    "--labels",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE.npy",
    help="Classes the images should show; an .npz brings its own.",
)
@click.option("--limit", type=click.IntRange(min=1), help="Score the first N images only.")
@click.option("--floor", type=click.IntRange(min=2), help="Score N training digits instead.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def main(
    samples: Path | None, labels: Path | None, limit: int | None, floor: int | None, as_json: bool
) -> None:
    """Score SAMPLES: a folder of 28x28 PNGs, an .npy, an .npz or an IDX file of images.

    Arrays are uint8 or floats in [-1, 1]. Frechet distances compare at equal numbers of images
    only; --floor N says what real digits score.
    """
    if (samples is None) == (floor is None):
        raise click.UsageError("give either SAMPLES or --floor N")
    x, wanted = (training_digits(floor), None) if samples is None else load(samples)
    if labels is not None:
        wanted = numbers(np.load(labels, allow_pickle=False))
        if len(wanted) < len(x[:limit]):
            raise Refusal(f"{labels}: {len(wanted)} labels for {len(x[:limit])} images")
    x = x[:limit]
    scores = Scorer()(x, None if wanted is None else wanted[: len(x)])
    print(json.dumps(scores) if as_json else "  ".join(f"{k} {v}" for k, v in scores.items()))


if __name__ == "__main__":
    main()
