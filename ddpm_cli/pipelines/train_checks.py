"""What cannot be trained: settings that do not go with the data, or with each other."""

from itertools import pairwise
from pathlib import Path
from typing import Any

from ddpm_cli.data import no_classes
from ddpm_cli.data.array_set import ArraySet
from ddpm_cli.data.image_set import Data
from ddpm_cli.errors import ConfigError
from ddpm_cli.files import captions
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.files.images import scales
from ddpm_cli.files.images.scales import Scale
from ddpm_cli.models import build
from ddpm_cli.models.classes import ALL, NULL, OWN
from ddpm_cli.networks.parts.stages import sides
from ddpm_cli.pipelines import shown
from ddpm_cli.pipelines.adversaries import refuse_unplayable
from ddpm_cli.settings import catalog, checks, layouts, passes
from ddpm_cli.settings.checks import CLASSIFIER, CONDITIONS, JUDGES, PAIRS, purpose
from ddpm_cli.settings.config import SAMPLING, Config
from ddpm_cli.training.distributed import Group
from ddpm_cli.training.objective import asked


def refuse_unsuited(config: Config, data: Data) -> None:
    """Refuse what suits images alone, or not even these: to flip, to crop, to clamp too much.

    Normalized values must not be clamped below what they reach.
    """
    crop, side = config["train"]["crop"], min(data.shape[1:], default=0)
    _refuse_bits(config, data)
    labels = layouts.of_run(config["train"]).labels
    known = {**sheet_record(config, 0), "seed": 0, **shown.sayable(config, data)}
    captions.refuse_unknown([known], labels, "train.sheet_labels")
    if config["train"]["resident"] == "on" and not data.in_memory:
        fix = "raise data.memory, or --set train.resident=auto"
        raise ConfigError(f"train.resident: the images are decoded on demand; {fix}")
    _refuse_gaps(config, data)
    if data.mean is None:
        if crop >= side:
            what = f"{crop} pixels more at each edge of {side}"
            raise ConfigError(f"train.crop: {what}; give at most {side - 1}")
        return
    if config["train"]["flip"]:
        raise ConfigError("train.flip: only images can be flipped; --set train.flip=false")
    if crop:
        raise ConfigError("train.crop: only images can be cropped; --set train.crop=0")
    for wrapper in config["wrappers"]:
        if wrapper["name"] == "clamp" and wrapper["limit"] < data.reach:
            raise ConfigError(
                f"wrappers: clamp would cut samples at {wrapper['limit']:g} deviations, but the "
                f"data reach {data.reach:.3g}; --set wrappers=[]"
            )


def refuse_unshared(config: Config) -> None:
    """Refuse what needs whole weights in each process, and to record what cannot be."""
    for key in ("shard", "recompute"):
        if config["train"][key] and config["compute"]["graph"] == "on":
            raise ConfigError(f"train.{key}: cannot be recorded; --set compute.graph=auto")
    if not config["train"]["shard"]:
        return
    if config["train"]["optimizer"] == "muon":
        what = "muon makes whole matrices orthogonal, which no process has"
        raise ConfigError(f"train.shard: {what}; --set train.optimizer=adamw")
    if config["compute"]["compile"]:
        fix = "--set compute.compile=false"
        raise ConfigError(f"train.shard: blocks that are gathered are not compiled; {fix}")


def refuse_other_data(folder: Path, old: DataInfo, new: DataInfo) -> None:
    """Refuse to go on with data of another shape or other classes."""
    if (old.shape, old.classes) != (new.shape, new.classes):
        fix = "give its own data with --set data.path=FOLDER, or another -o"
        raise ConfigError(f"data: {folder} was trained on {_kind(old)}, not {_kind(new)}; {fix}")


def _kind(info: DataInfo) -> str:
    """Shape and number of classes of data, in words."""
    classes = f" in {len(info.classes)} classes" if info.classes else ""
    return f"{info.noun} {'x'.join(map(str, info.shape))}{classes}"


def sheet_record(config: Config, step: int) -> dict[str, Any]:
    """What is known of all images of a run's sheet."""
    settings = {table: config[table] for table in SAMPLING if table in config}
    return {"step": step, "settings": settings}


