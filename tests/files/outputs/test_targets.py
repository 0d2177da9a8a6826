"""File names with {fields}: any text is either a name or one clear refusal."""

import shlex
from pathlib import Path

import pytest
import runs
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


@pytest.mark.parametrize(
    "command",
    [
        "sample -n 1 --steps 2 -o {}.png",
        "sample -n 1 --steps 2 --force -o x.png --trajectory {}.npz",
        "nll a.png --steps 4 -o {}.csv",
        "nll a.png --method vlb --steps 4 --terms {}.csv",
        "nll a.png --method vlb --steps 4 --rate-distortion {}.csv",
        "encode a.png --steps 4 -o {}.safetensors",
        "encode a.png --method forward --at 10% -o {}.png",
        "inpaint a.png --mask 1,1,4,4 --steps 2 -o {}.png",
        "upscale a.png --task deblur --steps 2 -o {}.png",
        "guide --class 1 --steps 2 -o {}.png",
        "interpolate a.png b.png -n 2 --steps 4 -o {}.png",
        "collect a.png b.png -o {}.npz",
        "report RUN -o {}.html",
        "info . --sheet {}.png",
        "schedule --plot {}.png",
    ],
)
@pytest.mark.usefixtures("abc")
def test_the_folder_of_a_file_is_made(command: str, finished: Path) -> None:
    """One rule for every verb, and what is no folder is named before any work."""
    if "--plot" in command:
        pytest.importorskip("matplotlib")
    command = command.replace("RUN", str(finished))
    place = command.partition("{}")[2]
    runs.done(*shlex.split(command.format("new/folder/x")))
    assert Path(f"new/folder/x{place}").is_file()
    refused = runs.ddpm(*shlex.split(command.format("a.png/x")))
    assert (refused.code, refused.out) == (1, "")
    assert f"Error: a.png: {Path('a.png').absolute()} is not a folder" in refused.err
    assert "choose another" in refused.err
