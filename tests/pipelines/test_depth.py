"""Images of 16 bits through all verbs: what is kept comes back bit for bit, in its own scale."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from runs import SETTINGS, ddpm, done

import ddpm_cli
from ddpm_cli.files.checkpoints.header import read_header
from ddpm_cli.files.images.pixels import encode_png, from_pillow, read_metadata

BOX = ("--mask", "2,2,6,6")
KEPT = np.pad(np.zeros((4, 4), bool), 2, constant_values=True)
PLAIN = ("--dtype", "float32", "--device", "cpu", "--steps", "4")
RANGE = ("--set", "data.range=[0,4095]")
SCANS = ("--set", "data.mode=L", "--set", "data.labels=none", *RANGE)


def values(path: Path) -> np.ndarray:
    """The pixels of a 16-bit PNG."""
    with Image.open(path) as image:
        assert image.mode == "I;16"
        return np.asarray(image).astype(int)


def deep(path: Path, pixels: np.ndarray, **options: object) -> Path:
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(pixels.astype(np.uint16)).save(path, **options)
    return path


def scan(seed: int, most: int = 4095, side: int = 8) -> np.ndarray:
    pixels = np.random.default_rng(seed).integers(0, most + 1, (side, side))
    pixels[0, :2] = 0, most
    return pixels


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scans")
    for number in range(12):
        deep(folder / f"{number:02}.png", scan(number))
    return folder


@pytest.fixture(scope="module")
def twelve(scans: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of 12-bit scans."""
    folder = tmp_path_factory.mktemp("runs") / "twelve"
    words = ("--set", "network.classes=0", "--set", "train.drop_class=0")
    words += ("--set", "data.name=folder")
    done("train", *SETTINGS, *words, "--set", f"data.path={scans}", *SCANS, "-o", folder)
    return folder


