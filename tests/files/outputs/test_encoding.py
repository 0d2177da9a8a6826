"""The ending of a name says how a picture is written."""

import io
from pathlib import Path

import pytest
import torch
from PIL import Image

from ddpm_cli.files.outputs import encoding

PIXELS = torch.full((1, 8, 8), 90, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.png", "PNG"),
        ("a.PNG", "PNG"),
        ("a.jpg", "JPEG"),
        ("a.JPEG", "JPEG"),
        ("a.webp", "WEBP"),
    ],
)
def test_by_ending(name: str, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert encoding.is_picture(Path(name))
    encoding.announce(Path(name))
    assert (f"{kind} of quality 95" in capsys.readouterr().err) == (kind != "PNG")
    assert Image.open(io.BytesIO(encoding.encode(PIXELS, Path(name), {}))).format == kind


def test_stdout_is_png() -> None:
    assert Image.open(io.BytesIO(encoding.encode(PIXELS, None, {}))).format == "PNG"


@pytest.mark.parametrize("name", ["a", "a.gif", "jpg", ".png"])
def test_other_endings(name: str) -> None:
    assert not encoding.is_picture(Path(name))
