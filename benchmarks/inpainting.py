"""Fill the middle of test digits by every method: how close it comes, and what is read there.

All methods get the same digits, the same hole and, for image i, the seed i.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import click
import torch
from cells import PLAIN, Record, Row, markdown, mean, sampling, say
from command_line import Job, measuring
from edited_digits import closeness, difference, labelled, summaries
from scoring import Scorer
from torch import Tensor

from ddpm_cli.diffusion.denoiser import Denoise
from ddpm_cli.diffusion.guidance import agreement, steered
from ddpm_cli.errors import Refusal
from ddpm_cli.files.checkpoints import find
from ddpm_cli.files.checkpoints.header import read_header
from ddpm_cli.models import cost
from ddpm_cli.models.asked import Asked
from ddpm_cli.models.model import Model, opened
from ddpm_cli.models.walks import Batch
from ddpm_cli.pipelines.filling import Filler
from ddpm_cli.settings.config import Config, Layer, resolve
from ddpm_cli.settings.request_parts import Use

SIDE = 14  # of the hole
ROUNDING = 1 / 12  # squared error of the rounding to bytes: no hole counts as closer than that
METHODS = ("black", "replace", "posterior", "repaint", "replace as long", "guided", "model")
NOISE = 0.05  # of what guided walks agree with; as of ddpm guide --restore


class Digits(NamedTuple):
    """Test digits uint8 [N, 1, 28, 28], their labels, and what of them is known [1, 1, 28, 28]."""

    pixels: Tensor
    labels: Tensor
    known: Tensor

    def first(self, count: int) -> "Digits":
        """So many of them."""
        return self._replace(pixels=self.pixels[:count], labels=self.labels[:count])


def test_digits(count: int) -> Digits:
    """The first test digits with a hole in the middle."""
    pixels, labels = labelled(count)
    known = torch.ones(1, 1, *pixels.shape[2:], dtype=torch.bool)
    top, left = ((size - SIDE) // 2 for size in pixels.shape[2:])
    known[..., top : top + SIDE, left : left + SIDE] = False
    return Digits(pixels, labels, known)


def guided(filler: Filler, x0: Tensor, known: Tensor, seeds: Sequence[int]) -> Tensor:
    """Images drawn by the gradient of how well predictions agree with known pixels."""
    model = filler.model

    def wrap(denoise: Denoise, part: slice) -> Denoise:
        def judge(predicted: Tensor, sigma: Tensor) -> Tensor:
            missing = (x0[part] - predicted) * known[part].to(predicted)
            return agreement(missing, sigma, noise=NOISE)

        return steered(denoise, clean=[judge])

    batch = Batch(seeds, filler.asked.conditions(seeds), wrap=wrap)
    *_, final = model.draw(batch, filler.walk).states
    return final.x


def filled(model: Model, digits: Digits, batch: int, method: str) -> Iterator[Tensor]:
    """The digits uint8 [B, 1, 28, 28] with their hole filled, batch by batch."""
    filler = Filler.of(model, Asked.given(Use(), model.config, model.info))
    for first in range(0, len(digits.pixels), batch):
        pixels = digits.pixels[first : first + batch]
        x0 = model.placed(model.to_values(pixels))
        known = digits.known.to(x0.device).expand(len(x0), -1, -1, -1)
        seeds = range(first, first + len(x0))
        draw = partial(guided, filler) if method == "guided" else filler.drawn
        x = draw(x0, known, seeds)
        if x is None:
            raise Refusal("stopped")
        yield pixels.where(digits.known, model.to_pixels(x).cpu())


def scores(scorer: Scorer, digits: Digits, results: Tensor) -> Row:
    """PSNR of each hole in dB, and whether the LeNet reads each digit as what it is."""
    hole = ~digits.known.expand_as(results)
    errors = (results.double() - digits.pixels.double())[hole].reshape(len(results), -1)
    psnr = 10 * torch.log10(255**2 / errors.square().mean(1).clamp(min=ROUNDING))
    right = scorer.classes(results) == digits.labels
    return {"psnr": [round(value, 3) for value in psnr.tolist()], "right": right.int().tolist()}


def measured(scorer: Scorer, model: Model | None, digits: Digits, batch: int, method: str) -> Row:
    """The scores of a model's walks, with their cost; without one the hole is left black."""
    began, calls = time.perf_counter(), 0
    if model is None:
        results = digits.pixels * digits.known
    else:
        results = torch.cat([*filled(model, digits, batch, method)])
        calls = cost.plan(model.config, model.schedule).calls or 0
    seconds = round(time.perf_counter() - began, 1)
    return {**scores(scorer, digits, results), "calls": calls, "seconds": seconds}


