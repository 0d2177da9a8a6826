"""Every command that a page shows is one: its options, choices, presets and settings exist."""

import contextlib
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import click
import pages
import pytest
import runs

from ddpm_cli import cli
from ddpm_cli.settings import catalog, presets, recipes
from ddpm_cli.settings.toml import parse_set

# The commands of CONTRIBUTING are about components that its recipes add; test_contributing
# runs them.
USER = [page for page in pages.PAGES if page.name != "CONTRIBUTING.md"]
SHOWN = {pages.name(page): list(pages.commands(page)) for page in USER}
SPOKEN = [page for page in USER if pages.blocks(page, "console")]
FEW = ("--steps", "2")
WRONG = "sampler.etta=1"  # shown for its message


def options(words: list[str], *flags: str) -> Iterator[str]:
    """The values that follow these options."""
    for flag, value in pairwise(words):
        if flag in flags:
            yield value


@pytest.mark.parametrize("page", SHOWN)
def test_commands_parse(page: str) -> None:
    for words in SHOWN[page]:
        with contextlib.suppress(click.exceptions.Exit):  # what --list does
            try:
                command = cli.ddpm.commands[words[0]]
                command.make_context(words[0], words[1:])
            except (KeyError, click.UsageError) as error:
                pytest.fail(f"{page}: ddpm {shlex.join(words)}: {error}")


@pytest.mark.parametrize("page", SHOWN)
def test_what_commands_name_exists(page: str) -> None:
    for words in SHOWN[page]:
        for name in options(words, "--preset"):
            assert name in presets.names(), words
        for name in options(words, "--sampler"):
            assert name in [*catalog.names("sampler"), *recipes.names()], words
        for assignment in options(words, "--set"):
            if assignment != WRONG:
                check(parse_set(assignment))


def check(tables: dict[str, object]) -> None:
    """Every table and key that an assignment sets exists in some component."""
    for table, values in tables.items():
        rows = values if isinstance(values, list) else [values]
        for row in rows:
            assert isinstance(row, dict), table
            if table in catalog.FIXED:
                known = set(catalog.fixed(table).knobs)
            else:
                names = catalog.names(table)
                assert row.get("name", names[0]) in names, (table, row)
                known = {"name"}.union(*(catalog.find(table, n).knobs for n in names))
            assert row.keys() <= known, (table, row)


def test_pages_show_commands() -> None:
    """The net that finds them has no holes."""
    assert {words[0] for found in SHOWN.values() for words in found} == set(cli.ddpm.commands)
    assert list(pages.ours(".venv/bin/ddpm a -o - > b | ddpm c 'd | e' # f")) == [
        ["a", "-o", "-"],
        ["c", "d | e"],
    ]
    assert list(pages.ours("torchrun --n 8 -m ddpm_cli train && ls")) == [["train"]]


@pytest.mark.parametrize("page", SPOKEN, ids=pages.name)
def test_answers_are_those_shown(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`...` ends a line whose rest is not shown, or stands for the lines that follow."""
    monkeypatch.chdir(tmp_path)
    for block in pages.blocks(page, "console"):
        for part in block.text.split("$ ")[1:]:
            command, *shown = part.splitlines()
            (words,) = pages.ours(command)
            prepare(page, words)
            outcome = runs.ddpm(*words)
            given = [*outcome.err.splitlines(), *outcome.out.splitlines()]
            for row, line in enumerate(shown):
                if line == "...":
                    break
                if line.endswith(" ..."):
                    assert given[row].startswith(line.removesuffix("...")), command
                else:
                    assert given[row] == line, command


# Of models, data and pictures of one's own, or of programs that nothing here needs.
OWN = re.compile(
    r"runs/|photos|masks/|grey\.png|\b(train|fit)\b|pip install|torchrun|-o digits/|--split"
    r"|a\.png|--jump"  # which three steps are too few for
)
TOURS = [
    pages.ROOT / "README.md",
    *(pages.ROOT / "docs" / f"{n}.md" for n in ("editing", "sampling")),
]


@pytest.mark.slow
@pytest.mark.parametrize("page", TOURS, ids=pages.name)
def test_commands_run_as_typed(page: Path, tmp_path: Path) -> None:
    """In their order, in an empty folder, by a shell, with the bundled models, in few steps."""
    command = tmp_path / "bin" / "ddpm"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m ddpm_cli "$@"\n')
    command.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{command.parent}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(pages.ROOT),
        "DDPM_SET": "levels.count=3",
    }
    (tmp_path / "here").mkdir()
    texts = [block.text.replace("\\\n", " ") for block in pages.blocks(page, "sh")]
    lines = [line for text in texts for line in text.splitlines() if not OWN.search(line)]
    assert len(lines) > 5
    for line in lines:
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", line],
            cwd=tmp_path / "here", env=environment, capture_output=True,
        )  # fmt: skip
        assert done.returncode == 0, f"{line}\n{done.stderr.decode()}"


def prepare(page: Path, words: list[str]) -> None:
    """Make the files that a command is about as the page does, in few steps."""
    for made in pages.commands(page):
        for output in options(made, "-o"):
            needed = output in words[1:] and output not in options(words, "-o")
            if needed and not Path(output).exists():
                assert runs.ddpm(*made, *FEW).code == 0
                return
