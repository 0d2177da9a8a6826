"""The direction of imports: lower layers know nothing of those above.

What the catalog imports by name counts too: a module that makes the components of a table depends
on every file that they may come from.
"""

import ast
from functools import cache
from pathlib import Path

import ddpm_cli
from ddpm_cli.cli import VERBS
from ddpm_cli.settings import catalog

ROOT = Path(ddpm_cli.__file__).parent
MODULES = sorted(path.relative_to(ROOT) for path in ROOT.rglob("*.py"))
# The rooms from the ground up: each may import those before it, but no neighbour on its floor.
FLOORS = (
    {"errors", "signals"},
    {"console", "streams"},
    {"failures"},
    {"foreign"},
    {"settings"},
    {"hardware"},
    {"diffusion", "networks"},
    {"files"},
    {"data", "encoders", "evaluation"},
    {"training"},
    {"models"},
    {"guides"},
    {"pipelines"},
    {"api"},
    {"commands"},
)
# Options know what may be set, and nothing of how it is done.
ALLOWED = {"options": {"errors", "signals", "console", "streams", "failures", "settings"}}
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
    "torch_fidelity",
    "open_clip",
    "transformers",
    "huggingface_hub",
    "tensorboard",
    "wandb",
    "onnxruntime",
    "onnxscript",
}
TABLES = {*catalog.KINDS, *catalog.PICKED}
OPTIONAL = {
    "matplotlib", "torchdiffeq", "torch_fidelity", "open_clip", "huggingface_hub", "tensorboard",
    "wandb", "onnxruntime", "onnxscript", "transformers",
}  # fmt: skip
LIGHT_PARTS = {
    "cli", "commands", "__main__", "__init__", "options", "settings", "errors", "signals",
    "console", "streams", "failures", "foreign",
}  # fmt: skip


def part(path: Path) -> str:
    return path.parts[0].removesuffix(".py")


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text(encoding="utf-8"))


@cache
def imports(path: Path, top_level_only: bool = False) -> set[str]:
    """Return the full names that a module imports, but for its type hints."""
    names = set()
    for node in tree(path).body if top_level_only else ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module, "relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@cache
def ours(path: Path, top_level_only: bool = False) -> set[Path]:
    """Return the modules of the package that a module imports."""
    known = set()
    for name in imports(path, top_level_only):
        parts = name.split(".")[1:] if name.startswith("ddpm_cli.") else []
        # The last part may be a module, or a name in one.
        for end in (len(parts), len(parts) - 1):
            place = Path(*parts[:end])
            modules = {place.with_suffix(".py"), place / "__init__.py"} if end > 0 else set()
            if modules & set(MODULES):
                known |= modules & set(MODULES)
                break
    return known


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


@cache
def calls(path: Path) -> list[tuple[str, str, set[str]]]:
    """Return all calls in a module: from which function, to which, and of which tables it tells.

    Both functions by their full names; from "" outside of functions.
    """
    every = []
    for node in tree(path).body:
        caller = f"{module(path)}.{node.name}" if isinstance(node, ast.FunctionDef) else ""
        for call in ast.walk(node):
            if isinstance(call, ast.Call):
                head, _, tail = ast.unparse(call.func).partition(".")
                called = meanings(path).get(head, head) + (f".{tail}" if tail else "")
                below = (n for a in call.args for n in ast.walk(a) if isinstance(n, ast.Constant))
                every.append((caller, called, {n.value for n in below} & TABLES))
    return every


@cache
def loaders() -> set[str]:
    """Return all functions that load components of the table that they are told of."""
    every = [call for path in MODULES for call in calls(path)]
    known, before = {"ddpm_cli.settings.catalog.load"}, 0
    while len(known) > before:
        before = len(known)
        known |= {caller for caller, called, tables in every if called in known and not tables}
        known -= {""}
    return known


@cache
def tables_made(path: Path) -> set[str]:
    """Return the tables whose components a module makes."""
    return {table for _, called, tables in calls(path) if called in loaders() for table in tables}


@cache
def needed(path: Path) -> set[Path]:
    """Return the modules that a module imports, itself or through the catalog."""
    files = [file for table in tables_made(path) for file in catalog.files(table)]
    return ours(path) | {file.relative_to(ROOT) for file in files if file.name != "__init__.py"}


def test_every_table_is_made_somewhere() -> None:
    """The functions that make components are known, or nothing below would be seen."""
    tables = set().union(*(tables_made(path) for path in MODULES))
    assert tables == TABLES
    assert {"network", "schedule"} <= tables_made(Path("models/build.py"))
    assert {"levels", "sampler"} <= tables_made(Path("models/walk_parts.py"))


def test_only_the_catalog_imports_by_name() -> None:
    """But for files of users, which lie outside the package."""
    for path in MODULES:
        names = {name.split(".")[0] for name in imports(path)}
        if path not in (Path("settings/catalog.py"), Path("guides/parts/user_code.py")):
            assert not names & {"importlib", "runpy", "pkgutil"}, path
        assert "__import__" not in {called for _, called, _ in calls(path)}, path


def test_every_module_has_its_floor() -> None:
    assert {part(path) for path in MODULES} == ALLOWED.keys() | ENTRIES


def test_the_top_holds_rooms_and_few_modules() -> None:
    assert len([path for path in MODULES if len(path.parts) == 1]) <= MODULE_LIMIT


def test_imports_point_downwards() -> None:
    upwards = {
        (str(path), str(other))
        for path in MODULES
        if part(path) not in ENTRIES
        for other in needed(path)
        if part(other) not in ALLOWED[part(path)] | {part(path), "__init__"}
    }
    assert not upwards


def test_click_is_known_to_commands_and_options_alone() -> None:
    for path in MODULES:
        clicked = "click" in {name.split(".")[0] for name in imports(path)}
        assert not clicked or part(path) in CLICKED, path


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


def test_heavy_packages_are_imported_in_functions_only() -> None:
    light = [path for path in MODULES if part(path) in LIGHT_PARTS]
    for path in set().union(*map(started, light)):
        heavy = {name.split(".")[0] for name in imports(path, top_level_only=True)} & HEAVY
        assert not heavy, path


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


def test_a_verb_is_a_command_a_pipeline_and_a_test() -> None:
    for verb in (module.__name__.rpartition(".")[2] for module in VERBS):
        for place in (ROOT / "commands" / f"{verb}.py", ROOT / "pipelines" / f"{verb}.py"):
            assert place.is_file(), place
        assert (Path(__file__).parent / "commands" / f"test_{verb}.py").is_file(), verb
