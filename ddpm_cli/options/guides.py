"""What the flags of `ddpm guide` ask for, as tables of a configuration."""

from typing import Any

from ddpm_cli.errors import ConfigError
from ddpm_cli.settings.config import Config, Layer

SCALE = 1.5  # of classifier-free guidance
MASK = "mask"
# Flags that say more of another one, by their parameters; and flags of another name than theirs.
OWNERS = {
    "grad_at": ("classifier",),
    "clip_model": ("prompts", "likes"),
    "cutouts": ("prompts", "likes"),
    "download": ("clip_model",),
    "image": ("restore",),
    "mask": ("restore",),
    "fit": ("restore",),
}
FLAGS = {
    "grad_at": "grad-at",
    "clip_model": "clip-model",
    "prompts": "clip",
    "likes": "clip-image",
}


def layer(asked: dict[str, Any], standing: Config) -> Layer:
    """What the flags say of guidance and guides.

    standing: the configuration without them; guides that it names come from --set or a file.
    """
    made, guidance = guides(asked), _two_passes(asked)
    if made and standing["guides"]:
        names = ", ".join(one["name"] for one in standing["guides"])
        raise ConfigError(f"guides: {names} by a setting, others by flags; give all in one place")
    scale, is_one = asked["scale"], len(made) == 1
    if asked["omega"] is not None:
        if scale is not None or made:
            said = "--scale says already how strongly" if scale is not None else "of two passes"
            raise ConfigError(f"--omega: {said}; leave it out")
        scale = asked["omega"] + 1
    if scale is not None and not is_one and (made or standing["guides"]):
        fix = "give each its own in --set 'guides=[...]'"
        raise ConfigError(f"--scale: of a single guide, or of classifier-free guidance; {fix}")
    if scale is not None:
        (made[0] if made else guidance)["scale"] = scale
    elif guidance and not made and not standing["guides"] and not standing.get("guidance"):
        guidance = {"scale": SCALE, **guidance}
    given = {"guides": made, "guidance": guidance}
    return Layer("the command line", {key: value for key, value in given.items() if value})


def _two_passes(asked: dict[str, Any]) -> dict[str, Any]:
    """The settings of classifier-free guidance but for its scale."""
    found = {"rescale": asked["rescale"]} if asked["rescale"] is not None else {}
    if asked["interval"] is not None:
        found |= dict(zip(("low", "high"), interval(asked["interval"]), strict=True))
    return found


def guides(asked: dict[str, Any]) -> list[dict[str, Any]]:
    """The guides that flags ask for; flags that would do nothing without another are refused."""
    for flag, owners in OWNERS.items():
        if asked[flag] and not any(asked[owner] for owner in owners):
            names = " or ".join(f"--{FLAGS.get(owner, owner)}" for owner in owners)
            raise ConfigError(f"--{FLAGS.get(flag, flag)}: only with {names}")
    made: list[dict[str, Any]] = []
    if asked["classifier"] is not None:
        at = {"at": asked["grad_at"]} if asked["grad_at"] else {}
        made.append({"name": "classifier", "model": asked["classifier"], **at})
    if asked["prompts"] or asked["likes"]:
        if not asked["clip_model"]:
            raise ConfigError("--clip: of which model? Give --clip-model FOLDER")
        wanted = {"prompts": list(asked["prompts"]), "images": list(asked["likes"])}
        cutouts = {"cutouts": asked["cutouts"]} if asked["cutouts"] else {}
        made.append({"name": "clip", "model": asked["clip_model"], **wanted, **cutouts})
    if asked["scorer"] is not None:
        made.append({"name": "scorer", "program": asked["scorer"]})
    if asked["restore"] is not None:
        made.append(_restore(asked))
    return made


def _restore(asked: dict[str, Any]) -> dict[str, Any]:
    """The guide of --restore, which needs an image, and to fill holes a mask."""
    if not asked["image"]:
        raise ConfigError("--restore: of which image? Give --image FILE")
    if (asked["restore"] == MASK) != (asked["mask"] is not None):
        raise ConfigError("--mask: --restore mask needs it, and nothing else does")
    mask = {"mask": asked["mask"]} if asked["mask"] else {}
    fit = {"fit": asked["fit"]} if asked["fit"] else {}
    return {"name": "restore", "image": asked["image"], **mask, **fit}


def interval(text: str) -> tuple[float, float]:
    """The noise levels LOW,HIGH between which there is guidance."""
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        low, high = 1.0, 0.0
    if not 0 <= low < high < float("inf"):
        raise ConfigError(f"--interval {text!r}: write two noise levels LOW,HIGH, as 0.2,5")
    return low, high


def check(config: Config, label: str | None, *, unconditional: bool) -> None:
    """Refuse what would do nothing, and what cannot be done."""
    judged = [one for one in config["guides"] if one["name"] == "classifier"]
    if unconditional and not judged:
        raise ConfigError("--unconditional: only with a classifier, which is told the class alone")
    if judged and label == "none":
        raise ConfigError("--class none: a classifier knows no such class; name another")
    if any(one["at"] == "mean" for one in judged):
        sampler = config["sampler"]["name"]
        if sampler != "ddpm" or config.get("corrector"):
            what = f"sampler {sampler} has" if sampler != "ddpm" else "correctors have"
            raise ConfigError(f"--grad-at mean: {what} no mean; use --sampler ddpm alone")


def described(config: Config) -> str:
    """What steers a walk, in words."""
    names = [one["name"] for one in config["guides"]]
    scale = config.get("guidance", {}).get("scale", 1.0)
    said = f"; guidance scale {scale:g} (omega {scale - 1:g})" if scale != 1 else ""
    return said + (f"; steered by {', '.join(names)}" if names else "")
