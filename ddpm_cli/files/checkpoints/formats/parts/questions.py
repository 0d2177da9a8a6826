"""What is asked of networks whose files hold weights alone: sizes, noise, heads."""

from collections.abc import Mapping
from typing import Any

from ddpm_cli.files.checkpoints.conversion import Ask
from ddpm_cli.settings import catalog
from ddpm_cli.settings.components import canonical

STEPS = 1000  # of a process that nothing is said of
RESPACED = 250  # moves of a walk, the usual number where variances are learned


def size(ask: Ask) -> int:
    """The side of the images, of which a convolution knows nothing."""
    return ask.need("data.size", "the side of its images in pixels, as 64", 64)


def schedule(ask: Ask, kinds: str = "linear or cosine") -> dict[str, Any]:
    """The table of a process; its length is asked for unless the process is continuous."""
    name = canonical(ask.need("schedule.name", kinds, "linear"))
    settings: dict[str, Any] = {"name": name}
    if name not in catalog.names("schedule"):
        return settings  # which the configuration will refuse, with the names that there are
    if "steps" in catalog.find("schedule", name).knobs:
        choices = "how many steps T the process was trained with, as 1000 or 4000"
        settings["steps"] = ask.need("schedule.steps", choices, STEPS)
    return settings


def rescaled(ask: Ask, process: Mapping[str, Any]) -> dict[str, Any]:
    """The label of a process of other than 1000 steps, which some networks are told as 1000."""
    steps = process.get("steps", STEPS)
    if steps == STEPS or not steps:
        return {"name": "index"}
    choices = f"{STEPS / steps:g} if it was trained with rescale_timesteps, else 1"
    return {"name": "index", "scale": ask.need("label.scale", choices, 1.0)}


def predicted(ask: Ask) -> dict[str, Any]:
    """What the network predicts."""
    name = ask.need("parameterization.name", "eps, or x0 of predict_xstart", "eps")
    return {"name": name}


def heads(ask: Ask) -> dict[str, Any]:
    """How many heads its attention has, or how wide they are."""
    width = ask.told("network.head_width")
    if width:
        return {"head_width": width}
    choices = "how many heads its attention has, as 4; or network.head_width, channels a head"
    return {"heads": ask.need("network.heads", choices, 1)}


def walk(ask: Ask, process: Mapping[str, Any], learned: bool) -> dict[str, Any]:
    """How the model is sampled from: ancestrally, if nothing else is told.

    A fixed variance leaves no trace in a file.
    """
    if ask.told("sampler.name") not in (None, "ddpm"):
        return {}
    variance = "learned"
    if not learned:
        choices = "large (beta) or small (posterior), its fixed variance"
        variance = ask.need("sampler.variance", choices, "large")
    tables: dict[str, Any] = {"sampler": {"name": "ddpm", "variance": variance}}
    if ask.told("levels.name") in (None, "linspace") and process.get("steps"):
        count = min(RESPACED, process["steps"])
        tables["levels"] = {"name": "linspace", "count": count}
    return tables


def numbered(count: int) -> tuple[str, ...] | None:
    """The names of classes of which only the number is known; None if there are none."""
    return tuple(map(str, range(count))) if count else None
