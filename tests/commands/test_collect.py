"""`ddpm collect`: pieces of jobs become what one job would have written; sheets have titles."""

import hashlib
import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from runs import PLAIN, ddpm, done, replayed

from ddpm_cli.files.images.pixels import encode_png, open_image, read_metadata

pytestmark = pytest.mark.usefixtures("here")
QUICK = (*PLAIN, "--steps", 2, "--class", "0-9", "--set", "compute.threads=1")


def drawn(place: str, seeds: str = "0-5", *more: object) -> None:
    """Samples of some seeds, as `ddpm sample` writes them."""
    done("sample", "--seeds", seeds, *QUICK, *more, "-o", place)


def collected(*words: object) -> dict[str, Any]:
    """What `ddpm collect` says of what it wrote."""
    return dict(json.loads(done("collect", *words, "--json").out))


def refused(*words: object, code: int = 1) -> str:
    """What `ddpm collect` says to what it does not do; nothing is written."""
    before = {*Path().rglob("*")}
    outcome = ddpm("collect", *words)
    assert outcome.code == code, outcome.err
    assert {*Path().rglob("*")} == before
    return outcome.err


def same(one: str, other: str) -> bool:
    """Whether two files have the same bytes."""
    return Path(one).read_bytes() == Path(other).read_bytes()


def alike(one: str, other: str) -> bool:
    """Whether two .npz files hold the same arrays and the same record."""
    with np.load(one) as first, np.load(other) as second:
        names = [name for name in first if name != "ddpm"]
        equal = all(np.array_equal(first[name], second[name]) for name in names)
        records = [json.loads(str(each["ddpm"])) for each in (first, second)]
        return equal and [*first] == [*second] and records[0] == records[1]


