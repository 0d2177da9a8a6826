"""Named configurations: found in ./presets, the user's folder or the package, by name only."""

import os
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ddpm_cli.errors import ConfigError, nearest
from ddpm_cli.settings.config import Layer
from ddpm_cli.settings.toml import read_file

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")
# Where a system's programs keep a user's settings: a variable that says so, or else a folder.
_HOMES = {"win32": ("APPDATA", "~"), "darwin": ("", "~/Library/Application Support")}
_HOME = ("XDG_CONFIG_HOME", "~/.config")


def folders() -> list[tuple[str, Path]]:
    """Return where presets are looked for, first hit first, with a word for each place."""
    package = Path(__file__).parent.parent
    bundled, user = package / "presets", user_folder()
    return [
        ("local", Path("presets")),
        *([("user", user / "presets")] if user else []),
        # An editable install sees the folder beside the package instead.
        ("packaged", bundled if bundled.is_dir() else package.parent / "presets"),
    ]


def user_folder() -> Path | None:
    """Where this user's own settings lie; None of a user without a home, as in a container."""
    variable, place = _HOMES.get(sys.platform, _HOME)
    try:
        return Path(os.environ.get(variable) or Path(place).expanduser()) / "ddpm"
    except RuntimeError:
        return None


def list_presets() -> list[tuple[str, str, str]]:
    """Return (name, summary, where) of every preset, sorted by name."""
    listed: dict[str, tuple[str, str, str]] = {}
    for where, folder in folders():
        for path in sorted(folder.glob("*.toml")):
            if path.stem not in listed and _NAME.fullmatch(path.stem) and path.is_file():
                listed[path.stem] = (path.stem, _summary(path), where)
    return [listed[name] for name in sorted(listed)]


def names() -> list[str]:
    """Return the names of all presets, sorted."""
    return [name for name, _, _ in list_presets()]


def layers(name: str) -> list[Layer]:
    """Return the layers of a preset: those it extends, lowest first, then its own."""
    return list(_chain(find(name), (name,)))


def file_layers(path: Path) -> list[Layer]:
    """Return the layers of a configuration file, which may extend a preset."""
    if path.name == str(path) in names() and not path.exists():
        what = f"--config {path}: no such file"
        raise ConfigError(f"{what}; that is a preset: --preset {path}")
    return list(_chain(path, ()))


def find(name: str) -> Path:
    """Return the file of a preset; a name is never taken as a path."""
    if _NAME.fullmatch(name):
        for _, folder in folders():
            path = folder / f"{name}.toml"
            if path.is_file():
                return path
    what = f"preset {name!r}: there is none of this name"
    if _is_file(name):
        raise ConfigError(f"{what}; a file goes with --config {shlex.quote(name)}")
    raise ConfigError(f"{what}; {nearest(name, names())}")


def _is_file(name: str) -> bool:
    try:
        return Path(name).is_file()
    except (OSError, ValueError):  # a name that is too long, or with a NUL
        return False


def _chain(path: Path, seen: tuple[str, ...]) -> Iterator[Layer]:
    values = read_file(path)
    base = values.pop("extends", None)
    if base is not None:
        if not isinstance(base, str):
            raise ConfigError(f'{path}: extends: give the name of a preset: extends = "mnist"')
        if base in seen:
            chain = " -> ".join([*seen, base])
            raise ConfigError(f"{path}: extends: presets extend each other: {chain}")
        # What a preset says about itself is not true of the one that extends it.
        for layer in _chain(find(base), (*seen, base)):
            yield Layer(layer.source, _without_summary(layer.values))
    yield Layer(str(path), values)


def _without_summary(values: Any) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key != "summary"}


def _summary(path: Path) -> str:
    """Return the summary line of a preset; a broken file is listed too, with its fault."""
    try:
        return str(read_file(path).get("summary", ""))
    except (ConfigError, OSError) as error:
        return f"(unusable: {error})"
