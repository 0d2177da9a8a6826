"""Every figure says which script made it, and on which hardware."""

import re

import pages
import pytest

PAGE = pages.ROOT / "docs" / "measured.md"
SECTIONS = re.split(r"^(?=#+ )", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
FIGURES = {section.splitlines()[0]: section for section in SECTIONS[2:]}


@pytest.mark.parametrize("section", FIGURES)
def test_a_section_names_script_and_hardware_before_its_figures(section: str) -> None:
    _, first, *rest = FIGURES[section].split("\n\n")
    script, hardware = first.split("\n")
    scripts = re.findall(r"`(benchmarks/\w+\.py)`", script)
    assert script.startswith("Script: ")
    assert scripts
    assert [path for path in scripts if not (pages.ROOT / path).is_file()] == []
    assert re.fullmatch(r"Hardware: .*(Xeon|EPYC|Core|Apple|[AHV]\d00).*\.", hardware)
    assert re.search(r"\d", "".join(rest))


@pytest.mark.parametrize("section", FIGURES)
def test_a_section_carries_its_command(section: str) -> None:
    """What a script is told to do it knows."""
    found = re.findall(r"`(python benchmarks/[^`]+)`", FIGURES[section])
    assert found
    shared = (pages.ROOT / "benchmarks" / "command_line.py").read_text(encoding="utf-8")
    for command in found:
        _, script, *words = command.partition(" -- ")[0].split()
        source = (pages.ROOT / script).read_text(encoding="utf-8") + shared
        flags = [word for word in words if word.startswith("-")]
        assert [flag for flag in flags if f'"{flag}"' not in source] == []


def test_no_figures_stand_outside_of_sections() -> None:
    assert not re.search(r"^\||!\[", SECTIONS[1], re.MULTILINE)


def test_every_script_that_is_named_exists() -> None:
    for page in pages.PAGES:
        for path in re.findall(r"benchmarks/\w+\.py", page.read_text(encoding="utf-8")):
            assert (pages.ROOT / path).is_file(), (page, path)
