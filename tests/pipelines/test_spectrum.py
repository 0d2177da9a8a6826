"""What noise leaves of each frequency of an image, from the outside."""

import csv
import io
import json
import math
from pathlib import Path

import pytest
import torch
from runs import ddpm, done

from ddpm_cli.diffusion.schedules.tables import linear
from ddpm_cli.files.images.pixels import encode_png
from ddpm_cli.pipelines import spectrum

LINEAR = ("--set", "schedule.name=linear")


@pytest.fixture(autouse=True)
def _image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (3, 20, 12), generator=generator, dtype=torch.uint8)
    Path("a.png").write_bytes(encode_png(pixels, {}))


def rows(*words: object) -> list[dict[str, float]]:
    out = done("schedule", "--spectrum", "a.png", *LINEAR, *words, "--json").out
    return [json.loads(line) for line in out.splitlines()]


def test_noise_of_the_level_that_is_said_is_as_strong() -> None:
    schedule = linear()
    for row in rows():
        assert row["sigma"] == pytest.approx(math.sqrt(row["power"]))
        assert row["logsnr"] == pytest.approx(-math.log(row["power"]))
        sigma = schedule.sigma(torch.tensor(row["t"] / 1000, dtype=torch.float64))
        assert float(sigma) == pytest.approx(row["sigma"], rel=1e-6)


def test_rows_are_chosen_evenly_and_all_formats_agree() -> None:
    every = rows("--rows", "all")
    assert [row["frequency"] for row in every] == pytest.approx([n / 12 for n in range(1, 7)])
    assert rows("--rows", 3) == [every[0], every[2], every[5]]
    text = done("schedule", "--spectrum", "a.png", *LINEAR, "--csv").out
    found = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(io.StringIO(text))]
    assert found == every


def test_a_level_that_the_process_never_reaches_has_no_time() -> None:
    frequencies, power = torch.tensor([0.1, 0.2]), torch.tensor([1e9, 1.0])
    first, second = spectrum.tabulate(linear(), frequencies.double(), power.double())
    assert first["t"] is None
    assert second["t"] is not None


def test_plot() -> None:
    pytest.importorskip("matplotlib")
    assert done("schedule", "--spectrum", "a.png", "--plot", "s.png").out == "s.png\n"
    assert Path("s.png").read_bytes().startswith(b"\x89PNG")
    again = ddpm("schedule", "--spectrum", "a.png", "--plot", "s.png")
    assert again.code == 1
    assert "--force" in again.err


@pytest.mark.parametrize("size", [1, 2, 3])
def test_images_of_few_pixels(size: int) -> None:
    pytest.importorskip("matplotlib")
    Path("b.png").write_bytes(encode_png(torch.ones(1, size, size, dtype=torch.uint8), {}))
    outcome = ddpm("schedule", "--spectrum", "b.png", "--plot", "s.png")
    if size == 1:
        assert outcome.code == 1
        assert "too few pixels for a frequency" in outcome.err
    else:
        assert outcome.code == 0, outcome.err


@pytest.mark.parametrize("name", ["none.png", "a.txt", "folder"])
def test_what_is_no_image_is_refused(name: str) -> None:
    Path("a.txt").write_text("text")
    Path("folder").mkdir()
    outcome = ddpm("schedule", "--spectrum", name)
    assert outcome.code in (1, 2)
    assert outcome.err.startswith("Error: ")
    assert "Traceback" not in outcome.err
