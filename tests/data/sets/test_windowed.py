"""Windows of long series."""

import wave
from pathlib import Path

import numpy as np
import pytest
import torch

from ddpm_cli.data.sets.windowed import series
from ddpm_cli.errors import ConfigError, Refusal


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def counting(length: int = 100, channels: int = 2) -> np.ndarray:
    """A series of which each value tells its channel and its moment."""
    return np.arange(length, dtype=np.float32) + 1000 * np.arange(channels)[:, None]


def test_windows_of_test_lie_behind_those_to_train_on() -> None:
    np.save("a.npy", counting())
    for stride in (1, 3):
        train, test = (
            series(part, path="a.npy", window=10, stride=stride, normalize=False, holdout=0.2)
            for part in ("train", "test")
        )
        assert train.shape == test.shape == (2, 10)
        assert len(train) == len(range(0, 71, stride))
        assert len(test) == len(range(80, 91, stride))
        rows, _ = train[torch.arange(len(train))]
        want = [counting()[:, first : first + 10].tolist() for first in range(0, 71, stride)]
        assert rows.tolist() == want
        assert test[torch.arange(len(test))][0][..., 0].min() == 80
    assert train.size == 2 * 80 * 4, "windows share their values"


def test_channels_are_scaled_as_in_training() -> None:
    np.save("a.npy", counting())
    test = series("test", path="a.npy", window=5, holdout=0.2)
    assert test.mean == (39.5, 1039.5)
    values = test[torch.arange(1)][0] * torch.tensor(test.std)[:, None]
    assert (values + torch.tensor(test.mean)[:, None])[0, :, 0].tolist() == [80, 1080]


def test_a_table_has_a_line_each_moment() -> None:
    lines = ["day,heat,rain", *(f"{n},{n / 2},{n * n}" for n in range(40))]
    Path("a.csv").write_text("\n".join(lines))
    knobs = {"path": "a.csv", "window": 4, "normalize": False}
    data = series("train", columns=["rain", "heat"], **knobs)
    assert data.shape == (2, 4)
    assert data[torch.tensor([2])][0][0].tolist() == [[4, 9, 16, 25], [1, 1.5, 2, 2.5]]
    first = series("train", skip=["day"], **knobs)[torch.tensor([0])][0]
    assert first[0, 0].tolist() == [0, 0.5, 1, 1.5]
    for line, what in (
        ("40,x,2", r"line 42, column 2 .heat.: 'x' is no number; .*data.skip=..heat.."),
        ("40,1", "line 42: 2 cells, expected 3"),
    ):
        Path("b.csv").write_text("\n".join([*lines, line]))
        with pytest.raises(Refusal, match=what):
            series("train", path="b.csv")


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_sound_is_read_of_all_widths(width: int) -> None:
    top = 2 ** (8 * width - 1)
    values = [0, top // 2, -top // 2, -top]
    stored = [v + 128 for v in values] if width == 1 else values
    data = b"".join(v.to_bytes(width, "little", signed=width > 1) for v in stored for _ in "lr")
    Path("sound").mkdir()
    for name in ("a.wav", "b.wav"):
        with wave.open(f"sound/{name}", "wb") as stream:
            stream.setparams((2, width, 8000, 0, "NONE", ""))
            stream.writeframes(data)
    whole = series("train", path="sound", window=4, normalize=False, holdout=0)
    assert len(whole) == 2, "no window goes over from one file to the next"
    assert whole[torch.tensor([1])][0].tolist() == [[[0, 0.5, -0.5, -1]] * 2]
    with wave.open("sound/c.wav", "wb") as stream:
        stream.setparams((2, width, 16000, 0, "NONE", ""))
        stream.writeframes(data)
    with pytest.raises(Refusal, match=r"c\.wav: 16000 values a second, sound.a\.wav has 8000"):
        series("train", path="sound", window=4)


def test_what_cannot_be_cut_is_refused() -> None:
    np.save("a.npy", counting())
    np.save("b.npy", counting().T)
    Path("c.wav").write_bytes(b"RIFF")
    for path, window, what in (
        ("a.npy", 60, "no window of 60 for test, of 100 moments"),
        ("a.npy", 40, r"--set data\.holdout=0\.4"),
        ("b.npy", 4, "100 channels of 2 moments"),
        ("c.wav", 4, "no sound that can be read"),
        ("d.txt", 4, "no such file"),
        (".", 4, "100 channels of 2 moments"),
    ):
        with pytest.raises(Refusal) as refused:
            series("test", path=path, window=window)
        refused.match(what)
    with pytest.raises(ConfigError, match=r"data\.path"):
        series("train")
