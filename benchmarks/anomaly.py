"""How well the likelihood of a model of digits tells other images from digits: AUROC.

The chance that a score ranks an odd image above a test digit. Scores are -log p as the bound has
it and its terms, in bands of noise; each as it is, and as how untypical it is of training digits.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import click
import torch
from cells import markdown, say
from command_line import Job, measuring
from torch import Tensor
from torchvision.transforms.v2 import functional as change

from ddpm_cli.data.image_set import ImageSet
from ddpm_cli.data.sets import images as sets
from ddpm_cli.data.sets.pictographs import emoji
from ddpm_cli.models import saved
from ddpm_cli.models.model import Model, opened
from ddpm_cli.pipelines import nll, opening
from ddpm_cli.pipelines.meter import Meter
from ddpm_cli.pipelines.nll_plan import Measure
from ddpm_cli.settings.config import Layer

BANDS = 5  # of neighbouring terms, each about as many
LEAST = 1e-3  # bits/dim: a band that hardly varies is not worth more than that


def bands(model: Model, pixels: Tensor, batch: int) -> Tensor:
    """Bits per dimension [N, BANDS + 2] of images: the prior's, those of bands, the decoder's."""
    meter, found = Meter(model, Measure("vlb")), []
    for start in range(0, len(pixels), batch):
        x0 = model.placed(model.to_values(pixels[start : start + batch]))
        parts = meter.parts(x0, range(start, start + len(x0)), {})
        if parts is None:
            raise click.Abort
        prior, *moves, decoder = parts[0]
        middle = [band.sum(0) for band in torch.stack(moves).tensor_split(BANDS)]
        found.append(torch.stack([prior, *middle, decoder], 1))
    return torch.cat(found)


class Typical(NamedTuple):
    """Mean and deviation of bits [K] of images that a model was trained on."""

    mean: Tensor
    deviation: Tensor

    @classmethod
    def of(cls, bits: Tensor) -> "Typical":
        """From the bits [N, K] of such images."""
        return cls(bits.mean(0), bits.std(0).clamp(min=LEAST))

    def off(self, bits: Tensor) -> Tensor:
        """How many deviations bits [N, K] are above the mean."""
        return (bits - self.mean) / self.deviation


def scores(bands: Tensor, trained: Tensor) -> dict[str, Tensor]:
    """A score [N] of images by its name, from their bits in bands and those of training images.

    Typicality is the distance from the mean, on both sides (Nalisnick 2019); that of terms the sum
    of squares over bands. terms: their mean in deviations (as Graham 2023 of reconstructions).
    """
    whole, each = Typical.of(trained.sum(1, keepdim=True)), Typical.of(trained)
    return {
        "-log p": bands.sum(1),
        "its typicality": whole.off(bands.sum(1, keepdim=True)).abs()[:, 0],
        "terms": each.off(bands).mean(1),
        "their typicality": each.off(bands).square().sum(1),
    }


def auroc(odd: Tensor, usual: Tensor) -> float:
    """How likely a score of odd images [N] is above one of usual images [M]; a tie is half."""
    above = (odd[:, None] > usual).double() + (odd[:, None] == usual).double() / 2
    return float(above.mean())


def shown(pixels: Tensor) -> Tensor:
    """Pictures [N, 4, H, W] on black in grey at the size of digits."""
    alpha = pixels[:, 3:].float() / 255
    grey = change.rgb_to_grayscale(pixels[:, :3].float()) * alpha
    return change.resize(grey, [28, 28], antialias=True).round().clamp(0, 255).byte()


def odd(digits: Tensor, pictures: Path | None, fashion: Path | None) -> dict[str, Tensor]:
    """Images that are no digits as the model knows them."""
    count = len(digits)
    found: dict[str, Tensor] = {
        "turned by 90 degrees": digits.rot90(1, (2, 3)),
        "upside down": digits.flip(2),
        "mirrored": digits.flip(3),
        "inverted": 255 - digits,
        "blurred": change.gaussian_blur(digits, [5, 5], [1.0, 1.0]),
        "brighter by 8": (digits.int() + 8).clamp(max=255).byte(),
        "black": torch.zeros_like(digits),
    }
    if pictures is not None:
        found["grey pictures"] = shown(
            first(emoji("train", path=str(pictures), mode="RGBA"), count)
        )
    if fashion is not None:
        found["clothes"] = first(sets.fashion_mnist("test", path=str(fashion)), count)
    return found


def mean(bits: Tensor) -> float:
    """The mean bits per dimension of images, from those of their bands [N, K]."""
    return float(bits.sum(1).mean())


def first(images: ImageSet, count: int) -> Tensor:
    """The first images of a set."""
    return images[torch.arange(min(count, len(images)))][0]


@click.command()
@click.argument("name", default="mnist")
@click.option("-n", "--count", type=click.IntRange(8), default=500, show_default=True)
@click.option("--steps", type=click.IntRange(BANDS + 1), default=20, show_default=True)
@click.option("--pictures", type=click.Path(path_type=Path), help="Emoji, in a zip or a folder.")
@click.option("--fashion", type=click.Path(path_type=Path), help="Folder of Fashion-MNIST.")
@measuring()
def main(
    name: str, count: int, steps: int, pictures: Path | None, fashion: Path | None, job: Job
) -> None:
    """Compare scores of digits and of other images under the model NAME."""
    place, header = opening.chosen(name)
    layers = [Layer("benchmark", {"levels": {"count": steps}, "compute": job.compute})]
    schedule = saved.schedule_of(header, place.path)
    model = opened(place, nll.settled(place, header, schedule, layers, "vlb"))
    measure = partial(bands, model, batch=job.batch)
    digits = first(sets.mnist("test"), count)
    trained, usual = measure(first(sets.mnist("train"), count)), measure(digits)
    ranked, rows = scores(usual, trained), [{"images": "test digits", "bits": mean(usual)}]
    for title, pixels in odd(digits, pictures, fashion).items():
        found = measure(pixels)
        each = scores(found, trained)
        above = {score: auroc(each[score], ranked[score]) for score in each}
        rows.append({"images": title, "bits": mean(found), **above})
        say(f"{title}: {mean(found):.3f} bits/dim")
    job.show(rows, lambda: report(rows))


def report(rows: Sequence[Mapping[str, object]]) -> str:
    """A table of all of it."""
    titles = list(rows[-1])
    cells = [[written(row.get(title)) for title in titles] for row in rows]
    return markdown(titles, cells)


def written(value: object) -> str:
    """A cell of it."""
    return f"{value:.3f}" if isinstance(value, float) else str(value or "")


if __name__ == "__main__":
    main()
