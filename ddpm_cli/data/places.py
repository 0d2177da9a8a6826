"""Where data lie, as `[data]` says it."""

from pathlib import Path

from ddpm_cli.errors import ConfigError, Refusal


def needed(path: str, key: str = "data.path") -> Path:
    """The path of a set that has no usual one."""
    if not path:
        raise ConfigError(f"{key}: the data set needs it; add --set {key}=PATH")
    return place(path)


def place(text: str) -> Path:
    """A path as people write it, ~ for their own folder."""
    if "\0" in text:
        raise ConfigError("data: a path holds a NUL character; remove it")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise Refusal(f"{text}: {error}; write the path in full") from error
