"""Images to latents and back, for `ddpm encode`: the settings for it, a batch, and the work."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial, reduce
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ddpm_cli import console, hardware
from ddpm_cli.data.image_set import Conditions
from ddpm_cli.diffusion import latents
from ddpm_cli.diffusion.rng import Randomness
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.errors import many
from ddpm_cli.evaluation.fidelity import psnr
from ddpm_cli.failures import Failures
from ddpm_cli.files import provenance
from ddpm_cli.files.checkpoints import latents as latents_file
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.files.images import inputs, scales
from ddpm_cli.files.images.decoding import Ranges
from ddpm_cli.files.images.inputs import Input, Source
from ddpm_cli.files.images.scales import BYTES, Scale
from ddpm_cli.files.outputs import targets
from ddpm_cli.files.records import Record
from ddpm_cli.models import cost, memory, model, saved, walks
from ddpm_cli.models.asked import Asked
from ddpm_cli.pipelines import inversion, lines, opening
from ddpm_cli.pipelines.inversion import Coder
from ddpm_cli.pipelines.lines import Lines, Spent, Watch
from ddpm_cli.pipelines.opening import Opened
from ddpm_cli.settings import shards
from ddpm_cli.settings.requests import Encode


class Encoded(NamedTuple):
    """Latents [B, ...] of a batch, and how close their images come to the originals.

    decibels: PSNR of each; largest: the largest difference of its pixels, in its own scale.
    """

    z: Tensor
    decibels: list[float] | None = None
    largest: list[int] | None = None


def walked(
    coder: Coder,
    images: Sequence[Input],
    told: Conditions,
    against: Conditions,
    *,
    is_checked: bool,
) -> Encoded | None:
    """Encode images and decode them to see what returns; None if stopped."""
    x0 = torch.stack([image.values for image in images])
    z = coder.encode(x0, told, against)
    if z is None:
        return None
    walks.refuse_not_finite(z, "values that are not finite", "more --steps")
    if not is_checked:
        return Encoded(z)
    again = coder.decode(z, told, against)
    if again is None:
        return None
    again = again.cpu()
    decibels = psnr(again, x0).tolist()
    pairs = zip(images, again, strict=True)
    apart = [_apart(image.image, image.scale.pixels(came)) for image, came in pairs]
    return Encoded(z, decibels, apart)


def _apart(pixels: Tensor, others: Tensor) -> int:
    """The largest difference."""
    return int((pixels.int() - others.int()).abs().amax())


def forward(
    images: Sequence[Input],
    seeds: Sequence[int],
    *,
    sigma: Tensor,
    schedule: Schedule,
    randomness: Randomness,
) -> Encoded:
    """Draw latents of images from q(x_t given x0), in units of the prior."""
    x0 = torch.stack([image.values for image in images])
    x = latents.noised(x0.double(), sigma, inversion.noise(seeds, randomness))
    return Encoded(latents.unit(schedule, x, sigma))


class Work(NamedTuple):
    """What to do with each image, at so many calls; sigma: what noise is added up to, or None."""

    opened: Opened
    asked: Asked
    sigma: Tensor | None
    schedule: Schedule
    calls: int | None
    price: str
    lines: Lines


def run(request: Encode, opened: Opened) -> None:
    """Encode what a request asks for with a model and its settings."""
    use, every = request.use, inputs.sources(request.inputs)
    request, sources = of_shard(request, every)
    targets.refuse_existing(request.output, use.force)
    inputs.mode_of(opened.header.data.shape)
    work = planned(request, opened)
    shards.say(use.shard, len(sources), len(every), "images")
    console.say(f"{many(len(sources), 'images')}, {work.price}")
    if use.dry_run:
        opening.shown(work.opened.config)
        return
    if sources:
        _encode(request, work, sources)


def of_shard(request: Encode, every: Sequence[Source]) -> tuple[Encode, Sequence[Source]]:
    """What a shard has to encode, as if it were all there is: the first image has its own seed."""
    use, named = request.use, str(request.output)
    output = Path(shards.place(named, use.shard))
    if len(every) > 1:
        shards.refuse_shared(named, use.shard)
    numbered = shards.part([*enumerate(every)], use.size, use.shard)
    seed, words = request.seed, list(use.words)
    if numbered and numbered[0][0]:
        seed += numbered[0][0]
        if request.method == "forward":  # only its noise has a seed
            words = _with_seed(words, seed)
    use = replace(use, words=words)
    return replace(request, use=use, output=output, seed=seed), [one for _, one in numbered]


def _with_seed(words: Sequence[str], seed: int) -> list[str]:
    """The words of a command line with another --seed."""
    left = list(words)
    if "--seed" in left:
        at = left.index("--seed")
        del left[at : at + 2]
    return [*left, "--seed", str(seed)]


def planned(request: Encode, opened: Opened) -> Work:
    """What is asked for; what has no effect is refused."""
    place, header, config = opened
    schedule = saved.schedule_of(header, place.path)
    moves: int | None
    calls: int | None
    if request.method == "forward":
        sigma, price = walks.level(request.at or "", schedule), "no network calls"
        moves, calls = None, 0
    else:
        config = cost.sized(config, schedule, request.use.calls)
        moves, calls, *_ = inversion.plan(config, schedule)
        again = " and again to check it" if request.is_checked else ""
        each = ("about " if calls else "") + cost.words(calls, header.data.one)
        sigma, price = None, f"{many(moves, 'steps')}, {each}{again}"
        calls = calls and calls * (1 + request.is_checked)
    asked = Asked.given(request.use, config, header.data)
    asked.say(request.use.label)
    told = Lines.of_walk(request.use.as_json, place.name, header, config, moves)
    return Work(opened._replace(config=config), asked, sigma, schedule, calls, price, told)


def _encode(request: Encode, work: Work, sources: Sequence[Source]) -> None:
    """Encode batch by batch, report each image, and write the file."""
    use, size = request.use, request.use.size
    failures, parts, names = Failures(len(sources)), list[Tensor](), list[str]()
    found, drawn, took, back = list[Scale](), list[int](), list[Spent](), list[float]()
    rows, total = read(request, work.opened.header.data, sources, failures), len(sources)
    with console.progress(work.calls and work.calls * total, "network calls") as bar:
        encode, laps = way(request, work, total, bar), Watch(bar)
        while batch := list(islice(rows, size)):
            images = [image for _, image in batch]
            seeds = [request.seed + number for number, _ in batch]
            encoded = encode(images, seeds)
            if encoded is None:
                return
            parts.append(encoded.z.cpu())
            names += [image.name for image in images]
            found += [image.scale for image in images]
            drawn += seeds
            took += laps.lap([1] * len(images))
            told = partial(_row, work, took[-len(images) :]) if use.as_json else None
            _report(encoded, images, told)
            back += encoded.decibels or []
            bar.advance(0, note=f"{len(names)} of {total} images")
    if names:
        record: dict[str, Any] = {"inputs": [source.name for source in sources]}
        if {*found} != {work.opened.header.data.scale}:  # to give them back as they came
            record |= {"range": list(scales.common(found))}
        save(request, work, torch.cat(parts), names, record)
        own: dict[str, Any] = {"seed": None} if work.sigma is None else lines.seeded(drawn)
        own |= work.asked.named
        work.lines.tell(request.output, reduce(Spent.plus, took), **own)
        inversion.warn_of_images(work.opened.config, back)
    failures.finish()


def read(
    request: Encode, info: DataInfo, sources: Sequence[Source], failures: Failures
) -> Iterator[tuple[int, Input]]:
    """Number and image of each source that can be read."""
    look = request.look
    how = (info.shape, look.fit, look.background, Ranges.of(request.use.range, info.range))

    def one(numbered: tuple[int, Source]) -> tuple[int, Input]:
        number, source = numbered
        return number, inputs.read(source, *how)

    return failures.passing(one, enumerate(sources))


def way(
    request: Encode, work: Work, count: int, bar: console.Progress
) -> Callable[[list[Input], list[int]], Encoded | None]:
    """What turns images and seeds of a batch into latents; None if the process should stop."""
    if work.sigma is not None:
        randomness = Randomness(work.opened.config["compute"]["rng"])
        return partial(forward, sigma=work.sigma, schedule=work.schedule, randomness=randomness)
    place, _, config = work.opened
    drawer = model.opened(place, config)
    memory.refuse_large(drawer, min(request.use.size, count))
    coder = Coder.of(drawer.counting(bar.advance))

    def walk(images: list[Input], seeds: list[int]) -> Encoded | None:
        told, against = work.asked.conditions(seeds), work.asked.against(seeds)
        return walked(coder, images, told, against, is_checked=request.is_checked)

    return walk


def _report(
    encoded: Encoded,
    images: Sequence[Input],
    told: Callable[[int, dict[str, Any]], None] | None = None,
) -> None:
    """Print how close each image came back, one a line; told: as an object of JSON."""
    if encoded.decibels is None or encoded.largest is None:
        return
    numbers = zip(images, encoded.decibels, encoded.largest, strict=True)
    for row, (image, decibels, largest) in enumerate(numbers):
        name, scale = image.name, image.scale
        if told is not None:
            finite = decibels if math.isfinite(decibels) else None
            told(row, {"input": name, "psnr": finite, "largest": largest})
            continue
        differ = "all pixels equal" if not largest else f"pixels differ by up to {largest}"
        if 255 * 10 ** (-decibels / 20) > largest * (255 / (scale.high - scale.low)) + 1:
            differ += " once what is beyond black and white is cut off"
        differ += f" in {scale}" if largest and scale != BYTES else ""
        console.line(f"{name}  {decibels:.1f} dB, {differ}")


def _row(work: Work, took: Sequence[Spent], row: int, values: dict[str, Any]) -> None:
    """Print of an image, whose latent is in the file of all, how close it came back."""
    own = {**values, "path": None, "seed": None, **work.asked.named}
    work.lines.row(own, took[row])


def save(request: Encode, work: Work, z: Tensor, names: list[str], more: Record) -> None:
    """Write the latents, with what `ddpm info` and `ddpm sample --from` need to know."""
    (place, header, config), use = work.opened, request.use
    compute = hardware.compute(**config["compute"])
    how: dict[str, Any] = {"label": work.asked.label, "arguments": use.words}
    record = provenance.record("encode", place.name, header, config, compute, use.size, **how)
    sigma = walks.prepared(config, work.schedule).levels[0] if work.sigma is None else work.sigma
    # The two number formats disagree by some 6 dB, so decoding takes the same one.
    settings = header.config["compute"] | {key: record[key] for key in ("dtype", "rng")}
    header = header._replace(config=config | {"compute": settings})
    record |= {**work.asked.record, **more}
    request.output.parent.mkdir(parents=True, exist_ok=True)
    latents_file.save(
        latents_file.Latents(request.output, z, sigma, names, record, work.sigma is None, header)
    )
