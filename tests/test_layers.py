"""The direction of imports: lower layers know nothing of those above.

What the catalog imports by name counts too: a module that makes the components of a table depends
on every file that they may come from.
"""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import ddpm_cli
from ddpm_cli.settings import catalog

ROOT = Path(ddpm_cli.__file__).parent
MODULES = sorted(path.relative_to(ROOT) for path in ROOT.rglob("*.py"))
# The rooms from the ground up: each may import those before it, but no neighbour on its floor.
FLOORS = (
    {"errors", "signals"},
    {"console"},
    {"failures"},
    {"settings"},
    {"hardware"},
    {"diffusion", "networks"},
    {"files"},
    {"data", "evaluation"},
    {"training"},
    {"models"},
    {"guides"},
    {"pipelines"},
    {"api"},
    {"commands"},
)
# Options know what may be set, and nothing of how it is done.
ALLOWED = {"options": {"errors", "signals", "console", "failures", "settings"}}
for _number, _floor in enumerate(FLOORS):
    for _room in _floor:
        ALLOWED[_room] = set().union(*FLOORS[:_number])
ALLOWED["commands"] |= {"options"}
# What starts the program, and what Python imports of it, are above all rooms.
ENTRIES = {"__main__", "__init__", "cli"}
MODULE_LIMIT = 9  # beside the rooms
# Where click, and so the command line, is known.
CLICKED = {"cli", "commands", "options"}
HEAVY = {
    "torch",
    "torchvision",
    "numpy",
    "PIL",
    "safetensors",
    "tqdm",
    "matplotlib",
    "torchdiffeq",
    "open_clip",
    "huggingface_hub",
}
OPTIONAL = {"matplotlib", "torchdiffeq", "open_clip", "huggingface_hub"}
LIGHT_PARTS = {
    "cli", "commands", "__main__", "__init__", "options", "settings", "errors", "signals",
    "console", "failures",
}  # fmt: skip


def part(path: Path) -> str:
    return path.parts[0].removesuffix(".py")


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text(encoding="utf-8"))


@cache
def imports(path: Path, top_level_only: bool = False) -> set[str]:
    """Return the full names that a module imports, but for its type hints."""
    found = set()
    for node in tree(path).body if top_level_only else ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module, "relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@cache
def ours(path: Path, top_level_only: bool = False) -> set[Path]:
    """Return the modules of the package that a module imports."""
    found = set()
    for name in imports(path, top_level_only):
        parts = name.split(".")[1:] if name.startswith("ddpm_cli.") else []
        # The last part may be a module, or a name in one.
        for end in (len(parts), len(parts) - 1):
            place = Path(*parts[:end])
            modules = {place.with_suffix(".py"), place / "__init__.py"} if end > 0 else set()
            if modules & set(MODULES):
                found |= modules & set(MODULES)
                break
    return found


def module(path: Path) -> str:
    """Return the full name of a module."""
    parts = path.with_suffix("").parts
    return ".".join([ROOT.name, *parts[: -1 if parts[-1] == "__init__" else None]])


@cache
def meanings(path: Path) -> dict[str, str]:
    """Return what the names of a module stand for: what it imports and defines, in full."""
    full = {}
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ImportFrom):
            full |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
        elif isinstance(node, ast.Import):
            full |= {a.asname or a.name: a.name for a in node.names}
    functions = (n for n in tree(path).body if isinstance(n, ast.FunctionDef))
    return full | {function.name: f"{module(path)}.{function.name}" for function in functions}


def calls(path: Path, node: ast.AST) -> Iterator[tuple[str, set[str]]]:
    """Yield the full name of each function called below a node, and the tables it is told of."""
    for call in ast.walk(node):
        if isinstance(call, ast.Call):
            head, _, tail = ast.unparse(call.func).partition(".")
            name = meanings(path).get(head, head) + (f".{tail}" if tail else "")
            told = {n.value for a in call.args for n in ast.walk(a) if isinstance(n, ast.Constant)}
            yield name, told & catalog.KINDS.keys()


