"""What a configuration can name, and its settings: read from source with `ast`, without torch.

A component is a function or class. Its name is the function's, its help the first sentence of its
docstring, its knobs the keyword-only parameters with defaults.
"""

import ast
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from ddpm_cli.settings import knobs as knob_types
from ddpm_cli.settings.knob_help import sentences
from ddpm_cli.settings.knobs import Form, Range, Truth, Word

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


def canonical(name: str) -> str:
    """Return the way a component's name is written in a configuration: with hyphens."""
    return name.replace("_", "-")


def read(
    kind: str, path: Path, package: Path, wanted: Callable[[str], bool]
) -> Iterator[Component]:
    """The components of a kind in a file of a package, those of the names `wanted`."""
    if not path.is_file():
        return
    module = ".".join([package.name, *path.relative_to(package).with_suffix("").parts])
    tree = ast.parse(path.read_text(encoding="utf-8"))
    aliases = _type_aliases() | _assignments(tree)
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and wanted(node.name):
            function = node if isinstance(node, ast.FunctionDef) else _constructor(node)
            knobs = {k.name: k for k in _knobs(function, aliases)} if function else {}
            told = sentences(ast.get_docstring(node) or "", _parameters(function))
            knobs = {key: knob._replace(help=told.get(key, "")) for key, knob in knobs.items()}
            name = canonical(node.name)
            yield Component(kind, name, first_sentence(node), knobs, module, node.name)


def _constructor(node: ast.ClassDef) -> ast.FunctionDef | None:
    for member in node.body:
        if isinstance(member, ast.FunctionDef) and member.name == "__init__":
            return member
    return None


def first_sentence(node: ast.FunctionDef | ast.ClassDef | ast.Module) -> str:
    """What a function, class or module is, by its docstring."""
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