class TestEditsOfAModelOfBytes:
    """Digits of 8 bits fill and enlarge images of 16."""

    def test_inpaint(self, finished: Path, tmp_path: Path) -> None:
        image = deep(tmp_path / "x.png", scan(0, 65535))
        done("inpaint", image, *BOX, "-m", finished, *PLAIN, "-o", tmp_path / "y.png")
        new = values(tmp_path / "y.png")
        assert (new[KEPT] == scan(0, 65535)[KEPT]).all()
        assert len(np.unique(new[~KEPT] % 257)) > 4  # no bytes made wide
        assert "range" not in read_metadata(tmp_path / "y.png")

    def test_inpaint_in_the_range_asked_for_and_again(
        self, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        image, out = deep(tmp_path / "x.png", scan(0)), tmp_path / "y.png"
        ended = done("inpaint", image, *BOX, "-m", finished, *PLAIN, *RANGE, "-o", out)
        assert "quarter" not in ended.err
        new = values(out)
        assert (new[KEPT] == scan(0)[KEPT]).all()
        assert new.max() <= 4095
        assert read_metadata(out)["range"] == [0, 4095]
        words = shlex.split(done("info", out, "--command").out)
        before = out.read_bytes()
        assert "data.range=[0, 4095]" in words
        done(*words[1:], "-o", "again.png")
        assert Path("again.png").read_bytes() == before

    def test_little_of_the_range_is_named(self, finished: Path, tmp_path: Path) -> None:
        image = deep(tmp_path / "x.png", scan(0))
        ended = done("inpaint", image, *BOX, "-m", finished, *PLAIN, "-o", tmp_path / "y.png")
        assert "values 0 to 4095, under a quarter of 0 to 65535" in ended.err
        assert "--set data.range=[0,4095]" in ended.err
        assert (values(tmp_path / "y.png")[KEPT] == scan(0)[KEPT]).all()

    def test_the_range_is_of_the_reading_alone(self, finished: Path, tmp_path: Path) -> None:
        image, out = deep(tmp_path / "x.png", scan(0)), tmp_path / "y.png"
        for asked, code in (("[0,1023]", 1), ("[9,9]", 2), ("[4095,0]", 2), ("4095", 2)):
            ended = ddpm("inpaint", image, *BOX, "--set", f"data.range={asked}", "-o", out)
            assert (ended.code, out.exists()) == (code, False)
            assert "data.range" in ended.err
        ended = ddpm("sample", "-m", finished, *RANGE, "-o", out)
        assert ended.code == 2

    def test_beyond_the_edge(self, finished: Path, tmp_path: Path) -> None:
        image = deep(tmp_path / "x.png", scan(0, 60000))
        words = ("--extend", "4,0,0,2", "-m", finished, *PLAIN, "-o", tmp_path / "y.png")
        done("inpaint", image, *words)
        assert (values(tmp_path / "y.png")[:8, 4:] == scan(0, 60000)).all()

    def test_a_sheet_of_proposals(self, finished: Path, tmp_path: Path) -> None:
        image, out = deep(tmp_path / "x.png", scan(0)), tmp_path / "y.png"
        done("inpaint", image, *BOX, "-m", finished, *PLAIN, *RANGE, "-n", 4, "-o", out)
        sheet = values(out)
        assert sheet[0, 0] == 4095
        assert (sheet[2:10, 2:10][KEPT] == scan(0)[KEPT]).all()

    def test_formats_of_8_bits_are_named(self, finished: Path, tmp_path: Path) -> None:
        image, out = deep(tmp_path / "x.png", scan(0)), tmp_path / "y.jpg"
        ended = done("inpaint", image, *BOX, "-m", finished, *PLAIN, *RANGE, "-o", out)
        assert "JPEG has 8 bits; .png keeps 16" in ended.err
        with Image.open(out) as written:
            assert written.mode == "L"
            assert np.abs(np.asarray(written)[KEPT] - scan(0)[KEPT] / 4095 * 255).mean() < 20

    def test_upscale(self, finished: Path, tmp_path: Path) -> None:
        image, out = deep(tmp_path / "x.png", scan(0, 65535, 4)), tmp_path / "y.png"
        ended = done("upscale", image, "-m", finished, *PLAIN, "--json", "-o", out)
        large = values(out)
        assert large.shape == (8, 8)
        assert len(np.unique(large % 257)) > 4
        assert json.loads(ended.out)["error"] >= 0

    def test_colour_models_give_grey_back(self, tmp_path: Path) -> None:
        from ddpm_cli.files.images import given_back, inputs
        from ddpm_cli.files.images.inputs import Source

        image = deep(tmp_path / "x.png", scan(0, 65535))
        found = inputs.read(Source(str(image), "x"), (3, 8, 8))
        large = found.image.repeat_interleave(2, 1).repeat_interleave(2, 2)
        assert (
            given_back.grown(found, large)[0, ::2, ::2].numpy().tolist() == scan(0, 65535).tolist()
        )
        assert given_back.grown(found, large, colourful=True).dtype == torch.uint8

    def test_latents_and_strips_and_variations(self, finished: Path, tmp_path: Path) -> None:
        image = deep(tmp_path / "x.png", scan(0, 65535))
        latents, back = tmp_path / "l.safetensors", tmp_path / "back.png"
        ended = done("encode", image, "-m", finished, *PLAIN, "-o", latents)
        assert "in 0 to 65535" in ended.out
        done("sample", "-m", finished, "--from", latents, "-o", back)
        assert len(np.unique(values(back) % 257)) > 4
        done("interpolate", image, image, "-n", 3, "-m", finished, *PLAIN, "-o", tmp_path / "s/")
        assert len([values(path) for path in (tmp_path / "s").iterdir()]) == 3
        done(
            "interpolate", image, image, "-n", 3, "-m", finished, *PLAIN, "-o", tmp_path / "s.gif"
        )
        words = ("--init", image, "--at", "50%", "-m", finished, *PLAIN, "-o", tmp_path / "v.png")
        done("sample", *words)
        values(tmp_path / "v.png")

    def test_a_measurement(self, finished: Path, tmp_path: Path) -> None:
        image, out = deep(tmp_path / "x.png", scan(0)), tmp_path / "y.png"
        words = ("--restore", "mask", "--image", image, *BOX, *RANGE, "-m", finished, *PLAIN)
        done("guide", *words, "-o", out)
        assert values(out).max() <= 4095
        assert read_metadata(out)["range"] == [0, 4095]
        ended = ddpm("guide", "--class", "1", *RANGE, "-m", finished, "-o", tmp_path / "z.png")
        assert (ended.code, "data.range" in ended.err) == (2, True)

    def test_likelihoods_are_of_the_models_levels(self, finished: Path, tmp_path: Path) -> None:
        image = deep(tmp_path / "x.png", scan(0))
        ended = done("nll", image, "-m", finished, "--steps", "4", *RANGE)
        assert "rounded from 0 to 4095 to 0 to 255" in ended.err
        assert "of 256 levels" in ended.err


class TestAModelOfTwelveBits:
    def test_its_header(self, twelve: Path) -> None:
        assert read_header(twelve / "model.safetensors").data.range == (0, 4095)
        assert json.loads(done("info", twelve, "--json").out)["range"] == [0, 4095]

    def test_samples(self, twelve: Path, tmp_path: Path) -> None:
        done("sample", "-m", twelve, *PLAIN, "-n", 2, "-o", tmp_path / "folder")
        done("sample", "-m", twelve, *PLAIN, "-n", 2, "-o", tmp_path / "x.npz")
        numbers = np.load(tmp_path / "x.npz")["images"]
        assert numbers.dtype == np.uint16
        for seed in range(2):
            path = tmp_path / "folder" / f"{seed:06}.png"
            assert values(path).max() <= 4095
            assert (values(path) == numbers[seed, 0]).all()
            assert read_metadata(path)["range"] == [0, 4095]
        drawn = ddpm_cli.load(twelve).sample([0, 1])
        assert drawn.dtype == torch.float32

    def test_inputs_are_read_and_written_by_its_range(self, twelve: Path, tmp_path: Path) -> None:
        image = deep(tmp_path / "x.png", scan(99))
        done("inpaint", image, *BOX, "-m", twelve, *PLAIN, "-o", tmp_path / "y.png")
        new = values(tmp_path / "y.png")
        assert (new[KEPT] == scan(99)[KEPT]).all()
        assert new.max() <= 4095
        done("upscale", deep(tmp_path / "s.png", scan(1, 4095, 4)), "-m", twelve, *PLAIN,
             "-o", tmp_path / "u.png")  # fmt: skip
        assert values(tmp_path / "u.png").max() <= 4095

    def test_its_samples_are_taken_for_what_they_are(
        self, twelve: Path, finished: Path, tmp_path: Path
    ) -> None:
        done("sample", "-m", twelve, *PLAIN, "-o", tmp_path / "x.png")
        ended = done(
            "inpaint", tmp_path / "x.png", *BOX, "-m", finished, *PLAIN, "-o", tmp_path / "y.png"
        )
        assert "quarter" not in ended.err
        assert read_metadata(tmp_path / "y.png")["range"] == [0, 4095]

    def test_wider_values_are_refused_unless_their_range_is_said(
        self, twelve: Path, tmp_path: Path
    ) -> None:
        image, out = deep(tmp_path / "x.png", scan(0, 65535)), tmp_path / "y.png"
        ended = ddpm("inpaint", image, *BOX, "-m", twelve, *PLAIN, "-o", out)
        assert ended.code == 3 or ended.code == 1
        assert "--set data.range=[0,65535]" in ended.err
        wide = ("--set", "data.range=[0,65535]")
        done("inpaint", image, *BOX, "-m", twelve, *PLAIN, *wide, "-o", out)
        assert (values(out)[KEPT] == scan(0, 65535)[KEPT]).all()

    def test_bytes_are_read_by_their_own_range_and_stay_bytes(
        self, twelve: Path, tmp_path: Path
    ) -> None:
        grey = torch.arange(64, dtype=torch.uint8).reshape(1, 8, 8) * 4
        (tmp_path / "x.png").write_bytes(encode_png(grey))
        done_ = done(
            "inpaint", tmp_path / "x.png", *BOX, "-m", twelve, *PLAIN, "-o", tmp_path / "y.png"
        )
        assert "8 bits, read as 0 to 255" in done_.err
        with Image.open(tmp_path / "y.png") as image:
            assert image.mode == "L"
            assert from_pillow(image)[0].numpy()[KEPT].tolist() == grey[0].numpy()[KEPT].tolist()

    @pytest.mark.parametrize("method", ["ode", "vlb"])
    def test_likelihoods_count_its_levels(
        self, method: str, twelve: Path, scans: Path, tmp_path: Path
    ) -> None:
        words = ("-m", twelve, "--method", method, "--steps", 4, "--set", "compute.dtype=float32")
        of_file = done("nll", scans / "00.png", *words)
        assert "of 4096 levels" in of_file.err
        rows = done("nll", "--split", "train", "-n", 1, *words)
        assert "of 4096 levels" in rows.err
        (tmp_path / "x.png").write_bytes(encode_png(torch.zeros(1, 8, 8, dtype=torch.uint8)))
        ended = ddpm("nll", tmp_path / "x.png", *words)
        assert "has 256 levels, the model's images are 0 to 4095" in ended.err
        ended = ddpm("nll", scans / "00.png", *words, "--bits", 5)
        assert (ended.code, "--bits 5" in ended.err) == (2, True)

    def test_likelihoods_from_python(self, twelve: Path, scans: Path) -> None:
        model, pixels = ddpm_cli.load(twelve), torch.from_numpy(scan(0))[None, None]
        floats = pixels.float() / 2047.5 - 1
        settings = {"levels.count": 4}
        same = model.nll(floats, settings=settings)
        assert model.nll(pixels, settings=settings).equal(same)
        assert model.nll(pixels.to(torch.uint16), settings=settings).equal(same)
        lines = done("nll", scans / "00.png", "-m", twelve, "--steps", 4, "--json").out
        assert float(same) == pytest.approx(json.loads(lines.splitlines()[0])["bits"], abs=1e-3)
        with pytest.raises(ValueError, match="0 to 4095"):
            model.nll(pixels + 1)
        with pytest.raises(ValueError, match="bits=4"):
            model.nll(floats, bits=4)

    def test_python_keeps_pixels(self, twelve: Path) -> None:
        model, pixels = ddpm_cli.load(twelve), torch.from_numpy(scan(0))[None, None]
        hole = torch.from_numpy(~KEPT)
        new = model.inpaint(pixels, hole, settings={"levels.count": 3})
        again = ((new + 1) * 2047.5).round().long()
        assert again[0, 0][~hole].equal(pixels[0, 0][~hole])

    def test_training_says_what_it_sees(self, scans: Path, tmp_path: Path) -> None:
        folder = ("--set", "data.name=folder", "--set", f"data.path={scans}")
        words = ("train", *SETTINGS, "--set", "network.classes=0", "--set", "train.drop_class=0")
        ended = done(*words, *folder, "--set", "data.mode=L", "--dry-run")
        assert "values 0 to 4095, under a quarter of 0 to 65535" in ended.err
        ended = done(*words, *folder, *SCANS, "--dry-run")
        assert "quarter" not in ended.err
        assert "range = [0, 4095]" in ended.out
        bad = (*SCANS[:2], "--set", "data.range=[4095,0]")
        for dry in ((), ("--dry-run",)):
            ended = ddpm(*words, *folder, *bad, *dry, "-o", tmp_path / "run")
            assert (ended.code, (tmp_path / "run").exists()) == (2, False)
        bound = ("--set", "loss.name=vlb", "--set", "schedule.steps=100")
        ended = ddpm(*words, *folder, *SCANS, *bound, "-o", tmp_path / "run")
        assert (ended.code, "--set loss.bits=12" in ended.err) == (2, True)
