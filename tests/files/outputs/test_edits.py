"""Where edits go: names settled before any work, whole files, nothing replaced unasked."""

import contextlib
import errno
import io
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import faults
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files.images import lossy, sheets
from ddpm_cli.files.images import pixels as images
from ddpm_cli.files.images.inputs import sources
from ddpm_cli.files.outputs.edits import Results, open_results

PIXELS = torch.arange(64, dtype=torch.uint8).reshape(1, 8, 8)
RECORD = {"command": "edit"}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def results(
    place: str | None,
    names: str = "a.png",
    seeds: int | list[int] = 1,
    *,
    force: bool = False,
    skip: bool = False,
) -> Results:
    """Open results for inputs (their names in one string) and seeds, or so many of them."""
    return open_results(
        place,
        sources(names.split()),
        list(range(seeds)) if isinstance(seeds, int) else seeds,
        default="edited",
        force=force,
        skip_existing=skip,
    )


def paths(*how: Any, **options: Any) -> list[str]:
    return [str(path) for path in results(*how, **options).paths]


def refused(*how: Any, **options: Any) -> str:
    with pytest.raises((ConfigError, Refusal)) as refusal:
        results(*how, **options)
    assert not list(Path().glob("**/*.tmp"))
    return refusal.value.message


class TestNames:
    def test_the_default(self) -> None:
        assert paths(None) == ["edited.png"]
        assert paths(None, "a.png b.jpg") == ["edited/a.png", "edited/b.png"]
        assert paths(None, seeds=2) == ["edited/a-000000.png", "edited/a-000001.png"]

    @pytest.mark.parametrize("place", ["out", "out/", "./out", "there", "x.d/there/"])
    def test_a_folder(self, place: str) -> None:
        Path("there").mkdir()
        folder = Path(place)
        assert paths(place) == [str(folder / "a.png")]
        assert paths(place, "in/a.gif - c.tar.png") == [
            str(folder / name) for name in ("a.png", "stdin.png", "c.tar.png")
        ]
        assert paths(place, "a b", [7, 40]) == [
            str(folder / f"{name}-{seed}.png") for name in "ab" for seed in ("000007", "000040")
        ]

    def test_a_folder_with_an_ending(self) -> None:
        Path("x.png").mkdir()
        assert paths("x.png") == ["x.png/a.png"]

    def test_a_file(self) -> None:
        assert paths("new/x.png") == ["new/x.png"]
        assert paths("x.PNG") == ["x.PNG"]

    def test_a_template(self) -> None:
        assert paths("o/{name}.png", "in/a.jpg") == ["o/a.png"]
        assert paths("o/{seed}.png", seeds=2) == ["o/000000.png", "o/000001.png"]
        assert paths("{name}/{seed}.png", "a b", 1) == ["a/000000.png", "b/000000.png"]

    def test_braces_in_a_name_are_kept(self) -> None:
        assert paths("out/", "{seed}.png {0}.png") == ["out/{seed}.png", "out/{0}.png"]

    @pytest.mark.parametrize(
        ("place", "names", "seeds", "message"),
        [
            ("x.png", "a.png b.png", 1, "a.png and b.png would both become x.png"),
            ("o/", "p/a.png q/a.jpg", 1, "p/a.png and q/a.jpg would both become o/a.png"),
            ("{seed}.png", "a b", 2, "a and b would both become 000000.png"),
            ("{class}.png", "a", 1, "no field {class}; use {name} or {seed}"),
            ("{name!r}.png", "a", 1, "write {name} and {seed} as they are"),
            ("{name", "a", 1, "-o {name"),
            ("x.gif", "a", 1, "unknown ending; use .png, .jpg, .webp, a folder"),
            ("{name}.npz", "a b", 1, "unknown ending"),
            ("{name}", "a b", 1, "unknown ending"),
            ("-", "a b", 1, "2 inputs, stdout takes one"),
        ],
    )
    def test_names_that_cannot_be(
        self, place: str, names: str, seeds: int, message: str, tmp_path: Path
    ) -> None:
        found = refused(place, names, seeds)
        assert message in found
        assert found.startswith(f"-o {place}")
        assert "\n" not in found
        assert list(tmp_path.iterdir()) == []


