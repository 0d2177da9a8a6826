"""Emoji as a data set: captions by code points, colours of pictures, compositions for test."""

import copy
import zipfile
from pathlib import Path

import pytest
import torch

from ddpm_cli.data.sets.pictographs import emoji
from ddpm_cli.errors import Refusal
from ddpm_cli.files.images import pixels

RED, BLUE, GREEN, ORANGE = (
    (0xDD, 0x2E, 0x44),
    (0x55, 0xAC, 0xEE),
    (0x78, 0xB1, 0x59),
    (244, 144, 12),
)
FILES = {
    "2764-fe0f": RED,
    "1f499": BLUE,
    "1f49a": GREEN,
    "1f535": BLUE,
    "1f534": RED,
    "1f4d5": RED,
    "1f4d9": ORANGE,
    "1f1eb-1f1f7": BLUE,
    "1f44b-1f3ff": RED,
}


def picture(colour: tuple[int, int, int], size: int = 6) -> bytes:
    """A PNG file of one colour whose rim is transparent."""
    image = torch.zeros(4, size, size, dtype=torch.uint8)
    image[:, 1:-1, 1:-1] = torch.tensor([*colour, 255], dtype=torch.uint8).reshape(4, 1, 1)
    return pixels.encode_png(image)


@pytest.fixture(params=["zip", "folder"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "folder":
        for name, colour in FILES.items():
            (tmp_path / f"{name}.png").write_bytes(picture(colour))
        return str(tmp_path)
    with zipfile.ZipFile(tmp_path / "emoji.zip", "w") as archive:
        for name, colour in FILES.items():
            archive.writestr(f"72x72/{name}.png", picture(colour))
    return str(tmp_path / "emoji.zip")


HELD = ["green heart", "blue circle", "orange book"]


def test_captions_and_compositions_for_test(place: str) -> None:
    parts = ("train", "test")
    train, test = (emoji(split, path=place, held=HELD, holdout=0.0) for split in parts)
    assert {train.text(i) for i in range(len(train))} == {
        "flag of france",
        "waving hand sign, dark skin tone",
        "large red circle",
        "blue heart",
        "red closed book\nclosed book",
        "red heart\nheavy black heart",
    }
    assert [test.text(i) for i in range(len(test))] == [
        "green heart",
        "orange book",
        "large blue circle",
    ]
    assert train.classes is None
    assert train.shape == (3, 6, 6)


def test_knobs(place: str) -> None:
    usual = emoji("train", path=place, captions="usual", held=[], holdout=0.0, mode="RGBA")
    assert (len(usual), usual.shape) == (9, (4, 6, 6))
    assert "red heart" in [usual.text(i) for i in range(9)]
    formal = emoji("test", path=place, captions="formal", held=["HEAVY heart"], holdout=0.0)
    assert [formal.text(i) for i in range(len(formal))] == ["heavy black heart"]


def test_held_out_share_comes_behind_compositions(place: str) -> None:
    test = emoji("test", path=place, held=HELD, holdout=0.5)
    assert len(test) == 3 + 3
    assert test.text(0) == "green heart"


def test_it_goes_to_other_processes(place: str) -> None:
    found = copy.deepcopy(emoji("train", path=place, held=HELD, memory=0, holdout=0.0))
    row = [found.text(i) for i in range(6)].index("large red circle")
    assert found[torch.tensor([row])][0][0, :, 3, 3].tolist() == [*RED]


def test_images_without_a_name_are_told(tmp_path: Path) -> None:
    (tmp_path / "1f499.png").write_bytes(picture(BLUE))
    (tmp_path / "preview.png").write_bytes(picture(BLUE))
    found = emoji("train", path=str(tmp_path), holdout=0.0)
    assert [found.text(i) for i in range(2)] == ["blue heart", None]
    assert (
        "preview.png: no name of Unicode's for it; 1 of 2 images have no caption" in found.notes[0]
    )
    (tmp_path / "1f499.png").unlink()
    with pytest.raises(Refusal, match=r"data\.name=folder"):
        emoji("train", path=str(tmp_path))
