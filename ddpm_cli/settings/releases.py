"""Known releases of other projects' weights: what their files do not say, each a TOML file.

They lie in the folder `releases` of the presets that come with the package.
"""

from pathlib import Path
from typing import Any, NamedTuple

from ddpm_cli.errors import ConfigError, nearest
from ddpm_cli.settings import presets
from ddpm_cli.settings.config import Layer
from ddpm_cli.settings.toml import read_file


class Release(NamedTuple):
    """A release: the format of its files, the settings that they are used with, its licence."""

    name: str
    summary: str
    format: str
    settings: dict[str, Any]
    licence: str = ""

    @property
    def layer(self) -> Layer:
        """Its settings, as they stand below those that are given one by one."""
        return Layer(f"--as {self.name}", self.settings)


def names() -> list[str]:
    """The names of all releases, sorted."""
    return sorted(path.stem for path in _folder().glob("*.toml"))


def read(name: str) -> Release:
    """The release of a name."""
    if name not in names():
        raise ConfigError(f"--as {name}: no such release; {nearest(name, names())}")
    table = read_file(_folder() / f"{name}.toml")
    own = {key: str(table.pop(key, "")) for key in ("summary", "format", "licence")}
    return Release(name, own["summary"], own["format"], table, own["licence"])


def describe() -> list[str]:
    """A line for each release."""
    return [f"{name}: {read(name).summary}." for name in names()]


def _folder() -> Path:
    """Where they lie: with the packaged presets."""
    return presets.folders()[-1][1] / "releases"
