"""No text becomes markup, whatever it holds."""

import html

from ddpm_cli.files.outputs.page import markup
from ddpm_cli.files.outputs.page.markup import Markup, element

HOSTILE = "<script>\"'&]]>--></style>"


def test_texts_and_attributes_are_escaped() -> None:
    made = element("p", HOSTILE, title=HOSTILE).html
    assert made.count("<") == 2
    assert made.count('"') == 2
    assert html.unescape(made.partition(">")[2]) == HOSTILE + "</p>"


def test_what_steers_or_is_no_letter_is_spelled_out() -> None:
    assert markup.escaped("a\0\x1b\u202e\udcff\n") == "a\\x00\\x1b\\u202e\\udcff\n"
    assert markup.escaped("日本ü") == "日本ü"


def test_elements() -> None:
    assert element("br").html == "<br>"
    made = element("input", id="a", checked=True, hidden=False, data_x=1.5, for_=None).html
    assert made == '<input id="a" checked data-x="1.5">'
    assert element("p", None, Markup("<b>x</b>"), "y").html == "<p><b>x</b>y</p>"


def test_a_switch_has_one_choice() -> None:
    made = markup.choice("size", "size", {"a": "1x", "b": "2x"}, "b").html
    assert made.count(" checked") == 1
    assert '<label for="b"><input type="radio" name="size" id="b" checked> 2x</label>' in made


def test_a_table_names_its_rows_and_columns() -> None:
    made = markup.table(["", "a"], [["lr", "<1"]], "What differs").html
    assert '<th scope="row">lr</th><td>&lt;1</td>' in made
    assert '<th scope="col">a</th>' in made
    assert "<caption>What differs</caption>" in made
