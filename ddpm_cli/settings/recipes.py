"""Recipes: samplers by the names the field uses, each a TOML file with the tables it stands for.

They lie in the folder `recipes` of each folder of presets.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ddpm_cli import console
from ddpm_cli.errors import ConfigError, nearest, one_line
from ddpm_cli.settings import catalog, presets
from ddpm_cli.settings.components import canonical
from ddpm_cli.settings.config import Layer
from ddpm_cli.settings.toml import read_file, toml_value

RECIPE = "recipe "  # the source of its layer begins so
# What the layers below have of these would change a recipe's meaning.
_UNUSED: Mapping[str, Any] = {"corrector": {"name": "none"}, "edits": []}


def names() -> list[str]:
    """Return the names of all recipes, sorted."""
    return sorted(_files())


def read(name: str) -> dict[str, Any]:
    """Return the tables of a recipe and its `summary`."""
    return read_file(_files()[name])


def expand(layers: Sequence[Layer]) -> list[Layer]:
    """Put the tables of a recipe below each layer that names it as its sampler, and say so."""
    return [part for layer in layers for part in _parts(layer)]


def _parts(layer: Layer) -> Iterator[Layer]:
    sampler = layer.values.get("sampler")
    name = sampler.get("name") if isinstance(sampler, Mapping) else None
    components = catalog.names("sampler")
    if not isinstance(name, str) or canonical(name) in components:
        yield layer
        return
    if name not in names():
        fix = nearest(name, [*components, *names()])
        raise ConfigError(
            f"sampler.name: no sampler is named {name!r} (from {layer.source}); {fix}"
        )
    tables = {key: value for key, value in read(name).items() if key != "summary"}
    console.say(f"sampler {name}: {', '.join(_lines(tables))}")
    yield Layer(f"{RECIPE}{name}", {**_UNUSED, **tables})
    knobs = {key: value for key, value in dict(sampler or {}).items() if key != "name"}
    yield Layer(layer.source, {**layer.values, "sampler": knobs})


def describe() -> list[str]:
    """Describe the recipes: a line for each, and one for each of its tables."""
    lines = []
    for name in names():
        tables = read(name)
        lines.append(f"{name}: {one_line(str(tables.pop('summary', 'a recipe')))}.")
        lines += [f"  {line}" for line in _lines(tables)]
    return lines


def _lines(tables: Mapping[str, Any]) -> list[str]:
    return [f"{table} = {toml_value(value)}" for table, value in tables.items()]


def _files() -> dict[str, Path]:
    """The file of each recipe; those of the first folder win."""
    files: dict[str, Path] = {}
    for _, folder in reversed(presets.folders()):
        files |= {path.stem: path for path in (folder / "recipes").glob("*.toml")}
    return files