class Walks(NamedTuple):
    """How to walk: moves from noise to image, and RePaint's jumps and visits of each level."""

    steps: int
    jump: int
    resample: int

    def tables(self, method: str) -> dict[str, Any]:
        """The settings that a method stands for."""
        tables: dict[str, Any] = PLAIN | {"levels": {"count": self.steps}, "constraints": []}
        if method not in ("model", "guided"):
            kind = "posterior" if method == "posterior" else "replace"
            tables["constraints"] = [{"name": kind}]
        if method == "repaint":
            jumps = {"lengths": [self.jump], "visits": [self.resample]}
            tables["edits"] = [{"name": "jumps", **jumps}]
        return tables

    def config(self, method: str, trained: Config) -> Config:
        """The configuration of a method; `replace as long` costs what RePaint does."""
        from ddpm_cli.models import build

        layers = [Layer("the checkpoint", trained), Layer(method, self.tables(method))]
        config = resolve(layers)
        if method != "replace as long":
            return config
        schedule = build.schedule(config)
        calls = cost.plan(self.config("repaint", trained), schedule)[1] or 0
        return cost.fit_calls(config, schedule, calls)


def report(rows: Mapping[str, Row]) -> str:
    """A row a method, and the paired differences to the replacement and to RePaint."""
    table = []
    for name, row in rows.items():
        less = [
            difference(row, rows[other]) if other in rows and other != name else ""
            for other in ("replace", "repaint")
        ]
        table.append([name, str(row["calls"]), str(len(row["right"])), *closeness(row), *less])
    heading = ["", "calls", "digits", "PSNR, dB", "read right", "less replace", "less repaint"]
    return markdown(heading, table)


@click.command(context_settings={"max_content_width": 99})
@click.option("-m", "--model", default="mnist", show_default=True, help="Unconditional model.")
@click.option("--trained", default="mnist-inpaint", show_default=True, help="Model for holes.")
@click.option("--method", "methods", multiple=True, type=click.Choice(METHODS), default=METHODS)
@click.option("-n", "--images", type=click.IntRange(2, 10_000), default=2000, show_default=True)
@click.option("--long-images", type=click.IntRange(2, 10_000), default=500, show_default=True)
@click.option("--steps", type=click.IntRange(min=1), default=50, show_default=True)
@click.option("--trained-steps", type=click.IntRange(min=1), default=50, show_default=True)
@click.option("--jump", type=click.IntRange(min=1), default=10, show_default=True)
@click.option("--resample", type=click.IntRange(min=1), default=10, show_default=True)
@measuring()
def main(
    model: str,
    trained: str,
    methods: tuple[str, ...],
    images: int,
    long_images: int,
    steps: int,
    trained_steps: int,
    jump: int,
    resample: int,
    job: Job,
) -> None:
    """Compare methods of filling the middle 14x14 pixels of MNIST test digits.

    RePaint and the replacement of as many calls have --long-images of them, the first ones.
    guided: by the gradient through the network (DPS), three times the work of a call.
    """
    scorer, record, digits = Scorer(), Record(job.output), test_digits(max(images, long_images))
    rows: dict[str, Row] = {}
    for method in dict.fromkeys(methods):
        is_long = method in ("repaint", "replace as long")
        some, ready, key = digits.first(long_images if is_long else images), None, {}
        if method != "black":
            place = find.find(trained if method == "model" else model)
            header = read_header(place.path)
            walks = Walks(trained_steps if method == "model" else steps, jump, resample)
            base = header.config | {"compute": job.compute}
            ready = opened(place, walks.config(method, base))
            key = {"model": header.hash, "dtype": job.dtype, **sampling(ready.config)}
        key |= {"method": method, "images": len(some.pixels), "side": SIDE}
        rows[method] = record(key, measured, scorer, ready, some, job.batch, method)
        say(f"{method}: {mean(rows[method]['right'])[0]:.1%} read right")
    job.show(summaries(rows), lambda: report(rows))


if __name__ == "__main__":
    main()
