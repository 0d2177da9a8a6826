"""File names with {fields}: any text is either a name or one clear refusal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddpm_cli.errors import ConfigError
from ddpm_cli.files.outputs import edits, naming, targets

PIECES = st.sampled_from(
    ["{seed}", "{class}", "{name}", "{", "}", "{{", "}}", "!r", ":>9", "out/", ".png"]
)
KNOWN = [naming.FIELDS, edits.FIELDS]


@given(st.lists(PIECES | st.text(max_size=5)).map("".join), st.sampled_from(KNOWN))
def test_any_text_is_a_name_or_a_refusal(template: str, known: tuple[str, ...]) -> None:
    try:
        fields = targets.fields(template, known)
    except ConfigError:
        return
    assert fields <= set(known)
    name = template.format_map({"seed": "000007", "class": "seven", "name": "a"})
    assert ("seed" not in fields) or "000007" in name


@pytest.mark.parametrize(
    "template", ["{seed:>999999999}.png", "{seed!r}.png", "{0}.png", "{}.png"]
)
@pytest.mark.parametrize("known", KNOWN)
def test_nothing_but_the_plain_fields(template: str, known: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError):
        targets.fields(template, known)
