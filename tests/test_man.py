import os
import shutil
import subprocess

import pytest

pytest.importorskip("click_man")
import make_man


def test_man_pages_are_up_to_date() -> None:
    """If this fails: python tests/make_man.py"""
    written = {path.name: path.read_text(encoding="utf-8") for path in make_man.FOLDER.iterdir()}
    assert written == make_man.pages()


@pytest.mark.parametrize("name", sorted(make_man.pages()))
def test_no_line_is_taken_for_a_roff_request(name: str) -> None:
    requests = {".TH", ".SH", ".PP", ".TP", ".B", ".nf", ".fi", ".nh", ".ad"}
    for line in make_man.pages()[name].splitlines():
        assert not line.startswith("'"), line
        assert not line.startswith(".") or line.split()[0] in requests, line


@pytest.mark.skipif(shutil.which("man") is None, reason="needs man")
@pytest.mark.parametrize("name", sorted(make_man.pages()))
def test_examples_stand_in_one_line_of_80_columns(name: str) -> None:
    environment = {**os.environ, "MANWIDTH": "80", "LC_ALL": "C.UTF-8"}
    page = subprocess.run(
        ["man", "-l", make_man.FOLDER / name],
        env=environment, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    lines = page.splitlines()
    assert max(map(len, lines)) <= 80
    command = make_man.ddpm.commands.get(name.removesuffix(".1").partition("-")[2], make_man.ddpm)
    for line in (command.epilog or "").splitlines():
        if line.startswith("  "):
            assert line.strip() in map(str.strip, lines)


def test_examples_are_not_filled() -> None:
    """What `man` is told, where there is none to look at."""
    text = make_man.pages()["ddpm-sample.1"]
    assert "\n.nf\nExamples:\n  ddpm sample \\-n 64 \\-o digits.png\n" in text
    assert text.count("\n.nf\n") == text.count("\n.fi\n")
