"""Models by what -m names, for the Python API."""

from os import PathLike

from ddpm_cli.api import arguments
from ddpm_cli.api.arguments import Settings, refusing
from ddpm_cli.api.model import Model
from ddpm_cli.errors import ConfigError
from ddpm_cli.settings.config import Layer


@refusing
def load(
    model: str | PathLike[str] | None = None,
    *,
    settings: Settings | None = None,
    device: str = "auto",
    dtype: str = "auto",
) -> Model:
    """See ddpm_cli.load; auto: as the checkpoint says, which is what the command line does."""
    if not isinstance(model, str | PathLike | None):
        raise ConfigError(f"model: {type(model).__name__}; give a path or a name, as -m takes")
    layers = arguments.layers(settings)
    options = {"device": device, "dtype": dtype}
    compute = {key: value for key, value in options.items() if value != "auto"}
    return Model(model, [*layers, Layer("load", {"compute": compute})] if compute else layers)
