"""File names with {fields}: any text is either a name or one clear refusal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddpm_cli.errors import ConfigError
from ddpm_cli.files import outputs

PIECES = st.sampled_from(["{seed}", "{class}", "{", "}", "{{", "}}", "!r", ":>9", "out/", ".png"])


@given(st.lists(PIECES | st.text(max_size=5)).map("".join))
def test_any_text_is_a_name_or_a_refusal(template: str) -> None:
    try:
        fields = outputs._fields(template)
    except ConfigError:
        return
    assert fields <= set(outputs.FIELDS)
    name = template.format_map({"seed": "000007", "class": "seven"})
    assert ("seed" not in fields) or "000007" in name


@pytest.mark.parametrize(
    "template", ["{seed:>999999999}.png", "{seed!r}.png", "{0}.png", "{}.png"]
)
def test_nothing_but_the_plain_fields(template: str) -> None:
    with pytest.raises(ConfigError):
        outputs._fields(template)