def _refuse_bits(config: Config, data: Data) -> None:
    """Refuse a bound over other levels than those of the images."""
    asked = config["loss"].get("bits")
    if asked is None or data.range is None:
        return
    bits = Scale(*data.range).bits
    if bits != asked:
        fix = f"--set loss.bits={bits:g}"
        if bits != round(bits):
            fix = f"choose a data.range of 2^n values, as {scales.fitting(*data.range)}"
        what = f"loss.bits: {asked} asked for, but data.range has {2**bits:.0f} levels"
        raise ConfigError(f"{what}; {fix}")


def refuse_untrainable(config: Config, info: DataInfo, place: Group) -> None:
    """Refuse what cannot be trained: another number of classes, a batch that does not divide."""
    _refuse_classifier(config, info)
    _refuse_uncertainty(config)
    _refuse_averages(config)
    _refuse_beside(config, info)
    _refuse_unasked(config)
    refuse_unplayable(config)
    count, have = checks.classes(config), len(info.classes or ())
    if count and not have and (hints := no_classes.ways(config["data"])):
        what = f"network.classes: {count} asked for, but the data have no classes"
        raise ConfigError(f"{what}; train without: --set network.classes=0", hints=hints)
    if count and count != have:
        raise ConfigError(
            f"network.classes: {count} asked for, but the data has {have}; "
            f"--set network.classes={have}"
        )
    if count and config["train"]["drop_class"] == 1:
        raise ConfigError(
            "train.drop_class: 1 never shows a class; give less, or --set network.classes=0"
        )
    if config["network"].get("dropout") == 1:
        raise ConfigError("network.dropout: 1 leaves nothing of the network; give less")
    if config["sampler"].get("variance") == "optimal":
        raise ConfigError(
            "sampler.variance: optimal needs moments, which only a finished model has; "
            "choose it when sampling"
        )
    if config["levels"]["name"] == "fitted":
        why = "fitted ones belong to a finished model"
        raise ConfigError(f"levels.name: {why}; choose them when sampling")
    if "particles" in config:
        raise ConfigError("particles: only of ddpm guide and sample; leave them out")
    if config["guides"]:
        raise ConfigError("guides: only of verbs that draw; leave them out")
    passes.refuse_unfinished(config)
    passes.check_guidance(config)
    if taken := {NULL, ALL, OWN} & set(info.classes or ()):
        what = f"data: a class named {min(taken)!r}, which --class gives another meaning"
        raise ConfigError(f"{what}; rename it")
    if config["train"]["batch"] % place.ranks:
        raise ConfigError(
            f"train.batch: {config['train']['batch']} images do not divide among "
            f"{place.ranks} processes; give a multiple"
        )
    images, parts = config["train"]["batch"] // place.ranks, config["train"]["accumulate"]
    if images % parts:
        what = f"{parts} parts of {images} images are not equal"
        raise ConfigError(f"train.accumulate: {what}; give a number that divides them")


def _refuse_beside(config: Config, info: DataInfo) -> None:
    """Refuse images beside those of the data that nothing would look at."""
    task = config.get("task", {})
    if info.beside and (task.get("name") != PAIRS or task["filter"]):
        fix = "leave it out, or --set 'task={name=\"pairs\"}'"
        raise ConfigError(f"data.beside: of use with task pairs without a filter alone; {fix}")


def _refuse_unasked(config: Config) -> None:
    """Refuse a teacher whom the loss does not ask."""
    name = config["loss"]["name"]
    if "teacher" in config and "teacher" not in asked(build.loss(config)):
        what = f"loss {name} asks for none"
        raise ConfigError(f"teacher: {what}; --set loss.name=progressive, or leave it out")
    if "strength" in config and "teacher" not in config:
        fix = "name one: --set teacher.model=RUN --set loss.name=progressive"
        raise ConfigError(f"strength: a student learns it of a teacher; {fix}")


def _errors() -> list[str]:
    """The losses that are squared errors with a weight."""
    kinds = {name: catalog.find("loss", name).module for name in catalog.names("loss")}
    return [name for name in kinds if kinds[name] == kinds["simple"]]


def _refuse_gaps(config: Config, data: Data) -> None:
    """Refuse missing cells of a table under a loss that cannot leave them out."""
    name, errors = config["loss"]["name"], _errors()
    if name not in errors and isinstance(data, ArraySet) and data.has_gaps:
        what = f"loss {name} cannot leave missing cells out"
        fix = f"--set data.missing=fill, or loss.name={' or '.join(errors)}"
        raise ConfigError(f"data.missing: {what}; {fix}")


