"""Entries of PNG files are read without a decoder as Pillow reads them."""

import io
import json

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ddpm_cli.errors import Refusal
from ddpm_cli.files.images import metadata, pixels

ENTRY = {"command": "sample", "seeds": "0-3", "note": "é 漢"}
PICTURE = torch.arange(48, dtype=torch.uint8).reshape(3, 4, 4)
WHOLE = pixels.encode_png(PICTURE, ENTRY)


def saved(kind: str, **options: object) -> io.BytesIO:
    """An image of another program."""
    stream = io.BytesIO()
    Image.new("RGB", (4, 4)).save(stream, kind, **options)
    stream.seek(0)
    return stream


def outcome(reader: object, data: bytes) -> dict[str, object] | str:
    """What a reader gives, or the message of its refusal."""
    try:
        return reader(io.BytesIO(data))  # type: ignore[operator]
    except Refusal as refusal:
        return refusal.message


def test_an_entry_of_ours() -> None:
    assert metadata.read(io.BytesIO(WHOLE)) == ENTRY


@pytest.mark.parametrize("packed", [False, True])
def test_an_entry_that_another_program_wrote_again(packed: bool) -> None:
    for add in (PngInfo.add_text, PngInfo.add_itxt):
        info = PngInfo()
        add(info, "ddpm", json.dumps(ENTRY), zip=packed)
        assert metadata.read(saved("PNG", pnginfo=info)) == ENTRY


def test_the_last_entry_counts() -> None:
    info = PngInfo()
    for entry in ({"a": 1}, ENTRY):
        info.add_text("ddpm", json.dumps(entry))
    assert metadata.read(saved("PNG", pnginfo=info)) == ENTRY


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF"])
def test_images_of_others_have_none(kind: str) -> None:
    assert metadata.read(saved(kind)) == {}


@pytest.mark.parametrize(
    "data", [b"", b"text", WHOLE[:8], WHOLE[:60], WHOLE.replace(b"sample", b"simple")]
)
def test_damage_is_told_as_by_the_decoder(data: bytes) -> None:
    message = outcome(metadata.read, data)
    assert isinstance(message, str)
    assert message == outcome(pixels.read_metadata, data)


@given(st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_mutated_file_says_the_same_or_is_refused(data: st.DataObject) -> None:
    mutated = bytearray(WHOLE)
    for _ in range(data.draw(st.integers(1, 4))):
        mutated[data.draw(st.integers(0, len(mutated) - 1))] = data.draw(st.integers(0, 255))
    del mutated[data.draw(st.integers(1, len(mutated))) :]
    ours, theirs = (outcome(r, bytes(mutated)) for r in (metadata.read, pixels.read_metadata))
    assert ours in (theirs, ENTRY)
