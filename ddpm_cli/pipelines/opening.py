"""What all verbs do before their work: find the model, read its header, settle the settings.

Nothing here needs torch: wrong settings are refused before it is there.
"""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from ddpm_cli import console
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files.checkpoints import find, guide_models, level_fits
from ddpm_cli.files.checkpoints.find import Place
from ddpm_cli.files.checkpoints.header import Header, read_header
from ddpm_cli.settings import checks, guides, passes
from ddpm_cli.settings.checks import CLASSIFIER, CLIP, PAIRS, classes
from ddpm_cli.settings.config import RESTORING, SAMPLING, Config, Layer, resolve
from ddpm_cli.settings.request_parts import Guiding, Use
from ddpm_cli.settings.requests import Translate
from ddpm_cli.settings.toml import dump_toml, read_file

INPAINT, UPSCALE = "inpaint", "upscale"  # what models are trained for
GUIDED = "ddpm guide, sample, inpaint, upscale and interpolate"

Known = tuple[Place, Header]
Suited = Callable[[Header, str], None]


class Opened(NamedTuple):
    """A model that was found, by its header alone, and the settings that it is used with."""

    place: Place
    header: Header
    config: Config


def own_settings(folder: Path) -> Layer | None:
    """The settings of the run in a folder, of its newest readable file; None if it holds none."""
    for name in ("state", "state.previous", "model"):
        path = find.model_in(folder) if name == "model" else folder / f"{name}.safetensors"
        with contextlib.suppress(Refusal, OSError):
            return Layer(str(path), read_header(path).config)
    path = folder / "config.toml"  # of a run that was not saved yet
    return Layer(str(path), read_file(path)) if path.is_file() else None


def own_randomness(folder: Path) -> list[Layer]:
    """What makes the noise of the run in a folder, if it names it: a run goes on with its own."""
    own = own_settings(folder)
    made = own.values.get("compute", {}).get("rng") if own is not None else None
    return [Layer(own.source, {"compute": {"rng": made}})] if own is not None and made else []


def refuse_classifier(header: Header, name: str) -> None:
    """Refuse to draw with a model that only tells classes, or texts, apart."""
    if header.task == CLASSIFIER:
        what = f"{name}: a classifier, which draws nothing"
        raise Refusal(
            what, f"it guides a model that draws: ddpm guide --classifier {name} --class 0"
        )
    if header.task == CLIP:
        what = f"{name}: a CLIP, which draws nothing"
        fix = f"it guides a model that draws: ddpm guide --clip 'a text' --clip-model {name}"
        raise Refusal(what, fix)


def refuse_conditional(header: Header, name: str) -> None:
    """Refuse to sample from a model that needs to be given an image, or that draws none."""
    refuse_classifier(header, name)
    if header.task:
        what = f"{name}: a model for {header.task}, which is given an image"
        if header.task == PAIRS:
            filters = header.config["task"]["filter"]
            which = f" --task {filters[0]}" if len(filters) > 1 else ""
            raise Refusal(what, f"ddpm sample --image IMAGE.png{which} -m {name}")
        mask = " --mask left,top,right,bottom" * (header.task == INPAINT)
        raise Refusal(what, f"ddpm {header.task} IMAGE.png{mask} -m {name}")


def chosen(
    model: str | None,
    task: str = "",
    suited: Suited = refuse_conditional,
    known: Known | None = None,
    special: str = "",
) -> Known:
    """The model that -m names, or the usual one for a task, which is said; see `find`."""
    if known is None:
        place = find.find(model, task, special)
        if model is None:
            console.say(f"model: {place.name}")
        known = place, read_header(place.path)
    place, header = known
    suited(header, place.name)
    return place, header


def for_likelihood(model: str | None) -> Known:
    """The model whose likelihood is measured; the usual one is trained by the bound itself."""
    return chosen(model, special="likelihood")


def opened(use: Use, *below: Layer, free: Sequence[str] = ()) -> Opened:
    """The unconditional model of a request with its settings; see `settled`."""
    place, header = chosen(use.model)
    return Opened(place, header, settled(place, header, use.layers, below, free=free))


def settled(
    place: Place,
    header: Header,
    layers: Sequence[Layer],
    below: Sequence[Layer] = (),
    *,
    asked: Guiding | None = None,
    label: str | None = None,
    free: Sequence[str] = (),
) -> Config:
    """A model's configuration with other ways to walk; what it was trained as is fixed.

    layers: the settings asked for; below: layers of the verb itself, between the checkpoint and
    all that is asked for; asked: what options say of guides, of a verb that has them, and label
    what --class does; free: tables that the verb alone has a use for.
    """
    stack = [header.layer(str(place.path)), *below, *layers]
    if asked is not None:
        stack.append(guides.layer(asked.flags, resolve(stack)))
    config = resolve([*passes.usual(stack[1:]), *stack])
    if config["constraints"] and "constraints" not in free:
        raise ConfigError("constraints: of images with known pixels; see ddpm inpaint")
    if "particles" in config and "particles" not in free:
        raise ConfigError("particles: only of ddpm guide and sample; leave them out")
    if config["guides"] and asked is None:
        raise ConfigError(f"guides: only of {GUIDED}; leave them out")
    passes.check_guidance(config)
    guide_models.check(config, header)
    is_pulled = any(guide["name"] == "restore" for guide in config["guides"])
    if asked is not None:
        _refuse_rows(header, is_pulled or guides.method(asked.flags) is not None)
        guides.check(config, label, asked)
    tables = (*SAMPLING, *free, *(("operator",) if is_pulled else ()), "compute", "summary")
    checks.refuse_other_training(dict(header.config), config, tables)
    return level_fits.placed(config, place, header)


