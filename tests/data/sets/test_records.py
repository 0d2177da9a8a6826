"""Training on sets as other programs pack them: stopped and resumed, and refused in one line."""

import signal
from pathlib import Path

import pytest
import runs
from image_sets import picture
from record_sets import features, parquet, tar

from ddpm_cli.settings import catalog

COUNT = 20  # images: the third step of eight crosses into the second epoch
PICTURES = [picture(8 * value, 8, 8) for value in range(COUNT)]
NETWORK = (
    'network={name="unet", width=8, multipliers=[1], blocks=1, attention=[], patch=2, classes=3, '
    'norm="pixel"}'
)
SETTINGS = (
    "--preset", "tiny", *runs.PLAIN, "--set", NETWORK, "--steps", 10, "--batch", 8,
    "--set", "levels.count=2", "--set", "train.warmup=0", "--set", "train.sheet_every=100",
    "--set", "data.memory=0", "--set", "data.holdout=0.1",
)  # fmt: skip


def made(kind: str, root: Path) -> Path:
    """A set in several pieces."""
    for number in range(2):
        mine = range(10 * number, 10 * number + 10)
        labels = [value % 3 for value in mine]
        images = [PICTURES[value] for value in mine]
        if kind == "parquet":
            pytest.importorskip("pyarrow")
            parquet(root / f"{number}.parquet", images, labels, metadata=features(), group=3)
        elif kind == "webdataset":
            rows = list(zip(mine, images, labels, strict=True))
            files = {f"{value}.png": image for value, image, _ in rows}
            files |= {f"{value}.cls": str(label).encode() for value, _, label in rows}
            tar(root / f"s-{number:04}.tar", files)
    return root


def train(kind: str, data: Path, folder: Path, *words: object) -> runs.Outcome:
    chosen = ("--set", f"data.name={kind}", "--set", f"data.path={data}")
    return runs.ddpm("train", *SETTINGS, *chosen, "-o", folder, *words)


@pytest.mark.parametrize("kind", ["parquet", "webdataset"])
def test_a_run_that_was_stopped_goes_on_in_the_same_bits(kind: str, tmp_path: Path) -> None:
    data = made(kind, tmp_path / "data")
    straight = train(kind, data, tmp_path / "straight")
    assert straight.code == 0, straight.err
    with runs.signal_after(4, signal.SIGTERM):
        first = train(kind, data, tmp_path / "parts", "--set", "train.workers=2")
    assert (first.code, runs.result(tmp_path / "parts").step) == (143, 5)
    second = train(kind, data, tmp_path / "parts")
    assert second.code == 0, second.err
    runs.assert_same(runs.result(tmp_path / "parts"), runs.result(tmp_path / "straight"))


@pytest.mark.parametrize("kind", ["parquet", "webdataset"])
def test_what_cannot_be_read_is_said_and_nothing_is_written(kind: str, tmp_path: Path) -> None:
    data = made(kind, tmp_path / "data")
    piece = sorted(data.iterdir())[1]
    piece.write_bytes(piece.read_bytes()[: piece.stat().st_size // 2])
    outcome = train(kind, data, tmp_path / "run")
    assert outcome.code == 1
    assert f"Error: {piece}: damaged" in outcome.err
    assert "data.skip_corrupt=true" in outcome.err
    assert not (tmp_path / "run").exists()
    skipping = train(kind, data, tmp_path / "run", "--dry-run", "--set", "data.skip_corrupt=true")
    assert skipping.code == 0, skipping.err


def test_their_knobs_are_those_of_folders() -> None:
    usual = catalog.find("data", "folder").knobs
    for kind in ("parquet", "webdataset", "lmdb"):
        knobs = catalog.find("data", kind).knobs
        shared = set(usual) - {"beside", "beside_mode"}  # of files, told apart by their names
        assert shared <= set(knobs)
        for name in shared - {"labels"}:
            assert knobs[name]._replace(help="") == usual[name]._replace(help="")
