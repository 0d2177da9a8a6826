"""What `ddpm inpaint` does before its work: find the model, and settle how known values count."""

import math
from typing import Any

from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files.checkpoints import find
from ddpm_cli.files.checkpoints.header import Header
from ddpm_cli.pipelines.opening import (
    INPAINT,
    Known,
    Opened,
    chosen,
    refuse_classifier,
    settled,
)
from ddpm_cli.pipelines.opening_rows import FLOAT32
from ddpm_cli.settings import methods
from ddpm_cli.settings.config import Config, Layer, resolve
from ddpm_cli.settings.requests import Inpaint

PASTED = ("replace", "posterior", "repaint")  # what constraints of the states do
JOINT = "covariance"  # a way to fill rows of up to so many values
JOINT_MOST = 256
# First-order steps shrink what they draw by some percent, which intervals show.
ROWS = Layer(
    "ddpm inpaint",
    {
        "sampler": {"name": "heun"},
        "corrector": {"name": "none"},
        "levels": {"name": "logsnr", "count": 50},
    },
)


def inpainting(request: Inpaint, known: Known | None = None) -> Opened:
    """The model and settings of `ddpm inpaint`: trained to fill holes, or unconditional.

    known: the model, if it was found before.
    """
    method, use = request.chosen_method, request.use

    def suited(header: Header, name: str) -> None:
        refuse_classifier(header, name)
        if header.task not in ("", INPAINT):
            fix = f"choose one for inpaint, or an unconditional one: -m {find.DEFAULT}-{INPAINT}"
            raise Refusal(f"{name}: a model for {header.task}, not for inpaint", fix)
        if method == "model" and not header.task:
            fix = "use replace, or a model of ddpm train --preset mnist-inpaint"
            raise ConfigError(f"--method model: {name} was not trained to fill holes; {fix}")

    task = INPAINT if method in ("auto", "model") else ""
    place, header = chosen(use.model, task, suited, known)
    below = [] if header.data.is_image else [FLOAT32]
    is_named = method in methods.NAMES and method not in PASTED
    below += [methods.layer(method)] if is_named else []
    methods.refuse_noise(method, request.noise)
    _refuse_named(request, method, header)
    asked, label, free = request.guiding, use.label, ("constraints", "method")

    def standing(*layers: Layer) -> Config:
        layered = [*below, *layers]
        return settled(place, header, use.layers, layered, asked=asked, label=label, free=free)

    config = standing()
    methods.refuse_idle(config, header.config)
    constraints = [] if "method" in config else _constraints(method, config, header)
    if is_joint(config | {"constraints": constraints}, header):
        config = standing(ROWS)
    edits = [*(_jumps(request) or _repaint(method, config)), *config["edits"]]
    return Opened(place, header, config | {"constraints": constraints, "edits": edits})


def _refuse_named(request: Inpaint, method: str, header: Header) -> None:
    """Refuse methods of images for rows, and what does not go with a method."""
    if method not in methods.NAMES or method in PASTED[:2]:
        return
    if not header.data.is_image and request.noise:
        raise ConfigError("--noise: of images, and this model makes rows; leave it out")
    if not header.data.is_image and method != "repaint":
        what = "of images, and this model makes rows"
        raise ConfigError(f"--method {method}: {what}; use covariance, replace or posterior")
    if header.task and method not in PASTED:
        fix = "give an unconditional model with -m"
        raise ConfigError(f"{request.asking}: the model was trained to fill holes; {fix}")
    if method not in PASTED and (request.jump is not None or request.resample is not None):
        raise ConfigError("--jump, --resample: RePaint's; leave them out, or use repaint")


def _repaint(method: str, config: Config) -> list[dict[str, Any]]:
    """RePaint's jumps, where the method is asked for by its name, and settings say no others."""
    if method != "repaint" or any(edit["name"] == "jumps" for edit in config["edits"]):
        return []
    return list(resolve([Layer("--method", {"edits": [{"name": "jumps"}]})])["edits"])


def _constraints(method: str, config: Config, header: Header) -> list[dict[str, Any]]:
    """What a method imposes on the states of a walk: nothing, where known values count otherwise.

    That is a model trained for it, or the covariance of a row (see `is_joint`).
    """
    is_rows, size = not header.data.is_image, math.prod(header.data.shape)
    if method == JOINT and not is_rows:
        raise ConfigError(f"--method {JOINT}: of rows of numbers; this model makes images")
    if method == JOINT and size > JOINT_MOST:
        fix = f"at most {JOINT_MOST}; use replace or posterior"
        raise ConfigError(f"--method {JOINT}: a gradient for each of {size} values; {fix}")
    is_model = method == "model" or (method == "auto" and "task" in config)
    if is_model or (method == "auto" and config["constraints"]):
        return [] if method == "model" else list(config["constraints"])
    if method == JOINT or (method == "auto" and is_rows and size <= JOINT_MOST):
        return []
    name = "replace" if method in ("auto", "repaint") else method
    return list(resolve([Layer("--method", {"constraints": [{"name": name}]})])["constraints"])


def is_joint(config: Config, header: Header) -> bool:
    """Whether known values count by how those of a row vary together: diffusion.conditioning."""
    return not header.data.is_image and not config["constraints"]


def _jumps(request: Inpaint) -> list[dict[str, Any]]:
    """RePaint's jumps, which come before all other edits of the levels."""
    values = {"lengths": request.jump, "visits": request.resample}
    knobs = {key: [value] for key, value in values.items() if value is not None}
    if not knobs:
        return []
    edits = resolve([Layer("--jump", {"edits": [{"name": "jumps", **knobs}]})])["edits"]
    return list(edits)
