"""Rows kept on the device are the rows of the readers: the same run bit for bit."""

from pathlib import Path

import pytest
import runs
import torch
from image_sets import fill, picture

from ddpm_cli import hardware
from ddpm_cli.data.array_set import ArraySet
from ddpm_cli.data.image_set import ImageSet
from ddpm_cli.training import resident
from ddpm_cli.training.batches import Order, Share
from ddpm_cli.training.resident import Resident, kept_on

ON = ("--set", "train.resident=on")
DIGITS = ImageSet(
    torch.arange(6, dtype=torch.uint8).reshape(6, 1, 1, 1),
    (1, 1, 1),
    torch.arange(6),
    tuple("abcdef"),
)
POINTS = ArraySet(torch.rand(5000, 2), torch.zeros(2), torch.ones(2))


def test_a_run_is_the_same(data: Path, finished_small: Path, tmp_path: Path) -> None:
    """With classes, flips, dropped classes, and a stop between."""
    with runs.signal_after(6, runs.signal.SIGTERM):
        assert (
            runs.train_small(data, tmp_path / "run", *ON, "--set", "train.workers=2").code == 143
        )
    assert runs.train_small(data, tmp_path / "run", *ON).code == 0
    runs.assert_same(runs.result(tmp_path / "run"), runs.result(finished_small))


def test_a_run_in_parts_and_crops_is_the_same(data: Path, tmp_path: Path) -> None:
    parts = ("--set", "train.accumulate=2", "--set", "train.crop=2")
    assert runs.train_small(data, tmp_path / "off", *parts).code == 0
    assert runs.train_small(data, tmp_path / "on", *parts, *ON).code == 0
    runs.assert_same(runs.result(tmp_path / "on"), runs.result(tmp_path / "off"))


@pytest.mark.parametrize("data", [DIGITS, POINTS])
def test_rows_are_those_of_the_set(data: ImageSet | ArraySet) -> None:
    """Over more epochs, steps and rows than are moved at once, in two processes."""
    there = Resident(data, torch.device("cpu"))
    assert len(there) == len(data)
    order = Order(len(data), 0, range(70), 4, Share(1, 2).parts(2))
    for indices, moved in zip(order, there.ahead(order), strict=True):
        (rows, told), (expected, names) = there[moved], data[indices]
        assert torch.equal(rows, expected)
        assert rows.dtype == expected.dtype
        assert told.keys() == names.keys()
        assert all(torch.equal(told[kind], names[kind]) for kind in names)


@pytest.mark.parametrize(
    ("device", "free", "there"),
    [("cuda", 24, True), ("cuda", 23, False), ("cuda", None, False), ("cpu", 10**9, False)],
)
def test_auto_keeps_what_takes_a_quarter_of_the_free_memory(
    device: str, free: int | None, there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "free_memory", lambda device: free)
    monkeypatch.setattr(resident, "Resident", lambda data, device: (data, device))
    expected = (DIGITS, torch.device(device)) if there else DIGITS
    assert kept_on(torch.device(device), DIGITS, "auto") == expected


def test_rows_lie_on_the_device() -> None:
    there = Resident(DIGITS, torch.device("meta"))
    rows, told = there[torch.zeros(2, dtype=torch.long, device="meta")]
    assert (rows.device.type, rows.dtype, rows.shape) == ("meta", torch.uint8, (2, 1, 1, 1))
    assert told["classes"].device.type == "meta"


def test_images_that_are_decoded_on_demand_are_refused(tmp_path: Path) -> None:
    fill(tmp_path / "set", {f"{number}.png": picture(number, 8, 8) for number in range(20)})
    words = ["--set", f"data={{name='folder', path='{tmp_path / 'set'}', memory=0}}", *ON]
    words += ["--set", "network.classes=0", "-o", tmp_path / "run"]
    outcome = runs.ddpm("train", *runs.SETTINGS, *words)
    assert outcome.code == 2
    assert (
        "Error: train.resident: the images are decoded on demand; raise data.memory" in outcome.err
    )
