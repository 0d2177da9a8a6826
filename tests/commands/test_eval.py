"""`ddpm eval`: what its sides may be, and what its figures carry."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from runs import ddpm
from safetensors.torch import save_file

from ddpm_cli.data.sets.images import mnist
from ddpm_cli.files.images.pixels import encode_png, from_uint8

FEW = 60
KNOWN = ("--metric", "fid", "--metric", "class-agreement")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "ddpm" / "statistics"


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first digits in every form: images in folders and a zip file, and arrays."""
    root = tmp_path_factory.mktemp("sides")
    for split, name in (("test", "real"), ("train", "made")):
        images, told = mnist(split)[torch.arange(FEW)]  # type: ignore[arg-type]
        labels = told["classes"]
        order = sorted(range(FEW), key=lambda row: (int(labels[row]), row))
        for row in order:
            folder = root / name / str(int(labels[row]))
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{row:03d}.png").write_bytes(encode_png(images[row]))
        images, labels = images[order], labels[order]
        shutil.make_archive(str(root / name), "zip", root / name)
        last = images.permute(0, 2, 3, 1).numpy()
        np.savez(root / f"{name}.npz", arr_0=last, arr_1=labels.numpy())
        np.save(root / f"{name}.npy", images.numpy())
        tensors = {"images": from_uint8(images), "labels": labels}
        save_file(tensors, root / f"{name}.safetensors")
    return root


def scored(*words: object) -> dict[str, Any]:
    """The one JSON object of a comparison."""
    outcome = ddpm("eval", *words, "--json")
    assert outcome.code == 0, outcome.err
    (line,) = outcome.out.splitlines()
    result: dict[str, Any] = json.loads(line)
    return result


def refused(*words: object) -> tuple[int, str]:
    """The exit code of a refusal, which prints no result and at most three lines of error."""
    outcome = ddpm("eval", *words)
    assert outcome.out == ""
    lines = outcome.err.splitlines()
    first = next(row for row, line in enumerate(lines) if line.startswith("Error: "))
    assert len(lines) - first <= 3
    return outcome.code, outcome.err


def test_the_form_of_a_side_changes_no_figure(sides: Path) -> None:
    whole = scored(sides / "made", "--ref", sides / "real", *KNOWN)
    for suffix in (".zip", ".npz", ".safetensors"):
        words = (sides / f"made{suffix}", "--ref", sides / f"real{suffix}", *KNOWN)
        assert scored(*words)["metrics"] == whole["metrics"]
    alone = scored(sides / "made.npy", "--ref", sides / "real.npy", "--metric", "fid")
    assert alone["metrics"]["fid"] == whole["metrics"]["fid"]
    assert whole["metrics"]["class_agreement"]["value"] > 0.9
    assert (whole["samples"]["n"], whole["reference"]["n"]) == (FEW, FEW)


def test_a_set_is_nothing_away_from_itself(sides: Path) -> None:
    value = scored(sides / "real", "--ref", sides / "real.npz")["metrics"]["fid"]["value"]
    assert 0 <= value < 1e-6


def test_a_result_carries_what_decides_it(sides: Path) -> None:
    result = scored(sides / "made", "--ref", sides / "real.npz", *KNOWN)
    assert set(result) == {
        "samples", "reference", "protocol", "features", "metrics", "left_out", "labels", "notes",
        "versions", "seconds",
    }  # fmt: skip
    assert result["features"]["name"] == "digits"
    assert len(result["features"]["hash"]) == 16
    assert result["features"]["resize"] == "none"
    for side in ("samples", "reference"):
        assert len(result[side]["hash"]) == 16
    assert any("below 10000" in label for label in result["labels"])
    assert {"ddpm", "torch", "numpy"} <= set(result["versions"])
    fid = result["metrics"]["fid"]
    assert fid["error"] > 0
    assert fid["blocks"]["min"] <= fid["blocks"]["mean"] <= fid["blocks"]["max"]
    assert fid["blocks"]["n"] == FEW // 3