def _refuse_rows(header: Header, is_restoring: bool) -> None:
    """Refuse to rows what is known of an image: they have a verb for what is known of them."""
    if is_restoring and not header.data.is_image:
        fix = "of rows ddpm inpaint draws what is not known: empty cells, NaN, or --mask"
        raise ConfigError(f"--restore: of images, and this model makes rows; {fix}")


def shown(config: Config) -> None:
    """Print a whole configuration, as --dry-run does."""
    console.result(dump_toml(config).rstrip("\n"))


def measured(use: Use) -> Opened:
    """The model of a request that is measured on data, not walked with: how to walk is idle."""
    place, header = chosen(use.model)
    checks.refuse_no_mean(header.config, "moments")
    config = resolve([header.layer(str(place.path)), *use.layers])
    tables = ("data", "compute", *SAMPLING, "summary")
    checks.refuse_other_training(dict(header.config), config, tables)
    return Opened(place, header, config)


def guiding(use: Use, asked: Guiding, known: Known | None = None) -> Opened:
    """The model of a request with its guides; without any, classifier-free guidance is on.

    asked: what the options of `ddpm guide` say; known: the model, if it was found before.
    """
    flags = asked.flags
    place, header = chosen(base(use).model, known=known)
    below, name = guides.restoring(flags), guides.method(flags)
    standing = resolve([header.layer(str(place.path)), *below, *use.layers])
    is_plain = not (guides.layer(flags, standing).values or name or "particles" in standing)
    if is_plain and not standing["guides"] and "guidance" not in standing:
        below.append(Layer("ddpm guide", {"guidance": {"scale": guides.SCALE}}))
    own = () if name is None else ("method",) if flags["restore"] == guides.MASK else RESTORING
    free, label = ["particles", *own], use.label
    config = settled(place, header, use.layers, below, asked=asked, label=label, free=free)
    guides.check_method(flags, config, header.config)
    return Opened(place, header, config)


def drawing(use: Use, asked: Guiding, *below: Layer) -> Opened:
    """The model of a request that draws, with its guides if it has any."""
    place, header = chosen(base(use).model)
    free, label = ["particles"], use.label
    config = settled(place, header, use.layers, below, asked=asked, label=label, free=free)
    return Opened(place, header, config)


def translating(request: Translate, known: Known | None = None) -> Opened:
    """The model and settings of `ddpm sample --image`; others than of task pairs are refused.

    known: the model, if it was found before.
    """

    def suited(header: Header, name: str) -> None:
        refuse_classifier(header, name)
        if header.task in (INPAINT, UPSCALE):
            refuse_conditional(header, name)
        if header.task != PAIRS:
            what = f"--image: {name} is no model of images that are given to it"
            fix = "leave it out, or train one: ddpm train --preset mnist-deblur"
            raise ConfigError(f"{what}; {fix}")

    use = request.use
    if parts(use.model)[1]:
        fix = "ddpm upscale enlarges what it makes"
        raise ConfigError(f"-m {use.model}: --image takes one model; {fix}")
    place, header = chosen(use.model, PAIRS, suited, known)
    return Opened(place, header, settled(place, header, use.layers))


def parts(model: str | None) -> tuple[str | None, list[str]]:
    """The first model that -m names, and those that follow behind commas."""
    if model is None or "," not in model or Path(model).exists():
        return model, []
    first, *later = model.split(",")
    if not all((first, *later)):
        raise ConfigError(f"-m {model}: a name is empty; write -m base,large")
    return first, later


def class_names(model: str | None) -> list[str]:
    """The names of the classes of the model that -m names, or of the usual one; none of none."""
    try:
        header = read_header(find.find(parts(model)[0]).path)
    except (Refusal, ConfigError, OSError):
        return []
    return list(header.data.classes or map(str, range(classes(header.config))))


def value_names(model: str | None) -> list[str]:
    """The names of the numbers that the model of -m is told; none of none."""
    try:
        told = read_header(find.find(parts(model)[0]).path).data.values
    except (Refusal, ConfigError, OSError):
        return []
    return list(told.names) if told else []


def base(use: Use) -> Use:
    """What is asked of the first model of a cascade."""
    return replace(use, model=parts(use.model)[0])