@cache
def loaders() -> set[str]:
    """Return all functions that load components of the table that they are told of."""
    known, before = {"ddpm_cli.settings.catalog.load"}, 0
    while len(known) > before:
        before = len(known)
        for path in MODULES:
            for node in tree(path).body:
                if isinstance(node, ast.FunctionDef) and any(
                    name in known and not tables for name, tables in calls(path, node)
                ):
                    known.add(f"{module(path)}.{node.name}")
    return known


@cache
def made(path: Path) -> set[str]:
    """Return the tables whose components a module makes."""
    return {
        table for name, tables in calls(path, tree(path)) if name in loaders() for table in tables
    }


@cache
def needed(path: Path) -> set[Path]:
    """Return the modules that a module imports, itself or through the catalog."""
    files = [file for table in made(path) for file in catalog.files(table)]
    return ours(path) | {file.relative_to(ROOT) for file in files if file.name != "__init__.py"}


def test_every_table_is_made_somewhere() -> None:
    """The functions that make components are found, or nothing below would be seen."""
    tables = set().union(*(made(path) for path in MODULES))
    assert tables == set(catalog.KINDS)
    assert {"network", "sampler", "data"} <= made(Path("models/build.py"))


def test_only_the_catalog_imports_by_name() -> None:
    """But for files of users, which lie outside the package."""
    for path in MODULES:
        names = {name.split(".")[0] for name in imports(path)}
        if path not in (Path("settings/catalog.py"), Path("guides/parts/user_code.py")):
            assert not names & {"importlib", "runpy", "pkgutil"}, path
        assert "__import__" not in {name for name, _ in calls(path, tree(path))}, path


def test_every_module_has_its_floor() -> None:
    assert {part(path) for path in MODULES} == ALLOWED.keys() | ENTRIES


def test_the_top_holds_rooms_and_few_modules() -> None:
    assert len([path for path in MODULES if len(path.parts) == 1]) <= MODULE_LIMIT


@pytest.mark.parametrize("path", [p for p in MODULES if part(p) not in ENTRIES], ids=str)
def test_imports_point_downwards(path: Path) -> None:
    imported = {part(other) for other in needed(path)} - {part(path), "__init__"}
    assert imported <= ALLOWED[part(path)]


@pytest.mark.parametrize("path", [p for p in MODULES if part(p) not in CLICKED], ids=str)
def test_click_is_known_to_commands_and_options_alone(path: Path) -> None:
    assert "click" not in {name.split(".")[0] for name in imports(path)}


def test_commands_do_not_import_each_other() -> None:
    for path in MODULES:
        if part(path) == "commands":
            assert "commands" not in {part(other) for other in ours(path) - {path}}, path


def started(path: Path) -> set[Path]:
    """Return the modules that run when a module is imported: what it imports, and its packages."""
    run, coming = set(), {path}
    while coming:
        run |= coming
        packages = {p / "__init__.py" for other in coming for p in other.parents}
        imported = set().union(*(ours(other, top_level_only=True) for other in coming))
        coming = (packages | imported) - run
    return run


@pytest.mark.parametrize("path", [p for p in MODULES if part(p) in LIGHT_PARTS], ids=str)
def test_heavy_packages_are_imported_in_functions_only(path: Path) -> None:
    for other in started(path):
        assert not {name.split(".")[0] for name in imports(other, top_level_only=True)} & HEAVY


def test_optional_packages_are_imported_in_functions_only() -> None:
    for path in MODULES:
        named = {name.split(".")[0] for name in imports(path, top_level_only=True)}
        assert not named & OPTIONAL, path


def test_there_are_no_cycles() -> None:
    edges = {path: needed(path) - {path} for path in MODULES}
    while leaves := {path for path, targets in edges.items() if not targets & edges.keys()}:
        edges = {path: targets for path, targets in edges.items() if path not in leaves}
    assert not edges, "these modules import each other"


def test_there_is_no_utils_module() -> None:
    assert not [path for path in MODULES if path.stem in ("utils", "util", "helpers", "common")]
