"""The components a configuration can name: where each kind of them lives, and how one is found.

A component is a public lower-case function or class of a component module, which is read from
source: no torch is imported. `load` imports it.
"""

import ast
import importlib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ddpm_cli.errors import ConfigError, nearest
from ddpm_cli.settings.components import Component, Knob, canonical, first_sentence, read

ROOT = Path(__file__).parent.parent

# Where the components of each configuration table live: a file, or all files of a folder.
# A table whose place does not exist has no components.
KINDS: Mapping[str, str] = {
    "data": "data/sets",
    "schedule": "diffusion/schedules",
    "task": "data/tasks.py",
    "network": "networks",
    "parameterization": "diffusion/parameterizations.py",
    "label": "diffusion/labels.py",
    "draw": "diffusion/draws.py",
    "loss": "diffusion/losses",
    "sampler": "diffusion/samplers",
    "corrector": "diffusion/correctors.py",
    "levels": "diffusion/levels.py",
    "guidance": "diffusion/guiders",
    "wrappers": "diffusion/wrappers.py",
    "edits": "diffusion/edits.py",
    "constraints": "diffusion/constraints.py",
    "operator": "data/operators.py",
    "method": "diffusion/methods",
    "guides": "guides",
    "critic": "networks/critics",
}
# Components that no configuration names: who asks for them on the command line picks them.
PICKED: Mapping[str, str] = {"features": "evaluation/features", "metric": "evaluation/metrics"}
# Modules that the command line picks whole: each file of a folder has the same functions.
MODULES: Mapping[str, str] = {"format": "files/checkpoints/formats", "export": "pipelines/exports"}
# Tables that configure one fixed function, and so have no `name` key.
FIXED: Mapping[str, str] = {
    "renoise": "diffusion/renoise.py",
    "particles": "guides/parts/particles.py",
    "units": "diffusion/units.py",
    "fourier": "networks/parts/inputs.py",
    "energy": "networks/parts/energies.py",
    "values": "networks/conditions/values.py",
    "text": "networks/conditions/text.py",
    "augment": "networks/conditions/augment.py",
    "vector": "networks/conditions/vector.py",
    "strength": "networks/conditions/strength.py",
    "latent": "networks/conditions/latent.py",
    "embed": "models/image_vectors.py",
    "teacher": "models/teacher.py",
    "init": "training/init.py",
    "train": "training/loop.py",
    "compute": "hardware.py",
}
# What all components of a table can set: the settings of a function of the table's name.
SHARED: Mapping[str, str] = {"guidance": "diffusion/guidance.py"}
# The components of tables that need not say which one they mean.
UNNAMED: Mapping[str, str] = {"guidance": "cfg"}


def names(kind: str) -> list[str]:
    """Return the names of the components of a kind, sorted."""
    return sorted(_components(kind))


def exists(kind: str) -> bool:
    """Tell whether a kind has components at all, by its place alone."""
    return (ROOT / _place(kind)).exists()


def files(kind: str) -> list[Path]:
    """Return the files that the components of a kind are read from: a new one needs no list."""
    place = ROOT / _place(kind)
    return sorted(place.glob("*.py")) if place.is_dir() else [place]


def find(kind: str, name: str) -> Component:
    """Return a component by name, hyphens and underscores being equal."""
    known, key = _components(kind), canonical(name)
    if key not in known:
        raise ConfigError(f"{kind}: no component named {name!r}; {nearest(key, known)}")
    return known[key]


def fixed(table: str) -> Component:
    """Return the one component of a table that has no `name` key (`train`, `compute`)."""
    return _components(table)[table]


@cache
def shared(kind: str) -> Mapping[str, Knob]:
    """Return the settings that all components of a table have, whichever it names."""
    if kind not in SHARED:
        return {}
    (one,) = read(kind, ROOT / SHARED[kind], ROOT, _is_named(kind))
    return one.knobs


def load(component: Component) -> Callable[..., Any]:
    """Import the module of a component and return the function or class."""
    module = importlib.import_module(component.module)
    function: Callable[..., Any] = getattr(module, component.attribute)
    return function


def exported(kind: str, attribute: str) -> Callable[..., Any]:
    """Return the component that a package gives under the name of its function.

    Packages of components call it as their `__getattr__`, so that a new file is enough for
    `from ddpm_cli.diffusion.samplers import ddim`.
    """
    component = _components(kind).get(canonical(attribute))
    if component is None or component.attribute != attribute:
        raise AttributeError(f"{_place(kind)} has no component {attribute}")
    return load(component)


def attributes(kind: str) -> list[str]:
    """Return the names under which a package gives its components, sorted."""
    return sorted(component.attribute for component in _components(kind).values())


def modules(kind: str) -> list[str]:
    """Return the names of the files in a folder of modules, sorted."""
    return sorted(canonical(f.stem) for f in (ROOT / MODULES[kind]).glob("[!_]*.py"))


def summary(kind: str, name: str) -> str:
    """Return what a module of a folder is: the first sentence of its docstring."""
    place = ROOT / MODULES[kind] / f"{name.replace('-', '_')}.py"
    return first_sentence(ast.parse(place.read_text(encoding="utf-8")))


def module(kind: str, name: str) -> Any:
    """Import a module of a folder of modules."""
    if name not in modules(kind):
        raise ConfigError(f"{kind}: none is named {name!r}; {nearest(name, modules(kind))}")
    place = MODULES[kind].replace("/", ".")
    return importlib.import_module(f"{ROOT.name}.{place}.{name.replace('-', '_')}")


def _place(kind: str) -> str:
    return KINDS[kind] if kind in KINDS else PICKED[kind]


@cache
def _components(kind: str) -> dict[str, Component]:
    """Read every component of a kind from the source files."""
    if kind in FIXED:
        return {c.name: c for c in read(kind, ROOT / FIXED[kind], ROOT, _is_named(kind))}
    own = [c for path in files(kind) for c in read(kind, path, ROOT, _is_public)]
    return {c.name: c._replace(knobs={**shared(kind), **c.knobs}) for c in own}


def _is_public(name: str) -> bool:
    """Tell a component from a private helper (`_name`) and from a type (`Name`)."""
    return not name.startswith("_") and name == name.lower()


def _is_named(name: str) -> Callable[[str], bool]:
    return lambda other: other == name
