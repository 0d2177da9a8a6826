"""Pages lead to what is there."""

import re
import subprocess
from pathlib import Path

import pages
import pytest

README = (pages.ROOT / "README.md").read_text(encoding="utf-8")
CI = pages.ROOT / ".ci" / "run"
LINK = re.compile(r"\]\(([^)\s]+)\)")
LINKING = [*pages.PAGES, pages.ROOT / "CHANGELOG.md", pages.ROOT / "benchmarks" / "README.md"]


def anchors(page: Path) -> set[str]:
    """What links into a page may end with, as GitHub makes it of the headings."""
    headings = re.findall(r"^#+ (.+)$", pages.prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}


@pytest.mark.parametrize("page", LINKING, ids=pages.name)
def test_links_and_pictures_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(pages.prose(page)):
        place, _, anchor = link.partition("#")
        if place.startswith(("http:", "https:")):
            continue
        target = page.parent / place if place else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", LINKING, ids=pages.name)
def test_no_line_waits_for_its_text(page: Path) -> None:
    assert re.findall(r"^[A-Z0-9]+(?:_[A-Z0-9]+)*$", pages.prose(page), re.MULTILINE) == []


def test_every_picture_is_shown() -> None:
    shown = {
        (page.parent / link).resolve()
        for page in pages.PAGES
        for link in LINK.findall(pages.prose(page))
    }
    assert set((pages.ROOT / "docs" / "pictures").iterdir()) <= shown


def test_the_index_lists_every_page() -> None:
    index = pages.ROOT / "docs" / "README.md"
    listed = {link for link in LINK.findall(index.read_text("utf-8")) if "/" not in link}
    assert listed == {page.name for page in pages.DOCS} - {index.name}


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 192


@pytest.mark.skipif(not CI.exists(), reason="not in the source distribution")
@pytest.mark.parametrize("mark", ["train", "test"])
def test_one_line_is_marked_for_who_installs_and_tests(mark: str) -> None:
    """What .ci/run takes out of the README."""
    script = CI.read_text(encoding="utf-8")
    (function,) = re.findall(r"^line\(\).*$", script, re.MULTILINE)
    line = subprocess.run(
        ["bash", "-c", f"{function}\nline {mark}"],
        cwd=pages.ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert line.startswith("python3 -m venv .venv && .venv/bin/pip install ")
    assert line.count("\n") == 1


def test_every_command_is_in_the_table() -> None:
    from ddpm_cli import cli

    assert set(re.findall(r"^\| `ddpm (\w+)` \|", README, re.MULTILINE)) == set(cli.ddpm.commands)


@pytest.mark.parametrize("page", ["training.md", "scripts.md"])
def test_jobs_are_scripts_that_bash_reads(page: str) -> None:
    text = (pages.ROOT / "docs" / page).read_text(encoding="utf-8")
    jobs = re.findall(r"^```bash\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert any("#SBATCH" in job for job in jobs)
    for job in jobs:
        subprocess.run(["bash", "-n"], input=job, text=True, check=True)