def test_equal_seeds_give_equal_figures(sides: Path) -> None:
    """A model draws by itself, whatever the batch, and its classes are those asked for."""
    words = ("mnist", "--ref", sides / "real", "--steps", 2, "-n", 24, *KNOWN)
    one, other = scored(*words), scored(*words, "--batch", 7)
    assert (one["samples"]["seeds"], len(one["samples"]["hash"])) == ("0-23", 64)
    assert one["samples"]["settings"]["levels"]["count"] == 2
    assert (one["samples"]["batch"], other["samples"]["batch"]) == (64, 7)
    for result in (one, other):
        del result["seconds"]
    assert one["metrics"]["class_agreement"]["value"] > 0.8
    assert one["metrics"]["fid"]["value"] == pytest.approx(other["metrics"]["fid"]["value"], 1e-4)
    assert scored(*words) | {"seconds": None} == one | {"seconds": None}
    later = scored(*words, "--seed", 24)
    assert later["metrics"]["fid"]["value"] != one["metrics"]["fid"]["value"]


def test_blocks_are_runs_of_later_seeds(sides: Path) -> None:
    words = ("mnist", "--ref", sides / "real", "--steps", 1, "-n", 20)
    first, both = scored(*words), scored(*words, "--blocks", 2)
    assert both["samples"]["blocks"] == ["0-19", "20-39"]
    fid = both["metrics"]["fid"]
    assert fid["value"] == fid["blocks"]["each"][0] == first["metrics"]["fid"]["value"]
    assert (fid["blocks"]["n"], fid["blocks"]["min"]) == (20, min(fid["blocks"]["each"]))


def test_statistics_are_written_read_and_cached(sides: Path, cache: Path, tmp_path: Path) -> None:
    path = tmp_path / "real.npz"
    outcome = ddpm("eval", "--ref", sides / "real", "--write-stats", path)
    assert (outcome.code, outcome.out) == (0, f"{path}\n"), outcome.err
    with np.load(path) as arrays:
        assert (arrays["mu"].shape, arrays["sigma"].shape) == ((84,), (84, 84))
    whole = scored(sides / "made", "--ref", sides / "real", "--metric", "fid")
    assert len([*cache.iterdir()]) == 1
    for reference in (path, sides / "real"):  # the second time from the cache
        again = scored(sides / "made", "--ref", reference, "--metric", "fid")
        assert again["metrics"] == whole["metrics"]
    assert again["reference"]["hash"] == whole["reference"]["hash"]


def test_statistics_serve_moments_alone(sides: Path, tmp_path: Path) -> None:
    path = tmp_path / "s.npz"
    assert ddpm("eval", "--ref", sides / "real", "--write-stats", path).code == 0
    result = scored(sides / "made", "--ref", path, "--protocol", "digits")
    assert set(result["left_out"]) == {"kid", "precision", "recall"}
    assert set(result["metrics"]) == {"fid", "class_agreement"}
    code, message = refused(sides / "made", "--ref", path, "--metric", "kid")
    assert (code, "no features" in message) == (1, True)


def test_unlike_features_do_not_compare(sides: Path, tmp_path: Path) -> None:
    code = tmp_path / "mine.py"
    code.write_text("def embed(x):\n    return x.float().flatten(1)[:, ::199]\n")
    ours, path = f"{code}:embed", tmp_path / "s.npz"
    assert ddpm("eval", "--ref", sides / "real", "--write-stats", path).code == 0
    words = (sides / "made", "--ref", path, "--features", ours)
    outcome, message = refused(*words)
    assert (outcome, "features of" in message or "do not compare" in message) == (1, True)
    outcome, message = refused(*words, "--force")  # 84 and 12 features, which no force compares
    assert outcome == 1
    assert scored(sides / "made", "--ref", sides / "real", "--features", ours)["features"] == {
        "name": ours,
        "hash": scored(sides / "real", "--ref", sides / "made", "--features", ours)["features"][
            "hash"
        ],
        "resize": "its own",
    }


