"""Pictures drawn from texts, guided by two passes or by CLIP: is the text found again in them?

Image i of a text has the seed i, so that all methods draw from the same noise. The judge, a CLIP
of clean images, should be another than the one that guides: else it is asked what it wanted.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import click
import torch
import torch.nn.functional as F
from cells import PLAIN, Record, Row, markdown, say
from command_line import Job, measuring
from torch import Tensor

import ddpm_cli
from ddpm_cli import hardware
from ddpm_cli.data.image_set import Data
from ddpm_cli.evaluation import retrieval
from ddpm_cli.files.checkpoints import find
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.files.checkpoints.header import read_header
from ddpm_cli.files.images.pixels import encode_png, from_uint8, to_uint8
from ddpm_cli.files.images.sheets import sheet
from ddpm_cli.guides.parts import clip_runs
from ddpm_cli.models import datasets
from ddpm_cli.settings.layouts import Layout

TEXT, FREE, CLIP = "text alone", "classifier-free", "clip"
SHOWN = 8  # texts on a sheet
BLOCK = 256  # texts or images that are embedded at once


class Judge(NamedTuple):
    """A CLIP that ddpm trained, and all texts among which it looks for that of an image."""

    run: clip_runs.Run
    texts: list[str]
    vectors: Tensor

    @classmethod
    def of(cls, name: str, info: DataInfo, texts: Sequence[str]) -> "Judge":
        """The judge of that name, for images like those of a model."""
        found = clip_runs.named(name)
        if found is None:
            raise click.ClickException(f"{name}: no CLIP that ddpm trained")
        compute = hardware.compute(device="cpu", dtype="float32")
        run, listed = clip_runs.load(found[0], info, compute), [*dict.fromkeys(texts)]
        if run.is_noisy:
            raise click.ClickException(f"{name}: of noisy images; give one of clean ones")
        parts = [run.encode_texts(listed[i : i + BLOCK]) for i in range(0, len(listed), BLOCK)]
        return cls(run, listed, torch.cat(parts))

    @torch.no_grad()
    def __call__(self, images: Tensor, texts: Sequence[str]) -> Row:
        """How near images uint8 [N, C, H, W] are to what they were drawn from."""
        seen = self.run.seen(from_uint8(images))
        seen = F.interpolate(seen, self.run.size, mode="area")
        vectors = torch.cat([self.run.encode(part) for part in seen.split(BLOCK)])
        own = torch.tensor([self.texts.index(text) for text in texts])
        return retrieval.summarized(retrieval.ranks(vectors, self.vectors, own), len(self.texts))


class Asked(NamedTuple):
    """A model, the CLIP that guides it, and how many images of each text are wanted."""

    model: str
    guide: str
    texts: list[str]
    each: int
    job: Job

    @property
    def told(self) -> list[str]:
        """The text of each image."""
        return [text for text in self.texts for _ in range(self.each)]

    def drawn(self, method: str, scale: float) -> Tensor:
        """Images uint8 [N, C, H, W] by a method at a scale."""
        plain = PLAIN | {"compute": self.job.compute, "guidance": {"scale": 1.0}}
        seeds = [*range(self.each)] * len(self.texts)
        batch = self.job.batch
        if method == TEXT:
            alone = ddpm_cli.load(self.model, settings=plain)
            return to_uint8(alone.sample(seeds, text=self.told, batch=batch))
        model = ddpm_cli.load(self.model, settings={"compute": self.job.compute})
        if method == FREE:
            tables = PLAIN | {"guidance": {"scale": scale}}
            return to_uint8(model.guide(seeds, text=self.told, settings=tables, batch=batch))
        parts = []
        for text in self.texts:
            wanted = {"name": "clip", "model": self.guide, "prompts": [text], "scale": scale}
            tables = plain | {"guides": [wanted]}
            parts.append(model.guide(range(self.each), text=text, settings=tables, batch=batch))
        return to_uint8(torch.cat(parts))


def first(data: Data) -> list[str]:
    """The first caption of each image of a set that has one."""
    written = data.texts
    every = [written.captions(row) for row in range(len(data))] if written else []
    return [captions[0] for captions in every if captions]


def page(shown: Sequence[tuple[str, float, Tensor]], asked: Asked) -> bytes:
    """A sheet with a row for each method and scale, the first image of the first texts."""
    count = min(SHOWN, len(asked.texts))
    images, lines = [], []
    for method, scale, x in shown:
        images.append(x[: count * asked.each : asked.each])
        lines += [(text, f"{method} {scale:g}") for text in asked.texts[:count]]
    return encode_png(sheet(torch.cat(images), Layout(count, 2), lines))


def report(rows: Sequence[tuple[str, float, Row]]) -> str:
    """A row for each method and scale."""
    table = []
    for method, scale, row in rows:
        name = method if method == TEXT else f"{method}, {scale:g}"
        cells = [name, f"{row['first']:.1%} ± {row['error']:.1%}", f"{row['few']:.1%}"]
        table.append([*cells, f"{row['mean_rank']:.1f}", f"{row['seconds']:.0f}"])
    texts = rows[0][2]["texts"]
    heading = ["method, scale", "its text is first", "of the first 5", f"mean rank of {texts}"]
    return markdown([*heading, "seconds"], table)


@click.command(context_settings={"max_content_width": 99})
@click.argument("model")
@click.option("--guide", required=True, help="The CLIP that guides, as runs/emoji-clip-noisy.")
@click.option("--judge", required=True, help="A CLIP of clean images, as runs/emoji-clip.")
@click.option("--text", "texts", multiple=True, help="What to draw; by default held-out texts.")
@click.option("--texts", "count", type=click.IntRange(1), default=32, show_default=True)
@click.option("-n", "--images", type=click.IntRange(1), default=4, show_default=True)
@click.option("--free", "scales", multiple=True, type=click.FloatRange(0), default=(1.5, 3.0, 6.0))
@click.option("--clip", "pulls", multiple=True, type=click.FloatRange(0), default=(30.0, 100.0))
@click.option("--sheet", "drawn", type=click.Path(path_type=Path), help="A row for each scale.")
@measuring("bfloat16")
def main(
    model: str,
    guide: str,
    judge: str,
    texts: tuple[str, ...],
    count: int,
    images: int,
    scales: tuple[float, ...],
    pulls: tuple[float, ...],
    drawn: Path | None,
    job: Job,
) -> None:
    """Compare guidance by two passes and by CLIP, as GLIDE did, on texts that MODEL never saw.

    An image is right if the judge finds its text nearer than all others of the data.
    """
    header, record = read_header(find.find(model).path), Record(job.output)
    sets = [datasets.images({"data": header.config["data"]}, part) for part in ("test", "train")]
    held, known = map(first, sets)
    wanted = [*(texts or dict.fromkeys(held))][: len(texts) or count]
    asked = Asked(model, guide, wanted, images, job)
    judging = Judge.of(judge, header.data, [*wanted, *held, *known])

    shown: list[tuple[str, float, Tensor]] = []

    def measured(method: str, scale: float) -> Row:
        began = time.perf_counter()
        shown.append((method, scale, asked.drawn(method, scale)))
        seconds = round(time.perf_counter() - began, 1)
        return {**judging(shown[-1][2], asked.told), "seconds": seconds}

    rows = []
    plan = [(TEXT, 1.0), *((FREE, scale) for scale in scales), *((CLIP, pull) for pull in pulls)]
    for method, scale in plan:
        key = {"method": method, "scale": scale, "texts": wanted, "images": images}
        key |= {"model": header.hash, "guide": guide, "judge": judge}
        rows.append((method, scale, record(key, measured, method, scale)))
        say(f"{method} {scale:g}: {rows[-1][2]['first']:.1%}")
    if drawn is not None and shown:
        drawn.write_bytes(page(shown, asked))
    flat = ({"method": method, "scale": scale, **row} for method, scale, row in rows)
    job.show(flat, lambda: report(rows))


if __name__ == "__main__":
    main()
