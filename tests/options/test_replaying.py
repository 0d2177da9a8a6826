"""What a record may put into a command that is printed to be typed again."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch
from runs import ddpm

from ddpm_cli.files.images.pixels import encode_png

ENTRY: dict[str, Any] = {
    "version": "0", "command": "sample", "model": "mnist", "hash": "f00", "class": None,
    "settings": {}, "batch": 1, "threads": 1, "device": "cpu", "dtype": "float32", "seeds": "0",
}  # fmt: skip
ORDINARY = (
    "ddpm sample -m mnist --seeds 0 --batch 1 --dtype float32 --device cpu "
    "--set compute.threads=1 --set compute.rng=torch\n"
)
PLACE = "add -o x.png to write it in its place:\n"
HOSTILE = [
    "\x1b]0;owned\x07\x1b[2J", "a\nrm -rf /", "\x9b31m", "\u202egnp.exe", "\u2066x", "$(touch x)",
    "`touch x`", "'; touch x; '", "-rf", "--force", "\x00", "\r\x08", "\u2028", "x" * 5000,
]  # fmt: skip


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def told(**changes: Any) -> Any:
    record = {key: value for key, value in (ENTRY | changes).items() if value != "drop"}
    Path("x.png").write_bytes(encode_png(torch.zeros(1, 4, 4, dtype=torch.uint8), record))
    return ddpm("info", "x.png", "--command")


def test_an_ordinary_record() -> None:
    outcome = told()
    assert (outcome.code, outcome.out, outcome.err) == (0, ORDINARY, PLACE)


@pytest.mark.parametrize(
    ("verb", "words", "left"),
    [
        ("sample", ["--force"], ""),
        ("sample", ["-o", "/etc/x"], ""),
        ("sample", ["--output", "/etc/x", "--at", "9"], "--at 9"),
        ("sample", ["--force", "-o", "/etc/x", "--trajectory", "/etc/y.npz"], ""),
        ("sample", ["-m", "evil", "--skip-existing", "--preset", "evil"], ""),
        ("sample", ["--config", "evil.toml", "--set", "init.model=evil"], ""),
        ("sample", ["--set", "data.path=/etc/passwd", "--compile"], ""),
        ("guide", ["--scorer", "evil.py:run", "--trust"], ""),
        ("guide", ["--classifier", "evil.pt2", "--trust", "--download"], ""),
        ("guide", ["--classifier", "evil.py:run", "--unconditional"], "--unconditional"),
    ],
)
def test_what_writes_or_runs_is_left_out(verb: str, words: list[str], left: str) -> None:
    outcome = told(command=verb, arguments=words)
    assert outcome.code == 0
    left = f"{left} " if left else ""
    assert outcome.out == ORDINARY.replace("sample ", f"{verb} {left}")
    assert outcome.err.count("Warning: x.png: ") >= 1
    assert "left out of the command" in outcome.err


@pytest.mark.parametrize(
    "changes",
    [
        {"arguments": ["--output=/etc/x"]},
        {"arguments": ["-o/etc/x"]},
        {"arguments": ["--forc"]},
        {"arguments": ["; touch x"]},
        {"arguments": ["--at"]},
        {"arguments": ["--help"]},
        {"arguments": ["--list", "sampler"]},
        {"arguments": ["--fit", "--force"]},
        {"arguments": ["--aug-noise", "1e400"]},
        {"command": "train"},
        {"command": "selftest", "arguments": ["--at", "1"]},
        {"command": "sample --force"},
        {"command": "rm"},
        {"seeds": "0 --force"},
        {"seeds": "0\n1"},
        {"batch": "1 --force"},
        {"batch": [1]},
        {"batch": True},
        {"threads": "1 -o x"},
        {"threads": 1.5},
        {"device": "cpu -o x"},
        {"dtype": "$(touch x)"},
        {"frames": "3 --force"},
        {"settings": {"train": {"steps": 1}}},
        {"settings": {"init": {"model": "x"}}},
        {"settings": {"sampler=1 --force": 1}},
        {"inputs": ["a" * 200_000]},
    ],
)
def test_what_is_no_command_is_refused(changes: dict[str, Any]) -> None:
    outcome = told(**changes)
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.startswith("Error: x.png: its ddpm entry ")
    assert len(outcome.err) < 300


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize(
    "change",
    [
        lambda text: {"model": text},
        lambda text: {"class": text},
        lambda text: {"inputs": [text]},
        lambda text: {"moments": text},
        lambda text: {"arguments": ["--background", text]},
        lambda text: {"settings": {"sampler": {"name": text, text: [text]}}},
    ],
)
def test_any_text_is_one_word(change: Any, text: str) -> None:
    outcome = told(**change(text))
    if outcome.code:
        return
    assert outcome.out.rstrip("\n").isprintable()
    words = shlex.split(outcome.out)
    assert words.count("-o") == 0
    assert "touch" not in words
    before = words[: words.index("--")] if "--" in words else words
    assert "--force" not in before
    assert "-rf" not in before


def test_what_no_terminal_shows_is_quoted_for_bash() -> None:
    assert "--model" not in told(model="a'\x1b\\\u00e9\n").out
    assert told(model="a'\x1b\\\u00e9\n").out.startswith(
        r"ddpm sample -m $'a\x27\x1b\x5c\xc3\xa9\x0a' --seeds"
    )
    assert "-m 'é ü'" in told(model="é ü").out


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("key", ["model", "class", "version", "inputs", "settings", "extra"])
def test_info_shows_no_raw_text(key: str, text: str) -> None:
    value: Any = {"inputs": [text, text], "settings": {"sampler": {"name": text, text: 1}}}
    told(**{key: value.get(key, text), text: text})
    outcome = ddpm("info", "x.png")
    assert outcome.code == 0, outcome.err
    lines = outcome.out.splitlines()
    assert all(line.isprintable() or "\u00a0" in line for line in lines), lines
    assert len(lines) <= len(ENTRY) + 2
    as_json = ddpm("info", "x.png", "--json").out
    assert as_json.rstrip("\n").isprintable()
    assert json.loads(as_json)[text] == text


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "9" * 5000])
def test_numbers_that_are_none(number: str) -> None:
    told()
    entry = json.dumps(ENTRY)
    data = encode_png(torch.zeros(1, 4, 4, dtype=torch.uint8), {**ENTRY, "x": "N"})
    assert entry
    Path("x.png").write_bytes(_patched(data, b'"N"', number.encode()))
    for words in ([], ["--json"], ["--command"]):
        outcome = ddpm("info", "x.png", *words)
        assert outcome.code == 1
        assert outcome.err.startswith("Error: x.png: ")


def _patched(data: bytes, old: bytes, new: bytes) -> bytes:
    """A PNG with another text in its record."""
    from io import BytesIO

    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    with Image.open(BytesIO(data)) as image:
        text = dict(image.text)  # type: ignore[attr-defined]
        info, out = PngInfo(), BytesIO()
        for key, value in text.items():
            info.add_text(key, value.replace(old.decode(), new.decode()))
        image.save(out, "PNG", pnginfo=info)
    return out.getvalue()