def test_unlike_protocols_do_not_compare(sides: Path, tmp_path: Path) -> None:
    path, words = tmp_path / "s.npz", ("--protocol", "digits", "--ref")
    assert ddpm("eval", *words, sides / "real", "--write-stats", path).code == 0
    assert scored(sides / "made", *words, path)["metrics"]["fid"]["value"] > 0
    code, message = refused(sides / "made", "--protocol", "edm", "--ref", path)
    assert (code, "made by protocol digits, not by edm" in message) == (1, True)
    train = ("--ref", "folder:train", "--set", f"data.path={sides / 'real'}")
    assert ddpm("eval", *train, "--write-stats", path, "--force").code == 0
    code, message = refused(sides / "made", *words, path)
    assert (code, "of a train split" in message) == (1, True)
    assert scored(sides / "made", *words, path, "--force")["metrics"]["fid"]["value"] > 0


def test_files_beside_a_data_set_keep_their_own_path(sides: Path) -> None:
    alone = scored(sides / "made", "--ref", sides / "real")
    for made in ("made", "made.zip"):
        own = ("--set", f"data.path={sides / 'real'}", "--set", "data.holdout=0")
        words = ("--ref", "folder:train", *own, "--set", "data.mode=L")
        both = scored(sides / made, *words)
        assert both["samples"]["hash"] == alone["samples"]["hash"]
        assert both["reference"]["hash"] == alone["reference"]["hash"]
    code, message = refused(sides / "made", "--ref", sides / "real", *own)
    assert (code, "data.path: no side is a data set" in message) == (2, True)


def test_statistics_of_others_are_read(sides: Path, tmp_path: Path) -> None:
    path = tmp_path / "theirs.npz"
    np.savez(path, mu=np.zeros(84), sigma=np.eye(84))
    result = scored(sides / "made", "--ref", path, "--metric", "fid")
    assert any("not known" in label for label in result["labels"])
    assert result["metrics"]["fid"]["value"] > 1


def test_a_reference_batch_tells_of_more_images_than_it_holds(sides: Path, tmp_path: Path) -> None:
    arrays = np.load(sides / "real.npz")
    images = arrays["arr_0"][:24]
    whole = {"mu": np.full(84, 3.0), "sigma": np.eye(84)}
    np.savez(tmp_path / "statistics.npz", **whole)
    np.savez(tmp_path / "images.npz", arr_0=images)
    np.savez(tmp_path / "batch.npz", arr_0=images, **whole)
    both = ("--metric", "fid", "--metric", "precision")
    told = scored(sides / "made.npz", "--ref", tmp_path / "batch.npz", *both)
    moments = scored(sides / "made.npz", "--ref", tmp_path / "statistics.npz")
    rows = scored(sides / "made.npz", "--ref", tmp_path / "images.npz", *both)
    assert told["metrics"]["fid"] == moments["metrics"]["fid"]
    assert told["metrics"]["precision"] == rows["metrics"]["precision"]
    assert told["metrics"]["fid"] != rows["metrics"]["fid"]