class TestExisting:
    @pytest.fixture(autouse=True)
    def _existing(self, _here: None) -> None:
        Path("out").mkdir()
        Path("out/b.png").write_bytes(b"mine")

    @pytest.mark.parametrize("place", ["out", "out/b.png", "out/{name}.png"])
    def test_refused_before_any_work(self, place: str) -> None:
        names = "b.png" if place == "out/b.png" else "a.png b.png"
        assert refused(place, names).startswith("out/b.png: exists already")

    def test_the_rest_is_made_when_asked_to_skip(self) -> None:
        left = results("out", "a.png b.png c.png", skip=True)
        assert [left.missing(name) for name in ("a.png", "b.png", "c.png")] == [[0], [], [0]]
        assert [str(path) for path in left.paths] == ["out/a.png", "out/c.png"]
        assert paths("out/b.png", skip=True) == []

    def test_replaced_by_force(self) -> None:
        found = results("out", "b.png", force=True)
        assert found.missing("b.png") == [0]
        assert found.add("b.png", 0, PIXELS, RECORD) == [Path("out/b.png")]
        assert images.open_image("out/b.png", "L").equal(PIXELS)

    def test_a_name_taken_meanwhile_is_kept(self) -> None:
        found = results("out", "a.png")
        Path("out/a.png").write_bytes(b"theirs")
        with pytest.raises(Refusal, match=r"out/a\.png: exists already"):
            found.add("a.png", 0, PIXELS, RECORD)
        assert Path("out/a.png").read_bytes() == b"theirs"

    @pytest.mark.parametrize("place", ["out", "x.png"])
    @pytest.mark.parametrize("seeds", [1, 2])
    def test_who_comes_second_skips(self, place: str, seeds: int) -> None:
        first, second = (results(place, seeds=seeds, skip=True) for _ in range(2))
        theirs = [first.add("a.png", seed, PIXELS, RECORD) for seed in range(seeds)]
        mine = [second.add("a.png", seed, 255 - PIXELS, RECORD) for seed in range(seeds)]
        assert mine == [[]] * seeds
        for path in {path for paths in theirs for path in paths}:
            kept = images.open_image(path, "L")
            assert kept.equal(PIXELS) or kept.equal(sheets.sheet(torch.stack([PIXELS, PIXELS])))
        assert not list(Path().glob("**/.*"))

    @pytest.mark.parametrize("how", [{}, {"force": True}, {"skip": True}])
    def test_a_pipe_in_place_of_a_file(self, how: dict[str, bool]) -> None:
        os.mkfifo("out/a.png")
        assert "out/a.png: a pipe or a device, where a file" in refused("out", **how)

    @pytest.mark.parametrize("how", [{}, {"force": True}, {"skip": True}])
    @pytest.mark.parametrize("place", ["out", "out/b.png", "./out/../out/b.png", "l.png"])
    def test_an_input_is_never_replaced(self, place: str, how: dict[str, bool]) -> None:
        Path("l.png").symlink_to("out/b.png")
        assert "is an input, which stays as it is" in refused(place, "out/b.png", **how)
        assert Path("out/b.png").read_bytes() == b"mine"

    @pytest.mark.parametrize("place", ["out/b.png/", "out/b.png/c.png", "out/b.png/{name}.png"])
    def test_a_file_in_place_of_a_folder(self, place: str) -> None:
        assert "is not a folder" in refused(place)

    def test_a_folder_that_cannot_be_written(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("os.access", lambda *_: False)
        assert refused("out/new/").startswith("out/new: nothing can be written to ")

    def test_no_room(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
        assert "needs 1,024 bytes, 1,000 are free" in refused("new/", seeds=2)
        assert paths("new/") == ["new/a.png"]


class TestFiles:
    @pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (2, "LA"), (3, "RGB"), (4, "RGBA")])
    def test_pixels_mode_and_record(self, channels: int, mode: str) -> None:
        pixels = torch.randint(0, 256, (channels, 5, 9)).to(torch.uint8)
        found = results("new/out/", "in/a.png b.png", [3, 40])
        assert found.add("in/a.png", 40, pixels, RECORD) == [Path("new/out/a-000040.png")]
        with Image.open("new/out/a-000040.png") as image:
            assert image.mode == mode
            assert images.from_pillow(image).equal(pixels)
        assert images.read_metadata("new/out/a-000040.png") == {
            "command": "edit",
            "inputs": ["in/a.png"],
            "seeds": "40",
        }

    @pytest.mark.parametrize("channels", [1, 2, 3, 4])
    @pytest.mark.parametrize("name", ["x.jpg", "{name}.webp"])
    def test_jpeg_and_webp(
        self, channels: int, name: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        pixels = torch.full((channels, 16, 16), 200, dtype=torch.uint8)
        pixels[:, :, 8:] = 90
        (path,) = results(name).add("a.png", 0, pixels, RECORD)
        said = capsys.readouterr().err
        assert said.count("of quality 95, whose pixels are not kept bit for bit") == 1
        assert ("transparency becomes white" in said) == (name == "x.jpg")
        with Image.open(path) as image:
            assert image.format == ("JPEG" if name == "x.jpg" else "WEBP")
            assert lossy.read_record(image)["command"] == "edit"

    def test_several_inputs_of_one_result(self) -> None:
        results("x.png").add("a.png", 0, PIXELS, {"inputs": ["a.png", "b.png"]})
        assert images.read_metadata("x.png")["inputs"] == ["a.png", "b.png"]

    def test_equal_results_are_equal_bytes(self) -> None:
        for name in "xy":
            results(f"{name}.png").add("a.png", 0, PIXELS, RECORD)
        assert Path("x.png").read_bytes() == Path("y.png").read_bytes()

    def test_stdout(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        out = io.TextIOWrapper(io.BytesIO())
        monkeypatch.setattr("sys.stdout", out)
        found = results("-")
        assert found.missing("a.png") == [0]
        assert found.paths == []
        assert found.add("a.png", 0, PIXELS, RECORD) == []
        stream = io.BytesIO(out.buffer.getvalue())  # type: ignore[attr-defined]
        assert images.open_image(stream, "L").equal(PIXELS)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("place", ["x.png", "{name}.png", "-"])
    def test_several_seeds_of_an_input_make_a_sheet(
        self, place: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        out = io.TextIOWrapper(io.BytesIO())
        monkeypatch.setattr("sys.stdout", out)
        found = results(place, "x.jpg", [3, 4, 9])
        assert found.missing("x.jpg") == [3, 4, 9]
        made = torch.randint(0, 256, (3, 1, 8, 8)).to(torch.uint8)
        for row in (1, 0):  # in whatever order they are done
            assert found.add("x.jpg", (3, 4, 9)[row], made[row], RECORD) == []
            assert not Path("x.png").exists()
        assert found.add("x.jpg", 9, made[2], RECORD) == [Path("x.png")] * (place != "-")
        if place == "-":
            Path("x.png").write_bytes(out.buffer.getvalue())  # type: ignore[attr-defined]
        assert images.open_image("x.png", "L").equal(sheets.sheet(made))
        assert images.read_metadata("x.png")["seeds"] == "3-4,9"

    def test_a_sheet_for_each_input(self) -> None:
        found = results("{name}.png", "a b", 2)
        assert [str(path) for path in found.paths] == ["a.png", "b.png"]
        for name in "ab":
            found.add(name, 0, PIXELS, RECORD)
        assert not list(Path().iterdir())
        assert found.add("b", 1, PIXELS, RECORD) == [Path("b.png")]
        assert found.add("a", 1, PIXELS, RECORD) == [Path("a.png")]

    def test_too_many_for_a_sheet(self) -> None:
        assert "5000 images do not fit on one sheet" in refused("x.png", seeds=5000)

    def test_stdout_has_nothing_to_skip(self) -> None:
        assert "--skip-existing" in refused("-", skip=True)

    def test_a_terminal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sys.stdout", CliRunner())
        monkeypatch.setattr(CliRunner, "isatty", lambda _: True, raising=False)
        assert "terminal" in refused("-")

    @pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
    @pytest.mark.parametrize("force", [False, True])
    def test_a_fault_at_any_operation(self, code: int, force: bool, tmp_path: Path) -> None:
        """Until a run is through, the file is whole and its own, or not there; nothing is left."""
        target = tmp_path / "x.png"
        old = images.encode_png(255 - PIXELS)
        for at in range(20):
            if force:
                target.write_bytes(old)
            found = results("x.png", force=force)
            with faults.failing(at, False, code) as calls, contextlib.suppress(OSError):
                found.add("a.png", 0, PIXELS, RECORD)
            assert [path for path in tmp_path.iterdir() if path != target] == []
            if target.exists():
                assert target.read_bytes() == old or images.read_metadata(target)
            if len(calls) <= at:
                break
            target.unlink(missing_ok=True)
        assert at > 2
        assert images.open_image(target, "L").equal(PIXELS)
