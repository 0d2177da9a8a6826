"""The pages about the code name modules, functions and tests that exist."""

import ast
import re
from pathlib import Path

import pages
import pytest
import test_layers

import ddpm_cli

PACKAGE = Path(ddpm_cli.__file__).parent
ABOUT = [pages.ROOT / "docs" / "architecture.md", pages.ROOT / "CONTRIBUTING.md"]
# A path of a module, perhaps with a name in it, or of a folder.
PLACE = re.compile(r"`((?:[\w.+-]+/)*[\w.+-]+(?:\.(?:py|toml|md|yaml)|/))(?::(\w+))?`")


def place(path: str) -> Path | None:
    """Where a path that a page names is: in the package, in the tests or at the top."""
    candidates = [PACKAGE / path, pages.ROOT / path]
    return next((found for found in candidates if found.exists()), None)


def names(path: Path) -> set[str]:
    """What a module defines at its top."""
    return {
        node.name
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, (ast.FunctionDef, ast.ClassDef))
    } | {
        target.id
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


@pytest.mark.parametrize("page", ABOUT, ids=pages.name)
def test_what_a_page_names_exists(page: Path) -> None:
    named = PLACE.findall(page.read_text(encoding="utf-8"))
    # Recipes write files: those named above their code.
    above = " ".join(block.above for block in pages.blocks(page, "python"))
    written = {path for path, _ in PLACE.findall(above)} - {"tests/declared.py"}
    assert named
    for path, name in named:
        if "VERB" in path or path in written:
            continue
        found = place(path)
        assert found is not None, f"{path} is nowhere"
        assert not name or name in names(found), f"{path} has no {name}"


def test_the_picture_of_layers_is_that_of_the_rules() -> None:
    """From the top down as drawn, and as `test_layers` holds every import to it."""
    text = ABOUT[0].read_text(encoding="utf-8").partition("## The layers")[2]
    (picture, *_) = re.findall(r"(?:^    .+\n)+", text, re.MULTILINE)
    drawn = [set(re.split(r"[,| ]+", re.split(r"   +", row.strip())[0]))
             for row in picture.splitlines()]  # fmt: skip
    floors = [set(floor) for floor in reversed(test_layers.FLOORS)]
    assert drawn[:-1] == floors[: len(drawn) - 1]
    assert drawn[-1] == set().union(*floors[len(drawn) - 1 :])
