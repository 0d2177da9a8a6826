"""Where images go: every kind of output, checked before any work and whole afterwards."""

import io
import json
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from runs import Outcome, contents, ddpm, done, replayed
from safetensors import safe_open

from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files import records
from ddpm_cli.files.images.pixels import open_image, read_metadata, to_uint8
from ddpm_cli.files.outputs import samples
from ddpm_cli.models import walks

pytestmark = [pytest.mark.small, pytest.mark.usefixtures("here")]


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """No image may be computed in this test."""

    def worked(*_: object) -> None:
        raise AssertionError("work was begun")

    monkeypatch.setattr(walks, "last", worked)


def sample(*words: object) -> Outcome:
    return ddpm("sample", "--dtype", "float32", "--steps", 2, *words)


class TestKinds:
    def test_one_image_and_a_sheet(self) -> None:
        assert sample("-o", "one.png").out == "one.png\n"
        assert open_image("one.png", "L").shape == (1, 8, 8)
        assert sample("-n", 5, "-o", "new/sub/five.png").out == "new/sub/five.png\n"
        assert open_image("new/sub/five.png", "L").shape == (1, 2 * 10 + 2, 3 * 10 + 2)
        assert read_metadata("new/sub/five.png")["seeds"] == "0-4"

    def test_the_default_is_samples_png(self) -> None:
        assert sample().out == "samples.png\n"

    @pytest.mark.parametrize("place", ["out", "out/", "./out", "there"])
    def test_a_folder(self, place: str) -> None:
        Path("there").mkdir()
        outcome = sample("--seeds", "0-2,40", "-o", place)
        names = [f"{seed:06d}.png" for seed in (0, 1, 2, 40)]
        assert [Path(line).name for line in outcome.out.splitlines()] == names
        assert sorted(path.name for path in Path(place).iterdir()) == names

    def test_a_template(self) -> None:
        outcome = sample("-n", 2, "--class", "3", "-o", "d/{class}/{seed}.x.png")
        assert outcome.out.splitlines() == ["d/3/000000.x.png", "d/3/000001.x.png"]

    def test_json_names_each_file(self) -> None:
        lines = sample("-n", 2, "--class", "3", "-o", "d/", "--json").out.splitlines()
        told = [json.loads(line) for line in lines]
        assert [(row["path"], row["seed"], row["class"]) for row in told] == [
            (f"d/00000{seed}.png", seed, "3") for seed in (0, 1)
        ]

    def test_arrays(self) -> None:
        assert sample("--seeds", "3,0-1", "-o", "a.npz", "--batch", 2).code == 0
        assert sample("--seeds", "3,0-1", "-o", "a.npy", "--batch", 2).code == 0
        with np.load("a.npz", allow_pickle=False) as archive:
            assert sorted(archive) == ["classes", "ddpm", "images", "seeds"]
            images, seeds = archive["images"], archive["seeds"]
            assert (images.shape, images.dtype) == ((3, 1, 8, 8), np.uint8)
            assert seeds.tolist() == [3, 0, 1]
            assert len(archive["classes"]) == 3
            record = json.loads(str(archive["ddpm"]))
        assert record["seeds"] == "3,0-1"
        assert (np.load("a.npy") == images).all()
        sample("--seeds", "3,0-1", "-o", "b.npz", "--batch", 2)
        assert Path("a.npz").read_bytes() == Path("b.npz").read_bytes()
        assert sorted(contents(Path())) == ["a.npy", "a.npz", "b.npz"]

    def test_arrays_are_streamed(self) -> None:
        """4096 images of 48 KiB are 200 MB; a tenth of that is all that is ever held."""
        shape, block = (3, 128, 128), torch.zeros(16, 3, 128, 128)
        tracemalloc.start()
        with samples.open_output(
            "big.npz", 4096, shape, force=False, skip_existing=False
        ) as target:
            for first in range(0, 4096, 16):
                target.add(range(first, first + 16), None, block, {})
            target.finish()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 20e6
        assert Path("big.npz").stat().st_size > 4096 * 49152

    def test_safetensors_have_the_floats(self) -> None:
        for name in ("a.safetensors", "a.npy"):
            assert sample("--seeds", "3,0-1", "-o", name, "--batch", 2).code == 0
        with safe_open("a.safetensors", framework="pt") as file:
            images, seeds = file.get_tensor("samples"), file.get_tensor("seeds")
            record = json.loads(file.metadata()["ddpm"])
        assert (images.dtype, images.shape) == (torch.float32, (3, 1, 8, 8))
        assert torch.equal(to_uint8(images), torch.from_numpy(np.load("a.npy")))
        assert seeds.tolist() == [3, 0, 1]
        assert (record["seeds"], len(record["classes"])) == ("3,0-1", 3)

    @pytest.mark.parametrize("count", [1, 4])
    def test_stdout_gets_the_image_and_nothing_else(self, count: int) -> None:
        outcome = sample("-n", count, "-o", "-")
        with Image.open(io.BytesIO(outcome.binary)) as image:
            image.load()
            assert image.format == "PNG"
        assert outcome.binary.endswith(b"IEND\xaeB`\x82")
        assert list(Path().iterdir()) == []


