"""Diffusion models on the command line, and from Python: `ddpm_cli.load("mnist")`."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ddpm_cli.errors import ConfigError, Refusal

__version__ = "0.1.0"
__all__ = ["ConfigError", "Model", "Refusal", "load"]

if TYPE_CHECKING:
    from ddpm_cli.api.model import Model


def load(
    model: str | None = None,
    *,
    settings: Mapping[str, Any] | None = None,
    device: str = "auto",
    dtype: str = "auto",
) -> "Model":
    """Load a checkpoint file, a run folder or a bundled model, as -m finds it.

    settings: as --set takes them, {"sampler.eta": 0.5} or {"sampler": {"eta": 0.5}}.
    """
    from ddpm_cli.api.model import load as load_model

    return load_model(model, settings=settings, device=device, dtype=dtype)


def __getattr__(name: str) -> Any:
    """Import what needs torch when it is asked for."""
    if name == "Model":
        from ddpm_cli.api.model import Model

        return Model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
