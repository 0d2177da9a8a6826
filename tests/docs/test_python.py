"""The Python snippets run, in their order, as one session in an empty folder."""

import runpy
from collections.abc import Iterator
from pathlib import Path

import pages
import pytest
import torch

import ddpm_cli

PAGES = [pages.ROOT / "docs" / "python.md", pages.ROOT / "README.md"]
pytestmark = pytest.mark.skipif(
    not (hasattr(ddpm_cli, "load") and hasattr(ddpm_cli, "train")),
    reason="needs the whole interface",
)


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    """Leave torch as it was found: the snippets run in this process, which has imported it."""
    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("page", PAGES, ids=pages.name)
def test_snippets_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snippets = [block.text for block in pages.blocks(page, "python")]
    assert snippets
    session = tmp_path / "session.py"
    session.write_text("\n\n".join(snippets), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(session), run_name="__main__")
