"""The components a configuration can name, read from source with `ast`: no torch is imported.

A component is a public lower-case function or class of a component module. Its name is the
function's name, its help the first sentence of its docstring, its knobs the keyword-only
parameters with defaults. `load` imports it.
"""

import ast
import importlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from ddpm_cli.errors import ConfigError, nearest
from ddpm_cli.settings import knobs as knob_types
from ddpm_cli.settings.knob_help import sentences
from ddpm_cli.settings.knobs import Form, Range, Truth, Word

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
    "wrappers": "diffusion/wrappers.py",
    "edits": "diffusion/edits.py",
    "constraints": "diffusion/constraints.py",
    "operator": "data/operators.py",
    "guides": "guides",
}
# Components that no configuration names: who asks for them on the command line picks them.
PICKED: Mapping[str, str] = {"features": "evaluation/features", "metric": "evaluation/metrics"}
# Modules that the command line picks whole: each file of a folder has the same functions.
MODULES: Mapping[str, str] = {"format": "files/checkpoints/formats", "export": "pipelines/exports"}
# Tables that configure one fixed function, and so have no `name` key.
FIXED: Mapping[str, str] = {
    "renoise": "diffusion/renoise.py",
    "guidance": "diffusion/guidance.py",
    "units": "diffusion/units.py",
    "values": "networks/conditions/values.py",
    "text": "networks/conditions/text.py",
    "augment": "networks/conditions/augment.py",
    "vector": "networks/conditions/vector.py",
    "embed": "models/image_vectors.py",
    "init": "training/init.py",
    "train": "training/loop.py",
    "compute": "hardware.py",
}

_Bound = Range | Form | Word | Truth

_WORDS: Mapping[str, str] = {
    "int": "an integer",
    "float": "a number",
    "int | float": "a number",  # which stays whole if it is
    "bool": "true or false",
    "str": "a string",
    "list": "a list",
}


class Kind(NamedTuple):
    """The type of a knob: a base type and what narrows it down."""

    base: str  # a key of _WORDS
    range: Range | None = None
    choices: tuple[str, ...] = ()
    optional: bool = False
    item: "Kind | None" = None
    form: Form | None = None
    word: str = ""  # see knobs.Word
    truth: Truth | None = None

    def __str__(self) -> str:
        if self.choices:
            text = " or ".join(self.choices)
        elif self.form is not None:
            text = self.form.words
        elif self.item is not None:
            text = f"a list{f' of {self.range}' if self.range else ''}, each {self.item}"
        elif self.base == "str" and self.range:
            text = f"a name, or a number, {self.range}"
        else:
            text = _WORDS[self.base] + (f", {self.range}" if self.range else "")
        text += f", or {self.word}" if self.word else ""
        return f"{text}, or none" if self.optional else text


class Knob(NamedTuple):
    """A setting of a component; help: what its docstring says of it, if anything."""

    name: str
    kind: Kind
    default: Any
    help: str = ""


class Component(NamedTuple):
    """What a configuration can name: where it is, what it does and what can be set."""

    kind: str
    name: str
    summary: str
    knobs: Mapping[str, Knob]
    module: str
    attribute: str


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
    components, key = _components(kind), canonical(name)
    if key not in components:
        raise ConfigError(f"{kind}: no component named {name!r}; {nearest(key, components)}")
    return components[key]


def fixed(table: str) -> Component:
    """Return the one component of a table that has no `name` key (`train`, `compute`)."""
    return _components(table)[table]


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
    return _first_sentence(ast.parse(place.read_text(encoding="utf-8")))


def module(kind: str, name: str) -> Any:
    """Import a module of a folder of modules."""
    if name not in modules(kind):
        raise ConfigError(f"{kind}: none is named {name!r}; {nearest(name, modules(kind))}")
    place = MODULES[kind].replace("/", ".")
    return importlib.import_module(f"{ROOT.name}.{place}.{name.replace('-', '_')}")


def _place(kind: str) -> str:
    return KINDS[kind] if kind in KINDS else PICKED[kind]


def canonical(name: str) -> str:
    """Return the way a component's name is written in a configuration: with hyphens."""
    return name.replace("_", "-")


@cache
def _components(kind: str) -> dict[str, Component]:
    """Read every component of a kind from the source files."""
    if kind in FIXED:
        return {c.name: c for c in _read(kind, ROOT / FIXED[kind], _is_named(kind))}
    return {c.name: c for path in files(kind) for c in _read(kind, path, _is_public)}