def test_the_floor_is_of_real_images(sides: Path) -> None:
    halves = scored("--floor", "--ref", sides / "real")
    assert (halves["samples"]["n"], halves["reference"]["n"]) == (FEW // 2, FEW // 2)
    assert halves["samples"]["hash"] != halves["reference"]["hash"]
    assert any("floor" in label for label in halves["labels"])


def test_the_table_the_badge_and_the_plan(sides: Path) -> None:
    words = (sides / "made", "--ref", sides / "real", "--metric", "fid")
    table = ddpm("eval", *words)
    assert "fid  " in table.out
    assert "±" in table.out
    assert "label: n = 60, below 10000" in table.out
    badge = ddpm("eval", *words, "--badge").out
    assert badge.startswith("![fid ")
    assert badge.count("\n") == 1
    assert "(https://img.shields.io/badge/fid-" in badge
    (line,) = ddpm("eval", *words, "--badge", "--json").out.splitlines()
    assert json.loads(line)["badge"] == badge.strip()
    plan = ddpm("eval", *words, "--dry-run")
    assert (plan.code, 'features = {name = "digits"' in plan.out) == (0, True)
    assert "\nn = 60\n" in plan.out


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["mnist"], 2, "--ref"),
        (["--ref", "mnist:test"], 2, "SAMPLES"),
        (["mnist", "--ref", "mnist:tset"], 2, "did you mean test"),
        (["mnist", "--ref", "mnits:test"], 2, "did you mean mnist"),
        (["mnist", "--ref", "nothing/"], 1, "nothing/"),
        (["mnist", "--protocol", "digit"], 2, "did you mean digits"),
        (["mnist", "--protocol", "digits", "--metric", "fid"], 2, "fixed by --protocol"),
        (["mnist", "--protocol", "digits", "--ref", "mnist:train"], 2, "test split"),
        (["mnist", "--ref", "mnist:test", "--metric", "fidd"], 2, "did you mean fid"),
        (["mnist", "--ref", "mnist:test", "--metric", "precision:k=3"], 2, "precision"),
        (["mnist", "--ref", "mnist:test", "--features", "digit"], 2, "did you mean digits"),
        (["mnist", "--ref", "mnist:test", "--features", "a.py"], 2, "a.py:NAME"),
        (["mnist", "--ref", "mnist:test", "--write-stats", "a.txt"], 2, ".npz"),
        (["mnist", "--floor", "--ref", "mnist:test"], 2, "leave SAMPLES out"),
        (["mnist:train", "--ref", "mnist:test", "--steps", "3"], 2, "--steps"),
        (["mnist-upscale", "--ref", "mnist:test"], 1, "upscale"),
        (["mnist", "--ref", "mnist:test", "--sampler", "dim"], 2, "did you mean"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(words: list[str], code: int, message: str) -> None:
    outcome, said = refused(*words)
    assert (outcome, message in said) == (code, True), said


def test_damaged_and_foreign_files_are_refused(tmp_path: Path, sides: Path) -> None:
    broken = tmp_path / "broken.npz"
    broken.write_bytes(b"PK\x03\x04 no archive")
    objects = tmp_path / "objects.npz"
    np.savez(objects, arr_0=np.array([{}], dtype=object))
    flat = tmp_path / "flat.npy"
    np.save(flat, np.zeros(9))
    loud = tmp_path / "loud.npy"
    np.save(loud, np.full((3, 28, 28), 7.0, np.float32))
    small = tmp_path / "small.npy"
    np.save(small, np.zeros((3, 16, 16), np.uint8))
    nan = tmp_path / "nan.npz"
    np.savez(nan, mu=np.full(84, np.nan), sigma=np.eye(84))
    for path in (broken, objects, flat, loud, small, nan):
        code, message = refused(path, "--ref", sides / "real")
        assert code == 1, message
        assert str(path) in message or "16x16" in message, message


def test_blocks_are_dealt_to_the_parts_of_a_job(sides: Path) -> None:
    words = ("mnist", "--ref", sides / "real", "--steps", 1, "-n", 20, "--blocks", 2)
    whole = scored(*words)["metrics"]["fid"]["blocks"]["each"]
    parts = [scored(*words, "--shard", f"{number}/2") for number in (1, 2)]
    assert [part["samples"]["seeds"] for part in parts] == ["0-19", "20-39"]
    assert [part["metrics"]["fid"]["value"] for part in parts] == whole
    empty = ddpm("eval", *words, "--shard", "1/3")
    assert (empty.code, empty.out) == (0, "")
    assert "shard 1/3: 0 of 2 blocks, nothing to do" in empty.err


def test_a_part_of_files_has_another_distance(sides: Path) -> None:
    code, message = refused(sides / "made", "--ref", sides / "real", "--shard", "1/2")
    assert (code, "--shard: of the --blocks that a model draws" in message) == (2, True)


def test_floats_from_0_to_1_are_told(sides: Path, tmp_path: Path) -> None:
    with np.load(sides / "made.npz") as archive:
        pixels = archive["arr_0"].astype(np.float32)
    for name, values, is_told in (
        ("unit", pixels / 255, True),
        ("signed", pixels / 127.5 - 1, False),
    ):
        np.savez(tmp_path / f"{name}.npz", arr_0=values)
        outcome = ddpm("eval", tmp_path / f"{name}.npz", "--ref", sides / "real")
        assert (outcome.code, "none is below 0" in outcome.err) == (0, is_told)