class TestExisting:
    @pytest.mark.parametrize(
        "place",
        ["a.png", "a.npz", "a.npy", "a.safetensors", "d/", "d/{seed}-{class}.png"],
    )
    def test_refused_before_any_work_and_replaced_by_force(
        self, place: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert sample("-n", 2, "-o", place).code == 0
        before = contents(Path())
        with monkeypatch.context() as patch:
            patch.setattr(walks, "last", None)
            outcome = sample("-n", 2, "-o", place, "--class", "none" if "{" not in place else 3)
            again = sample("-n", 2, "-o", place)
        assert again.code == 1
        assert "exists already" in again.err
        assert "--force" in again.err
        if "{class}" not in place:
            assert outcome.code == 1
        assert contents(Path()) == before
        assert sample("-n", 2, "--seed", 1, "-o", place, "--force").code == 0
        assert contents(Path()) != before

    @pytest.mark.parametrize("place", ["d", "d/{class}-{seed}.png"])
    def test_skip_existing_makes_the_missing_ones_only(self, place: str) -> None:
        assert sample("-n", 3, "-o", place).code == 0
        before = {path: path.stat().st_mtime_ns for path in Path("d").iterdir()}
        outcome = sample("-n", 5, "-o", place, "--skip-existing")
        assert len(outcome.out.splitlines()) == 2
        assert {path: path.stat().st_mtime_ns for path in before} == before
        assert len(list(Path("d").iterdir())) == 5
        nothing = sample("-n", 5, "-o", place, "--skip-existing")
        assert (nothing.code, nothing.out) == (0, "")

    @pytest.mark.parametrize("place", ["a.png", "a.npz", "a.jpg"])
    def test_skip_existing_leaves_one_file_out(
        self, place: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert sample("-n", 2, "-o", place, "--skip-existing").out == f"{place}\n"
        before = contents(Path())
        monkeypatch.setattr(walks, "last", None)
        again = sample("-n", 2, "-o", place, "--skip-existing")
        assert (again.code, again.out) == (0, "")
        assert contents(Path()) == before

    def test_stdout_has_nothing_to_skip(self, idle: None) -> None:
        outcome = sample("-o", "-", "--skip-existing")
        assert outcome.code == 2
        assert "--skip-existing" in outcome.err

    @pytest.mark.parametrize("place", ["a.png", "a.npz", "d/"])
    def test_a_name_taken_meanwhile_is_kept(
        self, place: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path, real = Path(place if place != "d/" else "d/000000.png"), walks.last

        def last(states: object) -> object:
            path.write_text("taken")
            return real(states)  # type: ignore[arg-type]

        monkeypatch.setattr(walks, "last", last)
        outcome = sample("-o", place)
        assert outcome.code == 1
        assert f"Error: {path}: exists already\nanother process made it" in outcome.err
        assert contents(Path()) == {str(path): b"taken"}

    @pytest.mark.parametrize("place", ["a.png", "a.npz", "d/"])
    def test_who_comes_second_skips(self, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
        path, real = Path(place if place != "d/" else "d/000001.png"), walks.last

        def last(states: object) -> object:
            path.write_text("taken")
            return real(states)  # type: ignore[arg-type]

        monkeypatch.setattr(walks, "last", last)
        outcome = sample("-n", 3, "-o", place, "--skip-existing", "--json")
        assert outcome.code == 0, outcome.err
        assert f"{path}: another process made it meanwhile; it stays" in outcome.err
        made = [json.loads(line) for line in outcome.out.splitlines()]
        assert [(line["path"], line["seed"]) for line in made] == [
            (f"d/00000{seed}.png", seed) for seed in (0, 2) if place == "d/"
        ]
        assert path.read_bytes() == b"taken"

    def test_two_processes_fill_one_folder(self, finished: Path) -> None:
        """Whoever is faster, each file is made whole, and both end well."""
        words = [sys.executable, "-m", "ddpm_cli", "sample", "-m", finished, "-n", 12, "--steps"]
        words += [2, "--batch", 4, "--dtype", "float32", "-o", "d/", "--skip-existing"]
        both = [
            subprocess.Popen([*map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            for _ in range(2)
        ]
        ends = [(process.communicate(timeout=120), process.returncode) for process in both]
        assert [code for _, code in ends] == [0, 0], ends
        made = [line for (out, _), _ in ends for line in out.decode().splitlines()]
        names = [f"d/{seed:06d}.png" for seed in range(12)]
        assert sorted(made) == names, "none by both, all by one"
        assert sorted(map(str, Path("d").iterdir())) == names
        for name in names:
            assert open_image(name, "L").shape == (1, 8, 8)


class TestPicturesThatLose:
    @pytest.mark.parametrize("place", ["a.jpg", "a.webp", "d/{seed}.jpeg", "A.JPG"])
    def test_they_say_so_and_keep_their_record(self, place: str) -> None:
        outcome = sample("-n", 1, "-o", place)
        assert outcome.code == 0, outcome.err
        assert "of quality 95, whose pixels are not kept bit for bit" in outcome.err
        made = outcome.out.strip()
        sample("-n", 1, "-o", "x.png")
        lossy, whole = open_image(made, "L"), open_image("x.png", "L")
        assert float((lossy.float() - whole.float()).abs().mean()) < 4
        told = ddpm("info", made, "--json")
        assert told.code == 0, told.err
        record = json.loads(told.out)
        assert (record["command"], record["seeds"], record["quality"]) == ("sample", "0", 95)
        again = replayed(made)
        assert again[1:3] == ["-o", made]


class TestRefusals:
    @pytest.mark.parametrize(
        ("place", "message"),
        [
            ("a.bmp", "unknown ending; use .png, .jpg, .jpeg, .webp, .npy"),
            ("{seed}.tif", "unknown ending"),
            ("a.csv", "unknown ending"),
            ("{sed}.png", "no field {sed}"),
            ("{seed.png", "-o {seed.png: "),
            ("{}.png", "no field {}"),
            ("{seed.__class__}.png", "no field"),
        ],
    )
    def test_names(self, place: str, message: str, idle: None) -> None:
        outcome = sample("-o", place)
        assert outcome.code == 2
        assert message in outcome.err
        assert list(Path().iterdir()) == []

    @pytest.mark.parametrize(
        "place", ["file/a.png", "file/d/", "file/a.npz", "/proc/x/a.png", f"{'x' * 300}.png"]
    )
    def test_places(self, place: str, idle: None) -> None:
        Path("file").write_text("mine")
        outcome = sample("-o", place)
        assert outcome.code == 1
        (error,) = (line for line in outcome.err.splitlines() if line.startswith("Error: "))
        assert place.strip("/").split("/")[0][:200] in error
        assert contents(Path()) == {"file": b"mine"}

    @pytest.mark.parametrize("place", ["a.png", "a.npz", "pipe.jpg"])
    @pytest.mark.parametrize("more", [(), ("--force",), ("--skip-existing",)])
    def test_what_is_no_file(self, place: str, more: tuple[str, ...], idle: None) -> None:
        """A named pipe cannot be replaced, and nobody may wait for its reader."""
        os.mkfifo(place)
        outcome = sample("-o", place, *more)
        assert outcome.code == 1
        assert f"{place}: a pipe or a device, where a file is wanted" in outcome.err

    @pytest.mark.parametrize("place", ["d/", "a.npz", "a.npy", "a.png"])
    @pytest.mark.parametrize("count", [10**9, 2**32])
    def test_far_too_many(self, place: str, count: int, idle: None) -> None:
        outcome = sample("-n", count, "-o", place)
        assert outcome.code == 1
        assert "bytes, " in outcome.err
        assert "are free" in outcome.err
        assert list(Path().iterdir()) == []

    @pytest.mark.parametrize("count", [2**32 + 1, 2**64, 10**20, -(10**20), "1" + "0" * 5000])
    def test_more_than_there_are_seeds(self, count: object, idle: None) -> None:
        outcome = sample("-n", count, "-o", "d/")
        assert outcome.code == 2
        assert "'--count'" in outcome.err

    def test_too_many_for_a_sheet(self, idle: None) -> None:
        outcome = sample("-n", 4097, "-o", "a.png")
        assert outcome.code == 1
        assert "4097 images do not fit on one sheet" in outcome.err

    def test_seeds_end(self, idle: None) -> None:
        outcome = sample("-s", 2**32 - 1, "-n", 2, "-o", "d/")
        assert outcome.code == 2
        assert "seeds end at" in outcome.err
        assert list(Path().iterdir()) == []


@pytest.mark.parametrize(
    ("seeds", "text"),
    [([0], "0"), ([0, 1, 2, 40], "0-2,40"), ([5, 3, 4], "5,3-4"), ([], ""), ([2, 1], "2,1")],
)
def test_compact(seeds: list[int], text: str) -> None:
    assert records.compact(seeds) == text


@pytest.mark.parametrize(
    ("shape", "is_image", "usual", "drawn"),
    [
        ((1, 8, 8), True, ".png", True),
        ((2,), False, ".csv", True),
        ((3,), False, ".csv", False),
        ((64,), False, ".csv", False),
        ((6, 16, 16), False, ".npy", False),
        ((3, 16, 16), False, ".npy", False),
        ((2, 64), False, ".npy", True),
    ],
)
def test_every_ending_of_a_shape_is_taken(
    shape: tuple[int, ...], is_image: bool, usual: str, drawn: bool, tmp_path: Path
) -> None:
    known = samples.endings(shape, is_image=is_image)
    assert known[0] == usual
    assert (".png" in known) == drawn
    for ending in {*known, ".png", ".npy", ".bmp", ".csv"}:
        place, plain = str(tmp_path / f"a{ending}"), {"force": False, "skip_existing": False}
        if ending in known:
            samples.open_output(place, 2, shape, is_image=is_image, **plain)
        else:
            with pytest.raises((ConfigError, Refusal)) as caught:
                samples.open_output(place, 2, shape, is_image=is_image, **plain)
            assert f"use {usual}" in str(caught.value) or ending == ".png"


def test_torch_fidelity_reads_a_folder_of_samples(tmp_path: Path) -> None:
    """A flat folder of PNGs, in the order of the seeds, is what it lists and decodes."""
    folder = tmp_path / "samples"
    done("sample", "-m", "mnist", "-n", 3, "--steps", 2, "-o", folder)
    assert sorted(path.name for path in folder.iterdir()) == [f"00000{n}.png" for n in range(3)]
    fidelity = pytest.importorskip("torch_fidelity")
    theirs = fidelity.utils.glob_samples_paths(
        str(folder),
        samples_find_deep=False,
        samples_find_ext=fidelity.defaults.DEFAULTS["samples_find_ext"],
        samples_ext_lossy=fidelity.defaults.DEFAULTS["samples_ext_lossy"],
        verbose=False,
    )
    assert [Path(path).name for path in theirs] == [f"00000{n}.png" for n in range(3)]
    first = fidelity.datasets.ImagesPathDataset(theirs)[0]
    grey = torch.from_numpy(np.array(Image.open(folder / "000000.png").convert("L")))
    assert torch.equal(first, grey.expand(3, 28, 28))
