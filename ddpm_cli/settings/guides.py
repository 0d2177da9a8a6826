"""What the options of guides ask for, as tables of a configuration."""

from collections.abc import Mapping, Sequence
from typing import Any

from ddpm_cli.errors import ConfigError
from ddpm_cli.settings import catalog, code_names, methods, protocols
from ddpm_cli.settings.code_names import CODE
from ddpm_cli.settings.config import Config, Layer
from ddpm_cli.settings.request_parts import Guiding

OWN = "own"  # the operator that is code of the user's
SCALE = 1.5  # of classifier-free guidance
MASK = "mask"
PULLS = ("upscale", "colorize", "deblur")  # what leaves an image, by a map with a gradient
# The parameters of the options that verbs share, and of those that `ddpm guide` alone has.
NAMES = (
    "guides", "scale", "classifier", "grad_at", "unconditional", "prompts", "likes", "clip_model",
    "cutouts", "overviews", "download", "scorer", "trust",
)  # fmt: skip
OF_DRAWING = ("reward",)  # of the verbs that draw from noise
ALL = (*NAMES, *OF_DRAWING, "particles")
OF_GUIDE = (
    "omega", "interval", "rescale", "restore", "method", "noise", "image", "mask", "mask_keeps",
    "fit", "init", "background", "checks",
)  # fmt: skip
MEASURED = ("restore", "method", "noise", "image", "mask", "mask_keeps", "fit")  # of a method
# Flags that say more of another one, by their parameters; and flags of another name than theirs.
OWNERS = {
    "grad_at": ("classifier",),
    "clip_model": ("prompts", "likes"),
    "cutouts": ("prompts", "likes"),
    "overviews": ("prompts", "likes"),
    "download": ("clip_model",),
    "trust": ("scorer", "classifier", "reward"),
    "image": ("restore",),
    "mask": ("restore",),
    "mask_keeps": ("mask",),
}
ALONE = {  # of `ddpm guide`, which reads these
    "fit": ("restore", "init"),
    "background": ("init",),
    "method": ("restore",),
    "noise": ("restore",),
    "checks": ("restore",),
}
FLAGS = {
    "checks": "check",
    "grad_at": "grad-at",
    "clip_model": "clip-model",
    "prompts": "clip",
    "likes": "clip-image",
    "mask_keeps": "mask-keeps",
}


def guiding(params: Mapping[str, Any]) -> Guiding:
    """What the parameters of a command say of guides; what may not run is refused."""
    names = (*NAMES, *OF_DRAWING, *OF_GUIDE) if is_guide(params) else (*NAMES, *OF_DRAWING)
    flags = {name: params[name] for name in names if name in params}
    return Guiding(flags=flags, code=code(params))


def is_guide(flags: Mapping[str, Any]) -> bool:
    """Whether these are options of `ddpm guide`, of which --scale may be that of two passes."""
    return "omega" in flags


def code(flags: Mapping[str, Any]) -> dict[str, str]:
    """What --scorer and --classifier name of code, by these names; what may not run is refused."""
    names = {key: flags[key] for key in ("scorer", "reward") if flags.get(key) is not None}
    model = flags["classifier"]
    if model is not None and (code_names.is_code(model) or code_names.is_pickle(model)):
        names["classifier"] = model
    for flag, name in names.items():
        if flag != "reward" or code_names.is_word_of_code(name):
            code_names.refuse_unusable(flag, name, trust=flags["trust"])
    return names


def layer(flags: Mapping[str, Any], standing: Config) -> Layer:
    """What the flags say of guidance and guides.

    standing: the configuration without them; guides that it names come from --set or a file.
    """
    tables = [table for table in guides(flags) if not _stands(table, standing)]
    guidance = _two_passes(flags)
    if tables and standing["guides"]:
        names = ", ".join(table["name"] for table in standing["guides"])
        raise ConfigError(
            f"guides: {names} by a setting, others by flags; give all in one place{_fix(tables)}"
        )
    scale = _scale(flags, tables, standing)
    if scale is not None:
        (tables[0] if tables else guidance)["scale"] = scale
    elif guidance and not tables and not standing["guides"] and not standing.get("guidance"):
        guidance = {"scale": SCALE, **guidance}
    values = {"guides": tables, "guidance": guidance}
    asked = {key: value for key, value in values.items() if value}
    particles: dict[str, Any] = {} if flags.get("reward") is None else {"particles": {}}
    return Layer("the command line", asked | particles)


