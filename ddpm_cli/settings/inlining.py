"""Files that a configuration names, as values of its own: what was read is what is kept."""

from pathlib import Path

from ddpm_cli.errors import Refusal
from ddpm_cli.settings.config import Config

SIZE_LIMIT = 2**22  # bytes of a file of numbers


def inlined(config: Config) -> Config:
    """The configuration with the numbers of its schedule's file in the file's place."""
    settings = config["schedule"]
    if not settings.get("file"):
        return config
    path = Path(settings["file"])
    if path.exists() and not path.is_file():  # a pipe could block, a device never end
        raise Refusal(f"{path}: not a regular file")
    try:
        with path.open("rb") as file:
            text = file.read(SIZE_LIMIT + 1)
        if len(text) > SIZE_LIMIT:
            raise Refusal(f"{path}: larger than {SIZE_LIMIT} bytes; this is no schedule")
        values = [float(line) for line in text.decode("utf-8").split()]
    except (ValueError, UnicodeDecodeError) as error:
        raise Refusal(f"{path}: {error}", "give a text file with one number a line") from None
    return config | {"schedule": settings | {"file": "", "values": values}}
