import pytest

pytest.importorskip("click_man")
import make_man


def test_man_pages_are_up_to_date() -> None:
    """If this fails: python tests/make_man.py"""
    written = {path.name: path.read_text(encoding="utf-8") for path in make_man.FOLDER.iterdir()}
    assert written == make_man.pages()


@pytest.mark.parametrize("name", sorted(make_man.pages()))
def test_no_line_is_taken_for_a_roff_request(name: str) -> None:
    requests = {".TH", ".SH", ".PP", ".TP", ".B"}
    for line in make_man.pages()[name].splitlines():
        assert not line.startswith("'"), line
        assert not line.startswith(".") or line.split()[0] in requests, line