def _scale(
    flags: Mapping[str, Any], tables: Sequence[dict[str, Any]], standing: Config
) -> float | None:
    """How strong the one guide is, or guidance by two passes; None if no flag says it."""
    scale: float | None = flags.get("scale")
    if flags.get("omega") is not None:
        if scale is not None or tables:
            why = "--scale says already how strongly" if scale is not None else "of two passes"
            raise ConfigError(f"--omega: {why}; leave it out")
        return float(flags["omega"]) + 1
    if scale is None:
        return None
    if len(tables) != 1 and (tables or standing["guides"]):
        fix = "give each its own, as --guide NAME:scale=2 or in --set 'guides=[...]'"
        raise ConfigError(f"--scale: of a single guide, or of classifier-free guidance; {fix}")
    if not tables and not is_guide(flags):
        fix = "leave it out; classifier-free guidance is --set guidance.scale"
        raise ConfigError(f"--scale: of a guide, and none is given; {fix}")
    if tables and "scale" in tables[0]:
        name = tables[0]["name"]
        raise ConfigError(f"--scale: --guide {name} says already how strongly; give one of them")
    return scale


def _stands(table: dict[str, Any], standing: Config) -> bool:
    """Whether settings name a guide already of which a flag gives the code alone."""
    is_code = table["name"] == "scorer" or table.get("model") == CODE
    return is_code and any(table.items() <= guide.items() for guide in standing["guides"])


def _fix(tables: list[dict[str, Any]]) -> str:
    """How guides that are code are named in a setting."""
    words = {
        "scorer": '{name="scorer"} is what --scorer gives',
        "classifier": f'{{name="classifier", model="{CODE}"}} is what {CODE} gives',
    }
    names = [table["name"] for table in tables if table.get("model", CODE) == CODE]
    return "".join(f"; {words[name]}" for name in names if name in words)


