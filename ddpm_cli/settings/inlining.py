"""Files that a configuration names, as values of its own: what was read is what is kept."""

from pathlib import Path

from ddpm_cli.errors import Refusal
from ddpm_cli.settings.config import Config


def inlined(config: Config) -> Config:
    """The configuration with the numbers of its schedule's file in the file's place."""
    settings = config["schedule"]
    if not settings.get("file"):
        return config
    path = Path(settings["file"])
    try:
        values = [float(line) for line in path.read_text("utf-8").split()]
    except (ValueError, UnicodeDecodeError) as error:
        raise Refusal(f"{path}: {error}", "give a text file with one number a line") from None
    return config | {"schedule": settings | {"file": "", "values": values}}