def _read(kind: str, path: Path, wanted: Callable[[str], bool]) -> Iterator[Component]:
    if not path.is_file():
        return
    module = ".".join([ROOT.name, *path.relative_to(ROOT).with_suffix("").parts])
    tree = ast.parse(path.read_text(encoding="utf-8"))
    aliases = _type_aliases() | _assignments(tree)
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and wanted(node.name):
            function = node if isinstance(node, ast.FunctionDef) else _constructor(node)
            knobs = {k.name: k for k in _knobs(function, aliases)} if function else {}
            told = sentences(ast.get_docstring(node) or "", _parameters(function))
            knobs = {key: knob._replace(help=told.get(key, "")) for key, knob in knobs.items()}
            name = canonical(node.name)
            yield Component(kind, name, _first_sentence(node), knobs, module, node.name)


def _is_public(name: str) -> bool:
    """Tell a component from a private helper (`_name`) and from a type (`Name`)."""
    return not name.startswith("_") and name == name.lower()


def _is_named(name: str) -> Callable[[str], bool]:
    return lambda other: other == name


def _constructor(node: ast.ClassDef) -> ast.FunctionDef | None:
    for member in node.body:
        if isinstance(member, ast.FunctionDef) and member.name == "__init__":
            return member
    return None


def _first_sentence(node: ast.FunctionDef | ast.ClassDef | ast.Module) -> str:
    paragraph = (ast.get_docstring(node) or "").split("\n\n")[0]
    text = " ".join(paragraph.split())
    # A full stop ends the sentence only before a capital: not in "eq. 11" or "0 .. T-1".
    return re.split(r"(?<=[\w)\]])\.\s+(?=[A-Z])", text)[0].rstrip(".")


def _parameters(function: ast.FunctionDef | None) -> list[str]:
    """The names of all parameters of a component."""
    every = function.args.args + function.args.kwonlyargs if function else []
    return [argument.arg for argument in every]


def _knobs(function: ast.FunctionDef, aliases: dict[str, ast.expr]) -> Iterator[Knob]:
    for argument, default in zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True):
        if default is None or argument.annotation is None:
            continue
        if isinstance(default, ast.Name):
            default = aliases.get(default.id, default)
        value = ast.literal_eval(default)
        kind = _kind(argument.annotation, aliases)
        yield Knob(argument.arg, kind, list(value) if isinstance(value, tuple) else value)


def _kind(node: ast.expr, aliases: dict[str, ast.expr]) -> Kind:
    """Resolve an annotation: a base type, a Literal, a list, an Annotated range, or None."""
    if isinstance(node, ast.Name) and node.id in aliases:
        return _kind(aliases[node.id], aliases)
    if isinstance(node, (ast.Name, ast.BinOp)) and ast.unparse(node) in _WORDS:
        return Kind(ast.unparse(node))
    if isinstance(node, ast.BinOp) and ast.unparse(node.right) == "None":
        return _kind(node.left, aliases)._replace(optional=True)
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
        arguments = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        if node.value.id == "Literal":
            return Kind("str", choices=tuple(ast.literal_eval(a) for a in arguments))
        if node.value.id in ("list", "tuple", "Sequence"):
            return Kind("list", item=_kind(arguments[0], aliases))
        if node.value.id == "Annotated":
            return _narrowed(_kind(arguments[0], aliases), map(_bounds, arguments[1:]))
    raise TypeError(f"line {node.lineno}: a knob cannot be of type {ast.unparse(node)}")


def _narrowed(kind: Kind, bounds: Iterable[_Bound]) -> Kind:
    """A kind within all of its bounds."""
    for bound in bounds:
        if isinstance(bound, Form):
            kind = kind._replace(form=bound)
        elif isinstance(bound, Word):
            kind = kind._replace(word=bound.word)
        elif isinstance(bound, Truth):
            kind = kind._replace(truth=bound)
        else:
            kind = kind._replace(range=bound)
    return kind


def _bounds(node: ast.expr) -> _Bound:
    makers: dict[str, type[_Bound]] = {m.__name__: m for m in (Range, Form, Word, Truth)}
    if not isinstance(node, ast.Call) or ast.unparse(node.func) not in makers:
        raise TypeError(f"line {node.lineno}: {ast.unparse(node)} is no Range and no Form")
    keywords = {k.arg: ast.literal_eval(k.value) for k in node.keywords if k.arg}
    return makers[ast.unparse(node.func)](*map(ast.literal_eval, node.args), **keywords)


def _assignments(tree: ast.Module) -> dict[str, ast.expr]:
    """Return the `NAME = value` lines of a module: its type aliases and constants."""
    return {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


@cache
def _type_aliases() -> dict[str, ast.expr]:
    source = Path(str(knob_types.__file__)).read_text(encoding="utf-8")
    return _assignments(ast.parse(source))