def _two_passes(flags: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of classifier-free guidance but for its scale."""
    settings = {"rescale": flags["rescale"]} if flags.get("rescale") is not None else {}
    if flags.get("interval") is not None:
        settings |= dict(zip(("low", "high"), interval(flags["interval"]), strict=True))
    return settings


def guides(flags: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The guides that flags ask for; flags that would do nothing without another are refused.

    Those of --guide come first; what flags say of one of them is added to it.
    """
    for name, owners in (OWNERS | (ALONE if is_guide(flags) else {})).items():
        if flags.get(name) and not any(flags.get(owner) for owner in owners):
            words = " or ".join(f"--{FLAGS.get(owner, owner)}" for owner in owners)
            raise ConfigError(f"--{FLAGS.get(name, name)}: only with {words}")
    tables = [_spelled(text) for text in flags.get("guides") or ()]
    for table in _by_flags(flags):
        same = [other for other in tables if other["name"] == table["name"]]
        if twice := [key for key in table if key != "name" and any(key in one for one in same)]:
            what = f"--guide {table['name']}: {twice[0]} is said by a flag of its own, too"
            raise ConfigError(f"{what}; give it once")
        if same:
            same[0].update(table)
        else:
            tables.append(table)
    return tables


def _spelled(text: str) -> dict[str, Any]:
    """The guide that --guide NAME:knob=value,... names."""
    if code_names.is_code(text):
        flag = "classifier" if text.startswith("classifier:") else "scorer"
        code = text.rpartition("=")[2]
        raise ConfigError(f"--guide {text}: code of yours; give --{flag} {code}")
    table = protocols.given(text, "--guide")
    return table | {"name": catalog.find("guides", table["name"]).name}


def _by_flags(flags: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The guides that have options of their own."""
    tables: list[dict[str, Any]] = []
    if flags.get("classifier") is not None:
        at = {"at": flags["grad_at"]} if flags.get("grad_at") else {}
        model = CODE if code_names.is_code(flags["classifier"]) else flags["classifier"]
        tables.append({"name": "classifier", "model": model, **at})
    if flags.get("prompts") or flags.get("likes"):
        if not flags["clip_model"]:
            raise ConfigError("--clip: of which model? Give --clip-model FOLDER")
        texts = {"prompts": list(flags["prompts"] or ()), "images": list(flags["likes"] or ())}
        seen = {key: flags[key] for key in ("cutouts", "overviews") if flags.get(key)}
        tables.append({"name": "clip", "model": flags["clip_model"], **texts, **seen})
    if flags.get("scorer") is not None:
        tables.append({"name": "scorer"})
    if flags.get("restore") is not None:
        table = _restore(flags)
        tables += [table] if method(flags) is None else []
    return tables


def method(flags: Mapping[str, Any]) -> str | None:
    """The method by which --restore draws, of settings.methods; None where a guide does.

    A gradient is what is usual, where the measurement has one and is not merely checked.
    """
    if flags.get("restore") is None:
        return None
    has_gradient = flags["restore"] in (MASK, *PULLS) and not flags.get("checks")
    return flags.get("method") or (None if has_gradient else methods.NOISY)


def restoring(flags: Mapping[str, Any]) -> list[Layer]:
    """What --restore and --method ask for; code that may not run is refused."""
    kind, name = flags.get("restore"), method(flags)
    if kind is not None and code_names.is_code(kind):
        code_names.refuse_unusable("restore", kind, trust=False)
        kind = OWN
    undone = [] if kind in (None, MASK) else [Layer("--restore", {"operator": {"name": kind}})]
    return undone + ([] if name is None else [methods.layer(name)])


def check_method(flags: Mapping[str, Any], config: Config, own: Mapping[str, Any]) -> None:
    """Refuse what the method of --restore leaves idle; own: the model's settings."""
    if (name := method(flags)) is None:
        return
    asked, kind = config["method"]["name"], flags["restore"]
    if asked != methods.layer(name).values["method"]["name"]:
        fix = f"give --method {methods.called(config)}"
        raise ConfigError(f"method.name: chosen by --method; {fix}")
    undone = config.get("operator", {}).get("name", kind)
    if undone != (OWN if code_names.is_code(kind) else kind):
        raise ConfigError(f"operator.name: chosen by --restore; give --restore {undone}")
    if any(guide["name"] == "restore" for guide in config["guides"]):
        raise ConfigError("--guide restore: --method says already how; leave one of them out")
    if any(guide.get("at") == "mean" for guide in config["guides"]):
        raise ConfigError("--grad-at mean: --method changes the step; leave it out")
    methods.refuse_noise(name, flags.get("noise") or 0.0)
    methods.refuse_idle(config, own)


def _restore(flags: Mapping[str, Any]) -> dict[str, Any]:
    """The guide of --restore, which needs an image, and to fill holes a mask."""
    if not flags["image"] and (flags["restore"] == MASK or not flags.get("checks")):
        raise ConfigError("--restore: of which image? Give --image FILE")
    if (flags["restore"] == MASK) != bool(flags["mask"]):
        raise ConfigError("--mask: --restore mask needs it, and nothing else does")
    masks = flags["mask"] or []
    mask = {"mask": [masks] if isinstance(masks, str) else list(masks)} if masks else {}
    keeps = {"keeps": flags["mask_keeps"]} if flags["mask_keeps"] else {}
    fit = {"fit": flags["fit"]} if flags["fit"] else {}
    noise = {} if flags.get("noise") is None else {"noise": flags["noise"]}
    if flags["fit"] == "pad":
        raise ConfigError("--fit pad: not of what --restore knows; give crop or resize")
    return {"name": "restore", "image": flags["image"], **mask, **keeps, **fit, **noise}


def interval(text: str) -> tuple[float, float]:
    """The noise levels LOW,HIGH between which there is guidance."""
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        low, high = 1.0, 0.0
    if not 0 <= low < high < float("inf"):
        raise ConfigError(f"--interval {text!r}: write two noise levels LOW,HIGH, as 0.2,5")
    return low, high


def check(config: Config, label: str | None, guiding: Guiding) -> None:
    """Refuse what would do nothing, and what cannot be done."""
    classifiers = [guide for guide in config["guides"] if guide["name"] == "classifier"]
    if guiding.is_unconditional and not classifiers:
        raise ConfigError("--unconditional: only with a classifier, which is told the class alone")
    if classifiers and label == "none":
        raise ConfigError("--class none: a classifier knows no such class; name another")
    if any(guide["at"] == "mean" for guide in classifiers):
        sampler = config["sampler"]["name"]
        if sampler != "ddpm" or config.get("corrector"):
            what = f"sampler {sampler} has" if sampler != "ddpm" else "correctors have"
            raise ConfigError(f"--grad-at mean: {what} no mean; use --sampler ddpm alone")
