"""The pages that users read, and what stands in their code blocks."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS]
SEPARATORS = {"&&", "||", "|", ";"}


class Block(NamedTuple):
    """A fenced block of code, and the paragraph above it."""

    language: str
    text: str
    above: str


def name(page: Path) -> str:
    """The page as a path from the root, for the names of tests."""
    return str(page.relative_to(ROOT))


def blocks(page: Path, *languages: str) -> list[Block]:
    """The code blocks of a page in these languages, in their order."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in re.finditer(r"^( *)```(\w*)\n(.*?)^\1```$", text, re.MULTILINE | re.DOTALL):
        indent, language, body = match.groups()
        lines = [line.removeprefix(indent) for line in body.splitlines()]
        above = text[: match.start()].rstrip().rpartition("\n\n")[2]
        found.append(Block(language, "\n".join(lines), above))
    return [block for block in found if block.language in languages]


def prose(page: Path) -> str:
    """A page without its code blocks."""
    text = page.read_text(encoding="utf-8")
    return re.sub(r"^( *)```.*?^\1```$", "", text, flags=re.MULTILINE | re.DOTALL)


def commands(page: Path) -> Iterator[list[str]]:
    """The words behind `ddpm` of each command that a page shows in a block or in its text."""
    for block in blocks(page, "sh", "console"):
        prompt = "$ " if block.language == "console" else ""
        for line in block.text.replace("\\\n", " ").splitlines():
            if line.startswith(prompt):
                yield from ours(line.removeprefix(prompt))
    for span in re.findall(r"`(ddpm [a-z]+ [^`]+)`", " ".join(prose(page).split())):
        yield from ours(span)


def ours(line: str) -> Iterator[list[str]]:
    """The words behind `ddpm` of each call in a line for the shell."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    call: list[str] = []
    for word in [*lexer, ";"]:
        if word not in SEPARATORS:
            call.append(word)
            continue
        if ">" in call:
            call = call[: call.index(">")]
        if call and Path(call[0]).name == "ddpm":
            yield call[1:]
        elif call[-3:-1] == ["-m", "ddpm_cli"] or "ddpm_cli" in call:
            yield call[call.index("ddpm_cli") + 1 :]
        call = []
