"""A .npz file that was damaged on its way: whoever reads it names the array."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
from runs import ddpm

from ddpm_cli.files import array_file


def damaged(path: Path, name: str, at: float, **arrays: object) -> Path:
    """Write arrays, packed, and turn some bytes of one of them round; at: where in it."""
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]
    with zipfile.ZipFile(path) as archive:
        entry = archive.getinfo(f"{name}.npy")
    data = bytearray(path.read_bytes())
    begin = (
        entry.header_offset + 30 + int.from_bytes(data[entry.header_offset + 26 :][:2], "little")
    )
    begin += int.from_bytes(data[entry.header_offset + 28 :][:2], "little")
    place = begin + int(at * (entry.compress_size - 8))
    data[place : place + 8] = bytes(255 - byte for byte in data[place : place + 8])
    path.write_bytes(data)
    return path


def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (64, 8, 8, 1), dtype=np.uint8)


@pytest.mark.parametrize("at", [0.0, 0.3, 0.9])
@pytest.mark.parametrize(
    "command",
    [
        "info bad.npz",
        "train --preset tiny --steps 1 --set data.name=npz --set data.path=bad.npz -o run",
        "eval bad.npz --ref bad.npz --features digits",
        "collect bad.npz -o all.npz",
    ],
)
def test_images(command: str, at: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    damaged(Path("bad.npz"), "images", at, images=images(), labels=np.arange(64) % 3)
    outcome = ddpm(*command.split())
    assert outcome.code == 1
    assert "Error: bad.npz: damaged: images.npy in it does not unpack" in outcome.err
    assert "copy or download it again" in outcome.err


@pytest.mark.parametrize("at", [0.0, 0.3, 0.9])
@pytest.mark.parametrize(
    "command",
    [
        "info bad.npz",
        "train --preset swiss-roll --steps 1 --set data.name=array --set data.path=bad.npz -o run",
        "nll bad.npz --steps 4",
        "encode bad.npz --steps 4",
    ],
)
def test_rows(
    command: str, at: float, roll: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DDPM_MODEL", str(roll))
    x = np.random.default_rng(0).normal(size=(2, 300))
    damaged(Path("bad.npz"), "y", at, x=x[0], y=x[1])
    outcome = ddpm(*command.split())
    assert outcome.code == 1
    assert "Error: bad.npz: damaged: y.npy in it does not unpack" in outcome.err


@pytest.mark.parametrize("at", [0.0, 0.3, 0.9])
def test_statistics(at: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sigma = np.random.default_rng(0).normal(size=(84, 84))
    damaged(Path("bad.npz"), "sigma", at, mu=np.zeros(84), sigma=sigma)
    np.savez("good.npz", images=np.zeros((4, 28, 28, 1), np.uint8))
    outcome = ddpm("eval", "good.npz", "--ref", "bad.npz", "--features", "digits")
    assert outcome.code == 1
    assert "Error: bad.npz: damaged: sigma.npy in it does not unpack" in outcome.err


def test_what_is_whole_or_no_zip_file_has_no_damage(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", x=np.arange(3))
    assert array_file.damage(tmp_path / "a.npz") is None
    (tmp_path / "b.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:40])
    assert array_file.damage(tmp_path / "b.npz") is None
    assert array_file.damage(tmp_path / "none.npz") is None
