"""Latents of images in a picture, those of several models side by side, for `ddpm encode`."""

import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ddpm_cli import console
from ddpm_cli.errors import ConfigError, Refusal, many
from ddpm_cli.failures import Failures
from ddpm_cli.files.images import inputs
from ddpm_cli.files.images.inputs import Source
from ddpm_cli.files.outputs import curves, encoding, plots, targets
from ddpm_cli.files.outputs.targets import Existing
from ddpm_cli.models import model
from ddpm_cli.pipelines import encode, inversion, opening
from ddpm_cli.pipelines.encode import Work
from ddpm_cli.pipelines.lines import Spent
from ddpm_cli.pipelines.opening import Opened
from ddpm_cli.settings import shards
from ddpm_cli.settings.requests import Encode

SHOWN = 100  # dimensions of a latent, as in Song 2021, figure 7
LIMIT = 16  # images in a picture


class Codes(NamedTuple):
    """Latents [N, ...] of the same images by a model, and what they took."""

    name: str
    z: Tensor
    spent: Spent


def run(request: Encode, models: Sequence[Opened]) -> None:
    """Encode images with each model, say how alike their latents are, and draw these."""
    every = inputs.sources(request.inputs)
    request, sources = encode.of_shard(request, every)
    targets.refuse_existing(request.output, request.use.force)
    encoding.announce(request.output)
    curves.figure()
    _refuse_unlike(models)
    if len(sources) > LIMIT:
        fix = "encode fewer, or to a .safetensors"
        raise Refusal(f"-o {request.output}: {len(sources)} images; at most {LIMIT}", fix)
    works = [_planned(request, opened) for opened in models]
    shards.say(request.use.shard, len(sources), len(every), "images")
    for work in works:
        console.say(f"{work.opened.place.name}: {many(len(sources), 'images')}, {work.price}")
    if request.use.dry_run:
        opening.shown(works[0].opened.config)
        return
    began, names, codes = time.monotonic(), [each.stem for each in sources], list[Codes]()
    for work in works:
        found = _encoded(request, work, sources)
        if found is None:
            return
        codes.append(found)
    _compare(names, codes)
    picture = drawn(names, [(code.name, code.z) for code in codes])
    _write(request, works, sources, picture, time.monotonic() - began, codes)


def _refuse_unlike(models: Sequence[Opened]) -> None:
    """Refuse models of which no latents lie side by side."""
    first = models[0]
    for place, header, _ in models:
        inputs.mode_of(header.data.shape)
        if header.data.shape != first.header.data.shape:
            one, other = ("x".join(map(str, each.data.shape)) for each in (first.header, header))
            what = f"{first.place.name} makes images {one}, {place.name} {other}"
            raise ConfigError(f"-m: {what}; compare models of one shape")


def _planned(request: Encode, opened: Opened) -> Work:
    use = replace(request.use, model=opened.place.name)
    return encode.planned(replace(request, use=use), opened)


def _encoded(request: Encode, work: Work, sources: Sequence[Source]) -> Codes | None:
    """The latents of all images by a model; None if the process should stop."""
    failures, name, total = Failures(1), work.opened.place.name, len(sources)
    read = [image for _, image in encode.read(request, work.opened.header.data, sources, failures)]
    with console.progress(work.calls and work.calls * total, "network calls") as bar:
        way, began, parts = encode.way(request, work, total, bar), time.monotonic(), []
        size, back = request.use.size, list[float]()
        for first in range(0, total, size):
            batch = read[first : first + size]
            encoded = way(batch, [*range(first, first + len(batch))])
            if encoded is None:
                return None
            parts.append(encoded.z.cpu().double())
            back += encoded.decibels or []
            for image, value in zip(batch, encoded.decibels or (), strict=False):
                if not request.use.as_json:
                    console.line(f"{image.name}  {name}  {value:.1f} dB")
        spent = Spent(total, bar.done, time.monotonic() - began)
    inversion.warn_of_images(work.opened.config, back)
    return Codes(name, torch.cat(parts), spent)


def alike(first: Tensor, second: Tensor) -> list[float]:
    """The cosine of two latents of each image: 1 of the same, about 0 of unlike ones."""
    a, b = first.flatten(1).double(), second.flatten(1).double()
    cosines: list[float] = ((a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))).tolist()
    return cosines


def _compare(names: Sequence[str], codes: Sequence[Codes]) -> None:
    for one, other in combinations(codes, 2):
        for name, cosine in zip(names, alike(one.z, other.z), strict=True):
            console.say(f"{name}  {one.name} and {other.name}: cosine {cosine:.3f}")


def drawn(names: Sequence[str], codes: Sequence[tuple[str, Tensor]]) -> Tensor:
    """A panel of each image: the first dimensions of its latent by each model, a line each."""
    figure = curves.figure()(figsize=(8, 0.5 + 1.5 * len(names)), layout="constrained")
    grid = figure.subplots(len(names), 1, squeeze=False, sharex=True, sharey=True)[:, 0]
    for row, (axes, name) in enumerate(zip(grid, names, strict=True)):
        for model_name, z in codes:
            axes.plot(z[row].flatten()[:SHOWN].numpy(), linewidth=1, label=model_name)
        axes.set_ylabel(name, fontsize="small")
        axes.grid(alpha=0.3)
    grid[-1].set_xlabel("dimension of the latent")
    grid[0].legend(fontsize="small", ncols=len(codes), loc="upper right")
    return plots.rendered(figure)


def _write(
    request: Encode,
    works: Sequence[Work],
    sources: Sequence[Source],
    picture: Tensor,
    seconds: float,
    codes: Sequence[Codes],
) -> None:
    use, (place, _, config) = request.use, works[0].opened
    first = model.opened(place, config)
    how: dict[str, Any] = {"label": works[0].asked.label, "words": use.words}
    record = first.record("encode", use.size, **how) | works[0].asked.record
    record["model"] = ",".join(code.name for code in codes)
    record["hashes"] = [work.opened.header.hash for work in works]
    record["inputs"] = [source.name for source in sources]
    data = encoding.encode(picture, request.output, record)
    calls = sum(code.spent.calls for code in codes)
    for path in targets.put(request.output, data, Existing(use.force)):
        spent = Spent(len(sources), calls, seconds)
        works[0].lines.tell(path, spent, seed=None, **works[0].asked.named)
