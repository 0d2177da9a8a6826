"""What the table `guidance` asks for, and what of it makes no sense with a model."""

from collections.abc import Mapping, Sequence
from typing import Any

from ddpm_cli.errors import ConfigError
from ddpm_cli.settings import catalog
from ddpm_cli.settings.checks import told
from ddpm_cli.settings.config import Config, Layer

SCALE = 1.5  # where a guide is named and no scale is
ANNEALED, DIRECTED = "cads", "cfg-pp"
ALWAYS = (ANNEALED, DIRECTED)  # which do something at a scale of 1, too


def is_guiding(settings: Mapping[str, Any]) -> bool:
    """Whether settings of `guidance` ask for more than the prediction of what is told."""
    return settings.get("scale", 1.0) != 1 or settings.get("name") in ALWAYS


def has_guide(settings: Mapping[str, Any]) -> bool:
    """Whether they go away from another model than the one with a null: one with less in it."""
    return bool(settings.get("model") or settings.get("dropout"))


def draws(settings: Mapping[str, Any]) -> bool:
    """Whether they draw numbers of their own for each image, by its seed."""
    return is_guiding(settings) and bool(
        settings.get("dropout") or settings.get("name") == ANNEALED
    )


def two_passes(config: Config) -> dict[str, Any]:
    """The settings of guidance by a second pass: none of a model that is told how strong it is."""
    settings: dict[str, Any] = {} if "strength" in config else config.get("guidance", {})
    return settings


def is_classifier_free(config: Config) -> bool:
    """Whether a model is guided away from its own prediction without what it is told."""
    settings = two_passes(config)
    return is_guiding(settings) and not has_guide(settings)


def is_idle_untold(config: Config) -> bool:
    """Whether guidance does nothing, or nothing that makes sense, where no condition is told."""
    settings = two_passes(config)
    is_annealed = is_guiding(settings) and settings.get("name") == ANNEALED
    return is_annealed or is_classifier_free(config)


def idle_untold(config: Config) -> tuple[str, str]:
    """Which guidance that is, in words, and the options that leave it out."""
    settings = two_passes(config)
    name, is_beside = settings.get("name", "cfg"), has_guide(settings)
    is_annealed = name == ANNEALED and (is_beside or settings["scale"] == 1)
    what = f"guidance.name={ANNEALED} anneals" if is_annealed else "guidance.scale pulls towards"
    idle = {
        "guidance.name=cfg": name in ALWAYS or (name != "cfg" and not is_beside),
        "guidance.scale=1": settings["scale"] != 1 and not is_beside,
    }
    return what, " ".join(f"--set {key}" for key, is_given in idle.items() if is_given)


def own(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a guider alone, without those that all have."""
    shared = {"name", *catalog.shared("guidance")}
    return {key: value for key, value in settings.items() if key not in shared}


def usual(layers: Sequence[Layer]) -> list[Layer]:
    """The scale where layers name a guide, to lie below them."""
    tables = [layer.values.get("guidance") for layer in layers]
    named = any(isinstance(table, Mapping) and has_guide(table) for table in tables)
    return [Layer("--guide-with", {"guidance": {"scale": SCALE}})] if named else []


def check_guidance(config: Config) -> None:
    """Refuse guidance away from the null class of a model that has none, and idle settings."""
    settings = config.get("guidance", {})
    if not is_guiding(settings):
        idle = [key for key in ("model", "dropout", "low", "high", "rescale") if settings.get(key)]
        idle += ["name"] if settings.get("name", "cfg") != "cfg" else []
        if idle:
            fix = "set guidance.scale, too"
            raise ConfigError(f"guidance.{idle[0]}: of no use where guidance.scale is 1; {fix}")
        return
    if "strength" in config:
        _check_strength(config)
        return
    _check_guider(config, settings)
    if has_guide(settings):
        return
    drops = told(config)
    if not drops:
        fix = "guide it by a classifier: ddpm guide --classifier FILE --class NAME; or by a worse "
        fix += "model: --guide-with MODEL"
        what = "this model was trained without classes, values and texts"
        raise ConfigError(f"guidance.scale: {what}; {fix}")
    if any(drops.values()) or (settings["scale"] == 1 and settings["name"] == ANNEALED):
        return
    kind, *_ = drops
    saw, key, null = {
        "classes": ("always saw the class", "train.drop_class", "null class"),
        "values": ("was always told its values", "values.drop", "prediction without them"),
        "text": ("was always told a text", "text.drop", "prediction without one"),
    }[kind]
    raise ConfigError(
        f"guidance.scale: this model {saw} ({key}=0), so it has no {null} to be guided away from; "
        f"train one with {key}=0.1"
    )


def refuse_drawing(config: Config, what: str) -> None:
    """Refuse guidance that draws numbers for each image where there are no seeds of images."""
    settings = two_passes(config)
    if draws(settings):
        key = "dropout" if settings["dropout"] else "name"
        why = f"draws numbers by an image's seed, {what}"
        raise ConfigError(f"guidance.{key}: {why}; leave it out")


def refuse_stepwise(config: Config, what: str) -> None:
    """Refuse guidance that is no function of a state and its level, but of the steps there."""
    settings = two_passes(config)
    if not is_guiding(settings):
        return
    name = settings["name"]
    if name == DIRECTED:
        raise ConfigError(f"guidance.name: {name} changes steps, {what}; take another")
    for key in ("momentum", "zero_moves"):
        if settings.get(key):
            raise ConfigError(f"guidance.{key}: depends on the steps, {what}; set it to 0")


def refuse_unfinished(config: Config) -> None:
    """Refuse to train with guidance that asks a finished model."""
    settings = config.get("guidance", {})
    key = next((key for key in ("model", "dropout") if settings.get(key)), None)
    if key is None and settings.get("name") == ANNEALED:
        key = "name"
    if key is not None:
        raise ConfigError(f"guidance.{key}: of a finished model; choose it when sampling")


def _check_guider(config: Config, settings: Mapping[str, Any]) -> None:
    """Refuse settings of a guider that do not go together."""
    name = settings["name"]
    if name == DIRECTED:
        if has_guide(settings):
            what = f"{name} leaves in the direction of the null class"
            raise ConfigError(f"guidance.model, guidance.dropout: {what}; leave it out")
        if settings["scale"] > 1:
            what = f"{name} goes from the null class to what is told"
            raise ConfigError(f"guidance.scale: {what}; give 0 to 1, or another name")
    if name == ANNEALED:
        if not settings["tau1"] < settings["tau2"]:
            raise ConfigError("guidance.tau1: must be less than guidance.tau2; as 0.6 and 0.9")
        if not told(config):
            what = "this model was trained without classes, values and texts"
            raise ConfigError(f"guidance.name: {name} anneals what is told, and {what}")
        if config["sampler"].get("variance") == "optimal":
            fix = "take another variance"
            raise ConfigError(f"guidance.name: {name} has no moments to draw with; {fix}")


def _check_strength(config: Config) -> None:
    """Refuse guidance that a network which is told its strength has not learned."""
    settings, known = config["guidance"], config["strength"]
    low, high = known["low"], known["high"]
    if not low <= settings["scale"] <= high:
        what = f"this model learned strengths from {low:g} to {high:g}"
        raise ConfigError(f"guidance.scale: {what}; give one of these, or 1 for none")
    idle = [key for key in ("model", "dropout", "low", "high", "rescale") if settings.get(key)]
    idle += ["name"] if settings["name"] != "cfg" else []
    if idle:
        what = "this model is told one strength, and guided by no second pass"
        raise ConfigError(f"guidance.{idle[0]}: {what}; leave it out")
