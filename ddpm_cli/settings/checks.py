"""What configurations say together: what a model is for, what differs, what goes with what."""

from collections.abc import Iterator, Sequence
from typing import Any

from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.settings.config import Config, typed

CONDITIONS = ("values", "text", "vector")  # tables of what a network may be told
MOST = 65535  # of a pixel
ADVERSARIAL = "adversarial"  # the loss of a generator
NO_MEANS = {  # losses of models that predict no mean of images, and what these predict
    ADVERSARIAL: "a generator answers with one image of many",
    "consistency": "it answers with the image at the end of one path",
    "progressive": "a student answers with where the steps of its teacher lead",
}
PAIRS = "pairs"  # the task of models that make images of given ones
MOVED = {"text.model"}  # where something lies that a checkpoint knows by its hash
CLASSIFIER, CLIP = "classifier", "clip"  # networks that draw nothing, and what they are made for
JUDGES = {CLASSIFIER: "cross-entropy", CLIP: "contrastive"}  # each with its loss


def purpose(config: Config) -> str:
    """What a model is made for: a task ("inpaint"), a judge's name, or nothing but to draw: ""."""
    name = config.get("network", {}).get("name")
    if name in JUDGES:
        return str(name)
    return str(config.get("task", {}).get("name", ""))


def is_generator(config: Config) -> bool:
    """Whether a model is the generator of a GAN, which draws images and predicts no mean."""
    return bool(config.get("loss", {}).get("name") == ADVERSARIAL)


def refuse_no_mean(config: Config, what: str) -> None:
    """Refuse a model of few steps where the mean of images is asked for.

    what: that would be made of it.
    """
    name = config.get("loss", {}).get("name")
    if why := NO_MEANS.get(name):
        fix = "take a model that is trained by another loss, as -m mnist"
        raise Refusal(f"loss.{name}: no {what}: {why}, not with their mean", fix)


def classes(config: Config) -> int:
    """How many classes the network takes; 0 if it takes none. The null class is not counted."""
    return int(config.get("network", {}).get("classes", 0))


def particles(config: Config) -> int:
    """How many walks there are of each image."""
    return int(config.get("particles", {}).get("count", 1))


def told(config: Config) -> dict[str, float]:
    """What the network is told beside noise levels and images, and how often it was left out."""
    kinds = {"classes": float(config["train"]["drop_class"])} if classes(config) else {}
    return kinds | {kind: float(config[kind]["drop"]) for kind in CONDITIONS if kind in config}


def suited(config: Config) -> str:
    """The settings to draw with that suit what a network predicts, as options of a command.

    mu is what ancestral sampling moves to, one index down: there an error of the network stays as
    it is. x0 = (mu / alpha_s - r x) / (1 - r) divides it by 1 - r, which is small, and a move
    over n indices multiplies it by about n.
    """
    count = _indices(config)
    if config["parameterization"]["name"] != "mu" or not count:
        return "other settings of the sampler"
    levels = f"--set levels.name=trailing --set levels.count={count}"
    return f"--set sampler.name=ancestral {levels}, which suit parameterization mu"


def unsuited(config: Config) -> str:
    """What is to be said of a sampler that multiplies the errors of its network, if anything.

    That do moves of several calls, and levels between the indices that were trained. A generator
    was trained to lead from each level to the next one by the posterior's step alone.
    """
    if is_generator(config):
        return _unplayed(config)
    sampler, levels = config["sampler"]["name"], config["levels"]["name"]
    if sampler == "consistency" and config["loss"]["name"] not in NO_MEANS:
        what = "of models trained to jump to the end of the path"
        return (
            f"sampler.consistency: {what}; this one averages, and draws blurs; try --sampler ddim"
        )
    suits = sampler in ("ddpm", "ddim") and levels not in ("karras", "logsnr")
    if config["parameterization"]["name"] != "mu" or suits or not _indices(config):
        return ""
    what = f"sampler {sampler} on {levels} levels can blow up what a network of means gets wrong"
    return f"parameterization.mu: {what}; try {suited(config)}"


def _unplayed(config: Config) -> str:
    """What is to be said of a walk that the generator of a GAN was not trained for."""
    sampler, levels, count = config["sampler"], config["levels"], large_steps(config)
    name, variance = sampler["name"], sampler.get("variance", "small")
    if (name, variance) != ("ddpm", "small"):
        other = f"sampler {name}" if name != "ddpm" else f"variance {variance}"
        what = f"{other} makes other states than the generator was trained on"
        return f"loss.adversarial: {what}; try --set sampler.name=ddpm"
    if levels["name"] not in ("trailing", "linspace") or levels["count"] != count:
        fix = f"--set levels.name=trailing --set levels.count={count}"
        return f"loss.adversarial: its steps are those between all {count} levels; try {fix}"
    return ""


def large_steps(config: Config) -> int:
    """How many steps the generator of a GAN makes from noise to an image; 0 if it is not said."""
    return int(config["loss"].get("steps") or _indices(config))


def refuse_half(config: Config) -> None:
    """Refuse to train in float16: small gradients would vanish, as nothing scales the loss."""
    if config["compute"]["dtype"] == "float16":
        why = "of weights to sample with; small gradients vanish in it"
        raise ConfigError(f"compute.dtype: float16 is a format {why}; train in bfloat16")


def _indices(config: Config) -> int:
    """How many levels a schedule was trained on; 0 if it is continuous."""
    table = config["schedule"]
    return int(table.get("steps") or len(table.get("values", ())))


def pixel_range(values: Any) -> tuple[int, int] | None:
    """The pixels that data.range says are black and white; None if it is empty."""
    if values is None or values == []:
        return None
    whole = isinstance(values, list) and len(values) == 2
    if not whole or not all(type(v) is int and 0 <= v <= MOST for v in values):
        fix = f"give two integers from 0 to {MOST}, as [0, 4095]"
        raise ConfigError(f"data.range: {values} does not fit; {fix}")
    low, high = values
    if low >= high:
        fix = "give the value of black first, then that of white, which is larger"
        raise ConfigError(f"data.range: [{low}, {high}] is no range; {fix}")
    return low, high


def refuse_other_training(trained: Config, config: Config, free: Sequence[str]) -> None:
    """Refuse settings, but for the tables `free`, that a checkpoint was not trained with."""
    changed = [
        f"{key}: {typed(now)} asked for, but the model was trained with {typed(was)}; leave it out"
        for key, was, now in differences(trained, config)
        if key.split(".")[0] not in free and key not in MOVED
    ]
    if changed:
        raise ConfigError(*changed)


def differences(old: Config, new: Config) -> list[tuple[str, Any, Any]]:
    """List what differs between two configurations as (key path, old value, new value).

    Of tables that name different components the name alone counts.
    """
    return list(_differences("", old, new))


def _differences(path: str, old: Any, new: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(old, dict) and isinstance(new, dict):
        renamed = path and {"name"} <= old.keys() & new.keys() and old["name"] != new["name"]
        for key in ["name"] if renamed else dict.fromkeys([*old, *new]):
            yield from _differences(f"{path}.{key}" if path else key, old.get(key), new.get(key))
    elif old != new:
        yield path, old, new