def picture(path: str, value: int, size: int = 8, channels: int = 1, **record: Any) -> None:
    """A picture of one value, with a record."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    image = torch.full((channels, size, size), value, dtype=torch.uint8)
    Path(path).write_bytes(encode_png(image, record))


class TestPieces:
    """What several tasks drew becomes, byte for byte, what one would have drawn."""

    @pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".npy"])
    def test_files_of_arrays(self, suffix: str) -> None:
        one = ("--batch", 1)  # the last bits of floats depend on how many are computed at once
        drawn(f"whole{suffix}", "0-5", *one)
        first = suffix if suffix != ".npy" else ".npz"  # which alone would know no seeds
        for name, seeds in (("b", "4-5"), ("a", "0-1"), ("c", "2-3")):
            drawn(f"{name}{first}", seeds, *one)
        found = collected(f"b{first}", f"c{first}", f"a{first}", "-o", f"all{suffix}")
        assert same(f"all{suffix}", f"whole{suffix}")
        assert (found["images"], found["files"], found["seeds"]) == (6, 3, "0-5")
        assert found["missing"] is found["doubled"] is None

    def test_folders_become_an_array_a_sheet_and_a_folder(self) -> None:
        drawn("whole.npz")
        drawn("whole.png")
        drawn("whole/")
        drawn("tasks/2/", "3-5")
        drawn("tasks/1/", "0-2")
        collected("tasks", "-o", "all.npz")
        collected("tasks/2", "tasks/1", "-o", "all.png")
        collected("tasks", "-o", "all/")
        assert alike("all.npz", "whole.npz")
        assert same("all.png", "whole.png")
        for path in Path("whole").iterdir():
            assert same(f"all/{path.name}", f"whole/{path.name}")

    def test_a_row_becomes_the_picture_that_would_have_been_drawn(self) -> None:
        drawn("whole/")
        drawn("all.npz")
        collected("all.npz", "-o", "all/")
        assert [path.name for path in sorted(Path("all").iterdir())] == [
            path.name for path in sorted(Path("whole").iterdir())
        ]
        assert all(same(f"all/{n:06d}.png", f"whole/{n:06d}.png") for n in range(6))

    def test_an_archive_keeps_records_and_has_a_table_of_classes(self) -> None:
        drawn("whole/")
        drawn("whole.npz")
        collected("whole", "-o", "all.zip")
        with zipfile.ZipFile("all.zip") as archive:
            table = archive.read("labels.csv").decode().splitlines()
            assert archive.read("000003.png") == Path("whole/000003.png").read_bytes()
        assert table[:2] == ["file,label", "000000.png,0"]
        collected("all.zip", "-o", "all.npz")
        assert alike("all.npz", "whole.npz")

    def test_what_is_collected_says_how_it_is_made(self) -> None:
        drawn("whole/")
        collected("whole", "-o", "all.png", "--zoom", 2, "--columns", 3, "--labels", "seed")
        before = Path("all.png").read_bytes()
        words = replayed("all.png")
        assert words[0] == "sample"
        assert ddpm(*words, "--force").code == 0
        assert Path("all.png").read_bytes() == before

    def test_floats_stay_floats(self) -> None:
        drawn("a.safetensors", "0-1")
        drawn("b.safetensors", "2-3")
        collected("b.safetensors", "a.safetensors", "-o", "all.npz")
        with np.load("all.npz") as loaded:
            assert loaded["samples"].dtype == np.float32
            assert loaded["samples"].shape == (4, 1, 8, 8)
            assert loaded["seeds"].tolist() == [0, 1, 2, 3]
            assert loaded["classes"].tolist() == ["0", "1", "2", "3"]
        collected("all.npz", "-o", "all/")
        drawn("whole/", "0-3")
        assert open_image("all/000002.png", "L").equal(open_image("whole/000002.png", "L"))

    def test_latents(self) -> None:
        drawn("whole/", "0-3")
        quick = (*PLAIN, "--fast", "--steps", 3)
        done("encode", "whole", *quick, "-o", "all.safetensors")
        done("encode", "whole/000000.png", "whole/000001.png", *quick, "-o", "a.safetensors")
        done("encode", "whole/000002.png", "whole/000003.png", *quick, "-o", "b.safetensors")
        done("collect", "a.safetensors", "b.safetensors", "-o", "c.safetensors")
        found = collected("c.safetensors", "b.safetensors", "-o", "d.safetensors")
        assert (found["images"], found["doubled"]) == (4, "whole/000002.png,whole/000003.png")
        assert same("c.safetensors", "d.safetensors")
        assert done("sample", "--from", "d.safetensors", *PLAIN, "-o", "back/").code == 0
        assert "latents go to a .safetensors file" in refused(
            "a.safetensors", "-o", "x.png", code=2
        )
        done("encode", "whole", *PLAIN, "--fast", "--steps", 4, "-o", "other.safetensors")
        assert "made differently" in refused(
            "a.safetensors", "other.safetensors", "-o", "x.safetensors"
        )
        assert "does not" in refused("a.safetensors", "whole/", "-o", "x.safetensors")

    def test_the_arrays_of_others(self) -> None:
        images = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
        np.savez_compressed("adm.npz", images, np.array([7, 3]))  # arr_0, arr_1
        np.save("plain.npy", images[..., 0])
        collected("adm.npz", "-o", "adm/")
        assert [path.name for path in sorted(Path("adm").iterdir())] == [
            "adm-000000.png",
            "adm-000001.png",
        ]
        assert np.array_equal(np.asarray(Image.open("adm/adm-000001.png")), images[1])
        collected("adm.npz", "-o", "labels.png", "--labels", "class")
        collected("plain.npy", "-o", "all.npz")
        with np.load("all.npz") as loaded:
            assert np.array_equal(loaded["images"], images[:, None, :, :, 0])
            assert "seeds" not in loaded
        assert json.loads(done("info", "all.npz", "--json").out)["command"] == "collect"


class TestSeeds:
    @pytest.fixture(autouse=True)
    def _six(self, here: Path) -> None:
        for seed in (0, 1, 2, 5):
            picture(f"a/{seed:06d}.png", seed, command="sample", seeds=str(seed))

    def test_gaps_are_named(self) -> None:
        outcome = done("collect", "a", "-o", "all.npz")
        assert "Warning: seeds 3-4 are not there" in outcome.err
        assert "seeds 3-4 are not there" in done("collect", "a", "-o", "all.png").err

    def test_seeds_that_must_be_there(self) -> None:
        outcome = ddpm("collect", "a", "--seeds", "0-3,7", "-o", "all.npz", "--json")
        assert outcome.code == 3
        assert "seeds 3,7 are missing; the rest is written" in outcome.err
        assert json.loads(outcome.out)["missing"] == "3,7"
        with np.load("all.npz") as loaded:
            assert loaded["seeds"].tolist() == [0, 1, 2]
        assert ddpm("collect", "a", "--seeds", "0-2", "-o", "some.npz").code == 0
        assert "none of them is there" in refused("a", "--seeds", "10-12", "-o", "x.npz")

    def test_a_double_that_is_equal_is_dropped_with_a_word(self) -> None:
        picture("b/odd.png", 2, command="sample", seeds="2")
        outcome = done("collect", "a", "b", "-o", "all.npz", "--json")
        assert "seeds 2: there twice and equal, taken once" in outcome.err
        assert json.loads(outcome.out)["doubled"] == "2"
        assert json.loads(outcome.out)["images"] == 4

    def test_a_double_that_differs_is_refused(self) -> None:
        picture("b/000002.png", 99, command="sample", seeds="2")
        for place in ("all.npz", "all.png", "all/", "all.zip"):
            message = refused("a", "b", "-o", place)
            assert "seed 2: a/000002.png and b/000002.png differ" in message
        outcome = done("collect", "a", "b", "-o", "all.npz", "--force")
        assert "Warning: seeds 2: there twice and different" in outcome.err
        with np.load("all.npz") as loaded:
            assert loaded["images"][:, 0, 0, 0].tolist() == [0, 1, 99, 5]

    def test_names_are_seeds_if_they_look_like_it(self) -> None:
        for seed in (12, 10):
            picture(f"edm/{seed:06d}.png", seed)
        found = collected("edm", "-o", "edm.npz")
        assert (found["seeds"], found["missing"]) == ("10,12", "11")
        for name in ("1", "b", "000003"):
            picture(f"plain/{name}.png", 1)
        picture("plain/2/1.png", 3)
        assert collected("plain", "-o", "plain.npz")["seeds"] is None
        assert "says no seed" in refused("plain", "--seeds", "0-1", "-o", "x.npz")

    def test_edits_of_two_inputs_share_seeds(self) -> None:
        for name in ("a", "b"):
            for seed in (0, 1):
                about = {"command": "inpaint", "seeds": str(seed), "inputs": [f"{name}.png"]}
                picture(f"edits/{name}-{seed:06d}.png", seed, **about)
        found = collected("edits", "-o", "all/")
        assert (found["images"], found["doubled"]) == (4, None)
        assert Path("all/b-000001.png").is_file()

    def test_pieces_that_were_made_differently(self) -> None:
        settings = {"sampler": {"name": "ddim", "eta": 1.0}}
        picture("b/000003.png", 3, command="sample", seeds="3", settings=settings, threads=8)
        outcome = done("collect", "a", "b", "-o", "all.npz")
        assert "made differently: sampler.eta, sampler.name" in outcome.err
        assert "threads" not in outcome.err

    def test_pieces_of_one_job_in_files_of_two_kinds(self) -> None:
        more = ("--set", 'wrappers=[{name="clamp", limit=1.0}]')
        drawn("pictures/", "0-2", *more)
        drawn("rest.npz", "3-5", *more, "-b", 2)  # so that records are compared
        outcome = done("collect", "pictures", "rest.npz", "-o", "all.npz")
        assert "made differently" not in outcome.err


class TestSheets:
    @pytest.fixture(autouse=True)
    def _groups(self, here: Path) -> None:
        for folder, name in (("one", "ddim"), ("two", "heun")):
            for seed in range(3):
                settings = {"sampler": {"name": name}, "levels": {"name": "karras", "count": 5}}
                about = {"seeds": str(seed), "classes": [str(7 - seed)], "settings": settings}
                picture(f"{folder}/{seed:06d}.png", 50 + seed, command="sample", **about)

    def size(self, *words: object) -> tuple[int, int]:
        """Width and height of the sheet."""
        done("collect", "one", "two", "-o", "x.png", "--force", *words)
        return Image.open("x.png").size

    def test_columns_zoom_and_labels(self) -> None:
        assert self.size() == (3 * 10 + 2, 2 * 10 + 2)
        assert self.size("--columns", 6) == (6 * 10 + 2, 12)
        assert self.size("--zoom", 3) == (3 * 26 + 2, 2 * 26 + 2)
        wide, high = self.size("--labels", "class,sampler")
        assert (wide, high) == (3 * (4 * 6 + 4 + 2) + 2, 2 * (10 + 22) + 2)

    def test_a_row_for_each_folder(self) -> None:
        assert self.size("--row-titles", "folder") == (3 * 6 + 2 + 3 * 10 + 2, 2 * 10 + 2)
        assert self.size("--row-titles", "folder", "--columns", 2)[1] == 4 * 10 + 2

    def test_a_column_for_each_class_and_a_row_for_each_sampler(self) -> None:
        words = ("--column-titles", "class", "--row-titles", "sampler")
        assert self.size(*words) == (4 * 6 + 2 + 3 * 10 + 2, 11 + 2 * 10 + 2)
        page = open_image("x.png", "L")[0]
        middles = page[13 + 4, 26 + 2 + 4 :: 10][:3]
        assert middles.tolist() == [52, 51, 50]  # classes 5, 6, 7 by their number

    def test_titles_in_words(self) -> None:
        words = ("--column-titles", "a,b,c", "--row-titles", "x,y")
        assert self.size(*words) == (6 + 2 + 3 * 10 + 2, 11 + 2 * 10 + 2)
        message = refused("one", "two", "-o", "y.png", "--row-titles", "x,y,z", code=2)
        assert "--row-titles: 3 titles for 2 of them" in message

    def test_equal_samples_of_two_folders_are_both_shown(self) -> None:
        shutil.copytree("one", "three")
        done("collect", "one", "three", "-o", "x.png", "--row-titles", "folder")
        assert Image.open("x.png").size[1] == 22

    def test_to_stdout(self) -> None:
        outcome = ddpm("collect", "one", "-o", "-")
        Path("out.png").write_bytes(outcome.binary)
        done("collect", "one", "-o", "x.png")
        assert same("out.png", "x.png")

    def test_what_the_record_of_a_sheet_says(self) -> None:
        done("collect", "one", "two", "-o", "x.png", "--row-titles", "sampler")
        record = read_metadata("x.png")
        assert (record["command"], record["seeds"]) == ("collect", "0-2,0-2")
        assert "names no command" in ddpm("info", "x.png", "--command").err

    def test_sixteen_bits_and_colours(self) -> None:
        deep = torch.arange(64, dtype=torch.int32).reshape(1, 8, 8) * 1000
        Path("deep").mkdir()
        for number in range(2):
            Path(f"deep/{number:06d}.png").write_bytes(encode_png(deep + number))
        done("collect", "deep", "-o", "deep.png")
        assert Image.open("deep.png").mode == "I;16"
        done("collect", "deep", "-o", "deep.npz")
        with np.load("deep.npz") as loaded:
            assert np.array_equal(loaded["images"][1, 0], deep[0].numpy() + 1)
        for channels in (3, 4):
            picture(f"c{channels}/a.png", 9, channels=channels)
            done("collect", f"c{channels}", "-o", f"c{channels}.png", "--labels", "name")


class TestRefusals:
    @pytest.fixture(autouse=True)
    def _some(self, here: Path) -> None:
        for seed in range(3):
            picture(f"a/{seed:06d}.png", seed, command="sample", seeds=str(seed))

    def test_mixed_shapes_and_modes_are_named(self) -> None:
        picture("large.png", 1, size=9), picture("colour.png", 1, channels=3)
        for name, kind in (("large.png", "9x9 L"), ("colour.png", "8x8 RGB")):
            message = refused("a", name, "-o", "x.npz")
            assert f"a/000000.png is 8x8 L, {name} is {kind}" in message

    def test_a_damaged_piece_fails_alone(self) -> None:
        whole = Path("a/000001.png").read_bytes()
        Path("a/000001.png").write_bytes(whole[:-20])
        outcome = ddpm("collect", "a", "-o", "all.npz")
        assert outcome.code == 3
        assert "Error: a/000001.png: " in outcome.err
        with np.load("all.npz") as loaded:
            assert loaded["seeds"].tolist() == [0, 2]
        np.savez("cut.npz", images=np.zeros((9, 1, 8, 8), np.uint8))
        Path("cut.npz").write_bytes(Path("cut.npz").read_bytes()[:-300])
        assert "Error: cut.npz: " in refused("cut.npz", "-o", "x.npz")

    @pytest.mark.parametrize(
        ("words", "code", "message"),
        [
            (("a", "-o", "x.foo"), 2, "unknown ending"),
            (("a", "-", "-o", "x.png"), 2, "INPUT: name files or folders"),
            (("b", "-o", "x.png"), 1, "b: No such file or directory"),
            (("a", "-o", "x.npz", "--zoom", 2), 2, "--zoom: of a sheet"),
            (("a", "-o", "x/", "--labels", "seed"), 2, "--labels: of a sheet"),
            (("a", "-o", "x.zip", "--row-titles", "folder"), 2, "--row-titles: of a sheet"),
            (("a", "-o", "x.png", "--labels", "sede"), 2, "no image says its sede"),
            (("a", "-o", "x.png", "--column-titles", "sede"), 2, "no image says its sede"),
            (("a", "-o", "x.png", "--zoom", 0), 2, "0 is not in the range"),
            (("a", "-o", "x.png", "--columns", 2, "--column-titles", "seed"), 2, "--columns"),
            (("a", "-o", "a/"), 1, "a/000000.png: is an input"),
            (("a", "-o", "no/where/x.png", "--seeds", "9"), 1, "none of them"),
        ],
    )
    def test_what_cannot_be(self, words: tuple[object, ...], code: int, message: str) -> None:
        assert message in refused(*words, code=code)

    def test_what_is_there_stays(self) -> None:
        for place in ("x.png", "x.npz", "x.zip", "x/"):
            done("collect", "a", "-o", place)
            assert "exists already" in refused("a", "-o", place)
            done("collect", "a", "-o", place, "--force")

    def test_an_output_among_its_inputs_is_none_of_them(self) -> None:
        done("collect", "a", "-o", "a/sheet.png")
        done("collect", "a", "-o", "a/sheet.png", "--force")
        assert Image.open("a/sheet.png").size == (22, 22)

    def test_files_that_hold_no_samples(self) -> None:
        np.savez("fid.npz", mu=np.zeros(4), sigma=np.eye(4))
        np.save("whole.npy", np.zeros((2, 4), np.int64))
        np.save("line.npy", np.zeros((2, 4), np.float32))
        assert "fid.npz: no samples in it, but mu, sigma" in refused("fid.npz", "-o", "x.npz")
        np.savez("none.npz")
        assert "none.npz: no samples in it, but nothing" in refused("none.npz", "-o", "x.npz")
        assert "whole.npy: an array of int64" in refused("whole.npy", "-o", "x.npz")
        assert "4 float32 is no image" in refused("line.npy", "-o", "x.png")
        collected("line.npy", "-o", "x.npz")
        Path("empty").mkdir()
        assert "empty: no samples in this folder" in refused("empty", "-o", "y.npz")

    def test_values_that_are_no_pixels(self) -> None:
        np.save("wide.npy", np.full((2, 1, 4, 4), 3, np.float32))
        assert "wide.npy[0]: values 3 to 3 are no image" in refused("wide.npy", "-o", "x.png")

    def test_a_dry_run_writes_nothing(self) -> None:
        outcome = ddpm("collect", "a", "-o", "x.npz", "--dry-run", "--json")
        assert json.loads(outcome.out)["dry_run"] is True
        assert "3 images of 8x8 L from 3 files, seeds 0-2" in outcome.err
        assert not Path("x.npz").exists()


def test_hashes_are_of_the_file_and_of_the_model() -> None:
    drawn("a/", "0-1")
    told = collected("a", "-o", "all.npz")
    assert told["hash"] == hashlib.sha256(Path("all.npz").read_bytes()).hexdigest()
    with np.load("all.npz") as arrays:
        assert told["model_hash"] == json.loads(str(arrays["ddpm"]))["hash"]
    assert collected("a", "-o", "b.npz", "--dry-run")["hash"] is None
