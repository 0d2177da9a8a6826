"""The direction of imports: lower layers know nothing of those above."""

import ast
from functools import cache
from pathlib import Path

import pytest

import ddpm_cli

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
# Ways that are still to be straightened.
PENDING = {
    ("options/walking.py", "models"),
    ("options/walking.py", "diffusion"),
    ("pipelines/sample.py", "options"),
    ("pipelines/starts.py", "options"),
    ("files/provenance.py", "__init__"),
}
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


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_imports_point_downwards(path: Path) -> None:
    imported = {part(other) for other in ours(path)} - {part(path), "__init__"}
    imported -= {room for place, room in PENDING if place == str(path)}
    if part(path) not in ("cli", "__main__", "__init__"):
        assert imported <= ALLOWED[part(path)]


def test_commands_do_not_import_each_other() -> None:
    for path in MODULES:
        if part(path) == "commands":
            assert "commands" not in {part(other) for other in ours(path) - {path}}, path


@pytest.mark.parametrize("path", [p for p in MODULES if part(p) in LIGHT_PARTS], ids=str)
def test_heavy_packages_are_imported_in_functions_only(path: Path) -> None:
    heavy = {name.split(".")[0] for name in imports(path, top_level_only=True)} & HEAVY
    assert not heavy
    assert {part(other) for other in ours(path, top_level_only=True)} <= LIGHT_PARTS


def test_optional_packages_are_imported_in_functions_only() -> None:
    for path in MODULES:
        named = {name.split(".")[0] for name in imports(path, top_level_only=True)}
        assert not named & OPTIONAL, path


def test_there_are_no_cycles() -> None:
    edges = {path: ours(path) - {path} for path in MODULES}
    while leaves := {path for path, targets in edges.items() if not targets & edges.keys()}:
        edges = {path: targets for path, targets in edges.items() if path not in leaves}
    assert not edges, "these modules import each other"


def test_there_is_no_utils_module() -> None:
    assert not [path for path in MODULES if path.stem in ("utils", "util", "helpers", "common")]
