"""How verbs that do not draw walk, unless settings say otherwise."""

from typing import Any

from ddpm_cli.settings.config import Layer

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
# The ODE of a clamped prediction has another density.
LIKELIHOOD = Layer(
    "ddpm nll",
    {
        **PLAIN,
        "sampler": {"name": "dpm-solver-single", "order": 3},
        "levels": {"name": "logsnr", "count": 50},
        "wrappers": [],
    },
)
