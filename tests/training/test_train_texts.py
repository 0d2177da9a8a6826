"""Training on texts: from captions to what is drawn, by bytes and by a frozen encoder."""

import json
from pathlib import Path

import pytest
import torch
from image_sets import fill
from random_encoders import clip_folder
from runs import PLAIN, ddpm, replayed

from ddpm_cli.files.checkpoints.header import read_header
from ddpm_cli.files.images.pixels import encode_png
from ddpm_cli.models.asked import Asked
from ddpm_cli.settings.request_parts import Use

LONG = "a red square that stands somewhere on a black ground, and nothing but it"


def squares(place: Path, words: tuple[str, str], long: bool = False) -> Path:
    """Images 8x8 of a red or a blue square somewhere on black, and what is written of each."""
    generator, files, lines = torch.Generator().manual_seed(0), dict[str, bytes](), []
    for number in range(40):
        image = torch.zeros(3, 8, 8, dtype=torch.uint8)
        top, left = torch.randint(0, 5, (2,), generator=generator).tolist()
        image[2 * (number % 2), top : top + 4, left : left + 4] = 255
        files[f"{number:02}.png"] = encode_png(image)
        written = LONG if long and number == 7 else words[number % 2]
        lines.append(json.dumps({"file_name": f"{number:02}.png", "text": written}))
    files["metadata.jsonl"] = "\n".join(lines).encode()
    return fill(place, files)


def settings(data: Path, *more: str) -> list[object]:
    return [
        *PLAIN, "--set", "data.name=folder", "--set", f"data.path={data}",
        "--set", "data.mode=RGB",
        "--set", 'network={name="unet", width=8, multipliers=[1], blocks=1, attention=[8]}',
        "--steps", "2", "--batch", "4", "--set", "levels.count=4", "--set", "train.sheet_count=0",
        *(word for one in more for word in ("--set", one)),
    ]  # fmt: skip


def test_a_frozen_encoder_is_asked_again_for_new_texts_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    data, encoder = squares(tmp_path / "set", ("red", "蓝")), clip_folder(tmp_path / "clip")
    text = ("text.encoder=clip", f"text.model={encoder}", "text.width=16", "train.resident=on")
    made = ddpm("train", *settings(data, *text), "-o", tmp_path / "run")
    assert made.code == 0, made.err
    path = tmp_path / "run" / "model.safetensors"
    header = read_header(path)
    about = header.data.encoding
    assert about is not None
    assert (about.width, about.length) == (8, 12)
    asked = Asked.of(Use(texts=("red", "a heart")), dict(header.config), header.data)
    rows = asked.conditions([0, 1])["text"]
    assert rows.shape == (2, 12, 8)
    assert rows.dtype == torch.float16
    # What was told in training needs no encoder; what was not needs the same one.
    encoder.rename(tmp_path / "away")
    known = Asked.of(Use(texts=("red", "蓝")), dict(header.config), header.data)
    assert torch.equal(known.conditions([0])["text"].nan_to_num(), rows[:1].nan_to_num())
    sample = ("sample", "-m", path, *PLAIN, "--set", "guidance.scale=2", "-o")
    drawn = ddpm(*sample, tmp_path / "known.png", "--text", "蓝")
    assert drawn.code == 0, drawn.err
    drawn = ddpm(*sample, tmp_path / "new.png", "--text", "another", "-n", 1)
    assert drawn.code == 1
    assert f"Error: text.model: {encoder}: no such folder, with the model's encoder" in drawn.err
    assert "--set text.model=FOLDER" in drawn.err
    assert not (tmp_path / "new.png").exists()
    there = ("--text", f"another {LONG}", "--set", f"text.model={tmp_path / 'away'}")
    drawn = ddpm(*sample, tmp_path / "new.png", *there)
    assert drawn.code == 0, drawn.err
    assert "text.length: the text is longer than 12 tokens, and cut there" in drawn.err
    before = (tmp_path / "new.png").read_bytes()
    words = replayed(tmp_path / "new.png")
    (tmp_path / "new.png").unlink()
    again = ddpm(*words)
    assert again.code == 0, again.err
    assert (tmp_path / "new.png").read_bytes() == before


def test_texts_that_are_cut_are_said_once(tmp_path: Path) -> None:
    data = squares(tmp_path / "set", ("red", "blue"), long=True)
    text = ("text.width=16", "text.depth=1", "text.heads=2", "text.length=16", "data.holdout=0.1")
    made = ddpm("train", *settings(data, *text), "-o", tmp_path / "run")
    assert made.code == 0, made.err
    told = "text.length: 1 of 3 texts are longer than 16 bytes, and cut there, as 'a red square"
    assert made.err.count(told) == 1


def test_data_without_texts_are_refused(tmp_path: Path) -> None:
    made = ddpm("train", "--preset", "tiny", "--set", "text.width=16", "-o", tmp_path / "run")
    assert made.code == 2
    assert "text: nothing is written of these data" in made.err
    assert ".txt beside each image" in made.err
