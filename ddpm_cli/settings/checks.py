"""What makes no sense in a configuration, whatever it is used for."""

from ddpm_cli.errors import ConfigError
from ddpm_cli.settings.config import Config


def check_guidance(config: Config) -> None:
    """Refuse guidance away from the null class of a model that has none, and idle settings."""
    settings = config.get("guidance", {})
    if settings.get("scale", 1.0) == 1:
        idle = [key for key in ("low", "high", "rescale") if settings.get(key)]
        if idle:
            fix = "set guidance.scale, too"
            raise ConfigError(f"guidance.{idle[0]}: of no use where guidance.scale is 1; {fix}")
        return
    if not config["network"].get("classes"):
        fix = "guide it by a classifier: ddpm guide --classifier"
        raise ConfigError(f"guidance.scale: this model was trained without classes; {fix}")
    if not config["train"]["drop_class"]:
        fix = "train one with train.drop_class=0.1"
        raise ConfigError(
            f"guidance.scale: this model always saw the class (train.drop_class=0), so it has no "
            f"null class to be guided away from; {fix}"
        )
