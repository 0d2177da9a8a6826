"""The Python snippets run, in their order, as one session in an empty folder."""

import os
import subprocess
import sys
from pathlib import Path

import pages
import pytest

import ddpm_cli

PAGES = [pages.ROOT / "docs" / "python.md", pages.ROOT / "README.md"]
pytestmark = pytest.mark.skipif(
    not (hasattr(ddpm_cli, "load") and hasattr(ddpm_cli, "train")),
    reason="needs the whole interface",
)


@pytest.mark.parametrize("page", PAGES, ids=pages.name)
def test_snippets_run(page: Path, tmp_path: Path) -> None:
    snippets = [block.text for block in pages.blocks(page, "python")]
    assert snippets
    session = tmp_path / "session.py"
    session.write_text("\n\n".join(snippets), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(pages.ROOT)}
    done = subprocess.run(
        [sys.executable, session], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
