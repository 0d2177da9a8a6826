"""Where `ddpm sample` starts if not at pure noise: at latents of a file, or at a noised image."""

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from ddpm_cli import console
from ddpm_cli.diffusion import latents
from ddpm_cli.diffusion.rng import Randomness
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files.checkpoints import find
from ddpm_cli.files.checkpoints import latents as latents_file
from ddpm_cli.files.checkpoints.find import Place
from ddpm_cli.files.checkpoints.header import Header
from ddpm_cli.files.checkpoints.latents import Latents
from ddpm_cli.files.images import inputs, scales
from ddpm_cli.files.images.decoding import Ranges
from ddpm_cli.models import walks
from ddpm_cli.models.walks import Start
from ddpm_cli.pipelines import inversion, opening
from ddpm_cli.pipelines.opening import Opened
from ddpm_cli.settings import asking, passes
from ddpm_cli.settings.config import Config
from ddpm_cli.settings.request_parts import Seeds, Use
from ddpm_cli.settings.requests import Sample


def opened(request: Sample, stored: Latents | None) -> Opened:
    """The model of a request and its settings: that of its latents, and theirs, if it has any."""
    use = opening.base(request.use)
    if stored is None:
        return opening.drawing(use, request.guiding)
    place = model(use, stored)
    if request.use.model is None:
        console.say(f"model: {place.name}")
    return opening.drawing(replace(use, model=place.name), request.guiding, *stored.settings)


def of(
    request: Sample, stored: Latents | None, schedule: Schedule, opened: Opened
) -> tuple[Start | None, Use]:
    """Where the walks of a request begin, and what it says of them."""
    if stored is not None:
        use = told(request.use, stored, opened.config)
        return decoding(stored, schedule, opened.header), use
    if request.init is not None:
        randomness = Randomness(opened.config["compute"]["rng"])
        return noised(request, schedule, opened.header, randomness), request.use
    return None, request.use


def model(use: Use, stored: Latents) -> Place:
    """The model that made the latents; another one must be asked for."""
    # A standing choice of the environment is about other work.
    name = None if use.is_standing else use.model
    named = find.find(name or stored.record["model"])
    if latents_file.is_of(stored, named.path):
        return named
    what = f"{stored.path}: latents of another model than {named.name}, or of an earlier one"
    if name is None:
        raise Refusal(what, "give -m MODEL to decode them all the same")
    console.warn(what)
    return named


def told(use: Use, stored: Latents, config: Config) -> Use:
    """A request that tells what was told when the latents were made, unless it says otherwise."""
    record = stored.record
    text = record.get("text") if "text" in config else None
    values = record.get("values") if "values" in config else None
    negative = record.get("negative") if passes.is_classifier_free(config) else None
    return replace(
        use,
        label=use.label or record["class"],
        values=use.values or asking.words(values or {}),
        texts=use.texts or ([] if text is None else [text]),
        negative=use.negative if use.negative is not None else negative,
    )


def numbers(seeds: Seeds, stored: Latents) -> Sequence[int]:
    """Which latents to decode: all, or those whose numbers are given as seeds."""
    count = len(stored.names)
    if not seeds.is_chosen:
        return range(count)
    listed = seeds.numbers()
    if wrong := [number for number in listed if number >= count]:
        raise ConfigError(f"--seeds {wrong[0]}: {stored.path} has latents 0 to {count - 1}")
    return listed


def decoding(stored: Latents, schedule: Schedule, header: Header) -> Start:
    """The states of latents; the seed of an image is the number of its latent."""
    if stored.header.data.shape != header.data.shape:
        theirs, ours = stored.header.data.shape, header.data.shape
        raise Refusal(f"{stored.path}: latents of shape {theirs}, but the model makes {ours}")
    sigma, z = stored.sigma, stored.z.double()
    scale = scales.of(stored.record.get("range"))
    return Start(sigma, lambda seeds: latents.state(schedule, z[list(seeds)], sigma), scale)


def noised(request: Sample, schedule: Schedule, header: Header, randomness: Randomness) -> Start:
    """An image with the noise of x_t, of each seed its own (SDEdit; Meng 2022, section 3)."""
    init, look, info = request.init or "", request.look, header.data
    sigma = walks.level(request.at or "", schedule)
    source, *others = inputs.sources([init])
    if others:
        raise ConfigError(f"--init {init}: {1 + len(others)} images are in it; name one")
    ranges = Ranges.of(request.use.range, info.range)
    image = inputs.read(source, info.shape, look.fit, look.background, ranges, comes_back=True)
    x0 = image.values.double()

    def states(seeds: Sequence[int]) -> Tensor:
        repeated = x0.expand(len(seeds), *x0.shape)
        return latents.noised(repeated, sigma, inversion.noise(seeds, randomness))

    return Start(sigma, states, image.scale, is_noised=True)
