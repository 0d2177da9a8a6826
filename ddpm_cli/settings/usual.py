"""How verbs that do not draw walk, unless settings say otherwise."""

from typing import Any

from ddpm_cli.settings.config import Config, Layer

# A model's own way to walk is for drawing new images. Levels run to where the image is gone;
# a clean image that is clamped on the way up is another one on the way down.
CODING = Layer(
    "ddpm encode",
    {
        "sampler": {"name": "heun"},
        "corrector": {"name": "none"},
        "levels": {"name": "logsnr", "count": 50},
        "wrappers": [],
        "edits": [],
        "constraints": [],
    },
)

# A model's own sampler, levels and wrappers are for drawing. What a 16-bit network rounds off
# shows in the second decimal of either method.
PLAIN: dict[str, Any] = {
    "corrector": {"name": "none"},
    "edits": [],
    "constraints": [],
    "guidance": {
        "name": "cfg",
        "scale": 1.0,
        "low": 0.0,
        "high": None,
        "rescale": 0.0,
        "model": "",
        "dropout": 0.0,
    },
    "compute": {"dtype": "float32"},
}
LEAST = 1e-6  # below the lowest level of any process, within which lists of levels are kept


def begun(config: Config) -> dict[str, float]:
    """The knob of levels that begin where a learned schedule has learned to begin.

    There the bound was least, far below a byte. Other processes may begin where no byte shows.
    """
    return {"low": LEAST} if config["schedule"]["name"] == "learned" else {}


def likelihood(config: Config) -> Layer:
    """How a model walks for its likelihood; clamped predictions have another density."""
    walk = {
        "sampler": {"name": "dpm-solver-single", "order": 3},
        "levels": {"name": "logsnr", "count": 50, **begun(config)},
        "wrappers": [],
    }
    return Layer("ddpm nll", {**PLAIN, **walk})
