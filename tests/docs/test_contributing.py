"""The recipes of CONTRIBUTING, followed in a copy of the package."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pages
import pytest

PAGE = pages.ROOT / "CONTRIBUTING.md"
WRITTEN = re.compile(r"`((?:ddpm_cli|tests)/[\w/]+\.py)`")
CALLS = list(pages.commands(PAGE))
LISTS = {"sampler": "adams-bashforth", "schedule": "log-linear", "network": "convolutions"}
LISTS |= {"data": "checkerboard"}
# Runs commands in one process, and says what came of each.
RUN = """
import json, sys, runs
for words in json.loads(sys.argv[1]):
    outcome = runs.ddpm(*words)
    print(json.dumps([outcome.code, outcome.out, outcome.err]))
"""


def recipes() -> dict[str, str]:
    """The files that the recipes write: the last one named above each block of Python."""
    return {WRITTEN.findall(b.above)[-1]: b.text + "\n" for b in pages.blocks(PAGE, "python")}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of package and tests in which all recipes were followed."""
    root = tmp_path_factory.mktemp("copy")
    large = shutil.ignore_patterns("__pycache__", "assets")
    for folder in ("ddpm_cli", "tests"):
        shutil.copytree(pages.ROOT / folder, root / folder, ignore=large)
    for kept in ("ddpm_cli/assets", "presets", "pyproject.toml", "docs", "README.md"):
        (root / kept).symlink_to(pages.ROOT / kept)
    for path, source in recipes().items():
        assert not (root / path).exists(), path
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(source, encoding="utf-8")
    declared, request = pages.blocks(PAGE, "text")
    insert(root / "tests/declared.py", "SAMPLERS = {\n", declared.text + "\n")
    with (root / WRITTEN.findall(request.above)[-1]).open("a", encoding="utf-8") as requests:
        requests.write(f"\n\n{request.text}\n")
    # The import, and the tuple of verbs.
    assert insert(root / "ddpm_cli/cli.py", "    upscale,\n", "    weigh,\n") == 2
    return root


def insert(path: Path, behind: str, text: str) -> int:
    """Insert text behind each place of a file where something stands; give how many there are."""
    source = path.read_text(encoding="utf-8")
    path.write_text(source.replace(behind, behind + text), encoding="utf-8")
    return source.count(behind)


def python(copy: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run Python on the copy, in the copy."""
    paths = os.pathsep.join(map(str, (copy, copy / "tests")))
    return subprocess.run(
        [sys.executable, *words], cwd=copy, env={**os.environ, "PYTHONPATH": paths},
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip


def test_commands_of_the_recipes_run(copy: Path) -> None:
    done = python(copy, "-c", RUN, json.dumps(CALLS))
    assert done.returncode == 0, done.stderr
    outcomes: list[Any] = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(outcomes) == len(CALLS) > len(LISTS)
    listed = set()
    for words, (code, out, err) in zip(CALLS, outcomes, strict=True):
        assert code == 0, (words, err)
        if "--list" in words:
            kind = words[-1]
            assert f"\n{LISTS[kind]}: " in f"\n{out}", kind
            listed.add(kind)
    assert listed == set(LISTS)


@pytest.mark.slow
def test_recipes_keep_the_rules_of_the_house(copy: Path) -> None:
    """Their own tests, the layers, the catalog's contract and that of samplers."""
    own = [path for path in recipes() if path.startswith("tests/")]
    assert own
    words = ["tests/test_layers.py", "tests/settings", "tests/diffusion/samplers", *own]
    names = " or ".join([*LISTS.values(), "alike", *(Path(path).stem for path in recipes())])
    done = python(copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words, "-k", names)
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_recipes_are_formatted_and_typed(copy: Path) -> None:
    """Where the tools are installed: contributors have them, other testers need not."""
    for tool, *options in (("ruff", "check"), ("ruff", "format", "--check"), ("mypy",)):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
        files = [path for path in recipes() if tool == "ruff" or path.startswith("ddpm_cli")]
        done = python(copy, "-m", tool, *options, *files)
        assert done.returncode == 0, done.stdout
