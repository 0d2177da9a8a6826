"""Films: frames, their times, and what they carry."""

import io
import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from ddpm_cli.files.images import lossy
from ddpm_cli.files.outputs import films
from ddpm_cli.files.outputs.films import Timing


def frames(channels: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    shape = (5, channels, 8, 6)
    return [*torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)]


@pytest.mark.parametrize("suffix", films.SUFFIXES)
def test_each_frame_has_its_time(suffix: str) -> None:
    data = films.encode(frames(1), {"seed": 1}, Timing(100, 700, (0, -1)), suffix)
    with Image.open(io.BytesIO(data)) as film:
        assert film.n_frames == 5  # type: ignore[attr-defined]
        assert film.info["loop"] == 0
        times = []
        for number in range(5):
            film.seek(number)
            film.load()
            times.append(film.info["duration"])
    assert times == [700, 100, 100, 100, 700]


def test_the_last_frame_stays_by_default() -> None:
    assert Timing().durations(3) == [films.SPEED, films.SPEED, films.HOLD]


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_webp_has_the_pixels_and_the_record(channels: int) -> None:
    made = frames(channels)
    data = films.encode(made, {"seed": 1}, suffix=".webp")
    with Image.open(io.BytesIO(data)) as film:
        assert lossy.read_record(film) == {"seed": 1}
        for number, frame in enumerate(made):
            film.seek(number)
            seen = torch.from_numpy(np.array(film.convert("RGBA"))).permute(2, 0, 1)
            visible = torch.ones(8, 6).bool() if channels < 4 else frame[3] > 0
            for plane in range(3):
                right = frame[plane if channels > 1 else 0]
                assert (seen[plane][visible] == right[visible]).all()


def test_a_gif_keeps_its_record() -> None:
    with Image.open(io.BytesIO(films.encode(frames(1), {"seed": 1}))) as film:
        assert json.loads(film.info["comment"]) == {"seed": 1}


def test_a_webp_has_a_largest_size() -> None:
    wide = [torch.zeros(1, 1, 16384, dtype=torch.uint8)] * 2
    with pytest.raises(Exception, match="a side of a WebP has 16383 at most"):
        films.encode(wide, {}, suffix=".webp")
