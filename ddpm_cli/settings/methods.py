"""Methods of restoring by their names in papers, as the tables of a configuration."""

from collections.abc import Mapping, Sequence
from typing import Any

from ddpm_cli.errors import ConfigError
from ddpm_cli.settings.config import Config, Layer

# By name: all that upscale, inpaint and guide have in common.
NAMES = (
    "replace", "posterior", "repaint", "ddnm", "ddnm+", "ddrm", "pigdm", "dps", "diffpir", "mmps",
    "daps",
)  # fmt: skip
# They take what is given as exact, or do not ask how exact it is.
EXACT = ("replace", "posterior", "repaint", "ddnm", "dps")
STEPS = ("ddrm", "ddnm-plus", "diffpir")  # with a step of their own
NOISY = "pigdm"  # what is usual where there is noise
_TABLES: Mapping[str, Mapping[str, Any]] = {
    "repaint": {"method": {"name": "replace"}, "edits": [{"name": "jumps"}]},
    "daps": {"edits": [{"name": "daps"}], "corrector": {"name": "none"}},
}


def layer(name: str) -> Layer:
    """What a method asks for; what settings say of it goes above."""
    table = {"method": {"name": name.replace("+", "-plus")}}
    return Layer("--method", {**table, **_TABLES.get(name, {})})


def called(config: Config) -> str:
    """What --method calls the method of a configuration."""
    name: str = config["method"]["name"]
    if name == "replace" and any(edit["name"] == "jumps" for edit in config["edits"]):
        return "repaint"
    return name.replace("-plus", "+")


def option(method: str, noise: float) -> str:
    """The option that chose a method: --noise where that was left to what is usual."""
    return "--noise" if noise and method == "auto" else f"--method {method}"


def refuse_idle(config: Config, own: Mapping[str, Any]) -> None:
    """Refuse another sampler than the model's own where the method has a step of its own."""
    name = config.get("method", {}).get("name")
    if name in STEPS and config["sampler"] != own["sampler"]:
        asked = config["sampler"]["name"]
        fix = "leave it out, or choose pigdm, mmps or dps, which take any"
        raise ConfigError(f"--sampler {asked}: {called(config)} has a step of its own; {fix}")


def refuse_noise(name: str, noise: float) -> None:
    """Refuse to say how much noise there is to a method that does not ask."""
    if noise and (name in EXACT or name not in NAMES):
        others = ", ".join(one for one in NAMES if one not in EXACT)
        raise ConfigError(f"--noise: {name} does not ask for it; leave it out, or use {others}")


def named(choices: Sequence[str]) -> list[str]:
    """The choices of a verb's own, and all methods that it lacks."""
    return [*choices, *(name for name in NAMES if name not in choices)]
