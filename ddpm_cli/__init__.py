"""Diffusion models on the command line, and from Python: `ddpm_cli.load("mnist")`."""

from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from ddpm_cli.models.walks import Model


def load(model: str | None = None, *, device: str = "auto", dtype: str = "auto") -> "Model":
    """Load a checkpoint file, a run folder or a bundled model, as -m would find it."""
    from ddpm_cli.models.walks import load as load_model

    return load_model(model, device=device, dtype=dtype)