def _refuse_averages(config: Config) -> None:
    """Refuse averages for later that are nearly the same, so that nothing follows from both."""
    lengths = sorted(config["train"]["averages"])
    for one, other in pairwise(lengths):
        if other < 1.02 * one:
            what = f"train.averages: {one:g} and {other:g} are one average"
            raise ConfigError(f"{what}; --set 'train.averages=[0.05, 0.10]' is usual")


def _refuse_uncertainty(config: Config) -> None:
    """Refuse learned weights of losses that are bounds, may be negative or are no errors."""
    if not config["train"]["uncertainty"]:
        return
    errors = _errors()
    if (name := config["loss"]["name"]) not in errors:
        what = f"loss {name} is no squared error with a weight to learn"
        fix = f"choose loss.name={' or '.join(errors)}, or --set train.uncertainty=false"
        raise ConfigError(f"train.uncertainty: {what}; {fix}")


def refuse_idle(config: Config, info: DataInfo) -> None:
    """Refuse attention at resolutions that images or signals never have, and idle ways in.

    The usual list of a network, which nobody chose, may have no use.
    """
    settings = config["network"]
    wanted = settings.get("attention", [])
    usual = catalog.find("network", settings["name"]).knobs
    is_told = any(kind in config for kind in (*CONDITIONS, "latent"))
    if "inject" in settings and settings["inject"] != usual["inject"].default and not is_told:
        fix = "leave it out, or name numbers with data.values"
        raise ConfigError(f"network.inject: nothing is told to be injected; {fix}")
    if not wanted or wanted == usual["attention"].default or len(info.shape) == 1:
        return
    if not all(isinstance(side, int) for side in wanted):  # kinds of attention, as of hdit
        return
    levels = len(settings.get("multipliers", settings.get("widths")))
    have = sides(info.shape[1], settings.get("patch", 1), levels)
    if idle := [side for side in wanted if side not in have]:
        fix = f"choose among {', '.join(map(str, have))}"
        whole = f"{info.shape[1]} {'pixels a side' if len(info.shape) == 3 else 'values'}"
        raise ConfigError(f"network.attention: no level of {whole} has {idle[0]}; {fix}")


def _refuse_classifier(config: Config, info: DataInfo) -> None:
    """Refuse a classifier or CLIP without its loss or labels, and the loss without its network."""
    use, loss = purpose(config), config["loss"]["name"]
    if use not in JUDGES:
        if own := [network for network, name in JUDGES.items() if name == loss]:
            raise ConfigError(f"loss.{loss}: for a {own[0]} alone; --set network.name={own[0]}")
        return
    problems = _unlabelled(config, info) if use == CLASSIFIER else _untold(config)
    if loss != JUDGES[use]:
        what = f"loss.name: {loss} is for other networks"
        problems.insert(0, f"{what}; a {use} takes --set loss.name={JUDGES[use]}")
    if config["schedule"]["name"] == "learned":
        what = f"schedule.learned: noise cannot be learned from what a {use} sees"
        problems.append(f"{what}, which would end it; --set schedule.name=cosine")
    if problems:
        raise ConfigError(*problems)


def _unlabelled(config: Config, info: DataInfo) -> list[str]:
    """Why a classifier would not learn of all its images."""
    problems = []
    if not info.classes:
        what = f"data.{config['data']['name']}: no labels"
        problems.append(f"{what}, and a classifier learns nothing else; choose labelled data")
    if dropped := config["train"]["drop_class"]:
        what = f"train.drop_class: {dropped:g} of the labels left out"
        problems.append(f"{what}, but a classifier learns them; --set train.drop_class=0")
    return problems


def _untold(config: Config) -> list[str]:
    """Why a CLIP would not learn of all its images, or of less than a batch at a time."""
    problems = []
    if dropped := config.get("text", {}).get("drop"):
        what = f"text.drop: {dropped:g} of the texts left out"
        problems.append(f"{what}, but a clip learns them; --set text.drop=0")
    if (parts := config["train"]["accumulate"]) > 1:
        what = f"train.accumulate: images are compared within each of the {parts} parts alone"
        problems.append(f"{what}; --set train.accumulate=1")
    return problems
