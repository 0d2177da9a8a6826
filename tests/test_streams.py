"""Nothing waits for ever for a pipe, and a device is never read."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from runs import ddpm

from ddpm_cli import streams
from ddpm_cli.errors import Refusal
from ddpm_cli.files.images.pixels import encode_png, open_image

PIXELS = torch.arange(64, dtype=torch.uint8).reshape(1, 8, 8)
PNG = encode_png(PIXELS)


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "pipe.png")
    return tmp_path / "pipe.png"


def test_a_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"text")
    with streams.opened(tmp_path / "a", 10) as stream:
        assert stream.read() == b"text"
    with pytest.raises(IsADirectoryError):
        streams.opened(tmp_path, 10)
    with pytest.raises(FileNotFoundError):
        streams.opened(tmp_path / "b", 10)


def test_a_pipe_without_a_writer_is_refused_after_a_second(pipe: Path) -> None:
    begun = time.monotonic()
    with pytest.raises(Refusal, match="a named pipe that nobody writes to"):
        streams.opened(pipe, 10)
    assert time.monotonic() - begun < 3


@pytest.mark.parametrize("pauses", [(0, 0), (0.3, 0), (0.3, 1.5)])
def test_a_pipe_with_a_writer_is_read(pipe: Path, pauses: tuple[float, float]) -> None:
    """However long it takes once it is there."""

    def write() -> None:
        time.sleep(pauses[0])
        with pipe.open("wb") as stream:
            time.sleep(pauses[1])
            stream.write(PNG[:40])
            stream.flush()
            time.sleep(pauses[0])
            stream.write(PNG[40:])

    writer = threading.Thread(target=write)
    writer.start()
    assert torch.equal(open_image(pipe, "L"), PIXELS)
    writer.join()


def test_no_more_is_read_than_the_limit() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"x" * 1000)
    os.close(writer)
    with streams.opened(Path(f"/dev/fd/{reader}"), 99) as stream:
        assert len(stream.read()) == 100
    os.close(reader)


@pytest.mark.parametrize("name", ["/dev/zero", "/dev/null"])
def test_devices(name: str) -> None:
    with pytest.raises(Refusal, match=f"{name}: a device, where a file is wanted"):
        streams.opened(Path(name), 10)


def test_pipes_of_a_shell(tmp_path: Path, finished: Path) -> None:
    """`<(command)` as input and as mask, and /dev/stdin."""
    (tmp_path / "a.png").write_bytes(PNG)
    (tmp_path / "m.png").write_bytes(encode_png((PIXELS > 40).to(torch.uint8)))
    (tmp_path / "c.toml").write_text("[levels]\ncount = 2\n")
    words = f"cat a.png | {sys.executable} -m ddpm_cli inpaint /dev/stdin --mask <(cat m.png)"
    more = f"-m {finished} -o x.png --dtype float32 --config <(sleep 1.2; cat c.toml)"
    subprocess.run(["bash", "-c", f"{words} {more}"], cwd=tmp_path, check=True)
    made = open_image(tmp_path / "x.png", "L")
    assert torch.equal(made[PIXELS <= 40], PIXELS[PIXELS <= 40])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("inpaint", "PIPE", "--mask", "0,0,1,1"), "nobody writes to"),
        (("inpaint", "IMAGE", "--mask", "PIPE"), "nobody writes to"),
        (("inpaint", "FOLDER", "--mask", "0,0,1,1"), "no images in this folder"),
        (("inpaint", "IMAGE", "--mask", "FOLDER"), "no mask has this name"),
        (("inpaint", "IMAGE", "--mask", "/dev/zero"), "a device, where a file is wanted"),
        (("upscale", "PIPE", "-m", "mnist"), "nobody writes to"),
        (("encode", "PIPE"), "nobody writes to"),
        (("sample", "--init", "PIPE", "--at", "40%"), "nobody writes to"),
        (("sample", "--from", "PIPE"), "Error: PIPE: "),
        (("sample", "-m", "PIPE"), "a pipe, where a file is wanted"),
        (("sample", "-m", "FOLDER"), "no model.safetensors is in this folder"),
        (("sample", "--config", "PIPE"), "nobody writes to"),
        (("sample", "--config", "FOLDER"), "Is a directory"),
        (("guide", "--restore", "upscale", "--image", "PIPE"), "nobody writes to"),
        (("guide", "--restore", "mask", "--image", "IMAGE", "--mask", "PIPE"), "nobody writes to"),
        (("guide", "--scorer", "PIPE.py:f"), "a pipe, where a file is wanted"),
        (("guide", "--classifier", "PIPE", "--class", "3"), "a pipe, where a file is wanted"),
        (("info", "PIPE"), "a pipe, where a file is wanted"),
        (("info", "FOLDER"), "FOLDER"),
        (("nll", "PIPE"), "nobody writes to"),
        (("train", "--preset", "tiny", "--set", "data.path=PIPE"), "PIPE"),
        (("train", "--set", "data={name='archive', path='PIPE'}"), "a pipe, where a file"),
        (("train", "--set", "data={name='array', path='PIPE'}"), "PIPE: "),
        (("train", "--preset", "tiny", "--init", "PIPE"), "a pipe, where a file is wanted"),
    ],
)
def test_every_verb_answers(
    words: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("PIPE")
    os.mkfifo("PIPE.py")
    Path("FOLDER").mkdir()
    Path("IMAGE").write_bytes(encode_png(torch.zeros(1, 28, 28, dtype=torch.uint8)))
    begun = time.monotonic()
    outcome = ddpm(*words)
    assert outcome.code in (1, 2)
    assert message in outcome.err
    assert time.monotonic() - begun < 30
