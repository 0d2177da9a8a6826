"""Statistics as an export: those of `ddpm eval`, under the keys of other tools."""

from pathlib import Path

import numpy as np
from PIL import Image
from runs import ddpm

from ddpm_cli.evaluation import statistics


def images(folder: Path) -> Path:
    """Four pictures of noise."""
    folder.mkdir()
    for number in range(4):
        rows = np.random.default_rng(number).integers(0, 256, (28, 28), np.uint8)
        Image.fromarray(rows).save(folder / f"{number}.png")
    return folder


def test_they_are_those_of_eval(tmp_path: Path) -> None:
    folder, one, two = images(tmp_path / "i"), tmp_path / "one.npz", tmp_path / "two.npz"
    outcome = ddpm("convert", folder, "--to", "npz", one)
    assert (outcome.code, outcome.out) == (0, f"{one}\n"), outcome.err
    assert ddpm("eval", "--ref", folder, "--write-stats", two).code == 0
    assert one.read_bytes() == two.read_bytes()
    with np.load(one) as archive:
        assert {"mu", "sigma"} <= set(archive.files)
        assert archive["sigma"].shape == 2 * archive["mu"].shape
        assert archive["mu"].dtype == np.float64
    assert statistics.read(one).moments.count == 4


def test_statistics_and_models_are_sources_too(tmp_path: Path) -> None:
    folder, one, two = images(tmp_path / "i"), tmp_path / "one.npz", tmp_path / "two.npz"
    assert ddpm("convert", folder, "--to", "npz", one).code == 0
    assert ddpm("convert", one, "--to", "npz", two).code == 0
    with np.load(one) as a, np.load(two) as b:
        np.testing.assert_array_equal(a["sigma"], b["sigma"])


def test_bad_words(tmp_path: Path) -> None:
    folder, old = images(tmp_path / "i"), tmp_path / "old.npz"
    old.write_text("mine")
    for words, code, said in (
        ([folder, old], 1, "exists already"),
        ([folder, tmp_path / "a.npy"], 2, "writes a .npz file"),
        (["nothing:test", tmp_path / "a.npz"], 2, "no data set is named"),
        ([folder, tmp_path / "a.npz", "--set", "features.name=none"], 2, "features"),
        ([folder, tmp_path / "a.npz", "--part", "network"], 2, "--part: of --to onnx and export"),
    ):
        outcome = ddpm("convert", *words, "--to", "npz")
        assert outcome.code == code, outcome.err
        assert said in outcome.err
    assert old.read_text() == "mine"
    outcome = ddpm("convert", folder, "--to", "npz", tmp_path / "b.npz", "--dry-run")
    assert outcome.code == 0
    assert not (tmp_path / "b.npz").exists()
